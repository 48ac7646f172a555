/** What lies in a file of records, piece by piece, without trusting any of it: for fsck, and for whoever must not overlook anything. */
import type { DiskFile } from "./disk.ts";
import { unflipHead } from "./flip.ts";
import { type Damage, type Found, MAGIC, MAX_RECORD, RECORD_HEAD, scan, valid } from "./record.ts";

/**
 * `torn`: the beginning of a record whose end was never written, as a process leaves that was killed while it appended, or nothing but zeros,
 * as a power loss leaves. `broken`: anything else, so something that was whole once.
 */
export type Shape = "torn" | "broken";

export type Piece = ({ what: "record" } & Found) | ({ what: "damage"; shape: Shape } & Damage);

/** All pieces from `offset` to the present end of the file, in order, without gaps. */
export function* pieces(file: DiskFile, offset: number): Generator<Piece> {
  let at = offset;
  for (;;) {
    let bad: Damage | null = null;
    let again = false;
    for (const record of scan(file, at, (damage) => (bad = damage))) {
      if (bad) {
        const damage = whole(file, bad);
        bad = null;
        yield damage;
        // What looks like records inside of a broken one is its content.
        if (damage.end > record.offset) {
          at = damage.end;
          again = true;
          break;
        }
      }
      at = record.end;
      yield { what: "record", ...record };
    }
    if (again) continue;
    const size = file.size();
    // A rest that is too short for a record, or one that grew while it was looked at.
    if (!bad && at < size && size - at < RECORD_HEAD) bad = { offset: at, end: size };
    if (bad) yield whole(file, bad);
    return;
  }
}

/** The damage, extended to the end of the one record that it was, where that can be told. */
function whole(file: DiskFile, { offset, end }: Damage): Piece & { what: "damage" } {
  const head = file.read(offset, RECORD_HEAD);
  const length = lengthOf(head);
  const torn = (): Shape => {
    if (valid(head) ? offset + RECORD_HEAD + head.readUInt32LE(4) > end : isStart(head, end - offset)) return "torn";
    return isZero(file, offset, end) ? "torn" : "broken";
  };
  if (length === null || length > MAX_RECORD) return { what: "damage", offset, end, shape: torn() };
  const last = offset + RECORD_HEAD + length;
  const size = file.size();
  const next = last < size ? file.read(last, RECORD_HEAD) : null;
  if (last === size || (next && next.length === RECORD_HEAD && lengthOf(next) !== null))
    return { what: "damage", offset, end: last, shape: "broken" };
  return { what: "damage", offset, end, shape: torn() };
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
