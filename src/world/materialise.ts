/** Makes a directory equal to a captured state, touching only what differs. */
import * as fs from "node:fs";
import { makeDirectories } from "../trace/directories.ts";
import type { Hash, Objects } from "../trace/ports.ts";
import { horizon, settled } from "./clock.ts";
import { absolute, arg, changeMode, closeDir, type Dir, denied, gone, namesIn, openDir, openRoot } from "./dirs.ts";
import { type Here, type Job, keep, type Make, rowOf, write } from "./fill.ts";
import { idsOf, isWanted, note, rowsOf, wantBelow } from "./known.ts";
import { leftOuts } from "./left-out.ts";
import { Missing } from "./missing.ts";
import { type PaceOptions, pace, type Stats } from "./pace.ts";
import { inside } from "./paths.ts";
import { dress } from "./place.ts";
import { located, type Plan, pathOfEntry, readPlan, show, type Target, type Want } from "./plan.ts";
import { below, type Keep, makeWritable, remove } from "./remove.ts";
import {
  type Changed,
  type DirRecord,
  emptyCache,
  type Ids,
  isBelow,
  isHit,
  placesIn,
  type Row,
  type StatCache,
  serialAt,
  setRow,
  settleRows,
  unchanged,
} from "./statcache.ts";
import { lookAt } from "./walk.ts";

/** A captured state, as `capture` gives it. */
export interface FileState {
  tree: Hash;
  /** Null or left out: modification times are those of the restore. */
  mtimes?: Hash | null | undefined;
  /** Null: no `.git` anywhere. Left out: every `.git` that is there stays as it is. */
  vcs?: Hash | null | undefined;
  vcsMtimes?: Hash | null | undefined;
}

/** A directory that may hold the same files, and what is known of it. It is only read. */
export interface Source {
  path: string | Buffer;
  cache: StatCache;
}

export interface MaterialiseOptions extends PaceOptions {
  /** What is known of the directory; brought up to date. One user at a time. */
  cache?: StatCache | undefined;
  /** Files found here unchanged share their blocks with the new ones, where the file system can do that. */
  from?: Source | undefined;
  /** Restores without what the store lacks, and says so, instead of throwing `Missing`. */
  partial?: boolean | undefined;
  /** Absolute paths that are left as they are. */
  exclude?: readonly Buffer[] | undefined;
  /** As for `capture`. */
  generation?: string | undefined;
  /** As for `capture`. */
  changed?: Changed | undefined;
  /** As for `capture`: then nothing stays since it cannot be read. */
  own?: boolean | undefined;
  /** As for `capture`; takes root. */
  owners?: boolean | undefined;
}

export interface Materialised {
  /** Files and links that were written; of these, how many share blocks with the source. */
  written: number;
  cloned: number;
  /** Entries that were taken away. */
  removed: number;
  /** What the store lacks, with `partial`. */
  missing: { path: Buffer; id: Hash }[];
  /** What stands where the state has nothing, or something else, and was left alone. */
  kept: { path: Buffer; why: Keep }[];
  /** Directories of `vcs` that have no place in `tree`. */
  unplaced: Buffer[];
  stats: Stats;
}

/**
 * Makes directory `path` (created if need be) equal to `state`, whatever it held. Nobody else may write to it meanwhile: what somebody writes
 * may stay, be lost, or be taken for what the state has. Stopped or failed halfway it leaves a directory from which the same call goes
 * on. Throws `Missing` where an object lacks, the reason of `signal`, and a sentence with the path where the system refuses.
 */
