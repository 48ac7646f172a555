/**
 * Modification times of one directory's entries, beside its tree: they are restored, but are no part of what a state is. Integers are
 * big-endian, times are signed nanoseconds since 1970, ids are the 32 bytes of a SHA-256.
 *
 *     mtimes  "shepherd mtimes 1\n"  own:i64  entry*       entry = "f" length:u16 name time:i64  |  "d" length:u16 name id
 *     split   "shepherd mtimess 1\n" own:i64  id*          ids of mtimes of PART entries each, the last one with the rest
 *
 * `f` is a file or a link, `d` a directory, whose own time stands in the object that the id names. Order, names and splitting are those of
 * trees. A reader takes an entry that is missing here as "time unknown".
 */
import { sha256 } from "../trace/bytes.ts";
import { type Hash, type Link, MAX_OBJECT, type Objects } from "../trace/ports.ts";
import { missing } from "./missing.ts";
import { checkName, PART } from "./tree.ts";

export type MtimeEntry =
  | { type: "f"; name: Buffer /** Nanoseconds since 1970. */; ns: bigint }
  | { type: "d"; name: Buffer; id: Hash };

export interface Mtimes {
  /** Nanoseconds since 1970, of the directory itself. */
  own: bigint;
  /** Sorted by name, unsigned bytes, a prefix first. */
  entries: MtimeEntry[];
}

const ONE = Buffer.from("shepherd mtimes 1\n");
const SPLIT = Buffer.from("shepherd mtimess 1\n");

/** The objects of a directory's times, parts first; the last is the one whose id names it. The entries must be in order. */
export function encodeMtimes({ own, entries }: Mtimes): Buffer[] {
  for (const [i, { name }] of entries.entries()) {
    checkName(name);
    if (i > 0 && Buffer.compare(entries[i - 1]!.name, name) >= 0) bad("its entries are out of order");
  }
  if (sizeOf(entries) <= MAX_OBJECT) return [encodeOne(own, entries)];
  const parts: Buffer[] = [];
  for (let at = 0; at < entries.length; at += PART) parts.push(encodeOne(own, entries.slice(at, at + PART)));
  const head = Buffer.alloc(8);
  head.writeBigInt64BE(own);
  const list = Buffer.concat([SPLIT, head, ...parts.map((part) => Buffer.from(sha256(part), "hex"))]);
  if (list.length > MAX_OBJECT)
    throw new Error(`A directory of ${entries.length} entries is more than an object can hold.`);
  return [...parts, list];
}

/** Times from one object, or the ids of their parts. The bytes may be hostile: throws a sentence on any that `encodeMtimes` does not write. */
export function decodeMtimes(bytes: Uint8Array): Mtimes | { own: bigint; parts: Hash[] } {
  const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (b.length > MAX_OBJECT) bad("it is larger than an object may be");
  if (starts(b, ONE)) return decodeOne(b);
  if (!starts(b, SPLIT)) bad("it does not start as one");
  const from = SPLIT.length + 8;
  if ((b.length - from) % 32 !== 0 || b.length < from + 64) bad("its list of parts is cut off");
  const parts: Hash[] = [];
  for (let at = from; at < b.length; at += 32) parts.push(b.toString("hex", at, at + 32));
  return { own: b.readBigInt64BE(SPLIT.length), parts };
}

/** Reads the times of a directory, whole. Throws `Missing` where the store lacks an object of them. */
export async function readMtimes(objects: Objects, id: Hash): Promise<Mtimes> {
  const times = decodeMtimes((await objects.get(id)) ?? missing(id, "list of times"));
  if ("entries" in times) return times;
  const entries: MtimeEntry[] = [];
  for (const [index, part] of times.parts.entries()) {
    const piece = decodeMtimes((await objects.get(part)) ?? missing(part, "list of times"));
    if (!("entries" in piece) || piece.own !== times.own) bad("one of its parts is none");
    const last = index === times.parts.length - 1;
    if (piece.entries.length === 0 || piece.entries.length > PART || (!last && piece.entries.length < PART))
      bad("one of its parts has the wrong size");
    const before = entries.at(-1);
    if (before && Buffer.compare(before.name, piece.entries[0]!.name) >= 0) bad("its parts are out of order");
    for (const entry of piece.entries) entries.push(entry);
  }
  if (sizeOf(entries) <= MAX_OBJECT) bad("it is split without need");
  return { own: times.own, entries };
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

const sizeOf = (entries: readonly MtimeEntry[]): number =>
  entries.reduce((sum, { type, name }) => sum + 3 + name.length + (type === "f" ? 8 : 32), ONE.length + 8);

function encodeOne(own: bigint, entries: readonly MtimeEntry[]): Buffer {
  const out = Buffer.allocUnsafe(sizeOf(entries));
  let at = ONE.copy(out);
  at = out.writeBigInt64BE(own, at);
  for (const entry of entries) {
    out[at] = entry.type === "f" ? 0x66 : 0x64;
    out.writeUInt16BE(entry.name.length, at + 1);
    entry.name.copy(out, at + 3);
    at += 3 + entry.name.length;
    if (entry.type === "f") at = out.writeBigInt64BE(entry.ns, at);
    else if (out.write(entry.id, at, 32, "hex") !== 32) bad("an id is none");
    else at += 32;
  }
  return out;
}

function decodeOne(b: Buffer): Mtimes {
  if (b.length < ONE.length + 8) bad("it is cut off");
  const entries: MtimeEntry[] = [];
  let before: Buffer | null = null;
  for (let at = ONE.length + 8; at < b.length; ) {
    if (at + 3 > b.length) bad("it is cut off");
    const type = b[at]!;
    if (type !== 0x66 && type !== 0x64) bad("it has an entry of unknown type");
    const rest = at + 3 + b.readUInt16BE(at + 1);
    const end = rest + (type === 0x66 ? 8 : 32);
    if (end > b.length) bad("it is cut off");
    const name = b.subarray(at + 3, rest);
    checkName(name);
    if (before && Buffer.compare(before, name) >= 0) bad("its entries are out of order");
    before = name;
    entries.push(
      type === 0x66
        ? { type: "f", name, ns: b.readBigInt64BE(rest) }
        : { type: "d", name, id: b.toString("hex", rest, end) },
    );
    at = end;
  }
  return { own: b.readBigInt64BE(ONE.length), entries };
}

const starts = (b: Buffer, magic: Buffer): boolean => b.subarray(0, magic.length).equals(magic);

function bad(why: string): never {
  throw new Error(`This is not a list of modification times: ${why}.`);
}
