/** A file tree as content: one walk over a directory, reading only what the stat cache does not know. */
import * as fs from "node:fs";
import { resolve } from "node:path";
import type { Hash, Objects } from "../trace/ports.ts";
import { horizon, isTime, settled } from "./clock.ts";
import { decodeChunks, takeFile } from "./content.ts";
import { arg, bytesOf, closeDir, codeOf, type Dir, denied, gone, namesIn, openDir, openRoot } from "./dirs.ts";
import { type LeftOut, type LeftOuts, leftOuts } from "./left-out.ts";
import { type MtimeEntry, writeMtimes } from "./mtimes.ts";
import { type Pace, type PaceOptions, pace, type Stats } from "./pace.ts";
import {
  type DirRecord,
  emptyCache,
  type Ids,
  isHit,
  msOf,
  namesOf,
  placesIn,
  ROW,
  type Row,
  rowAt,
  type StatCache,
  sameIds,
  serialAt,
  setRow,
} from "./statcache.ts";
import { type Entry, writeTree } from "./tree.ts";

/** Why an entry is no part of the captured state. `changing`: it became something else each time it was looked at. */
export type Why = LeftOut | "socket" | "fifo" | "device" | "unreadable" | "too large" | "changing";

export interface Skipped {
  /** Relative to the captured directory. */
  path: Buffer;
  why: Why;
}

export interface Capture extends Ids {
  /** What was left out, in the order of the walk. */
  skipped: Skipped[];
  /** Files that somebody wrote to each time they were read: what was taken is what the last reading gave. */
  unsteady: Buffer[];
  stats: Stats;
}

export interface CaptureOptions extends PaceOptions {
  /** What an earlier walk over the same directory knew; brought up to date, also when the capture is stopped. One user at a time. */
  cache?: StatCache | undefined;
  /** Absolute paths to leave out. */
  exclude?: readonly Buffer[] | undefined;
  /**
   * Names the span in which the store collects no objects. While it is the one of the last capture with this cache, what the cache names is
   * taken to be in the store; otherwise the store is asked, and what it lacks is read again.
   */
  generation?: string | undefined;
}

/**
 * The state of directory `path`: `tree` is everything but the directories named `.git`, `vcs` is these alone with the directories above them.
 * Files are taken one after the other: what others write meanwhile is in it or not. What cannot be kept is in `skipped`. Throws the
 * reason of `signal`, and what the store and the root directory throw.
 */
export async function capture(path: string | Buffer, objects: Objects, options: CaptureOptions = {}): Promise<Capture> {
  const cache = options.cache ?? emptyCache();
  const steps = pace(options);
  const root = absolute(path);
  const dir = openRoot(root);
  try {
    const now = horizon(dir);
    const stat = fs.fstatSync(dir.fd, { bigint: true });
    const walk: Walk = {
      objects,
      cache,
      device: stat.dev,
      trusting: options.generation !== undefined && options.generation === cache.generation,
      leftOuts: leftOuts(root, options.exclude),
      seen: new Set(),
      skipped: [],
      unsteady: [],
      stats: steps.stats,
      limit: now(),
      due: steps.due,
      rest: async () => {
        await steps.rest();
        walk.limit = now();
      },
    };
    const names = namesIn(dir);
    const record = await walkDir(walk, { dir, key: "", names, stat, inGit: false, depth: 0, puts: [], bytes: 0 });
    for (const key of cache.dirs.keys()) if (!walk.seen.has(key)) cache.dirs.delete(key);
    cache.generation = options.generation ?? null;
    const { skipped, unsteady, stats } = walk;
    return { ...record.ids!, skipped, unsteady, stats };
  } finally {
    closeDir(dir);
  }
}

/** The byte string of a path, absolute. */
export const absolute = (path: string | Buffer): string => bytesOf(typeof path === "string" ? resolve(path) : path);

interface Walk extends Pace {
  objects: Objects;
  cache: StatCache;
  device: bigint;
  trusting: boolean;
  leftOuts: LeftOuts;
  seen: Set<string>;
  skipped: Skipped[];
  unsteady: Buffer[];
  /** What is older is settled, if it is read from now on. */
  limit: number;
}

/** A directory on the walk. */
interface Here {
  dir: Dir;
  key: string;
  names: string[];
  stat: fs.BigIntStats;
  /** Whether it is `.git` or in it: then no name is special. */
  inGit: boolean;
  depth: number;
  /** Puts that have not returned, and their bytes. */
  puts: Promise<void>[];
  bytes: number;
}

