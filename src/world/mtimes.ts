/**
 * Modification times of one directory's entries, and in images who owns them, beside its tree: they are restored, but are no part of what a state is.
 * Integers are big-endian, times are signed nanoseconds since 1970, ids are the 32 bytes of a SHA-256.
 *
 *     mtimes  "shepherd mtimes 1\n"  own:i64  entry*       entry = "f" length:u16 name time:i64  |  "d" length:u16 name id
 *     split   "shepherd mtimess 1\n" own:i64  id*          ids of mtimes of PART entries each, the last one with the rest
 *
 * Where something belongs to others than user 0 and group 0, these begin with "shepherd mtimes 2\n" and "shepherd mtimess 2\n", and behind each time, not
 * behind an id, stand uid:u32 gid:u32.
 *
 * `f` is a file or a link, `d` a directory, whose own time stands in the object that the id names. Order, names and splitting are those of
 * trees. A reader takes an entry that is missing here as "time unknown".
 */
import { sha256 } from "../trace/bytes.ts";
import { type Hash, type Link, MAX_OBJECT, type Objects } from "../trace/ports.ts";
import { missing } from "./missing.ts";
import { checkName, PART } from "./tree.ts";

export interface Owner {
  uid: number;
  gid: number;
}

export type MtimeEntry =
  | { type: "f"; name: Buffer /** Nanoseconds since 1970. */; ns: bigint; owner?: Owner }
  | { type: "d"; name: Buffer; id: Hash };

export interface Mtimes {
  /** Nanoseconds since 1970, of the directory itself. */
  own: bigint;
  /** Who owns the directory; without it, and in entries, user 0 and group 0. */
  owner?: Owner;
  /** Sorted by name, unsigned bytes, a prefix first. */
  entries: MtimeEntry[];
}

const ONE = Buffer.from("shepherd mtimes 1\n");
const SPLIT = Buffer.from("shepherd mtimess 1\n");
const ONE_OWNED = Buffer.from("shepherd mtimes 2\n");
const SPLIT_OWNED = Buffer.from("shepherd mtimess 2\n");
const ROOTS: Owner = { uid: 0, gid: 0 };

const isRoots = (owner: Owner | undefined): boolean => !owner || (owner.uid === 0 && owner.gid === 0);
const isOwned = ({ owner, entries }: Pick<Mtimes, "owner" | "entries">): boolean =>
  !isRoots(owner) || entries.some((each) => each.type === "f" && !isRoots(each.owner));

/** The objects of a directory's times, parts first; the last is the one whose id names it. The entries must be in order. */
export function encodeMtimes(times: Mtimes): Buffer[] {
  const { own, entries } = times;
  const owner = isOwned(times) ? (times.owner ?? ROOTS) : null;
  for (const [i, { name }] of entries.entries()) {
    checkName(name);
    if (i > 0 && Buffer.compare(entries[i - 1]!.name, name) >= 0) bad("its entries are out of order");
  }
  if (sizeOf(entries, owner !== null) <= MAX_OBJECT) return [encodeOne(own, owner, entries)];
  const parts: Buffer[] = [];
  for (let at = 0; at < entries.length; at += PART) parts.push(encodeOne(own, owner, entries.slice(at, at + PART)));
  const head = Buffer.alloc(owner ? 16 : 8);
  head.writeBigInt64BE(own);
  if (owner) writeOwner(head, owner, 8);
  const list = Buffer.concat([
    owner ? SPLIT_OWNED : SPLIT,
    head,
    ...parts.map((part) => Buffer.from(sha256(part), "hex")),
  ]);
  if (list.length > MAX_OBJECT)
    throw new Error(`A directory of ${entries.length} entries is more than an object can hold.`);
  return [...parts, list];
}

/** Times from one object, or the ids of their parts. The bytes may be hostile: throws a sentence on any that `encodeMtimes` does not write. */
export function decodeMtimes(bytes: Uint8Array): Mtimes | { own: bigint; owner?: Owner; parts: Hash[] } {
  const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (b.length > MAX_OBJECT) bad("it is larger than an object may be");
  if (starts(b, ONE)) return decodeOne(b, false);
  if (starts(b, ONE_OWNED)) return decodeOne(b, true);
  const owned = starts(b, SPLIT_OWNED);
  if (!owned && !starts(b, SPLIT)) bad("it does not start as one");
  const from = SPLIT.length + (owned ? 16 : 8);
  if ((b.length - from) % 32 !== 0 || b.length < from + 64) bad("its list of parts is cut off");
  const parts: Hash[] = [];
  for (let at = from; at < b.length; at += 32) parts.push(b.toString("hex", at, at + 32));
  return { own: b.readBigInt64BE(SPLIT.length), ...(owned && { owner: ownerAt(b, SPLIT.length + 8) }), parts };
}

