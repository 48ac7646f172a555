/**
 * Destroys the bytes of objects for good: each record of them, in every pack, is overwritten in place by a tombstone of the same length. Ids
 * and frames stay. What is to be overwritten is written down first (ref `forget/N`), so whoever comes next can finish it; done twice, it
 * does the same. The ref stays as the record of what was forgotten, when and why.
 *
 * A tombstone forbids nothing: if the same bytes come again through somebody's new work, they are stored again. And it destroys what the store
 * holds; a file system that copies on write, a snapshot or a backup may hold more.
 */
import { crc32 } from "node:zlib";
import { decodeJson, isHash } from "./bytes.ts";
import type { DiskFile } from "./disk.ts";
import { pieces } from "./examine.ts";
import { unflip } from "./flip.ts";
import { TOMBSTONE } from "./pack.ts";
import { KEY } from "./packindex.ts";
import type { Hash } from "./ports.ts";
import { breather } from "./reach.ts";
import { type Damage, encodeRecord, MAGIC, MAX_RECORD, RECORD_HEAD, valid } from "./record.ts";
import type { EmbeddedStore } from "./store.ts";
import { tombstone } from "./tombstone.ts";
import { publishGcState, readGcState, takeGcLease } from "./writers.ts";

/** What was forgotten in one go. */
export interface Forgetting {
  n: number;
  ids: Hash[];
  reason: string;
  /** ms since the epoch. */
  at: number;
  done: boolean;
}

export interface ForgetReport {
  /** Numbers of the refs that record it. */
  forgotten: number[];
  /** Records that were overwritten. */
  records: number;
  bytes: number;
  /** Ids of which no pack held anything. */
  unknown: Hash[];
}

export interface ForgetOptions {
  /** Why, for people. */
  reason: string;
  onProgress?: (progress: { done: number; total: number }) => void;
  /** Stops the search for records; what is planned is finished. */
  signal?: AbortSignal | undefined;
}

/** Where bytes of an object lie: pack, offset, length of the record's payload, index of its id. */
type Spot = [file: string, offset: number, length: number, id: number];

interface Value {
  v: 1;
  ids: Hash[];
  reason: string;
  at: number;
  /** Null once it is done. */
  spots: Spot[] | null;
}

/** So many records are planned in one ref. */
const BATCH = 500;
const FILE = /^(objects|cache\/derived)\/\d{6}\.pack$/;
const nameOf = (n: number): string => `forget/${String(n).padStart(10, "0")}`;

/** Synced at return. Throws a sentence if another process collects or forgets at the moment. */
export async function forget(
  store: EmbeddedStore,
  ids: readonly Hash[],
  options: ForgetOptions,
): Promise<ForgetReport> {
  for (const id of ids)
    if (!isHash(id)) throw new Error(`${JSON.stringify(id)} is no id of an object: give its 64 hex digits.`);
  const epoch = await takeGcLease(store);
  try {
    await finishForget(store, { leased: true });
    const wanted = [...new Set(ids)];
    const found = await findRecords(store, wanted, options);
    const report: ForgetReport = { forgotten: [], records: found.length, bytes: 0, unknown: [] };
    const known = new Set(found.map(([, , , id]) => id));
    report.unknown = wanted.filter((_, index) => !known.has(index));
    for (const [, , length] of found) report.bytes += length;
    for (let from = 0; from < found.length; from += BATCH)
      report.forgotten.push(await plan(store, wanted, found.slice(from, from + BATCH), options.reason));
    await finishForget(store, { leased: true });
    return report;
  } finally {
    await store.leases.release("gc", epoch);
  }
}

/** Finishes what a killed process planned to forget; gives how much that was. Synced at return. */
export async function finishForget(store: EmbeddedStore, options: { leased?: boolean } = {}): Promise<number> {
  const open = async () => (await store.refs.list("forget/")).filter(({ value }) => isUnfinished(value));
  if ((await open()).length === 0) return 0;
  const epoch = options.leased ? null : await takeGcLease(store);
  try {
    let finished = 0;
    for (const { name, value, version } of await open()) {
      const planned = parse(value)!;
      // From here on whoever remembers these objects must ask for them anew.
      const state = readGcState(store);
      if (state)
        await publishGcState(store, { ...state, generation: state.generation + 1, epoch: state.generation + 1 });
      await destroy(store, planned);
      const done: Value = { ...planned, spots: null };
      if (await store.refs.cas(name, version, JSON.stringify(done))) finished++;
    }
    store.objects.refresh();
    return finished;
  } finally {
    if (epoch !== null) await store.leases.release("gc", epoch);
  }
}

