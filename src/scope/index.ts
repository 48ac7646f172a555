/**
 * What was folded once, kept beside the logs, so that no verb reads a long log from its start. A cache: it can be deleted at any time, and
 * what does not fit its log is not used.
 *
 * One file a log: a line with the checksum of all behind it, one with the cursor behind the last frame folded, then a line a step, in the order of
 * sealing, then what is pending.
 */
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import type { NoteFrame } from "../trace/frame.ts";
import type { Cursor } from "../trace/logs.ts";
import { type Fold, type FoldSnapshot, type Step, snapshotOf, startFold } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";

interface Head {
  v: 3;
  log: string;
  cursor: Cursor;
  /** Where the last frame folded starts. */
  last: number;
  steps: number;
  compensated: string[];
  notes: NoteFrame[];
}

/** An index is written anew when so many frames had to be folded behind it. */
const WORTH = 400;

const fileOf = (store: EmbeddedStore, log: string): string => `${store.cache("index")}/${log}`;

interface Loaded {
  head: Head;
  /** The lines of the steps, as they lie in the file. */
  lines: Buffer;
}

/** Null where there is none, or one of another version. Throws where its bytes are not those that were written. */
function load(store: EmbeddedStore, log: string): Loaded | null {
  let bytes: Buffer;
  try {
    bytes = readFileSync(fileOf(store, log));
  } catch {
    return null;
  }
  // Before version 3 it began with the line of the cursor.
  if (bytes[0] === "{".charCodeAt(0)) return null;
  const start = bytes.indexOf(0x0a) + 1;
  const checked = bytes.subarray(start);
  if (bytes.toString("latin1", 0, start) !== `${crc32(checked)}\n`) throw new Error("The index is damaged.");
  const end = checked.indexOf(0x0a);
  const head = JSON.parse(checked.toString("utf8", 0, end)) as Head;
  return head.v === 3 ? { head, lines: checked.subarray(end + 1) } : null;
}

/** Whether there is an index whose bytes are not those that were written. Nobody uses it, and it can be deleted. */
export function isIndexDamaged(store: EmbeddedStore, log: string): boolean {
  try {
    load(store, log);
    return false;
  } catch {
    return true;
  }
}

/** One that belongs to its log as that is now. */
async function loadFitting(store: EmbeddedStore, log: string): Promise<Loaded | null> {
  try {
    const loaded = load(store, log);
    if (loaded?.head.log !== log) return null;
    return (await store.logs.seek(log, loaded.head.cursor, loaded.head.last)) ? loaded : null;
  } catch {
    return null;
  }
}

/** What the index of a log has folded, and where that ends; null where there is no index that fits. */
export async function loadSnapshot(
  store: EmbeddedStore,
  log: string,
): Promise<{ snapshot: FoldSnapshot; cursor: Cursor } | null> {
  const loaded = await loadFitting(store, log);
  if (!loaded) return null;
  const { head, lines } = loaded;
  const text = lines.toString("utf8", 0, Math.max(0, lines.length - 1));
  const steps = JSON.parse(`[${text.replaceAll("\n", ",")}]`) as Step[];
  return { snapshot: { steps, compensated: head.compensated, notes: head.notes }, cursor: head.cursor };
}

/** The fold of a log, from its index where there is one. */
export async function loadFold(store: EmbeddedStore, log: string): Promise<Fold> {
  const header = await store.logs.header(log);
  if (!header) throw new Error(`There is no log ${log} in this store.`);
  const known = await loadSnapshot(store, log);
  const fold = startFold(header, undefined, known?.snapshot);
  let cursor = known?.cursor ?? null;
  let last = 0;
  let behind = 0;
  for await (const each of store.logs.readFrom(log, cursor)) {
    fold.push(each.frame, each.hash);
    last = cursor ? cursor.offset : 0;
    cursor = each.cursor;
    behind++;
  }
  if (behind >= WORTH && cursor) await save(store, log, fold, cursor, last);
  return fold;
}

async function save(store: EmbeddedStore, log: string, fold: Fold, cursor: Cursor, last: number): Promise<void> {
  const { steps, compensated, notes } = snapshotOf(fold);
  const lines = Buffer.from(steps.map((step) => `${JSON.stringify(step)}\n`).join(""));
  const head: Head = { v: 3, log, cursor, last, steps: steps.length, compensated, notes };
  const checked = Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), lines]);
  const bytes = Buffer.concat([Buffer.from(`${crc32(checked)}\n`), checked]);
  try {
    // Else the power could take frames that the index, which is synced at once, takes for there.
    await store.logs.sync(log);
    await store.disk.create(fileOf(store, log), bytes, { replace: true });
  } catch {
    // Without it, the log is read from its start.
  }
}