/** An entry as it will be in the state. Its id is empty until it is put. */
interface Slot extends Row {
  /** The record of a directory. */
  below?: DirRecord;
}

async function walkDir(walk: Walk, here: Here): Promise<DirRecord> {
  // A deep tree must not be a deep stack.
  if (here.depth % 50 === 49) await null;
  const { key, names } = here;
  const { cache } = walk;
  const before = cache.dirs.get(key);
  const { kept, todo, same } = await look(walk, here, before);
  const slots: (Slot | null)[] = new Array(names.length).fill(null);
  try {
    for (const { index, stat, old } of todo) {
      slots[index] = await take(walk, here, names[index]!, stat, old < 0 ? null : rowAt(before!.rows, old));
      if (here.bytes > 8 << 20 || here.puts.length >= 128) await settlePuts(here);
      if (walk.due()) await walk.rest();
    }
    await settlePuts(here);
  } catch (error) {
    await Promise.allSettled(here.puts);
    // What was read so far need not be read again.
    cache.dirs.set(key, { ...unnamed(here, before), ...table(names, before, kept, slots), serial: cache.nextSerial++ });
    throw error;
  }
  walk.seen.add(key);
  const own = unnamed(here, before);
  const changed =
    !before?.ids ||
    !same ||
    before.mode !== own.mode ||
    before.ns !== own.ns ||
    todo.some(({ index }) => !sameInState(before.rows, index, slots[index]!));
  if (!changed && walk.trusting && before.diskNs === own.diskNs && todo.every(({ index }) => slots[index]?.below))
    return before;
  const record: DirRecord = { ...own, ...table(names, before, kept, slots), serial: before?.serial ?? 0 };
  record.ids = !changed && walk.trusting ? before.ids : await store(walk.objects, here, record, slots);
  if (!before?.ids || !sameIds(before.ids, record.ids!)) record.serial = cache.nextSerial++;
  cache.dirs.set(key, record);
  return record;
}

/** What the stat cache can tell of a directory's entries: for each name its row there, or -1 if the entry is among those to be looked into. */
async function look(
  walk: Walk,
  here: Here,
  before: DirRecord | undefined,
): Promise<{ kept: Int32Array; todo: { index: number; stat: fs.Stats; old: number }[]; same: boolean }> {
  const { dir, key, names } = here;
  const special = walk.leftOuts.get(key);
  const same = before !== undefined && before.names === names.join("\0");
  const places = before && !same ? placesIn(before) : null;
  const kept = new Int32Array(names.length).fill(-1);
  let dropped = false;
  const todo: { index: number; stat: fs.Stats; old: number }[] = [];
  for (let at = 0; at < names.length; at++) {
    if (walk.due()) await walk.rest();
    const name = names[at]!;
    const why = special?.get(name);
    if (why) {
      skip(walk, here, name, why);
      dropped = true;
      continue;
    }
    const stat = lookAt(dir, name);
    if (stat === "denied") skip(walk, here, name, "unreadable");
    if (!stat || stat === "denied") {
      dropped = true;
      continue;
    }
    walk.stats.files++;
    const old = same ? at : (places?.get(name) ?? -1);
    if (old >= 0 && isHit(before!.rows, old, stat)) kept[at] = old;
    else todo.push({ index: at, stat, old });
  }
  if (before && !walk.trusting) {
    const lost = await lacking(walk.objects, before.rows, kept);
    for (const at of lost) {
      const stat = lookAt(dir, names[at]!);
      if (stat && stat !== "denied") todo.push({ index: at, stat, old: kept[at]! });
      kept[at] = -1;
    }
  }
  return { kept, todo, same: same && !dropped };
}

/** The entries among `kept` whose content the store does not have any more. */
async function lacking(objects: Objects, rows: Buffer, kept: Int32Array): Promise<number[]> {
  const wanted: { at: number; id: Hash }[] = [];
  for (const [at, old] of kept.entries()) {
    if (old < 0) continue;
    const { type, id } = rowAt(rows, old);
    wanted.push({ at, id });
    const list = type === "F" ? await objects.get(id) : null;
    if (list) for (const chunk of decodeChunks(list).ids) wanted.push({ at, id: chunk });
  }
  if (wanted.length === 0) return [];
  const there = await objects.has(wanted.map(({ id }) => id));
  return [...new Set(wanted.filter((_, i) => !there[i]).map(({ at }) => at))];
}

