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

/** All pieces from `offset` to the present end of the file, in order, without gaps. */
export function* pieces(file: DiskFile, offset: number): Generator<Piece> {
  let at = offset;
  while (at >= 0) {
    let bad: Damage | null = null;
    let next = -1;
    for (const record of scan(file, at, (damage) => (bad = damage))) {
      if (bad) {
        const damage = shaped(file, bad);
        yield damage;
        // What looks like records inside of a broken one is its content.
        if (damage.end !== record.offset) {
          next = damage.end;
          bad = null;
          break;
        }
      }
      bad = null;
      at = record.end;
      yield { what: "record", ...record };
    }
    const size = file.size();
    // A rest that is too short for a record, or one that grew while it was looked at.
    if (next < 0 && !bad && at < size && size - at < RECORD_HEAD) bad = { offset: at, end: size };
    if (bad) {
      const damage = shaped(file, bad);
      yield damage;
      if (damage.end < (bad as Damage).end) next = damage.end;
    }
    at = next;
  }
}

/** Damage with its shape, and with the bounds of the one record that it was, where that can be told. */
function shaped(file: DiskFile, { offset, end }: Damage): Piece & { what: "damage" } {
  const head = file.read(offset, RECORD_HEAD);
  const length = lengthOf(head);
  const last = offset + RECORD_HEAD + (length ?? 0);
  const size = file.size();
  if (length !== null && length <= MAX_RECORD && last <= size) {
    const follows = last === size || lengthOf(file.read(last, RECORD_HEAD)) !== null;
    if (follows || unflip(file.read(offset, last - offset))) return { what: "damage", offset, end: last, shape: "broken" };
  }
  const started = length === null ? isStart(head, end - offset) : last > end;
  return { what: "damage", offset, end, shape: started || isZero(file, offset, end) ? "torn" : "broken" };
}

/** The length that a record's head tells, also if one bit of it is flipped; null if it is no head. */
const lengthOf = (head: Buffer): number | null => unflipHead(head)?.bytes.readUInt32LE(4) ?? null;

const isStart = (head: Buffer, length: number): boolean =>
  length < RECORD_HEAD && MAGIC.every((byte, i) => i >= head.length || head[i] === byte);

function isZero(file: DiskFile, offset: number, end: number): boolean {
  for (let at = offset; at < end; at += 1 << 16)
    if (file.read(at, Math.min(1 << 16, end - at)).some((byte) => byte !== 0)) return false;
  return true;
}