/** Reads the times of a directory, whole. Throws `Missing` where the store lacks an object of them. */
export async function readMtimes(objects: Objects, id: Hash): Promise<Mtimes> {
  const times = decodeMtimes((await objects.get(id)) ?? missing(id, "list of times"));
  if ("entries" in times) {
    if (times.owner && !isOwned(times)) bad("it tells owners without need");
    return times;
  }
  const entries: MtimeEntry[] = [];
  for (const [index, part] of times.parts.entries()) {
    const piece = decodeMtimes((await objects.get(part)) ?? missing(part, "list of times"));
    if (!("entries" in piece) || piece.own !== times.own || !sameOwner(piece.owner, times.owner))
      bad("one of its parts is none");
    const last = index === times.parts.length - 1;
    if (piece.entries.length === 0 || piece.entries.length > PART || (!last && piece.entries.length < PART))
      bad("one of its parts has the wrong size");
    const before = entries.at(-1);
    if (before && Buffer.compare(before.name, piece.entries[0]!.name) >= 0) bad("its parts are out of order");
    for (const entry of piece.entries) entries.push(entry);
  }
  const whole: Mtimes = { own: times.own, ...(times.owner && { owner: times.owner }), entries };
  if (times.owner && !isOwned(whole)) bad("it tells owners without need");
  if (sizeOf(entries, times.owner !== undefined) <= MAX_OBJECT) bad("it is split without need");
  return whole;
}

/** Stores the times of a directory and returns their id. */
export async function writeMtimes(objects: Objects, times: Mtimes): Promise<Hash> {
  let id = "";
  for (const bytes of encodeMtimes(times)) id = await objects.put(bytes);
  return id;
}

/** What an object of times names, for whoever follows links. */
export function linksOfMtimes(bytes: Uint8Array): Link[] {
  const times = decodeMtimes(bytes);
  const ids = "entries" in times ? times.entries.flatMap((each) => (each.type === "d" ? [each.id] : [])) : times.parts;
  return ids.map((id): Link => `mtimes:${id}`);
}

const sameOwner = (a: Owner | undefined, b: Owner | undefined): boolean => a?.uid === b?.uid && a?.gid === b?.gid;
const ownerAt = (b: Buffer, at: number): Owner => ({ uid: b.readUInt32BE(at), gid: b.readUInt32BE(at + 4) });
const writeOwner = (b: Buffer, { uid, gid }: Owner, at: number): number =>
  b.writeUInt32BE(gid, b.writeUInt32BE(uid, at));

const sizeOf = (entries: readonly MtimeEntry[], owned: boolean): number => {
  const time = owned ? 16 : 8;
  return entries.reduce((sum, { type, name }) => sum + 3 + name.length + (type === "f" ? time : 32), ONE.length + time);
};

function encodeOne(own: bigint, owner: Owner | null, entries: readonly MtimeEntry[]): Buffer {
  const out = Buffer.allocUnsafe(sizeOf(entries, owner !== null));
  let at = (owner ? ONE_OWNED : ONE).copy(out);
  at = out.writeBigInt64BE(own, at);
  if (owner) at = writeOwner(out, owner, at);
  for (const entry of entries) {
    out[at] = entry.type === "f" ? 0x66 : 0x64;
    out.writeUInt16BE(entry.name.length, at + 1);
    entry.name.copy(out, at + 3);
    at += 3 + entry.name.length;
    if (entry.type === "f") {
      at = out.writeBigInt64BE(entry.ns, at);
      if (owner) at = writeOwner(out, entry.owner ?? ROOTS, at);
    } else if (out.write(entry.id, at, 32, "hex") !== 32) bad("an id is none");
    else at += 32;
  }
  return out;
}

/** @param owned what belongs to user 0 and group 0 in a part may do so in all of it: that it is told without need is seen of a whole alone */
function decodeOne(b: Buffer, owned: boolean): Mtimes {
  const time = owned ? 16 : 8;
  if (b.length < ONE.length + time) bad("it is cut off");
  const entries: MtimeEntry[] = [];
  let before: Buffer | null = null;
  for (let at = ONE.length + time; at < b.length; ) {
    if (at + 3 > b.length) bad("it is cut off");
    const type = b[at]!;
    if (type !== 0x66 && type !== 0x64) bad("it has an entry of unknown type");
    const rest = at + 3 + b.readUInt16BE(at + 1);
    const end = rest + (type === 0x66 ? time : 32);
    if (end > b.length) bad("it is cut off");
    const name = b.subarray(at + 3, rest);
    checkName(name);
    if (before && Buffer.compare(before, name) >= 0) bad("its entries are out of order");
    before = name;
    entries.push(
      type === 0x66
        ? { type: "f", name, ns: b.readBigInt64BE(rest), ...(owned && { owner: ownerAt(b, rest + 8) }) }
        : { type: "d", name, id: b.toString("hex", rest, end) },
    );
    at = end;
  }
  return { own: b.readBigInt64BE(ONE.length), ...(owned && { owner: ownerAt(b, ONE.length + 8) }), entries };
}

const starts = (b: Buffer, magic: Buffer): boolean => b.subarray(0, magic.length).equals(magic);

function bad(why: string): never {
  throw new Error(`This is not a list of modification times: ${why}.`);
}
