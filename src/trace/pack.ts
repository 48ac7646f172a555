/** One pack: a segment of objects, with an index in memory and, for what has been indexed once, on disk. */
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { sha256 } from "./bytes.ts";
import type { Disk } from "./disk.ts";
import { type Hash, MAX_OBJECT } from "./ports.ts";
import { openSegment, type Segment } from "./segment.ts";

/** First byte of an object's record after its hash. */
export const RAW = 0;
export const DEFLATED = 1;
/** The bytes were destroyed on request; the record keeps its length, filled with zeros. */
export const TOMBSTONE = 3;

const KEY = 32;
const ROW = KEY + 8;

/** Where an object lies: offset of its record, and length of the record's payload. */
export interface Place {
  offset: number;
  length: number;
}

export interface Pack {
  readonly number: number;
  readonly segment: Segment;
  find(id: Hash): Place | null;
  /** The bytes, or the tombstone; null if the record is damaged. */
  read(place: Place, id: Hash): Uint8Array | "forgotten" | null;
  append(id: Hash, bytes: Uint8Array): void;
  /** Takes in what others appended since. */
  refresh(): void;
  entries(): Generator<[Hash, Place]>;
  /** Writes the index to disk if much has come since the last one. */
  saveIndex(): Promise<void>;
}

const indexPath = (path: string): string => path.replace(/\.pack$/, ".idx");
const hexKey = (id: Hash): string => Buffer.from(id, "hex").toString("latin1");

export function openPack(disk: Disk, path: string, number: number): Pack | null {
  const segment = openSegment(disk, path, "pack");
  if (!segment) return null;
  let sorted = loadIndex(disk, path, segment);
  // Objects behind the index on disk, by their hash as 32 Latin-1 characters: half the memory of hex.
  const recent = new Map<string, Place>();
  let end = sorted.covers;

  const refresh = (): void => {
    for (const { offset, end: next, payload } of segment.scan(end)) {
      if (payload.length > KEY) recent.set(payload.toString("latin1", 0, KEY), { offset, length: payload.length });
      end = next;
    }
  };
  return {
    number,
    segment,
    refresh,
    find: (id) => recent.get(hexKey(id)) ?? sorted.find(id),
    read: (place, id) => unpack(segment.payload(place.offset, place.length), id),
    append: (id, bytes) => {
      const payload = packed(id, bytes);
      const offset = segment.append([payload], end);
      if (offset < 0) return refresh();
      recent.set(payload.toString("latin1", 0, KEY), { offset, length: payload.length });
      end = segment.size();
    },
    entries: function* () {
      refresh();
      yield* sorted.entries();
      for (const [key, place] of recent) yield [Buffer.from(key, "latin1").toString("hex"), place];
    },
    saveIndex: async () => {
      if (recent.size < 4096 && recent.size < sorted.count) return;
      refresh();
      const bytes = encodeIndex([...sorted.entries(), ...hexEntries(recent)], end);
      await disk.create(indexPath(path), bytes, { replace: true });
      sorted = parseIndex(bytes)!;
      recent.clear();
    },
  };
}

function* hexEntries(recent: Map<string, Place>): Generator<[Hash, Place]> {
  for (const [key, place] of recent) yield [Buffer.from(key, "latin1").toString("hex"), place];
}

/** The payload of an object's record. Deflates where that pays. */
function packed(id: Hash, bytes: Uint8Array): Buffer {
  let codec = RAW;
  let body = bytes;
  if (bytes.length >= 512) {
    const deflated = deflateRawSync(bytes, { level: 1, memLevel: 9, strategy: constants.Z_DEFAULT_STRATEGY });
    if (deflated.length < bytes.length * 0.9) {
      codec = DEFLATED;
      body = deflated;
    }
  }
  const payload = Buffer.allocUnsafe(KEY + 1 + body.length);
  payload.write(id, 0, "hex");
  payload[KEY] = codec;
  payload.set(body, KEY + 1);
  return payload;
}

export function unpack(payload: Buffer, id: Hash): Uint8Array | "forgotten" | null {
  if (payload.length <= KEY || payload.toString("hex", 0, KEY) !== id) return null;
  const body = payload.subarray(KEY + 1);
  if (payload[KEY] === TOMBSTONE) return "forgotten";
  let bytes: Uint8Array = body;
  if (payload[KEY] === DEFLATED) {
    try {
      bytes = inflateRawSync(body, { maxOutputLength: MAX_OBJECT });
    } catch {
      return null;
    }
  }
  return sha256(bytes) === id ? bytes : null;
}

interface Sorted {
  covers: number;
  count: number;
  find(id: Hash): Place | null;
  entries(): Generator<[Hash, Place]>;
}

const NOTHING: Sorted = { covers: 0, count: 0, find: () => null, entries: function* () {} };

const INDEX = "shepherd packindex 1\n";

/** Index: heading, u64 covered bytes, u32 count, hash of the rest, then rows `hash, u32 offset, u32 length` sorted by hash. */
function encodeIndex(entries: Array<[Hash, Place]>, covers: number): Buffer {
  entries.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  const rows = Buffer.allocUnsafe(entries.length * ROW);
  entries.forEach(([id, place], i) => {
    rows.write(id, i * ROW, "hex");
    rows.writeUInt32LE(place.offset, i * ROW + KEY);
    rows.writeUInt32LE(place.length, i * ROW + KEY + 4);
  });
  const head = Buffer.alloc(12);
  head.writeBigUInt64LE(BigInt(covers), 0);
  head.writeUInt32LE(entries.length, 8);
  const check = Buffer.from(sha256(Buffer.concat([head, rows])), "hex");
  return Buffer.concat([Buffer.from(INDEX), head, check, rows]);
}

function parseIndex(bytes: Buffer): Sorted | null {
  const at = INDEX.length;
  if (bytes.length < at + 44 || bytes.toString("latin1", 0, at) !== INDEX) return null;
  const covers = Number(bytes.readBigUInt64LE(at));
  const count = bytes.readUInt32LE(at + 8);
  const rows = bytes.subarray(at + 44);
  if (rows.length !== count * ROW) return null;
  const check = sha256(Buffer.concat([bytes.subarray(at, at + 12), rows]));
  if (bytes.toString("hex", at + 12, at + 44) !== check) return null;
  const place = (row: number): Place => ({
    offset: rows.readUInt32LE(row * ROW + KEY),
    length: rows.readUInt32LE(row * ROW + KEY + 4),
  });
  return {
    covers,
    count,
    find: (id) => {
      const key = Buffer.from(id, "hex");
      let low = 0;
      let high = count - 1;
      while (low <= high) {
        const middle = (low + high) >>> 1;
        const order = key.compare(rows, middle * ROW, middle * ROW + KEY);
        if (order === 0) return place(middle);
        if (order < 0) high = middle - 1;
        else low = middle + 1;
      }
      return null;
    },
    entries: function* () {
      for (let i = 0; i < count; i++) yield [rows.toString("hex", i * ROW, i * ROW + KEY), place(i)];
    },
  };
}

function loadIndex(disk: Disk, path: string, segment: Segment): Sorted {
  const bytes = disk.read(indexPath(path));
  const sorted = bytes && parseIndex(bytes);
  // An index that covers more than there is belongs to a pack that lost its end.
  return sorted && sorted.covers <= segment.size() ? sorted : { ...NOTHING, covers: segment.start };
}
