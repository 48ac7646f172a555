/**
 * A stat cache in a file. One that is missing, torn, from elsewhere or of another version is an empty cache.
 *
 * In the file (little-endian): "shepherd stat 3\n", length:u32 and a JSON head; a record for each directory; for each of them the lengths of
 * its key and its record, the record's CRC-32 (u32 each) and its key; SHA-256 of all but the records. So what is known of a few directories of
 * many is read alone. A record is
 *
 *     names:u32 rows:u32 (lengths) serial:f64 mode:u32 diskNs:i64 ns:i64 ids:u32 (0: none, 1: without vcs, 2: all) 4 ids uid:u32 gid:u32, names,
 *     rows
 */
import { hash } from "node:crypto";
import * as fs from "node:fs";
import { crc32 } from "node:zlib";
import type { Hash } from "../trace/ports.ts";
import { type DirRecord, emptyCache, type Lookup, Records, ROW, type StatCache, unsettle } from "./statcache.ts";

const MAGIC = Buffer.from("shepherd stat 3\n");
const FIXED = 4 + 4 + 8 + 4 + 8 + 8 + 4 + 4 * 32 + 4 + 4;
/**
 * After a crash of the machine a file may have its new stamps and its old bytes, if it was written so shortly before that the kernel had
 * not written it out (30 s, looked at every 5 s). What was that young when the cache was saved is read again after a boot.
 */
const UNFLUSHED = 60_000;

/** What is known of a directory that nobody changes any more, for those that stand on it. */
export interface Ground {
  dirs: Lookup;
  nextSerial: number;
  generation: string | null;
}

/** The cache in `file`, or an empty one. @param ground what it stood on when it was saved */
export function loadCache(file: string, ground?: Ground): StatCache {
  try {
    // There is none of a new directory, and an error takes longer to make than to look.
    if (fs.existsSync(file)) return decodeCache(read(file), ground);
  } catch {
    // As if there were none.
  }
  return ground ? { ...ground, dirs: new Records(ground.dirs) } : emptyCache();
}

/** A cache from the bytes of a file. Throws where they are those of none. */
export function decodeCache(bytes: Buffer, ground?: Ground): StatCache {
  const stored = decode(bytes);
  const dirs = new Records(ground?.dirs);
  for (const key of stored.dirs.keys()) dirs.set(key, stored.dirs.get(key) ?? torn());
  return { ...stored, dirs };
}

/** What `file` says of what lies over `below`; each directory is read when it is asked for. Throws where it cannot be read. */
export function loadGround(file: string, below: Ground | null): Ground {
  const { dirs, nextSerial, generation } = decode(read(file));
  return {
    dirs: { get: (key) => dirs.get(key) ?? below?.dirs.get(key) },
    nextSerial,
    generation: below && below.generation !== generation ? null : generation,
  };
}

function read(file: string): Buffer {
  // A pipe in its place must not hold us.
  const fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  try {
    return fs.fstatSync(fd).isFile() ? fs.readFileSync(fd) : torn();
  } finally {
    fs.closeSync(fd);
  }
}

/** What a cache holds at a moment, to tell later whether it still is the same. */
export const knownIn = ({ dirs, generation }: StatCache): { version: number; generation: string | null } => ({
  version: dirs.version,
  generation,
});

/** Replaces `file` by what has become known, atomically. A cache that could not be written is only missing: errors are those of the disk. */
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

/** Saves the cache if something has become known since, and the disk takes it: without it the next walk only reads more. */
export function keepCache(file: string, cache: StatCache, known?: ReturnType<typeof knownIn>): void {
  if (known?.version === cache.dirs.version && known.generation === cache.generation) return;
  try {
    saveCache(file, cache);
  } catch {
    // As if it had not been kept.
  }
}

export function encodeCache({ dirs, nextSerial, generation }: StatCache): Buffer {
  const records: Buffer[] = [];
  const index: Buffer[] = [];
  let length = 0;
  for (const [key, record] of dirs) {
    const bytes = encodeRecord(record);
    const entry = Buffer.alloc(12 + key.length);
    entry.writeUInt32LE(key.length, 0);
    entry.writeUInt32LE(bytes.length, 4);
    entry.writeUInt32LE(crc32(bytes), 8);
    entry.write(key, 12, "latin1");
    records.push(bytes);
    index.push(entry);
    length += bytes.length;
  }
  const about = { boot: bootId(), saved: Date.now(), nextSerial, generation, count: index.length, length };
  const head = Buffer.from(JSON.stringify(about));
  const start = Buffer.concat([MAGIC, Buffer.alloc(4), head]);
  start.writeUInt32LE(head.length, MAGIC.length);
  const end = Buffer.concat(index);
  return Buffer.concat([start, ...records, end, checkOf(start, end)]);
}

