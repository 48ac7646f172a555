/**
 * What was last seen of a directory tree and under which ids it is known, so that what did not change need not be read again. It is only
 * ever a hint: a file that is missing, torn or from elsewhere is an empty cache.
 *
 * In the file (little-endian): "shepherd stat 1\n", length:u32 and a JSON head, directories, SHA-256 of all before. A directory is
 * key, names and rows; a row is one entry, see `Row`.
 */
import { hash } from "node:crypto";
import * as fs from "node:fs";
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
  /** Null where they are not known. */
  ids: Ids | null;
}

export interface StatCache {
  /** By path in the tree, "" for the root. */
  dirs: Map<string, DirRecord>;
  nextSerial: number;
  /** The generation of the store (see `capture`) in which all that is named here was known to be there. */
  generation: string | null;
}

/**
 * A row: ino, size, mtimeMs, ctimeMs (f64, as `lstat` gives them), time on disk, time as the state has it (i64, ns), mode (u32, with the
 * type), type (u8, as in a tree), settled (u8), two bytes of nothing, id. A directory's row has its serial for a size.
 */
export const ROW = 88;
const SIZE = 8;
const MTIME = 16;
const CTIME = 24;
const DISK_NS = 32;
const NS = 40;
const MODE = 48;
const TYPE = 52;
const SETTLED = 53;
const ID = 56;

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
}

export const emptyCache = (): StatCache => ({ dirs: new Map(), nextSerial: 1, generation: null });