/** What was forgotten so far, or is about to be, oldest first. */
export async function listForgotten(store: Pick<EmbeddedStore, "refs">): Promise<Forgetting[]> {
  const list: Forgetting[] = [];
  for (const { name, value } of await store.refs.list("forget/")) {
    const { ids, reason, at, spots } = parse(value) ?? {};
    if (ids) list.push({ n: Number(name.slice("forget/".length)), ids, reason: reason!, at: at!, done: !spots });
  }
  return list;
}

/** Writes down that objects were forgotten elsewhere, of which there is nothing here to destroy. Done twice, it does the same. Synced at return. */
export async function noteForgotten(store: EmbeddedStore, ids: readonly Hash[], reason: string): Promise<void> {
  const known = new Set((await listForgotten(store)).flatMap((forgetting) => forgetting.ids));
  const fresh = ids.filter((id) => !known.has(id));
  for (let from = 0; from < fresh.length; from += BATCH)
    await record(store, { v: 1, ids: fresh.slice(from, from + BATCH), reason, at: Date.now(), spots: null });
}

/** Whether the value of a ref `forget/N` is a plan that nobody finished yet. */
export const isUnfinished = (value: string): boolean => Array.isArray(parse(value)?.spots);

async function plan(
  store: EmbeddedStore,
  wanted: readonly Hash[],
  spots: readonly Spot[],
  reason: string,
): Promise<number> {
  const indexes = [...new Set(spots.map(([, , , id]) => id))];
  const value: Value = {
    v: 1,
    ids: indexes.map((index) => wanted[index]!),
    reason,
    at: Date.now(),
    spots: spots.map(([file, offset, length, id]) => [file, offset, length, indexes.indexOf(id)]),
  };
  return record(store, value);
}

async function record(store: EmbeddedStore, value: Value): Promise<number> {
  for (;;) {
    const last = (await store.refs.list("forget/")).at(-1);
    const n = last ? Number(last.name.slice("forget/".length)) + 1 : 1;
    if (await store.refs.cas(nameOf(n), 0, JSON.stringify(value))) return n;
  }
}

/** Every place where bytes of `ids` lie: records, and pieces of records that were never finished or are damaged. */
async function findRecords(store: EmbeddedStore, ids: readonly Hash[], options: ForgetOptions): Promise<Spot[]> {
  const rest = breather(options.signal);
  const index = new Map(ids.map((id, i) => [Buffer.from(id, "hex").toString("latin1"), i]));
  const spots: Spot[] = [];
  const files = ["objects", "cache/derived"].flatMap((folder) =>
    store.disk.list(`${store.directory}/${folder}`).map((name) => `${folder}/${name}`),
  );
  let before = 0;
  for (const name of files.filter((each) => FILE.test(each))) {
    const file = store.disk.open(`${store.directory}/${name}`);
    if (!file) continue;
    try {
      for (const piece of pieces(file, 0)) {
        await rest();
        options.onProgress?.({ done: before + piece.offset, total: before + file.size() });
        if (piece.what === "record") {
          const id = piece.payload.length > KEY ? index.get(piece.payload.toString("latin1", 0, KEY)) : undefined;
          if (id !== undefined && !isTombstone(piece.payload))
            spots.push([name, piece.offset, piece.payload.length, id]);
        } else spots.push(...(await inDamage(file, name, piece, index)));
      }
      before += file.size();
    } finally {
      file.close();
    }
  }
  return spots;
}

/**
 * Where bytes of an object lie in damage: behind what is left of the head of a record and the object's hash, as far as to the next head; or all
 * of it, if it is a record of which one bit flipped.
 */