export async function materialise(
  path: string | Buffer,
  state: FileState,
  objects: Objects,
  options: MaterialiseOptions = {},
): Promise<Materialised> {
  const cache = options.cache ?? emptyCache();
  const steps = pace(options);
  const root = absolute(path);
  makeDirectories(arg(root));
  const dir = enterRoot(root);
  let from: Dir | null = null;
  try {
    if (options.from) from = openSource(options.from);
    const now = horizon(dir);
    const report: Materialised = {
      written: 0,
      cloned: 0,
      removed: 0,
      missing: [],
      kept: [],
      unplaced: [],
      stats: steps.stats,
    };
    if (cache.dirs.isEmpty) cache.generation = options.generation ?? null;
    else if (cache.generation !== options.generation) cache.generation = null;
    const make: Make = {
      ...steps,
      objects,
      cache,
      source: options.from?.cache ?? emptyCache(),
      shares: from !== null,
      made: [],
      seen: new Set(),
      unread: new Set(),
      changed: options.changed,
      spared: [],
      device: fs.fstatSync(dir.fd, { bigint: true }).dev,
      leftOuts: leftOuts(root, options.exclude),
      sparesGit: state.vcs === undefined,
      own: options.own ?? false,
      owners: options.owners ?? false,
      kept: (path, why) => report.kept.push({ path: Buffer.from(path, "latin1"), why }),
      removed: () => report.removed++,
      written: (cloned, bytes) => {
        report.written++;
        if (cloned) report.cloned++;
        steps.stats.read++;
        steps.stats.bytes += Number(bytes);
      },
      lacks: (error) => {
        if (!options.partial) throw error;
        report.missing.push({ path: error.path ?? Buffer.alloc(0), id: error.id });
      },
      unplaced: (path) => report.unplaced.push(path),
    };
    const want: Want = {
      tree: state.tree,
      mtimes: state.mtimes ?? null,
      vcs: state.vcs,
      vcsMtimes: state.vcsMtimes ?? null,
    };
    await makeDir(make, { dir, key: "", inGit: false, depth: 0, fresh: false, from }, want);
    for (const key of cache.dirs.keys())
      if (
        !make.seen.has(key) &&
        !isBelow(make.unread, key) &&
        !make.spared.some((git) => `${key}/`.startsWith(`${git}/`))
      )
        cache.dirs.delete(key);
    // Nobody else wrote, so what is older than now has the content that we gave it.
    const limit = now();
    for (const rows of make.made) settleRows(rows, (mtimeMs, ctimeMs) => settled(mtimeMs, ctimeMs, limit));
    return report;
  } finally {
    closeDir(dir);
    if (from) closeDir(from);
  }
}

function openSource({ path }: Source): Dir | null {
  try {
    return openRoot(absolute(path));
  } catch (error) {
    if (gone(error) || denied(error)) return null;
    throw error;
  }
}

/** Makes an open directory what is wanted, and gives what is known of it then: without ids if something could not be made so. */
async function makeDir(make: Make, here: Here, want: Want): Promise<DirRecord> {
  // A deep tree must not be a deep stack.
  if (here.depth % 50 === 49) await null;
  const { cache } = make;
  const before = here.fresh ? undefined : cache.dirs.get(here.key);
  if (before?.ids && isWanted(before.ids, want, here.inGit)) {
    if (here.unchanged) {
      make.unread.add(here.key);
      return before;
    }
    const record = await check(make, here, before, want);
    if (record) return record;
  }
  const plan = await readPlan(make.objects, want, here.key, here.inGit, make.lacks, make.owners);
  if (!here.fresh) makeWritable(here.dir);
  const { targets } = plan;
  const there = new Set(here.fresh ? [] : namesIn(here.dir));
  let complete = await clear(make, here, plan, there);
  const rows = await fill(make, here, targets, there, before);
  for (const [index, target] of targets.entries()) {
    if (target.type !== "d" || isLeftOut(make, here, target)) continue;
    if (make.due()) await make.rest();
    const row = await located(() => makeBelow(make, here, target, there.has(target.name)), here.key, target.name);
    rows[index] = row;
    if (row && !cache.dirs.get(inside(here.key, target.name))?.ids) complete = false;
  }
  for (const [index, row] of rows.entries()) {
    const { name, type, mode } = targets[index]!;
    const isFile = type === "f" || type === "F";
    if (!row || (isFile && !hasMode(make, inside(here.key, name), row.mode, mode))) complete = false;
  }
  const { mode, ns, owner } = plan;
  const stat = await located(() => dress(here.dir.fd, { mode, ns, owner }), here.key);
  if (!hasMode(make, here.key, Number(stat.mode), mode)) complete = false;
  return note(make, here, before, {
    names: targets.flatMap(({ name }, i) => (rows[i] ? [name] : [])).join("\0"),
    rows: rowsOf(rows),
    mode: Number(stat.mode) & 0o7777,
    diskNs: stat.mtimeNs,
    ns: ns ?? stat.mtimeNs,
    ids: complete ? idsOf(want, here.inGit) : null,
    uid: owner?.uid ?? 0,
    gid: owner?.gid ?? 0,
  });
}