/** Looks into one entry; null if there is nothing to keep. `old` is its row, whose stamps are others. */
async function take(walk: Walk, here: Here, name: string, first: fs.Stats, old: Row | null): Promise<Slot | null> {
  let stat: ReturnType<typeof lookAt> = first;
  for (let attempt = 0; attempt < 4; attempt++) {
    if (attempt > 0) stat = lookAt(here.dir, name);
    if (!stat) return null;
    if (stat === "denied") return skip(walk, here, name, "unreadable");
    let slot: Slot | Why | "gone";
    if (stat.isFile()) slot = await takeRegular(walk, here, name, old);
    else if (stat.isDirectory()) slot = await takeDir(walk, here, name);
    else if (stat.isSymbolicLink()) slot = takeLink(walk, here, name, old);
    else slot = stat.isSocket() ? "socket" : stat.isFIFO() ? "fifo" : "device";
    if (typeof slot === "object") return slot;
    if (slot !== "gone") return skip(walk, here, name, slot);
  }
  return skip(walk, here, name, "changing");
}

async function takeRegular(walk: Walk, here: Here, name: string, old: Row | null): Promise<Slot | Why | "gone"> {
  const taken = await takeFile(here.dir, name, walk.objects.put, walk);
  if (taken === "denied") return "unreadable";
  if (taken === "large") return "too large";
  if (taken === "gone") return taken;
  if (!taken.steady) walk.unsteady.push(pathIn(here.key, name));
  walk.stats.read++;
  walk.stats.bytes += Number(taken.stat.size);
  if ("id" in taken) return slotOf(walk, taken.stat, taken.type, taken.id, old, taken.steady);
  const slot = slotOf(walk, taken.stat, "f", "", old, taken.steady);
  const put = walk.objects.put(taken.bytes).then((id) => {
    slot.id = id;
  });
  // Awaited with the others; a rejection before that must not end the process.
  put.catch(() => {});
  here.puts.push(put);
  here.bytes += taken.bytes.length;
  return slot;
}

function takeLink(walk: Walk, here: Here, name: string, old: Row | null): Slot | Why | "gone" {
  try {
    const path = arg(here.dir.at + name);
    const stat = fs.lstatSync(path, { bigint: true });
    const target = fs.readlinkSync(path, "buffer");
    const after = fs.lstatSync(path, { bigint: true });
    if (!stat.isSymbolicLink() || after.ino !== stat.ino || after.ctimeNs !== stat.ctimeNs) return "gone";
    walk.stats.read++;
    walk.stats.bytes += target.length;
    const slot = slotOf(walk, stat, "l", "", old, true);
    const put = walk.objects.put(target).then((id) => {
      slot.id = id;
    });
    put.catch(() => {});
    here.puts.push(put);
    return slot;
  } catch (error) {
    // EINVAL: it is no link any more.
    if (gone(error) || codeOf(error) === "EINVAL") return "gone";
    if (denied(error)) return "unreadable";
    throw error;
  }
}

async function takeDir(walk: Walk, here: Here, name: string): Promise<Slot | Why | "gone"> {
  let dir: Dir | undefined;
  try {
    let names: string[];
    let stat: fs.BigIntStats;
    try {
      dir = openDir(here.dir, name);
      stat = fs.fstatSync(dir.fd, { bigint: true });
      if (stat.dev !== walk.device) return "mounted";
      names = namesIn(dir);
    } catch (error) {
      if (gone(error)) return "gone";
      if (denied(error)) return "unreadable";
      throw error;
    }
    const below = await walkDir(walk, {
      dir,
      key: here.key === "" ? name : `${here.key}/${name}`,
      names,
      stat,
      inGit: here.inGit || name === ".git",
      depth: here.depth + 1,
      puts: [],
      bytes: 0,
    });
    return { ...slotOf(walk, stat, "d", below.ids!.tree, null, true), size: below.serial, below };
  } finally {
    if (dir) closeDir(dir);
  }
}

function slotOf(
  walk: Walk,
  stat: fs.BigIntStats,
  type: Slot["type"],
  id: Hash,
  old: Row | null,
  steady: boolean,
): Slot {
  const [mtimeMs, ctimeMs] = [msOf(stat.mtimeNs), msOf(stat.ctimeNs)];
  return {
    type,
    ino: Number(stat.ino),
    size: Number(stat.size),
    mtimeMs,
    ctimeMs,
    // A time that was restored as well as it could be is still the one that the state has.
    ns: old && old.type !== "d" && isTime(stat.mtimeNs, old.ns) ? old.ns : stat.mtimeNs,
    mode: Number(stat.mode),
    settled: steady && settled(mtimeMs, ctimeMs, walk.limit),
    id,
  };
}