async function inDamage(
  file: DiskFile,
  name: string,
  damage: Damage,
  index: ReadonlyMap<string, number>,
): Promise<Spot[]> {
  let { offset, end } = damage;
  if (end === file.size()) {
    // It may be a record that is just being written.
    await new Promise((resolve) => setTimeout(resolve, 50));
    const again = pieces(file, offset).next().value;
    if (again?.what !== "damage") return [];
    ({ offset, end } = again);
  }
  const spots: Spot[] = [];
  const add = (from: number, to: number, id: number): void => {
    while (to - from >= LEAST) {
      let length = Math.min(to - from, MAX_RECORD);
      if (to - from - length > 0 && to - from - length < LEAST) length -= LEAST;
      spots.push([name, from, length - RECORD_HEAD, id]);
      from += length;
    }
  };
  for (let at = offset; at < end; at += WINDOW) {
    const bytes = file.read(at, Math.min(2 * WINDOW, end - at));
    for (const [key, id] of index) {
      const hash = Buffer.from(key, "latin1");
      for (let hit = bytes.indexOf(hash); hit >= 0 && hit < WINDOW + RECORD_HEAD; hit = bytes.indexOf(hash, hit + 1)) {
        const head = hit - RECORD_HEAD;
        if (head >= 0 && likeHead(bytes, head)) add(at + head, at + nextHead(bytes, hit + KEY), id);
      }
    }
  }
  if (spots.length > 0 || end - offset > MAX_RECORD) return spots;
  const flip = unflip(file.read(offset, end - offset));
  const id = flip && index.get(flip.record.toString("latin1", RECORD_HEAD, RECORD_HEAD + KEY));
  if (id !== null && id !== undefined) add(offset, end, id);
  return spots;
}

const WINDOW = 2 << 20;
/** The shortest record of an object. */
const LEAST = RECORD_HEAD + KEY + 1;

/** Whether the magic of a record stands there, but for one byte. */
const likeHead = (bytes: Buffer, at: number): boolean =>
  MAGIC.reduce((same, byte, i) => same + (bytes[at + i] === byte ? 1 : 0), 0) >= MAGIC.length - 1;

function nextHead(bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(MAGIC, from); at >= 0; at = bytes.indexOf(MAGIC, at + 1))
    if (at + RECORD_HEAD <= bytes.length && valid(bytes.subarray(at, at + RECORD_HEAD))) return at;
  return bytes.length;
}

async function destroy(store: EmbeddedStore, { ids, spots }: Value): Promise<void> {
  const byFile = new Map<string, Spot[]>();
  for (const spot of spots ?? []) byFile.set(spot[0], [...(byFile.get(spot[0]) ?? []), spot]);
  for (const [name, inFile] of byFile) {
    const file = store.disk.open(`${store.directory}/${name}`);
    if (!file) continue;
    try {
      for (const [, offset, length, id] of inFile)
        if (isSpot(file, offset, length, ids[id]!)) file.overwrite(offset, encodeRecord(tombstone(ids[id]!, length)));
      await file.sync();
    } finally {
      file.close();
    }
  }
}

/** Whether what lies there is what was planned: that record, or damage, and not another record. */
function isSpot(file: DiskFile, offset: number, length: number, id: Hash): boolean {
  if (offset + RECORD_HEAD + length > file.size()) return false;
  const head = file.read(offset, RECORD_HEAD);
  if (!valid(head)) return true;
  const told = head.readUInt32LE(4);
  const payload = told > MAX_RECORD ? head : file.read(offset + RECORD_HEAD, told);
  if (payload.length !== told || crc32(payload) !== head.readUInt32LE(8)) return true;
  return told === length && payload.toString("hex", 0, KEY) === id;
}

const isTombstone = (payload: Buffer): boolean =>
  payload[KEY] === TOMBSTONE && payload.subarray(KEY + 1).every((byte) => byte === 0);

function parse(value: string): Value | null {
  try {
    const parsed = decodeJson(Buffer.from(value)) as unknown as Value;
    if (parsed.v !== 1 || !Array.isArray(parsed.ids) || !parsed.ids.every(isHash)) return null;
    if (typeof parsed.reason !== "string" || typeof parsed.at !== "number") return null;
    return parsed.spots === null || isPlan(parsed.spots, parsed.ids.length) ? parsed : null;
  } catch {
    return null;
  }
}

function isPlan(spots: unknown, ids: number): spots is Spot[] {
  const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
  return (
    Array.isArray(spots) &&
    spots.every(
      (spot) =>
        Array.isArray(spot) &&
        FILE.test(String(spot[0])) &&
        spot.slice(1).every(isCount) &&
        spot[2] > KEY &&
        spot[2] <= MAX_RECORD &&
        spot[3] < ids,
    )
  );
}