const checkOf = (start: Buffer, end: Buffer): Buffer => hash("sha256", Buffer.concat([start, end]), "buffer");

function encodeRecord({ names, rows, serial, mode, diskNs, ns, ids, uid, gid }: DirRecord): Buffer {
  const out = Buffer.alloc(FIXED + names.length + rows.length);
  let at = out.writeUInt32LE(names.length, 0);
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
  at = out.writeUInt32LE(gid, out.writeUInt32LE(uid, at));
  at += out.write(names, at, "latin1");
  rows.copy(out, at);
  return out;
}

/** Records in the bytes of a file, each read when it is asked for. */
class Stored implements Lookup {
  private readonly read = new Map<string, DirRecord | undefined>();

  /** @param unsettled what is younger (ms since 1970) may have other bytes than its stamps say; null: nothing */
  constructor(
    private readonly places: ReadonlyMap<string, { bytes: Buffer; check: number }>,
    private readonly unsettled: number | null,
  ) {}

  keys(): IterableIterator<string> {
    return this.places.keys();
  }

  get(key: string): DirRecord | undefined {
    const place = this.places.get(key);
    if (!place || this.read.has(key)) return this.read.get(key);
    const record = crc32(place.bytes) === place.check ? decodeRecord(place.bytes) : undefined;
    if (record && this.unsettled !== null) unsettle(record.rows, this.unsettled);
    this.read.set(key, record);
    return record;
  }
}

function decode(b: Buffer): { dirs: Stored; nextSerial: number; generation: string | null } {
  if (!b.subarray(0, MAGIC.length).equals(MAGIC)) torn();
  const from = MAGIC.length + 4 + b.readUInt32LE(MAGIC.length);
  const head = JSON.parse(b.toString("utf8", MAGIC.length + 4, from)) as {
    boot: string | null;
    saved: number;
    nextSerial: number;
    generation: string | null;
    count: number;
    length: number;
  };
  const end = b.length - 32;
  if (!checkOf(b.subarray(0, from), b.subarray(from + head.length, end)).equals(b.subarray(end))) torn();
  const rebooted = head.boot === null || head.boot !== bootId();
  const places = new Map<string, { bytes: Buffer; check: number }>();
  let place = from;
  for (let i = 0, at = from + head.length; i < head.count; i++) {
    const [key, record, check] = [b.readUInt32LE(at), b.readUInt32LE(at + 4), b.readUInt32LE(at + 8)];
    places.set(b.toString("latin1", at + 12, at + 12 + key), { bytes: b.subarray(place, place + record), check });
    place += record;
    at += 12 + key;
  }
  return {
    dirs: new Stored(places, rebooted ? head.saved - UNFLUSHED : null),
    nextSerial: head.nextSerial,
    // The store, too, may have lost what it had only written.
    generation: rebooted ? null : head.generation,
  };
}

function decodeRecord(b: Buffer): DirRecord {
  const [namesLength, rowsLength] = [b.readUInt32LE(0), b.readUInt32LE(4)];
  const known = b.readUInt32LE(36);
  const id = (n: number): Hash => b.toString("hex", 40 + n * 32, 72 + n * 32);
  const names = b.toString("latin1", FIXED, FIXED + namesLength);
  const rows = b.subarray(FIXED + namesLength, FIXED + namesLength + rowsLength);
  if (rows.length !== ROW * (names === "" ? 0 : names.split("\0").length)) torn();
  return {
    names,
    rows,
    serial: b.readDoubleLE(8),
    mode: b.readUInt32LE(16),
    diskNs: b.readBigInt64LE(20),
    ns: b.readBigInt64LE(28),
    ids: known
      ? { tree: id(0), mtimes: id(1), vcs: known === 2 ? id(2) : null, vcsMtimes: known === 2 ? id(3) : null }
      : null,
    uid: b.readUInt32LE(168),
    gid: b.readUInt32LE(172),
  };
}

function torn(): never {
  throw new Error("The cache is torn.");
}

/** Names the time since this machine was started; null where it has no name. */
export function bootId(): string | null {
  try {
    return fs.readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    return null;
  }
}
