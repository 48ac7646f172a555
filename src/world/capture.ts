/** A file tree as content: one walk over a directory, reading only what the stat cache does not know. */
import * as fs from "node:fs";
import type { Hash, Objects } from "../trace/ports.ts";
import { horizon, TICK } from "./clock.ts";
import { decodeChunks } from "./content.ts";
import { absolute, closeDir, namesIn, openRoot } from "./dirs.ts";
import { leftOuts } from "./left-out.ts";
import { sameInState, store, table, unnamed } from "./named.ts";
import { type PaceOptions, pace, type Stats } from "./pace.ts";
import { inside } from "./paths.ts";
import {
  type Above,
  type Changed,
  type DirRecord,
  emptyCache,
  type Ids,
  isBelow,
  isHit,
  isSettled,
  namesOf,
  placesIn,
  rowAt,
  type StatCache,
  sameIds,
  serialAt,
  unchanged,
} from "./statcache.ts";
import { settlePuts, take } from "./take.ts";
import { unlockRoot } from "./unlock.ts";
import { type Here, isMapped, lookAt, type Skipped, type Slot, skip, type Walk } from "./walk.ts";

export { absolute } from "./dirs.ts";
export type { Skipped, Why } from "./walk.ts";

export interface Capture extends Ids {
  /** What was left out, in the order of the walk. */
  skipped: Skipped[];
  /** Files that somebody wrote to each time they were read: what was taken is what the last reading gave. */
  unsteady: Buffer[];
  /** Files whose stamps are so young that somebody may still write to them, or have done so while they were read. */
  young: number;
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
  /** Where alone something may have changed since the last capture or restore with this cache. */
  changed?: Changed | undefined;
  /** What processes can write to through mappings: it is read whatever its stamps say, and not believed later. */
  mapped?: Mapped | undefined;
  /** Whether nobody but us and our processes uses the directory: then files that their owner may not read are captured too. */
  own?: boolean | undefined;
  /** Whether it is carried who owns what, beside the times. The same for each use of a cache. */
  owners?: boolean | undefined;
}

export interface Mapped {
  /** Files, by their paths in the tree. */
  files: ReadonlySet<string>;
  /** When that was looked at (ms since 1970): what has got stamps since may have been mapped since. */
  at: number;
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
  const locked = options.own ? unlockRoot(root) : null;
  const dir = openRoot(root);
  try {
    const clock = horizon(dir);
    const { mapped } = options;
    const now = mapped ? () => Math.min(clock(), mapped.at - TICK) : clock;
    const stat = fs.fstatSync(dir.fd, { bigint: true });
    if (locked !== null) stat.mode = BigInt(locked);
    const walk: Walk = {
      objects,
      cache,
      device: stat.dev,
      trusting: options.generation !== undefined && options.generation === cache.generation,
      own: options.own ?? false,
      owners: options.owners ?? false,
      leftOuts: leftOuts(root, options.exclude),
      seen: new Set(),
      spared: new Set(),
      changed: options.changed,
      mapped: mapped?.files ?? NONE,
      skipped: [],
      unsteady: [],
      young: 0,
      stats: steps.stats,
      limit: now(),
      descend: (here) => walkDir(walk, here),
      due: steps.due,
      rest: async () => {
        await steps.rest();
        walk.limit = now();
      },
    };
    const names = namesIn(dir);
    const record = await walkDir(walk, {
      dir,
      key: "",
      names,
      stat,
      same: true,
      asBelow: walk.changed?.above !== undefined,
      inGit: false,
      depth: 0,
      puts: [],
      bytes: 0,
    });
    for (const key of cache.dirs.keys()) if (!walk.seen.has(key) && !isBelow(walk.spared, key)) cache.dirs.delete(key);
    cache.generation = options.generation ?? null;
    const { skipped, unsteady, young, stats } = walk;
    return { ...record.ids!, skipped, unsteady, young, stats };
  } finally {
    if (locked !== null) fs.fchmodSync(dir.fd, locked);
    closeDir(dir);
  }
}

const NONE: ReadonlySet<string> = new Set();