function skip(walk: Walk, here: Here, name: string, why: Why): null {
  walk.skipped.push({ path: pathIn(here.key, name), why });
  return null;
}

async function settlePuts(here: Here): Promise<void> {
  await Promise.all(here.puts);
  here.puts = [];
  here.bytes = 0;
}

/** What is known of the directory itself. */
function unnamed({ stat }: Here, before: DirRecord | undefined): Pick<DirRecord, "mode" | "diskNs" | "ns" | "ids"> {
  const diskNs = stat.mtimeNs;
  return { mode: modeOf(stat), diskNs, ns: before?.diskNs === diskNs ? before.ns : diskNs, ids: null };
}

/** The rows of the entries that are kept or have been taken. */
function table(
  names: string[],
  before: DirRecord | undefined,
  kept: Int32Array,
  slots: (Slot | null)[],
): Pick<DirRecord, "names" | "rows"> {
  const there = names.flatMap((_, at) => (kept[at]! >= 0 || slots[at]?.id ? [at] : []));
  const rows = Buffer.alloc(there.length * ROW);
  for (const [row, at] of there.entries()) {
    const slot = slots[at];
    if (slot) setRow(rows, row, slot);
    else before!.rows.copy(rows, row * ROW, kept[at]! * ROW, (kept[at]! + 1) * ROW);
  }
  return { names: there.map((at) => names[at]).join("\0"), rows };
}

/** Stores what a directory is, but for its files, and gives its ids. */
async function store(objects: Objects, here: Here, record: DirRecord, slots: (Slot | null)[]): Promise<Ids> {
  const below = new Map(slots.flatMap((slot, at) => (slot?.below ? [[here.names[at]!, slot.below.ids!]] : [])));
  const entries: Entry[] = [];
  const times: MtimeEntry[] = [];
  const vcsEntries: Entry[] = [];
  const vcsTimes: MtimeEntry[] = [];
  for (const [at, text] of namesOf(record).entries()) {
    const name = Buffer.from(text, "latin1");
    const { type, mode, ns, id } = rowAt(record.rows, at);
    const ids = below.get(text);
    if (!ids) {
      entries.push({ type, mode: type === "l" ? 0 : mode & 0o7777, name, id });
      times.push({ type: "f", name, ns });
      continue;
    }
    const isGit = text === ".git" && !here.inGit;
    (isGit ? vcsEntries : entries).push({ type: "d", mode: 0, name, id: ids.tree });
    (isGit ? vcsTimes : times).push({ type: "d", name, id: ids.mtimes });
    if (!ids.vcs) continue;
    vcsEntries.push({ type: "d", mode: 0, name, id: ids.vcs });
    vcsTimes.push({ type: "d", name, id: ids.vcsMtimes! });
  }
  const { mode, ns: own } = record;
  const git = vcsEntries.length > 0;
  return {
    tree: await writeTree(objects, { mode, entries }),
    mtimes: await writeMtimes(objects, { own, entries: times }),
    vcs: git ? await writeTree(objects, { mode, entries: vcsEntries }) : null,
    vcsMtimes: git ? await writeMtimes(objects, { own, entries: vcsTimes }) : null,
  };
}

const sameInState = (rows: Buffer, index: number, slot: Slot | null): boolean => {
  if (!slot) return false;
  if (slot.below) return serialAt(rows, index) === slot.below.serial;
  const { type, mode, ns, id } = rowAt(rows, index);
  return type === slot.type && mode === slot.mode && ns === slot.ns && id === slot.id;
};

const modeOf = (stat: fs.BigIntStats): number => Number(stat.mode) & 0o7777;

const pathIn = (key: string, name: string): Buffer => Buffer.from(key === "" ? name : `${key}/${name}`, "latin1");

const quiet = { throwIfNoEntry: false } as const;

/** What an entry is; by its path first, which is quicker, and by the open directory if that leads nowhere. */
function lookAt(dir: Dir, name: string): fs.Stats | "denied" | undefined {
  for (const prefix of [dir.near, dir.at]) {
    try {
      const stat = fs.lstatSync(arg(prefix + name), quiet);
      if (stat) return stat;
    } catch (error) {
      if (denied(error)) {
        if (prefix === dir.at) return "denied";
      } else if (!gone(error)) throw error;
    }
  }
  return undefined;
}