/** Takes away what has no place in the plan; false if something stayed that a capture would see. */
async function clear(make: Make, here: Here, plan: Plan, there: ReadonlySet<string>): Promise<boolean> {
  for (const name of plan.unplaced) make.unplaced(pathOfEntry(here.key, name));
  let complete = plan.unplaced.length === 0;
  const wanted = new Set(plan.targets.map(({ name }) => name));
  for (const name of there) {
    if (wanted.has(name)) continue;
    if (name === ".git" && plan.sparesGit && isDirectory(here, name)) {
      make.spared.push(inside(here.key, name));
      continue;
    }
    if (!(await located(() => remove(make, here, name), here.key, name))) complete = false;
  }
  return complete;
}

/** Makes the files and links of a plan. A place in the answer is null for a directory, and for what could not be made. */
async function fill(
  make: Make,
  here: Here,
  targets: readonly Target[],
  there: ReadonlySet<string>,
  before: DirRecord | undefined,
): Promise<(Row | null)[]> {
  const rows: (Row | null)[] = new Array(targets.length).fill(null);
  let jobs: Job[] = [];
  const flush = async (): Promise<void> => {
    for (const [i, row] of (await write(make, here, jobs)).entries()) {
      const { target, index, replace } = jobs[i]!;
      rows[index] = row;
      // What the state would have there lacks; what is there now it has not.
      if (!row && replace) await remove(make, here, target.name);
    }
    jobs = [];
  };
  for (const [index, target] of targets.entries()) {
    if (target.type === "d" || isLeftOut(make, here, target)) continue;
    const { name } = target;
    make.stats.files++;
    if (make.due()) await make.rest();
    let replace = there.has(name);
    if (replace) {
      const old = before ? (placesIn(before).get(name) ?? -1) : -1;
      rows[index] = await located(() => keep(make, here, target, before, old), here.key, name);
      if (rows[index]) continue;
      if (isDirectory(here, name)) {
        if (!(await located(() => remove(make, here, name), here.key, name))) throw inTheWay(here, name);
        replace = false;
      }
    }
    jobs.push({ target, index, replace });
    if (jobs.length >= 16) await flush();
  }
  await flush();
  return rows;
}

/** Makes the directory that a target names; null if it could not be made. */
async function makeBelow(make: Make, here: Here, target: Target, exists: boolean): Promise<Row | null> {
  const { name } = target;
  const path = arg(here.dir.at + name);
  if (exists && !isDirectory(here, name)) {
    fs.unlinkSync(path);
    exists = false;
  }
  if (!exists) fs.mkdirSync(path, 0o700);
  const dir = enter(here.dir, name);
  const from = here.from && openSourceDir(here.from, name);
  try {
    if (fs.fstatSync(dir.fd, { bigint: true }).dev !== make.device) {
      make.kept(inside(here.key, name), "mounted");
      return null;
    }
    const key = inside(here.key, name);
    const parent = make.cache.dirs.get(here.key);
    const at = parent ? (placesIn(parent).get(name) ?? -1) : -1;
    const same = exists && unchanged(make.cache, make.changed, key, parent, at, fs.fstatSync(dir.fd).ino) !== null;
    const record = await makeDir(
      make,
      { ...below(here, dir, name), fresh: !exists, unchanged: same, from },
      target.want!,
    );
    return { ...rowOf(fs.fstatSync(dir.fd, { bigint: true }), target), size: record.serial, settled: true };
  } catch (error) {
    // Below it everything else is seen to: what lacks is the directory's own tree.
    if (!(error instanceof Missing)) throw error;
    make.lacks(error);
    await remove(make, here, name);
    return null;
  } finally {
    closeDir(dir);
    if (from) closeDir(from);
  }
}

