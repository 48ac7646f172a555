/**
 * A record in an append-only file: magic, length, checksum of the payload, checksum of these twelve bytes, payload; integers are
 * 32 bits, little-endian. No payload may contain the magic, so that what looks like a record inside of a torn one is the next record, and
 * not its content: the first byte occurs in no UTF-8 text, and objects are masked where they contain it.
 */
import { crc32 } from "node:zlib";
import type { DiskFile } from "./disk.ts";

export const MAGIC = Buffer.from([0xf5, 0x53, 0x48, 0x50]);
export const RECORD_HEAD = 16;
/** No record is larger; a length beyond it is damage. */
export const MAX_RECORD = (1 << 20) + 4096;

export function encodeRecord(...payload: Uint8Array[]): Buffer {
  const length = payload.reduce((sum, each) => sum + each.length, 0);
  if (length > MAX_RECORD) throw new Error(`A record of ${length} bytes is over the limit of ${MAX_RECORD}.`);
  const record = Buffer.allocUnsafe(RECORD_HEAD + length);
  let at = RECORD_HEAD;
  for (const each of payload) {
    record.set(each, at);
    at += each.length;
  }
  MAGIC.copy(record, 0);
  record.writeUInt32LE(length, 4);
  record.writeUInt32LE(crc32(record.subarray(RECORD_HEAD)), 8);
  record.writeUInt32LE(crc32(record.subarray(0, 12)), 12);
  return record;
}

export interface Found {
  /** Where the record starts and where the next may. */
  offset: number;
  end: number;
  payload: Buffer;
}

export interface Damage {
  offset: number;
  end: number;
}

/** Bytes of broken records that are looked through for the beginnings of others, in one scan. */
const PATIENCE = 64 << 20;
const WINDOW = 1 << 18;

/**
 * The intact records of `file` from `offset` to its present end. Bytes that form none (a torn write, damage) are passed over to
 * the next magic and told to `damaged`, also at the very end, where they may be a record that is just being written. Takes time
 * in proportion to the size, whatever the bytes are.
 */
export function* scan(file: DiskFile, offset: number, damaged?: (damage: Damage) => void): Generator<Found> {
  const size = file.size();
  let window: Buffer = Buffer.alloc(0);
  let start = offset;
  const need = (at: number, length: number): Buffer => {
    if (at < start || at + length > start + window.length) {
      start = at;
      window = file.read(at, Math.min(Math.max(length, WINDOW), size - at));
    }
    return window.subarray(at - start, at - start + length);
  };
  let bad = -1;
  let patience = PATIENCE;
  let at = offset;
  while (at + RECORD_HEAD <= size) {
    const head = need(at, RECORD_HEAD);
    const length = head.length === RECORD_HEAD && valid(head) ? head.readUInt32LE(4) : -1;
    const end = at + RECORD_HEAD + length;
    let next = at + 1;
    if (length >= 0 && length <= MAX_RECORD && end <= size) {
      const check = head.readUInt32LE(8);
      const payload = need(at + RECORD_HEAD, length);
      if (payload.length === length && crc32(payload) === check) {
        if (bad >= 0) damaged?.({ offset: bad, end: at });
        bad = -1;
        yield { offset: at, end, payload };
        at = end;
        continue;
      }
      // Somebody can forge a file in which each of many heads claims all that follows.
      patience -= length;
      if (patience < 0) next = end;
    }
    if (bad < 0) bad = at;
    at = nextMagic(need, next, size);
  }
  if (bad >= 0) damaged?.({ offset: bad, end: size });
}

export const valid = (head: Buffer): boolean =>
  head.compare(MAGIC, 0, 4, 0, 4) === 0 && head.readUInt32LE(12) === crc32(head.subarray(0, 12));

function nextMagic(need: (at: number, length: number) => Buffer, from: number, size: number): number {
  for (let at = from; at < size; ) {
    const chunk = need(at, Math.min(1 << 16, size - at));
    if (chunk.length === 0) return size;
    const hit = chunk.indexOf(MAGIC);
    if (hit >= 0) return at + hit;
    at += Math.max(1, chunk.length - 3);
    if (chunk.length < 4) return size;
  }
  return size;
}
