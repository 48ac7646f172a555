/** One pack: a segment of objects, with an index in memory and, for what has been indexed once, on disk. */
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { deflateRaw, deflateRawSync, inflateRawSync } from "node:zlib";
import { sha256 } from "./bytes.ts";
import type { Disk } from "./disk.ts";
import { emptyIndex, encodeIndex, extendIndex, KEY, type PackIndex, type Place, parseIndex } from "./packindex.ts";
import { type Hash, MAX_OBJECT } from "./ports.ts";
import { MAGIC, RECORD_HEAD } from "./record.ts";
import { openSegment, type Segment } from "./segment.ts";

export type { Place } from "./packindex.ts";
export { parseIndex } from "./packindex.ts";

/** First byte of an object's record after its hash. */
export const RAW = 0;
const DEFLATED = 1;
/** The bytes were destroyed on request; the record keeps its length, filled with zeros. */
export const TOMBSTONE = 3;
/** Added to a codec: four bytes follow with which the body was combined by exclusive or, since it contained the magic of a record. */
const MASKED = 4;

/** Whether `unpack` knows what an object's record of that first byte holds. */
export const isCodec = (codec: number): boolean =>
  [RAW, DEFLATED, TOMBSTONE, RAW | MASKED, DEFLATED | MASKED].includes(codec);

/** So much behind the index, in objects (or a quarter of all) or bytes, makes it worth writing anew. */
const MANY = 4096;
const LONG = 16 << 20;

export interface Pack {
  readonly number: number;
  readonly segment: Segment;
  find(id: Hash): Place | null;
  /** The bytes, or the tombstone; null if the record is damaged. */
  read(place: Place, id: Hash): Uint8Array | "forgotten" | null;
  /** Whether a tombstone stands there. One small read. */
  forgotten(place: Place): boolean;
  /** Written at return. @param payload what `packed` or `packedBeside` made of an object */
  append(payload: Buffer): void;
  /** Takes in what others appended since. */
  refresh(): void;
  entries(): Generator<[Hash, Place]>;
  /** Bytes that were synced when the index on disk was made. */
  covered(): number;
  /** Syncs the pack and writes its index to disk, if much has come since the last one. */
  saveIndex(): Promise<void>;
}

export const indexPath = (path: string): string => path.replace(/\.pack$/, ".idx");

export function openPack(disk: Disk, path: string, number: number): Pack | null {
  const segment = openSegment(disk, path, "pack");
  if (!segment) return null;
  let index = loadIndex(disk, path, segment);
  // Objects behind the index on disk, by their hash as 32 Latin-1 characters: half the memory of hex.
  const recent = new Map<string, Place>();
  let end = index.covers;

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
    find: (id) => {
      const key = Buffer.from(id, "hex");
      return recent.get(key.toString("latin1")) ?? index.find(key);
    },
    read: (place, id) => unpack(segment.payload(place.offset, place.length), id),
    forgotten: ({ offset }) => segment.payload(offset + KEY, 1)[0] === TOMBSTONE,
    append: (payload) => {
      const offset = segment.append([payload], end);
      // Somebody else appended too; which of the records is whose, a look tells.
      if (offset < 0) return refresh();
      recent.set(payload.toString("latin1", 0, KEY), { offset, length: payload.length });
      end = offset + RECORD_HEAD + payload.length;
    },
    entries: function* () {
      refresh();
      yield* index.entries();
      for (const [key, place] of recent) yield [Buffer.from(key, "latin1").toString("hex"), place];
    },
    covered: () => index.covers,
    saveIndex: async () => {
      refresh();
      // Offsets in an index have 32 bits.
      const many = Math.max(MANY, index.count / 4);
      if ((recent.size < many && end - index.covers < LONG) || end > 0xffffffff) return;
      const size = recent.size;
      const next = extendIndex(index, recent, end);
      await segment.sync();
      await disk.create(indexPath(path), encodeIndex(next), { replace: true });
      index = next;
      if (recent.size === size) recent.clear();
      else for (const [key, { offset }] of recent) if (offset < next.covers) recent.delete(key);
    },
  };
}

