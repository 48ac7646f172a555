/**
 * Rows of logs, kept as a cache: a row of a sealed step never changes, and making one means reading what it shows. A file that does not fit
 * its log is not used; all of it can be deleted at any time.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { crc32 } from "node:zlib";
import { readLog } from "../scope/view.ts";
import type { Cursor } from "../trace/logs.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { type Row, rowOf } from "./rows.ts";

/** What a line for a person is made from. */
export type Shown = Pick<Row, "n" | "id" | "kind" | "status" | "summary" | "changes" | "leftOut">;

interface Head {
  v: 4;
  log: string;
  cursor: Cursor;
  last: number;
  /** What is shown of each row. Behind it lies the rest, which is most of it and seldom wanted. */
  shown: Part;
  rest: Part;
}

interface Part {
  length: number;
  crc: number;
}

/** The head is padded with spaces to so many bytes. */
const HEAD = 512;

/** Rows are kept when at least so many had to be made. */
const WORTH = 200;

const fileOf = (store: EmbeddedStore, log: string): string => `${store.cache("rows")}/${log}`;

interface Kept<Rows> {
  rows: Rows;
  current: boolean;
}

/** What was kept of a log: all of each row, or only what is shown of it. Null if there is nothing, or it does not fit the log. */
async function load(store: EmbeddedStore, log: string, whole: true): Promise<Kept<Row[]> | null>;
async function load(store: EmbeddedStore, log: string, whole: boolean): Promise<Kept<Shown[]> | null>;
async function load(store: EmbeddedStore, log: string, whole: boolean): Promise<Kept<Shown[]> | null> {
  let fd = -1;
  try {
    fd = openSync(fileOf(store, log), "r");
    const head = JSON.parse(bytesAt(fd, 0, HEAD).toString()) as Head;
    if (head.v !== 4 || head.log !== log) return null;
    const part = <T>({ length, crc }: Part, from: number): T[] => {
      const bytes = bytesAt(fd, from, length);
      if (crc32(bytes) !== crc) throw new Error("The rows are damaged.");
      return JSON.parse(bytes.toString()) as T[];
    };
    const shown = part<Shown>(head.shown, HEAD);
    const rest = whole ? part<Omit<Row, keyof Shown>>(head.rest, HEAD + head.shown.length) : [];
    if (!(await store.logs.seek(log, head.cursor, head.last))) return null;
    const current = (await store.logs.end(log)).seq === head.cursor.seq;
    return { rows: whole ? shown.map((each, i) => join(each, rest[i]!)) : shown, current };
  } catch {
    return null;
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

function bytesAt(fd: number, from: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at < length; ) {
    const read = readSync(fd, bytes, at, length - at, from + at);
    if (read === 0) throw new Error("The rows are cut short.");
    at += read;
  }
  return bytes;
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
  const named = (rows: Row[]): Row[] => {
    for (const row of rows) row.scope = scope ?? "";
    return rows;
  };
  if (scope === null) {
    const shown = await load(store, log, false);
    if (shown?.current) return shown.rows;
  }
  const kept = await load(store, log, true);
  if (kept?.current) return named(kept.rows);
  const { fold } = await readLog(store, log);
  const rows = kept?.rows ?? [];
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
  const rest = Buffer.from(JSON.stringify(rows.map(restOf)));
  const part = (bytes: Buffer): Part => ({ length: bytes.length, crc: crc32(bytes) });
  const head: Head = { v: 4, log, cursor, last, shown: part(shown), rest: part(rest) };
  const heading = Buffer.from(`${JSON.stringify(head).padEnd(HEAD - 1)}\n`);
  await store.disk.create(fileOf(store, log), Buffer.concat([heading, shown, rest]), { replace: true }).catch(() => {});
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
