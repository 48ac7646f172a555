/**
 * What was last seen of a directory tree and under which ids it is known, so that what did not change need not be read again. It is only
 * ever a hint. See statfile.ts for how it is kept.
 */
import type * as fs from "node:fs";
import type { Hash } from "../trace/ports.ts";

/** The ids of one directory. */
export interface Ids {
  tree: Hash;
  mtimes: Hash;
  /** Null where there is no `.git` in it. */
  vcs: Hash | null;
  vcsMtimes: Hash | null;
}

export const sameIds = (a: Ids, b: Ids): boolean =>
  a.tree === b.tree && a.mtimes === b.mtimes && a.vcs === b.vcs && a.vcsMtimes === b.vcsMtimes;

/** What is known of one directory. Never changed once it is in a cache. */
export interface DirRecord {
  /** Names of its entries that are part of the state, sorted, joined by NUL. */
  names: string;
  /** One row for each name. */
  rows: Buffer;
  /** New whenever the ids are; a directory's row in its parent has the one that the parent's ids were computed with. */
  serial: number;
  /** Mode (07777 bits) and time on disk (ns). */
  mode: number;
  diskNs: bigint;
  /** Time as the state has it: finer than what could be restored. */
  ns: bigint;
  /** Who owns it, where that is carried; 0 elsewhere. */
  uid: number;
  gid: number;
  /** Null where they are not known. */
  ids: Ids | null;
}

/** What is known of directories, by their paths in the tree, "" for the root. */
export interface Lookup {
  get(key: string): DirRecord | undefined;
}

/** What has become known of directories, over what is known of those that they stand on, which stays as it is. */
export class Records implements Lookup {
  private readonly own = new Map<string, DirRecord>();
  /** Another number as soon as something else is known. */
  version = 0;

  constructor(private readonly below: Lookup | null = null) {}

  get(key: string): DirRecord | undefined {
    return this.own.get(key) ?? this.below?.get(key);
  }

  set(key: string, record: DirRecord): void {
    if (this.own.get(key) === record) return;
    this.own.set(key, record);
    this.version++;
  }

  /** Forgets what has become known of it. */
  delete(key: string): void {
    if (this.own.delete(key)) this.version++;
  }

  get isEmpty(): boolean {
    return this.own.size === 0 && this.below === null;
  }

  /** The directories of which something has become known. */
  keys(): IterableIterator<string> {
    return this.own.keys();
  }

  [Symbol.iterator](): IterableIterator<[string, DirRecord]> {
    return this.own.entries();
  }
}

export interface StatCache {
  dirs: Records;
  /** Greater than any serial that is known. */
  nextSerial: number;
  /** The generation of the store (see `capture`) in which all that is named here was known to be there. */
  generation: string | null;
}

/**
 * A row: ino, size, mtimeMs, ctimeMs (f64, as `lstat` gives them), time on disk, time as the state has it (i64, ns), mode (u32, with the
 * type), type (u8, as in a tree), settled (u8), two bytes of nothing, id, uid, gid (u32; 0 where owners are not carried). A directory's row has its
 * serial for a size, and no owner.
 */
export const ROW = 96;
const SIZE = 8;
const MTIME = 16;
const CTIME = 24;
const DISK_NS = 32;
const NS = 40;
const MODE = 48;
const TYPE = 52;
const SETTLED = 53;
const ID = 56;
const UID = 88;
const GID = 92;

export interface Row {
  type: "f" | "F" | "l" | "d";
  ino: number;
  size: number;
  mtimeMs: number;
  ctimeMs: number;
  /** The modification time on disk, and as the state has it: finer than what could be restored. */
  diskNs: bigint;
  ns: bigint;
  mode: number;
  settled: boolean;
  id: Hash;
  uid: number;
  gid: number;
}

export const emptyCache = (): StatCache => ({ dirs: new Records(), nextSerial: 1, generation: null });

export const namesOf = ({ names }: DirRecord): string[] => (names === "" ? [] : names.split("\0"));

/** Where something may have changed since a cache was brought up to date, by paths in the tree. */
export interface Changed {
  /** Directories, with those above them. */
  dirs: ReadonlySet<string>;
  /** Entries; null where that is not known so exactly. */
  entries: ReadonlySet<string> | null;
  /** Set where somebody else may change what lies below. */
  above?: Above;
}

/** A directory over one that others change: what it holds is what that held at a moment, but for what lies above. */
export interface Above {
  /** All that lies above, also in the place of what was taken away. */
  entries: ReadonlySet<string>;
  /** What lay below at that moment. */
  ground: Lookup;
}

/** Whether a directory is one of these, or lies below one. */
export function isBelow(keys: ReadonlySet<string>, key: string): boolean {
  if (keys.size === 0) return false;
  for (let end = key.length; end > 0; end = key.lastIndexOf("/", end - 1)) if (keys.has(key.slice(0, end))) return true;
  return false;
}

/**
 * What is known of a directory in which nothing can have changed since; null if it has to be looked into.
 * @param at the row of the directory that it lies in
 * @param ino what it has now: the same name may be another directory's
 */
