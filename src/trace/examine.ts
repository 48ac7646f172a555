/** What lies in a file of records, piece by piece, without trusting any of it: for fsck, and for whoever must not overlook anything. */
import type { DiskFile } from "./disk.ts";
import { unflip, unflipHead } from "./flip.ts";
import { type Damage, type Found, MAGIC, MAX_RECORD, RECORD_HEAD, scan } from "./record.ts";

/**
 * `torn`: the beginning of a record whose end was never written, as a process leaves that was killed while it appended, or nothing but zeros,
 * as a power loss leaves. `broken`: anything else, so something that was whole once.
 */
export type Shape = "torn" | "broken";

export type Piece = ({ what: "record" } & Found) | ({ what: "damage"; shape: Shape } & Damage);

/** All pieces from `offset` to the present end of the file, in order, without gaps. The records are those that every reader finds. */
export function* pieces(file: DiskFile, offset: number): Generator<Piece> {
  const budget: Budget = { heads: 20_000, bytes: 32 << 20 };
  let bad: Damage | null = null;
  let at = offset;
  for (const record of scan(file, at, (damage) => (bad = damage))) {
    if (bad) yield* parts(file, bad, budget);
    bad = null;
    at = record.end;
    yield { what: "record", ...record };
  }
  const size = file.size();
  // A rest that is too short for a record.
  if (!bad && at < size && size - at < RECORD_HEAD) bad = { offset: at, end: size };
  if (bad) yield* parts(file, bad, budget);
}

/** The pieces that some damage consists of. */
function* parts(file: DiskFile, { offset, end }: Damage, budget: Budget): Generator<Piece> {
  for (let at = offset; at < end; ) {
    const piece = shaped(file, { offset: at, end }, budget);
    yield piece;
    at = piece.end;
  }
}

/** What may still be spent on finding flipped bits, in heads and in bytes of records: somebody can forge a file that is full of what looks broken. */
interface Budget {
  heads: number;
  bytes: number;
}

/** The first piece of some damage, with its shape: the one record that it was, where that can be told, or all up to the next head. */
function shaped(file: DiskFile, { offset, end }: Damage, budget: Budget): Piece & { what: "damage" } {
  const length = lengthOf(file.read(offset, Math.min(RECORD_HEAD, end - offset)));
  const last = offset + RECORD_HEAD + (length ?? 0);
  if (length !== null && length <= MAX_RECORD && last <= end) {
    const follows = last === end || lengthOf(file.read(last, Math.min(RECORD_HEAD, end - last))) !== null;
    if (!follows) budget.bytes -= last - offset;
    if (follows || (budget.bytes > 0 && unflip(file.read(offset, last - offset))))
      return { what: "damage", offset, end: last, shape: "broken" };
  }
  end = nextHead(file, offset + 1, end, budget);
  const started = length === null ? isStart(file.read(offset, Math.min(RECORD_HEAD, end - offset))) : last > end;
  return { what: "damage", offset, end, shape: started || isZero(file, offset, end) ? "torn" : "broken" };
}

/** The length that a record's head tells, also if one bit of it is flipped; null if it is no head. */
const lengthOf = (head: Buffer): number | null => unflipHead(head)?.bytes.readUInt32LE(4) ?? null;

/** Where the next head lies in some damage, maybe with a flipped bit; `end` if there is none. */
function nextHead(file: DiskFile, from: number, end: number, budget: Budget): number {
  // Mostly it is near.
  for (let at = from, window = 1 << 10; at + RECORD_HEAD <= end; at += window, window = Math.min(window * 4, 1 << 18)) {
    const bytes = file.read(at, Math.min(window + RECORD_HEAD, end - at));
    for (let i = 0; i < window && i + RECORD_HEAD <= bytes.length; i++) {
      if (bytes[i] !== MAGIC[0] && bytes[i + 1] !== MAGIC[1]) continue;
      let same = 0;
      for (let byte = 0; byte < MAGIC.length; byte++) if (bytes[i + byte] === MAGIC[byte]) same++;
      if (same < MAGIC.length - 1 || budget.heads-- <= 0) continue;
      if (lengthOf(bytes.subarray(i, i + RECORD_HEAD)) !== null) return at + i;
    }
  }
  return end;
}
const isStart = (bytes: Buffer): boolean =>
  bytes.length < RECORD_HEAD && MAGIC.every((byte, i) => i >= bytes.length || bytes[i] === byte);

function isZero(file: DiskFile, offset: number, end: number): boolean {
  for (let at = offset; at < end; at += 1 << 16)
    if (file.read(at, Math.min(1 << 16, end - at)).some((byte) => byte !== 0)) return false;
  return true;
}
