/**
 * One directory as an object. Integers are big-endian, ids are the 32 bytes of a SHA-256.
 *
 *     tree    "shepherd tree 1\n"  mode:u16  entry*          entry = type:u8 mode:u16 length:u16 name id
 *     split   "shepherd trees 1\n" mode:u16  id*             ids of trees of PART entries each, the last one with the rest
 *
 * Type is `f` (content), `F` (list of chunks, see content.ts), `l` (the target of a link) or `d` (a tree); mode is the 07777 bits of
 * a file and 0 for the others, since a directory's own mode stands in its own tree. Entries are sorted by the bytes of their names.
 * A directory is split exactly when its encoding as one tree would be larger than an object may be, so that equal directories have
 * equal ids. All parts carry the directory's mode.
 */
import { sha256 } from "../trace/bytes.ts";
import { type Hash, type Link, MAX_OBJECT, type Objects } from "../trace/ports.ts";
import { missing } from "./missing.ts";

export type EntryType = "f" | "F" | "l" | "d";

export interface Entry {
  type: EntryType;
  /** The 07777 bits of a file; 0 for a link and for a directory. */
  mode: number;
  name: Buffer;
  id: Hash;
}

export interface Tree {
  /** The 07777 bits of the directory itself. */
  mode: number;
  /** Sorted by name, unsigned bytes, a prefix first. */
  entries: Entry[];
}

/** Entries of one part of a split directory. So few, because a part with the longest names must still fit into an object. */
export const PART = 1024;
/** 255 UTF-16 units in UTF-8: the longest name that a common file system has. */
export const MAX_NAME = 765;

const ONE = Buffer.from("shepherd tree 1\n");
const SPLIT = Buffer.from("shepherd trees 1\n");
const FIXED = 1 + 2 + 2 + 32;
const CODE = { f: 0x66, F: 0x46, l: 0x6c, d: 0x64 } as const;
const TYPE: { [code: number]: EntryType } = { 102: "f", 70: "F", 108: "l", 100: "d" };

/** The objects of a directory, parts first; the last is the one whose id names it. Sorts; throws a sentence on what no directory can hold. */
export function encodeTree(tree: Tree): Buffer[] {
  checkMode(tree.mode);
  const entries = sorted(tree.entries);
  for (const entry of entries) checkEntry(entry);
  if (sizeOf(entries) <= MAX_OBJECT) return [encodeOne(tree.mode, entries)];
  const parts: Buffer[] = [];
  for (let at = 0; at < entries.length; at += PART) parts.push(encodeOne(tree.mode, entries.slice(at, at + PART)));
  const head = Buffer.alloc(2);
  head.writeUInt16BE(tree.mode);
  const list = Buffer.concat([SPLIT, head, ...parts.map((part) => Buffer.from(sha256(part), "hex"))]);
  if (list.length > MAX_OBJECT)
    throw new Error(`A directory of ${entries.length} entries is more than a tree can hold.`);
  return [...parts, list];
}

/** A tree from one object, or, for a split directory, the ids of its parts. The bytes may be hostile: throws a sentence on any that `encodeTree` does not write. */
export function decodeTree(bytes: Uint8Array): Tree | { mode: number; parts: Hash[] } {
  const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (b.length > MAX_OBJECT) bad("it is larger than an object may be");
  if (starts(b, ONE)) return decodeOne(b);
  if (!starts(b, SPLIT)) bad("it does not start as one");
  const mode = modeAt(b, SPLIT.length);
  const from = SPLIT.length + 2;
  if ((b.length - from) % 32 !== 0 || b.length < from + 64) bad("its list of parts is cut off");
  const parts: Hash[] = [];
  for (let at = from; at < b.length; at += 32) parts.push(b.toString("hex", at, at + 32));
  return { mode, parts };
}

/** Whether an object reads as a directory, or as the list of parts of one. */
export const isTree = (bytes: Uint8Array): boolean => {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return starts(head, ONE) || starts(head, SPLIT);
};

/** Reads a directory, whole. Throws `Missing` where the store lacks an object of it. */
export async function readTree(objects: Objects, id: Hash): Promise<Tree> {
  const tree = decodeTree((await objects.get(id)) ?? missing(id, "tree"));
  if ("entries" in tree) return tree;
  const entries: Entry[] = [];
  for (const [index, part] of tree.parts.entries()) {
    const piece = decodeTree((await objects.get(part)) ?? missing(part, "tree"));
    if (!("entries" in piece) || piece.mode !== tree.mode) bad("one of its parts is none");
    const last = index === tree.parts.length - 1;
    if (piece.entries.length === 0 || piece.entries.length > PART || (!last && piece.entries.length < PART))
      bad("one of its parts has the wrong size");
    const before = entries.at(-1);
    if (before && Buffer.compare(before.name, piece.entries[0]!.name) >= 0) bad("its parts are out of order");
    for (const entry of piece.entries) entries.push(entry);
  }
  if (sizeOf(entries) <= MAX_OBJECT) bad("it is split without need");
  return { mode: tree.mode, entries };
}