export function unchanged(
  { dirs }: StatCache,
  changed: Changed | undefined,
  key: string,
  before: DirRecord | undefined,
  at: number,
  ino: number,
): DirRecord | null {
  if (!changed || !before || at < 0 || changed.dirs.has(key)) return null;
  const record = dirs.get(key);
  const same = record?.ids && record.serial === serialAt(before.rows, at) && before.rows.readDoubleLE(at * ROW) === ino;
  return same ? record : null;
}

const places = new WeakMap<DirRecord, Map<string, number>>();

/** For each name its row. */
export function placesIn(record: DirRecord): Map<string, number> {
  const found = places.get(record) ?? new Map(namesOf(record).map((name, at) => [name, at]));
  places.set(record, found);
  return found;
}

/** Whether what `lstat` says of an entry proves that it has the content that the row names. */
export const isHit = (rows: Buffer, index: number, stat: fs.Stats): boolean => {
  const at = index * ROW;
  return (
    rows[at + SETTLED] === 1 &&
    rows.readDoubleLE(at + CTIME) === stat.ctimeMs &&
    rows.readDoubleLE(at + MTIME) === stat.mtimeMs &&
    rows.readDoubleLE(at + SIZE) === stat.size &&
    rows.readDoubleLE(at) === stat.ino &&
    rows.readUInt32LE(at + MODE) === stat.mode &&
    rows[at + TYPE] !== 0x64
  );
};

export const isSettled = (rows: Buffer, index: number): boolean => rows[index * ROW + SETTLED] === 1;

export const serialAt = (rows: Buffer, index: number): number =>
  rows[index * ROW + TYPE] === 0x64 ? rows.readDoubleLE(index * ROW + SIZE) : -1;

export const idAt = (rows: Buffer, index: number): Hash => rows.toString("hex", index * ROW + ID, index * ROW + UID);

export function rowAt(rows: Buffer, index: number): Row {
  const at = index * ROW;
  return {
    type: String.fromCharCode(rows[at + TYPE]!) as Row["type"],
    ino: rows.readDoubleLE(at),
    size: rows.readDoubleLE(at + SIZE),
    mtimeMs: rows.readDoubleLE(at + MTIME),
    ctimeMs: rows.readDoubleLE(at + CTIME),
    diskNs: rows.readBigInt64LE(at + DISK_NS),
    ns: rows.readBigInt64LE(at + NS),
    mode: rows.readUInt32LE(at + MODE),
    settled: rows[at + SETTLED] === 1,
    id: idAt(rows, index),
    uid: rows.readUInt32LE(at + UID),
    gid: rows.readUInt32LE(at + GID),
  };
}

export function setRow(rows: Buffer, index: number, row: Row): void {
  const at = index * ROW;
  rows.writeDoubleLE(row.ino, at);
  rows.writeDoubleLE(row.size, at + SIZE);
  rows.writeDoubleLE(row.mtimeMs, at + MTIME);
  rows.writeDoubleLE(row.ctimeMs, at + CTIME);
  rows.writeBigInt64LE(row.diskNs, at + DISK_NS);
  rows.writeBigInt64LE(row.ns, at + NS);
  rows.writeUInt32LE(row.mode, at + MODE);
  rows[at + TYPE] = row.type.charCodeAt(0);
  rows[at + SETTLED] = row.settled ? 1 : 0;
  rows.write(row.id, at + ID, 32, "hex");
  rows.writeUInt32LE(row.uid, at + UID);
  rows.writeUInt32LE(row.gid, at + GID);
}

/** Settles the rows whose stamps are older than `horizon`; for who knows that nobody else wrote meanwhile. */
export function settleRows(rows: Buffer, settled: (mtimeMs: number, ctimeMs: number) => boolean): void {
  for (let at = 0; at < rows.length; at += ROW)
    if (rows[at + SETTLED] === 0 && settled(rows.readDoubleLE(at + MTIME), rows.readDoubleLE(at + CTIME)))
      rows[at + SETTLED] = 1;
}

/** Milliseconds as `lstat` gives them, from nanoseconds. */
export const msOf = (ns: bigint): number => {
  const rest = ns % 1_000_000_000n;
  const nsec = rest < 0n ? rest + 1_000_000_000n : rest;
  return Number((ns - nsec) / 1_000_000_000n) * 1000 + Number(nsec) / 1_000_000;
};

/** About what the files that a cache knows take of a disk, each in whole blocks; with `changed` those of these directories. */
export function bytesIn({ dirs }: StatCache, changed?: Changed): number {
  let bytes = 0;
  for (const key of changed?.dirs ?? dirs.keys()) {
    const rows = dirs.get(key)?.rows ?? Buffer.alloc(0);
    bytes += BLOCK;
    for (let at = 0; at < rows.length; at += ROW)
      if (rows[at + TYPE] !== 0x64) bytes += Math.ceil(rows.readDoubleLE(at + SIZE) / BLOCK) * BLOCK;
  }
  return bytes;
}
const BLOCK = 4096;

/** Takes what was seen since a time (ms since 1970) for unsettled. */
export function unsettle(rows: Buffer, since: number): void {
  for (let at = 0; at < rows.length; at += ROW) if (rows.readDoubleLE(at + CTIME) >= since) rows[at + SETTLED] = 0;
}