/**
 * Whether the stat cache proves that a directory is what is wanted, but for the directories in it, which are gone through: its record then;
 * null if it has to be looked at in full.
 */
async function check(make: Make, here: Here, before: DirRecord, want: Want): Promise<DirRecord | null> {
  const { dir, key } = here;
  const names = namesIn(dir);
  const stat = fs.fstatSync(dir.fd, { bigint: true });
  if (names.join("\0") !== before.names || make.leftOuts.has(key)) return null;
  if ((Number(stat.mode) & 0o7777) !== before.mode || stat.mtimeNs !== before.diskNs) return null;
  const dirs: { name: string; at: number; ids: Ids }[] = [];
  for (const [at, name] of names.entries()) {
    const serial = serialAt(before.rows, at);
    if (serial >= 0) {
      const record = make.cache.dirs.get(inside(key, name));
      if (!record?.ids || record.serial !== serial) return null;
      dirs.push({ name, at, ids: record.ids });
      continue;
    }
    const entry = lookAt(dir, name);
    if (!entry || entry === "denied" || !isHit(before.rows, at, entry)) return null;
    make.stats.files++;
    if (make.due()) await make.rest();
  }
  let rows: Buffer | null = null;
  let complete = true;
  for (const { name, at, ids } of dirs) {
    if (name === ".git" && !here.inGit && want.vcs === undefined) {
      make.spared.push(inside(key, name));
      continue;
    }
    const target: Target = {
      name,
      type: "d",
      mode: 0,
      id: ids.tree,
      ns: null,
      owner: null,
      want: wantBelow(want, ids, name === ".git" && !here.inGit),
    };
    const row = await located(() => makeBelow(make, here, target, true), key, name);
    if (!row) return null;
    if (!make.cache.dirs.get(inside(key, name))?.ids) complete = false;
    if (row.size === serialAt(before.rows, at)) continue;
    rows ??= Buffer.from(before.rows);
    setRow(rows, at, row);
  }
  if (rows) return note(make, here, before, { ...before, rows, ids: complete ? before.ids : null });
  make.seen.add(key);
  return before;
}

/** Whether an entry has got its mode; told if it has not. */
function hasMode(make: Make, path: string, actual: number, wanted: number): boolean {
  if ((actual & 0o7777) === wanted) return true;
  make.kept(path, "mode");
  return false;
}

/** Whether a target's place is not ours; told once. */
function isLeftOut(make: Make, here: Here, { name }: Target): boolean {
  const why = make.leftOuts.get(here.key)?.get(name);
  if (why) make.kept(inside(here.key, name), why);
  return why !== undefined;
}

const isDirectory = ({ dir }: Here, name: string): boolean =>
  fs.lstatSync(arg(dir.at + name), { throwIfNoEntry: false })?.isDirectory() ?? false;

/** Opens a directory to be restored, also one that its owner may not look into. */
function enter(parent: Dir, name: string): Dir {
  try {
    return openDir(parent, name);
  } catch (error) {
    if (!denied(error)) throw error;
    changeMode(parent, name, 0o700);
    return openDir(parent, name);
  }
}

/** Opens the root to be restored, also where its owner may not look into it. */
function enterRoot(path: string): Dir {
  try {
    return openRoot(path);
  } catch (error) {
    if (!denied(error)) throw error;
    try {
      fs.chmodSync(arg(path), 0o700);
    } catch {
      throw error;
    }
    return openRoot(path);
  }
}

function openSourceDir(parent: Dir, name: string): Dir | null {
  try {
    return openDir(parent, name);
  } catch (error) {
    if (gone(error) || denied(error)) return null;
    throw error;
  }
}

const inTheWay = (here: Here, name: string): Error =>
  new Error(
    `${show(pathOfEntry(here.key, name))} cannot be restored: a directory stands there with something in it that is in no state. Move it away and try again.`,
  );
