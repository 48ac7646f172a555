/**
 * Where the objects of a pack lie, sorted by hash. On disk: heading, u64 bytes of the pack that it covers, u32 count, hash of the rest, then
 * rows `hash, u32 offset, u32 length`. A cache: a pack can always be scanned instead.
 */
import { sha256 } from "./bytes.ts";
import type { Hash } from "./ports.ts";
import { MAX_RECORD } from "./record.ts";

/** Length of a hash. */
export const KEY = 32;
const ROW = KEY + 8;
const HEADING = "shepherd packindex 1\n";
const HEAD = HEADING.length + 12 + KEY;

/** Where an object lies: offset of its record, and length of the record's payload. */
export interface Place {
  offset: number;
  length: number;
}

export interface PackIndex {
  /** Bytes of the pack whose objects it knows. They are synced: an index is only made of such. */
  covers: number;
  count: number;
  find(id: Hash | Buffer): Place | null;
  entries(): Generator<[Hash, Place]>;
  rows: Buffer;
}

/** The index of nothing, for a pack whose records begin at `start`. */
export const emptyIndex = (start: number): PackIndex => indexOf(Buffer.alloc(0), start);

/** Adds to `index` what lies behind it, by hash as 32 Latin-1 characters. Of two records of one object the later counts: the earlier can be a tombstone. */
export function extendIndex(index: PackIndex, recent: ReadonlyMap<string, Place>, covers: number): PackIndex {
  const keys = [...recent.keys()].sort();
  const rows = Buffer.allocUnsafe(index.rows.length + keys.length * ROW);
  const key = Buffer.alloc(KEY);
  let from = 0;
  let to = 0;
  for (const each of keys) {
    key.write(each, "latin1");
    const at = lowerBound(index.rows, key);
    to += index.rows.copy(rows, to, from, at * ROW);
    from = at * ROW;
    if (from < index.rows.length && isAt(index.rows, at, key) === 0) from += ROW;
    const { offset, length } = recent.get(each)!;
    key.copy(rows, to);
    rows.writeUInt32LE(offset, to + KEY);
    rows.writeUInt32LE(length, to + KEY + 4);
    to += ROW;
  }
  to += index.rows.copy(rows, to, from);
  return indexOf(rows.subarray(0, to), covers);
}

export function encodeIndex({ rows, covers }: PackIndex): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD + rows.length);
  const at = bytes.write(HEADING, "latin1");
  bytes.writeBigUInt64LE(BigInt(covers), at);
  bytes.writeUInt32LE(rows.length / ROW, at + 8);
  rows.copy(bytes, HEAD);
  bytes.write(checkOf(bytes), at + 12, "hex");
  return bytes;
}

/** The index in a file; null if it is damaged. */
export function parseIndex(bytes: Buffer): PackIndex | null {
  const at = HEADING.length;
  if (bytes.length < HEAD || bytes.toString("latin1", 0, at) !== HEADING) return null;
  const covers = bytes.readBigUInt64LE(at);
  if (covers > BigInt(Number.MAX_SAFE_INTEGER) || bytes.length !== HEAD + bytes.readUInt32LE(at + 8) * ROW) return null;
  if (bytes.toString("hex", at + 12, HEAD) !== checkOf(bytes)) return null;
  return indexOf(bytes.subarray(HEAD), Number(covers));
}

const checkOf = (bytes: Buffer): Hash =>
  sha256(`${bytes.toString("hex", HEADING.length, HEADING.length + 12)}${sha256(bytes.subarray(HEAD))}`);

function indexOf(rows: Buffer, covers: number): PackIndex {
  const count = rows.length / ROW;
  const place = (row: number): Place | null => {
    const length = rows.readUInt32LE(row * ROW + KEY + 4);
    return length > MAX_RECORD ? null : { offset: rows.readUInt32LE(row * ROW + KEY), length };
  };
  return {
    covers,
    count,
    rows,
    find: (id) => {
      const key = typeof id === "string" ? Buffer.from(id, "hex") : id;
      const row = lowerBound(rows, key);
      return key.length === KEY && row < count && isAt(rows, row, key) === 0 ? place(row) : null;
    },
    entries: function* () {
      for (let row = 0; row < count; row++) {
        const there = place(row);
        if (there) yield [rows.toString("hex", row * ROW, row * ROW + KEY), there];
      }
    },
  };
}

const isAt = (rows: Buffer, row: number, key: Buffer): number => key.compare(rows, row * ROW, row * ROW + KEY);

/** The first row that is not less than `key`. */
function lowerBound(rows: Buffer, key: Buffer): number {
  // Numbers compare quicker than bytes, and the first 32 bits nearly always decide.
  const start = key.length === KEY ? key.readUInt32BE(0) : -1;
  let low = 0;
  let high = rows.length / ROW;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const there = rows.readUInt32BE(middle * ROW);
    if (start >= 0 && there !== start ? there < start : isAt(rows, middle, key) > 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
