/**
 * Rows of logs, kept as a cache: a row of a sealed step never changes, and making one means reading what it shows. A file that does not fit
 * its log is not used; all of it can be deleted at any time.
 */
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import { readLog } from "../scope/view.ts";
import type { Cursor } from "../trace/logs.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { type Row, rowOf } from "./rows.ts";

/** What a line for a person is made from. */
export type Shown = Pick<Row, "n" | "id" | "kind" | "status" | "summary" | "changes" | "leftOut">;

interface Head {
  v: 3;
  log: string;
  cursor: Cursor;
  last: number;
  check: number;
  /** Bytes of the first part: what is shown of each row. Behind it is the rest, which is half of it and nearly never wanted. */
  shown: number;
}

/** Rows are kept when at least so many had to be made. */
const WORTH = 200;

const fileOf = (store: EmbeddedStore, log: string): string => `${store.cache("rows")}/${log}`;

interface Kept {
  shown: Shown[];
  whole(): Row[];
  current: boolean;
}

async function load(store: EmbeddedStore, log: string): Promise<Kept | null> {
  try {
    const bytes = readFileSync(fileOf(store, log));
    const end = bytes.indexOf(0x0a);
    const head = JSON.parse(bytes.toString("utf8", 0, end)) as Head;
    const body = bytes.subarray(end + 1);
    if (head.v !== 3 || head.log !== log || crc32(body) !== head.check) return null;
    if (!(await store.logs.seek(log, head.cursor, head.last))) return null;
    const current = (await store.logs.end(log)).seq === head.cursor.seq;
    const shown = JSON.parse(body.toString("utf8", 0, head.shown)) as Shown[];
    const whole = (): Row[] => {
      const rest = JSON.parse(body.toString("utf8", head.shown)) as Omit<Row, keyof Shown>[];
      return shown.map((each, i) => join(each, rest[i]!));
    };
    return { shown, whole, current };
  } catch {
    return null;
  }
}

const join = (
  { n, id, kind, status, summary, changes, leftOut }: Shown,
  { frame, tier, scope, parents, at, thread, inside, turn, attempts }: Omit<Row, keyof Shown>,
): Row => ({
  frame,
  n,
  id,
  kind,
  status,
  tier,
  summary,
  scope,
  parents,
  at,
  thread,
  inside,
  turn,
  attempts,
  changes,
  leftOut,
});

const shownOf = ({ n, id, kind, status, summary, changes, leftOut }: Row): Shown => ({
  n,
  id,
  kind,
  status,
  summary,
  changes,
  leftOut,
});
const restOf = ({ frame, tier, parents, at, thread, inside, turn, attempts }: Row): Omit<Row, keyof Shown> => ({
  frame,
  tier,
  scope: "",
  parents,
  at,
  thread,
  inside,
  turn,
  attempts,
});

/** Rows of a log's own steps: in the order of sealing, then what is pending. `scope` is the name they are told with; null for what is shown alone. */
async function rowsOf(store: EmbeddedStore, log: string, scope: string | null, live: boolean): Promise<Shown[]> {
  const kept = await load(store, log);
  const named = (rows: Row[]): Row[] => {
    for (const row of rows) row.scope = scope ?? "";
    return rows;
  };
  if (kept?.current) return scope === null ? kept.shown : named(kept.whole());
  const { fold } = await readLog(store, log);
  const rows = kept?.whole() ?? [];
  const known = rows.length;
  for (const step of fold.sealed.slice(known)) rows.push(await rowOf(store, "", step, live));
  const pending = [];
  for (const step of fold.pending()) pending.push(await rowOf(store, "", step, live));
  if (rows.length - known >= WORTH && pending.length === 0) await save(store, log, rows);
  return named([...rows, ...pending]);
}

async function save(store: EmbeddedStore, log: string, rows: Row[]): Promise<void> {
  let cursor: Cursor | null = null;
  let last = 0;
  for await (const each of store.logs.readFrom(log, null)) {
    last = cursor?.offset ?? 0;
    cursor = each.cursor;
  }
  // Something came meanwhile: the next reader keeps them.
  if (!cursor || cursor.seq !== (await store.logs.end(log)).seq) return;
  const shown = Buffer.from(JSON.stringify(rows.map(shownOf)));
  const body = Buffer.concat([shown, Buffer.from(JSON.stringify(rows.map(restOf)))]);
  const head: Head = { v: 3, log, cursor, last, check: crc32(body), shown: shown.length };
  await store.disk
    .create(fileOf(store, log), Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), body]), { replace: true })
    .catch(() => {});
}

/** As `rowsOf`, with the rows of the prefix that the scope shares with those it was forked from: the oldest log first. */
async function withPrefix(
  store: EmbeddedStore,
  log: string,
  names: ReadonlyMap<string, string> | null,
  live: boolean,
): Promise<Array<{ log: string; rows: Shown[] }>> {
  const own = { log, rows: await rowsOf(store, log, names && (names.get(log) ?? "main"), live) };
  const origin = (await store.logs.header(log))?.origin;
  if (!origin) return [own];
  const shared = await withPrefix(store, origin.log, names, false);
  const last = shared.at(-1)!;
  // In the order of sealing, what stands up to the step of the fork is shared.
  last.rows.length = last.rows.findLastIndex((row) => row.n === origin.n && row.id !== null) + 1;
  return [...shared, own];
}

/** What is shown of the rows of a log, and of the prefix that it shares with others: the oldest log first. */
export const shownRows = (
  store: EmbeddedStore,
  log: string,
  live: boolean,
): Promise<Array<{ log: string; rows: Shown[] }>> => withPrefix(store, log, null, live);

/** The whole rows, each with the name of its scope. */
export const allRows = (
  store: EmbeddedStore,
  log: string,
  names: ReadonlyMap<string, string>,
  live: boolean,
): Promise<Array<{ log: string; rows: Row[] }>> =>
  withPrefix(store, log, names, live) as Promise<Array<{ log: string; rows: Row[] }>>;