/** The payload of an object's record. Deflates where that pays. */
export const packed = (id: Hash, bytes: Uint8Array): Buffer =>
  payloadOf(id, bytes, bytes.length >= 512 && mayDeflate(bytes) ? deflate(bytes) : bytes);

/** The same, and meanwhile this thread reads and hashes what comes next: to deflate takes ten times as long as all else. */
export const packedBeside = async (id: Hash, bytes: Uint8Array): Promise<Buffer> =>
  payloadOf(id, bytes, mayDeflate(bytes) ? await deflateBeside(bytes, DEFLATE) : bytes);

/** From so many bytes on that is worth it: for each object a thread makes its tables anew. */
export const BESIDE = 256 << 10;

function payloadOf(id: Hash, bytes: Uint8Array, deflated: Uint8Array): Buffer {
  const pays = deflated.length < bytes.length * PAYS;
  const [codec, body] = pays ? [DEFLATED, deflated] : [RAW, bytes];
  const plain = framed(id, codec, [body]);
  if (!plain.includes(MAGIC, KEY)) return plain;
  for (;;) {
    const mask = randomBytes(4);
    const masked = framed(id, codec | MASKED, [mask, exclusiveOr(body, mask)]);
    if (!masked.includes(MAGIC, KEY)) return masked;
  }
}

const DEFLATE = { level: 1, memLevel: 9 };
const deflate = (bytes: Uint8Array): Buffer => deflateRawSync(bytes, DEFLATE);
const deflateBeside = promisify<Uint8Array, typeof DEFLATE, Buffer>(deflateRaw);
const PAYS = 0.9;
const SAMPLE = 8 << 10;

/** Whether one of two samples of large bytes deflates: archives, pictures and packs do not, and would take the longest. */
function mayDeflate(bytes: Uint8Array): boolean {
  if (bytes.length < 8 * SAMPLE) return true;
  return [0, bytes.length >>> 1].some((at) => deflate(bytes.subarray(at, at + SAMPLE)).length < SAMPLE * PAYS);
}

const framed = (id: Hash, codec: number, body: Uint8Array[]): Buffer =>
  Buffer.concat([Buffer.from(id, "hex"), Buffer.of(codec), ...body]);

const exclusiveOr = (bytes: Uint8Array, mask: Uint8Array): Uint8Array => bytes.map((byte, i) => byte ^ mask[i & 3]!);

/** The object `id` in the payload of a record, or that it was forgotten; null if it is not there whole. */
export function unpack(payload: Buffer, id: Hash): Uint8Array | "forgotten" | null {
  if (payload.length <= KEY || payload.toString("hex", 0, KEY) !== id) return null;
  const codec = payload[KEY]!;
  if (codec === TOMBSTONE) return "forgotten";
  let bytes: Uint8Array = payload.subarray(KEY + 1);
  if (codec & MASKED) bytes = exclusiveOr(bytes.subarray(4), bytes.subarray(0, 4));
  if ((codec & ~MASKED) === DEFLATED) {
    try {
      // In one piece mostly.
      const chunkSize = Math.min(MAX_OBJECT, 1024 + 4 * bytes.length);
      bytes = inflateRawSync(bytes, { maxOutputLength: MAX_OBJECT, chunkSize });
    } catch {
      return null;
    }
  }
  return sha256(bytes) === id ? bytes : null;
}

function loadIndex(disk: Disk, path: string, segment: Segment): PackIndex {
  let index: PackIndex | null = null;
  try {
    const bytes = disk.read(indexPath(path));
    index = bytes && parseIndex(bytes);
  } catch {
    // What cannot be read is as good as none.
  }
  // An index that covers more than there is belongs to a pack that lost its end.
  return index && index.covers >= segment.start && index.covers <= segment.size() ? index : emptyIndex(segment.start);
}