/** Stores a directory and returns its id. */
export async function writeTree(objects: Objects, tree: Tree): Promise<Hash> {
  let id = "";
  for (const bytes of encodeTree(tree)) id = await objects.put(bytes);
  return id;
}

/** What a tree object names, for whoever follows links (gc, fsck, export). */
export function linksOfTree(bytes: Uint8Array): Link[] {
  const tree = decodeTree(bytes);
  if (!("entries" in tree)) return tree.parts.map((id): Link => `tree:${id}`);
  return tree.entries.map(({ type, id }): Link => `${type === "d" ? "tree" : type === "F" ? "chunks" : "blob"}:${id}`);
}

/** Throws a sentence if no directory can hold an entry of this name. */
export function checkName(name: Buffer): void {
  const { length } = name;
  if (length === 0 || length > MAX_NAME) bad(`a name has ${length} bytes`);
  if (name[0] === 0x2e && (length === 1 || (length === 2 && name[1] === 0x2e))) bad("a name is `.` or `..`");
  if (name.includes(0x2f) || name.includes(0)) bad("a name has a slash or a NUL");
}

const sorted = (entries: Entry[]): Entry[] => {
  let inOrder = true;
  for (let i = 1; i < entries.length && inOrder; i++)
    inOrder = Buffer.compare(entries[i - 1]!.name, entries[i]!.name) < 0;
  if (inOrder) return entries;
  const copy = [...entries].sort((a, b) => Buffer.compare(a.name, b.name));
  for (let i = 1; i < copy.length; i++) if (copy[i - 1]!.name.equals(copy[i]!.name)) bad("a name occurs twice");
  return copy;
};

const sizeOf = (entries: readonly Entry[]): number =>
  entries.reduce((sum, { name }) => sum + FIXED + name.length, ONE.length + 2);

function encodeOne(mode: number, entries: readonly Entry[]): Buffer {
  const out = Buffer.allocUnsafe(sizeOf(entries));
  let at = ONE.copy(out);
  at = out.writeUInt16BE(mode, at);
  for (const { type, mode, name, id } of entries) {
    out[at] = CODE[type];
    out.writeUInt16BE(mode, at + 1);
    out.writeUInt16BE(name.length, at + 3);
    name.copy(out, at + 5);
    at += 5 + name.length;
    if (out.write(id, at, 32, "hex") !== 32) bad("an id is none");
    at += 32;
  }
  return out;
}

function decodeOne(b: Buffer): Tree {
  const mode = modeAt(b, ONE.length);
  const entries: Entry[] = [];
  let before: Buffer | null = null;
  for (let at = ONE.length + 2; at < b.length; ) {
    if (at + 5 > b.length) bad("it is cut off");
    const length = b.readUInt16BE(at + 3);
    const end = at + FIXED + length;
    if (end > b.length) bad("it is cut off");
    const type = TYPE[b[at]!] ?? bad("it has an entry of unknown type");
    const entry: Entry = {
      type,
      mode: modeAt(b, at + 1),
      name: b.subarray(at + 5, at + 5 + length),
      id: b.toString("hex", end - 32, end),
    };
    checkEntry(entry);
    if (before && Buffer.compare(before, entry.name) >= 0) bad("its entries are out of order");
    before = entry.name;
    entries.push(entry);
    at = end;
  }
  return { mode, entries };
}

function checkEntry({ type, mode, name, id }: Entry): void {
  checkName(name);
  checkMode(mode);
  if (mode !== 0 && (type === "l" || type === "d")) bad("a link or a directory has a mode");
  if (id.length !== 64) bad("an id is none");
}

const modeAt = (b: Buffer, at: number): number => {
  if (at + 2 > b.length) bad("it is cut off");
  const mode = b.readUInt16BE(at);
  checkMode(mode);
  return mode;
};

const checkMode = (mode: number): void => {
  if (mode < 0 || mode > 0o7777) bad("a mode has more than the 07777 bits");
};

const starts = (b: Buffer, magic: Buffer): boolean => b.subarray(0, magic.length).equals(magic);

function bad(why: string): never {
  throw new Error(`This is not the tree of a directory: ${why}.`);
}
