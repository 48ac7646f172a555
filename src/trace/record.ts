/**
 * A record in an append-only file: magic, length, checksum of the payload, checksum of these twelve bytes, payload; integers are
 * 32 bits, little-endian. The first byte of the magic occurs in no UTF-8 text, so no record of JSON can contain another.
 */
import { crc32 } from "node:zlib";
import type { DiskFile } from "./disk.ts";

const MAGIC = Buffer.from([0xf5, 0x53, 0x48, 0x50]);
export const RECORD_HEAD = 16;
/** No record is larger; a length beyond it is damage. */
export const MAX_RECORD = (1 << 20) + 4096;

export function encodeRecord(...payload: Uint8Array[]): Buffer {
  const length = payload.reduce((sum, each) => sum + each.length, 0);
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

/**
 * The intact records of `file` from `offset` to its present end. Bytes that form none (a torn write, damage) are passed over to
 * the next magic and told to `damaged`, except an unfinished record at the very end, which may still be being written.
 */
export function* scan(file: DiskFile, offset: number, damaged?: (damage: Damage) => void): Generator<Found> {
  const size = file.size();
  const WINDOW = 1 << 18;
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
  let at = offset;
  while (at + RECORD_HEAD <= size) {
    const head = need(at, RECORD_HEAD);
    const length = head.length === RECORD_HEAD && valid(head) ? head.readUInt32LE(4) : -1;
    const fits = length >= 0 && length <= MAX_RECORD && at + RECORD_HEAD + length <= size;
    if (fits) {
      const check = head.readUInt32LE(8);
      const payload = need(at + RECORD_HEAD, length);
      if (payload.length === length && crc32(payload) === check) {
        if (bad >= 0) damaged?.({ offset: bad, end: at });
        bad = -1;
        const end = at + RECORD_HEAD + length;
        // A copy: the window is reused.
        yield { offset: at, end, payload: Buffer.from(payload) };
        at = end;
        continue;
      }
    }
    if (bad < 0) bad = at;
    at = nextMagic(need, at + 1, size);
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