async function walkDir(walk: Walk, here: Here): Promise<DirRecord> {
  // A deep tree must not be a deep stack.
  if (here.depth % 50 === 49) await null;
  const { key } = here;
  const { cache } = walk;
  if (walk.changed?.above && here.asBelow) here.names = ownNames(walk.changed.above, here);
  const { names } = here;
  const before = cache.dirs.get(key);
  const { kept, todo, slots, same } = await look(walk, here, before);
  try {
    for (const { index, stat, old } of todo) {
      slots[index] =
        sparedBelow(walk, here, names[index]!, stat, before, old) ??
        (await take(walk, here, names[index]!, stat, old < 0 ? null : rowAt(before!.rows, old)));
      if (here.bytes > 8 << 20 || here.puts.length >= 128) await settlePuts(here);
      if (walk.due()) await walk.rest();
    }
    await settlePuts(here);
  } catch (error) {
    await Promise.allSettled(here.puts);
    // What was read so far need not be read again.
    cache.dirs.set(key, {
      ...unnamed(walk, here, before),
      ...table(names, before, kept, slots),
      serial: cache.nextSerial++,
    });
    throw error;
  }
  walk.seen.add(key);
  const own = unnamed(walk, here, before);
  const changed =
    !before?.ids ||
    !same ||
    before.mode !== own.mode ||
    before.ns !== own.ns ||
    before.uid !== own.uid ||
    before.gid !== own.gid ||
    todo.some(({ index }) => !sameInState(before.rows, index, slots[index]!));
  if (!changed && walk.trusting && before.diskNs === own.diskNs && todo.every(({ index }) => slots[index]?.below))
    return before;
  const record: DirRecord = { ...own, ...table(names, before, kept, slots), serial: before?.serial ?? 0 };
  record.ids = !changed && walk.trusting ? before.ids : await store(walk.objects, here, record, slots);
  if (!before?.ids || !sameIds(before.ids, record.ids!)) record.serial = cache.nextSerial++;
  cache.dirs.set(key, record);
  return record;
}

/** A directory that nobody need look into. */
function sparedBelow(
  walk: Walk,
  here: Here,
  name: string,
  stat: fs.Stats,
  before: DirRecord | undefined,
  old: number,
): Slot | null {
  if (!walk.trusting || !stat.isDirectory()) return null;
  const key = inside(here.key, name);
  const below = unchanged(walk.cache, walk.changed, key, before, old, stat.ino);
  if (!below) return null;
  walk.spared.add(key);
  return { ...rowAt(before!.rows, old), below };
}

/** What the stat cache can tell of a directory's entries: for each name its row there, or -1 if the entry is among those to be looked into. */
async function look(
  walk: Walk,
  here: Here,
  before: DirRecord | undefined,
): Promise<{
  kept: Int32Array;
  todo: { index: number; stat: fs.Stats; old: number }[];
  slots: (Slot | null)[];
  same: boolean;
}> {
  const { dir, key, names } = here;
  const special = walk.leftOuts.get(key);
  const same = before !== undefined && before.names === names.join("\0");
  const places = before && !same ? placesIn(before) : null;
  const kept = new Int32Array(names.length).fill(-1);
  const slots: (Slot | null)[] = new Array(names.length).fill(null);
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
    const old = same ? at : (places?.get(name) ?? -1);
    if (old >= 0 && isUntouched(walk, here, name, before!, old)) {
      walk.stats.files++;
      slots[at] = untouchedBelow(walk, here, name, before!, old);
      if (!slots[at]) kept[at] = old;
      continue;
    }
    const stat = lookAt(dir, name);
    if (stat === "denied") skip(walk, here, name, "unreadable");
    if (!stat || stat === "denied") {
      dropped = true;
      continue;
    }
    walk.stats.files++;
    if (old >= 0 && isHit(before!.rows, old, stat) && !isMapped(walk, here, name)) kept[at] = old;
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
  return { kept, todo, slots, same: same && !dropped };
}

/** The names in a directory below, without what others have done there since. */
function ownNames({ entries, ground }: Above, { key, names }: Here): string[] {
  const below = new Set(namesOf(ground.get(key)!));
  const lies = (name: string): boolean => entries.has(inside(key, name));
  const listed = names.filter((name) => below.delete(name) || lies(name));
  return [...listed, ...[...below].filter((name) => !lies(name))].sort();
}

/** Whether nothing has touched an entry since its row was written: neither it nor, if it is a directory, what is below it. */
function isUntouched(walk: Walk, here: Here, name: string, before: DirRecord, at: number): boolean {
  const { trusting, changed, cache } = walk;
  if (!trusting || !here.same || !changed?.entries) return false;
  const key = inside(here.key, name);
  if (changed.entries.has(key) || isMapped(walk, here, name)) return false;
  const serial = serialAt(before.rows, at);
  // What lies below is not ours to look at.
  if (serial < 0) return isSettled(before.rows, at) || (here.asBelow && !changed.above!.entries.has(key));
  const record = cache.dirs.get(key);
  return record?.ids != null && record.serial === serial;
}

/** The row of a directory that nothing has touched; null for a file. */
function untouchedBelow({ cache, spared }: Walk, here: Here, name: string, before: DirRecord, at: number): Slot | null {
  if (serialAt(before.rows, at) < 0) return null;
  const key = inside(here.key, name);
  spared.add(key);
  return { ...rowAt(before.rows, at), below: cache.dirs.get(key)! };
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