export const namesOf = ({ names }: DirRecord): string[] => (names === "" ? [] : names.split("\0"));

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
  changed: ReadonlySet<string> | undefined,
  key: string,
  before: DirRecord | undefined,
  at: number,
  ino: number,
): DirRecord | null {
  if (!changed || !before || at < 0 || changed.has(key)) return null;
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

export const serialAt = (rows: Buffer, index: number): number =>
  rows[index * ROW + TYPE] === 0x64 ? rows.readDoubleLE(index * ROW + SIZE) : -1;

export const idAt = (rows: Buffer, index: number): Hash => rows.toString("hex", index * ROW + ID, index * ROW + ROW);

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

const MAGIC = Buffer.from("shepherd stat 1\n");
const FIXED = 4 + 4 + 4 + 8 + 4 + 8 + 8 + 4 + 4 * 32;
/**
 * After a crash of the machine a file may have its new stamps and its old bytes, if it was written so shortly before that the kernel had
 * not written it out (30 s, looked at every 5 s). What was that young when the cache was saved is read again after a boot.
 */
const UNFLUSHED = 60_000;

/** The cache in `file`, or an empty one. */
export function loadCache(file: string): StatCache {
  let fd: number | null = null;
  try {
    // A pipe in its place must not hold us.
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    return fs.fstatSync(fd).isFile() ? decodeCache(fs.readFileSync(fd)) : emptyCache();
  } catch {
    return emptyCache();
  } finally {
    if (fd !== null) fs.closeSync(fd);
  }
}

/** About what the files that a cache knows take of a disk, each in whole blocks. */
export function bytesIn({ dirs }: StatCache, changed?: ReadonlySet<string>): number {
  let bytes = 0;
  for (const [key, { rows }] of dirs) {
    if (changed && !changed.has(key)) continue;
    bytes += BLOCK;
    for (let at = 0; at < rows.length; at += ROW)
      if (rows[at + TYPE] !== 0x64) bytes += Math.ceil(rows.readDoubleLE(at + SIZE) / BLOCK) * BLOCK;
  }
  return bytes;
}
const BLOCK = 4096;

/** What a cache holds at a moment, to tell later whether it still is the same. */
export const knownIn = ({ dirs, generation }: StatCache): Pick<StatCache, "dirs" | "generation"> => ({
  dirs: new Map(dirs),
  generation,
});

/** Whether a cache holds what it did. Records are never changed, so it is told by which they are. */
export function isKnown(cache: StatCache, { dirs, generation }: ReturnType<typeof knownIn>): boolean {
  if (cache.generation !== generation || cache.dirs.size !== dirs.size) return false;
  for (const [key, record] of cache.dirs) if (dirs.get(key) !== record) return false;
  return true;
}

/** Replaces `file` by the cache, atomically. A cache that could not be written is only missing: errors are those of the disk. */
export function saveCache(file: string, cache: StatCache): void {
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    fs.writeFileSync(temporary, encodeCache(cache), { mode: 0o600 });
    fs.renameSync(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
}

/** Saves the cache if the disk takes it: without it the next walk only reads more. */
export function keepCache(file: string, cache: StatCache, known?: ReturnType<typeof knownIn>): void {
  if (known && isKnown(cache, known)) return;
  try {
    saveCache(file, cache);
  } catch {
    // As if it had not been kept.
  }
}

export function encodeCache({ dirs, nextSerial, generation }: StatCache): Buffer {
  const head = Buffer.from(
    JSON.stringify({ boot: bootId(), saved: Date.now(), nextSerial, generation, count: dirs.size }),
  );
  let size = MAGIC.length + 4 + head.length + 32;
  for (const [key, { names, rows }] of dirs) size += FIXED + key.length + names.length + rows.length;
  const out = Buffer.alloc(size);
  let at = MAGIC.copy(out);
  at = out.writeUInt32LE(head.length, at);
  at += head.copy(out, at);
  for (const [key, { names, rows, serial, mode, diskNs, ns, ids }] of dirs) {
    at = out.writeUInt32LE(key.length, at);
    at = out.writeUInt32LE(names.length, at);
    at = out.writeUInt32LE(rows.length, at);
    at = out.writeDoubleLE(serial, at);
    at = out.writeUInt32LE(mode, at);
    at = out.writeBigInt64LE(diskNs, at);
    at = out.writeBigInt64LE(ns, at);
    at = out.writeUInt32LE(ids ? (ids.vcs ? 2 : 1) : 0, at);
    for (const id of [ids?.tree, ids?.mtimes, ids?.vcs, ids?.vcsMtimes]) {
      if (id) out.write(id, at, 32, "hex");
      at += 32;
    }
    at += out.write(key, at, "latin1");
    at += out.write(names, at, "latin1");
    at += rows.copy(out, at);
  }
  out.write(hash("sha256", out.subarray(0, at), "hex"), at, 32, "hex");
  return out;
}

export function decodeCache(b: Buffer): StatCache {
  const end = b.length - 32;
  if (end < 0 || hash("sha256", b.subarray(0, end), "hex") !== b.toString("hex", end))
    throw new Error("The cache is torn.");
  if (!b.subarray(0, MAGIC.length).equals(MAGIC)) throw new Error("The cache is of another version.");
  let at = MAGIC.length + 4 + b.readUInt32LE(MAGIC.length);
  const head = JSON.parse(b.toString("utf8", MAGIC.length + 4, at)) as {
    boot: string | null;
    saved: number;
    nextSerial: number;
    generation: string | null;
    count: number;
  };
  const rebooted = head.boot === null || head.boot !== bootId();
  const cache: StatCache = {
    dirs: new Map(),
    nextSerial: head.nextSerial,
    // The store, too, may have lost what it had only written.
    generation: rebooted ? null : head.generation,
  };
  for (let i = 0; i < head.count; i++) {
    const [keyLength, namesLength, rowsLength] = [b.readUInt32LE(at), b.readUInt32LE(at + 4), b.readUInt32LE(at + 8)];
    const known = b.readUInt32LE(at + 40);
    const id = (n: number): Hash => b.toString("hex", at + 44 + n * 32, at + 76 + n * 32);
    const from = at + FIXED;
    const rows = b.subarray(from + keyLength + namesLength, from + keyLength + namesLength + rowsLength);
    const names = b.toString("latin1", from + keyLength, from + keyLength + namesLength);
    if (rows.length !== ROW * (names === "" ? 0 : names.split("\0").length)) throw new Error("The rows do not fit.");
    cache.dirs.set(b.toString("latin1", from, from + keyLength), {
      names,
      rows,
      serial: b.readDoubleLE(at + 12),
      mode: b.readUInt32LE(at + 20),
      diskNs: b.readBigInt64LE(at + 24),
      ns: b.readBigInt64LE(at + 32),
      ids: known
        ? { tree: id(0), mtimes: id(1), vcs: known === 2 ? id(2) : null, vcsMtimes: known === 2 ? id(3) : null }
        : null,
    });
    if (rebooted)
      for (let row = 0; row < rows.length; row += ROW)
        if (rows.readDoubleLE(row + CTIME) >= head.saved - UNFLUSHED) rows[row + SETTLED] = 0;
    at = from + keyLength + namesLength + rowsLength;
  }
  return cache;
}

/** Names the time since this machine was started; null where it has no name. */
export function bootId(): string | null {
  try {
    return fs.readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    return null;
  }
}
