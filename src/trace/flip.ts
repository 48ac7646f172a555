/**
 * One flipped bit in a record can be found: the two checksums tell not only that something is wrong but, for a single bit, which one. So
 * what a bad disk or memory did to one bit can be named exactly, and undone.
 */
import { crc32 } from "node:zlib";
import { RECORD_HEAD, valid } from "./record.ts";

export interface Flip {
  /** The record as it was. */
  record: Buffer;
  /** Which byte of it was damaged, and what it should be. */
  at: number;
  byte: number;
}

/** The record that `bytes` were before one bit flipped; null if that does not explain them. `bytes` is the record from its first byte to its last. */
export function unflip(bytes: Buffer): Flip | null {
  const head = unflipHead(bytes);
  if (!head) return null;
  const record = Buffer.from(bytes);
  head.bytes.copy(record);
  if (record.length !== RECORD_HEAD + record.readUInt32LE(4)) return null;
  const payload = record.subarray(RECORD_HEAD);
  const syndrome = (crc32(payload) ^ record.readUInt32LE(8)) >>> 0;
  if (syndrome === 0) return head.at < 0 ? null : { record, at: head.at, byte: record[head.at]! };
  // Two bits, then.
  if (head.at >= 0) return null;
  const bit = bitOf(syndrome, payload.length);
  if (bit < 0) return null;
  const at = RECORD_HEAD + Math.floor(bit / 8);
  record[at]! ^= 1 << (bit % 8);
  return { record, at, byte: record[at]! };
}

/** The head of a record as it was before at most one bit of it flipped, and the byte that it was in, -1 if none was. */
export function unflipHead(bytes: Buffer): { bytes: Buffer; at: number } | null {
  if (bytes.length < RECORD_HEAD) return null;
  const head = Buffer.from(bytes.subarray(0, RECORD_HEAD));
  if (valid(head)) return { bytes: head, at: -1 };
  for (let bit = 0; bit < RECORD_HEAD * 8; bit++) {
    head[bit >> 3]! ^= 1 << (bit & 7);
    if (valid(head)) return { bytes: head, at: bit >> 3 };
    head[bit >> 3]! ^= 1 << (bit & 7);
  }
  return null;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let i = 0; i < 8; i++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

/** The bit of a text of `length` bytes whose flip changes its CRC-32 by `syndrome`; -1 if there is none. */
function bitOf(syndrome: number, length: number): number {
  // A flipped bit changes the checksum by the same value whatever the text is; going back from the end, by one step more for each byte.
  const steps = Uint32Array.from({ length: 8 }, (_, bit) => TABLE[1 << bit]!);
  for (let at = length - 1; at >= 0; at--) {
    for (let bit = 0; bit < 8; bit++) {
      const step = steps[bit]!;
      if (step === syndrome) return at * 8 + bit;
      steps[bit] = (step >>> 8) ^ TABLE[step & 0xff]!;
    }
  }
  return -1;
}

/** The byte in which `bytes` differ from `wanted` by one bit; -1 if they differ otherwise. */
export function flippedIn(bytes: Buffer, wanted: Buffer): number {
  let found = -1;
  for (let at = 0; at < wanted.length; at++) {
    const wrong = (bytes[at] ?? 256) ^ wanted[at]!;
    if (wrong === 0) continue;
    if (found >= 0 || (wrong & (wrong - 1)) !== 0 || wrong > 255) return -1;
    found = at;
  }
  return found;
}
