/**
 * Roots of worlds as layers: below, one base for all worlds of a family, which nobody writes to; above, what one world has changed. To open one
 * is a mount, however large the base is, and what has changed is found above alone.
 *
 *     <bases>/<family>/<n>/files       a base; made once, and never written to again
 *     <bases>/<family>/<n>/files.stat  what is known of it; there once it is whole
 *     <bases>/<family>/<n>/boot        since which start of the machine
 *     <bases>/<family>/<n>/usage       what it takes, in bytes
 *     <bases>/<family>/usage           what all of them take
 *     <bases>/<family>/making          who makes one
 *     <home>/<root>                    where both are seen as one, by whoever has the mounts; empty to all others
 *     <home>/<root>.base               which base it stands on
 *     <home>/<root>.upper, .work       what the world has changed, and room of the kernel's for that
 */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { alive, isOwner, thisOwner } from "../trace/owner.ts";
import type { Objects } from "../trace/ports.ts";
import { USAGE } from "../trace/quota.ts";
import { openDirectory } from "./directory.ts";
import { arg, bytesOf, closeDir, type Dir, gone, openDir, openRoot } from "./dirs.ts";
import type { RestoreOptions } from "./driver.ts";
import type { FileState, Source } from "./materialise.ts";
import { inside } from "./paths.ts";
import { discard } from "./remove.ts";
import { bootId } from "./statcache.ts";

/** Who makes overlays: they are seen in its mounts, and not in this process's. */
export interface Mounts {
  /** Where its root is seen from here. */
  readonly root: string;
  overlay(layers: { lower: string; upper: string; work: string; at: string }): Promise<void>;
  unmount(at: string): Promise<void>;
}

export interface Layers {
  /** Where bases lie; it must exist. */
  bases: string;
  /** The roots that are worth it. */
  roots: readonly string[];
  /** Null where there are no overlays here. */
  mounts(): Promise<Mounts | null>;
}

/** A root that stands on a base. */
export interface Layer {
  /** Where its files are reached. */
  path: string;
  /** Throws a sentence where they are there no more: who has made the mount is gone, and another process may have its number by now. */
  check(): void;
  /** What is known of the base. */
  stat: string;
  /** The directories in which something differs from the base, by their paths in the tree. */
  changed(): ReadonlySet<string>;
  close(): Promise<void>;
}

export interface LayerSpec extends RestoreOptions<string> {
  family: string;
  generation: string | undefined;
  mode?: number | undefined;
  /** What a first base is to hold, and where it may share blocks. */
  state: FileState | undefined;
  seed?: Source | undefined;
}

/** Bases that are being made by this process, by their families. */
const making = new Map<string, Promise<string>>();

/** Opens a root as layers; null where it is to be a directory of its own. What an earlier owner left above is there again. */
export async function openLayer(
  home: string,
  root: string,
  layers: Layers,
  objects: Objects,
  spec: LayerSpec,
): Promise<Layer | null> {
  const [at, upper, work, note] = ["", ".upper", ".work", ".base"].map((end) => join(home, root + end)) as [
    string,
    string,
    string,
    string,
  ];
  // Filled before there were layers, or where there were none.
  if (fs.existsSync(at) && !fs.existsSync(note)) return null;
  const mounts = await usable(layers);
  if (!mounts) {
    if (fs.existsSync(note)) await forget(home, root);
    return null;
  }
  let base = fs.existsSync(note) ? fs.readFileSync(note, "utf8") : null;
  if (base !== null && !isWhole(base)) {
    // What stands above says nothing without what is below.
    await forget(home, root);
    base = null;
  }
  if (base === null) {
    if (!spec.state) return null;
    base = newest(layers, spec.family) ?? (await makeBase(layers, objects, spec));
    fs.mkdirSync(at, { recursive: true, mode: 0o700 });
    fs.writeFileSync(note, base, { mode: 0o600 });
  }
  touch(base);
  // Of a killed owner the kernel would not take it again.
  await discard(bytesOf(home), `${root}.work`);
  for (const each of [at, upper, work]) fs.mkdirSync(each, { recursive: true, mode: 0o700 });
  if (fs.readdirSync(upper).length === 0) fs.chmodSync(upper, fs.statSync(join(base, "files")).mode & 0o7777);
  try {
    await mounts.overlay({ lower: join(base, "files"), upper, work, at });
  } catch (error) {
    // Somebody has found that nobody needs it, in the same moment.
    if (isWhole(base)) throw error;
    await forget(home, root);
    return openLayer(home, root, layers, objects, spec);
  }
  const path = mounts.root + at;
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  const is = fs.fstatSync(fd);
  const close = async (): Promise<void> => {
    fs.closeSync(fd);
    // Where who has made it is gone, so is the mount.
    await mounts.unmount(at).catch(() => {});
  };
  const check = (): void => {
    const now = fs.statSync(path, { throwIfNoEntry: false });
    // The directory below the mount is an empty one, for which nobody must take it.
    if (!now || now.dev !== is.dev || now.ino !== is.ino || is.dev === fs.statSync(at).dev)
      throw new Error(
        "The files of the scope went with the process that had mounted them: go on with `shepherd resume`.",
      );
  };
  try {
    check();
  } catch (error) {
    await close();
    throw error;
  }
  return { path, stat: join(base, "files.stat"), check, changed: () => directoriesIn(upper), close };
}

/** Whether layers work where the bases lie, by their places. */
const tried = new Map<string, Promise<Mounts | null>>();

/** Who makes overlays there. Not every file system takes them: one that is an overlay itself, as in a container, does not. */
export function usable(layers: Layers): Promise<Mounts | null> {
  const known = tried.get(layers.bases) ?? tryOut(layers);
  tried.set(layers.bases, known);
  return known;
}

async function tryOut({ bases, mounts }: Layers): Promise<Mounts | null> {
  const given = await mounts();
  if (!given) return null;
  const name = `new-${process.pid}-${randomBytes(4).toString("hex")}`;
  const [lower, upper, work, at] = ["lower", "upper", "work", "at"].map((part) => join(bases, name, part)) as [
    string,
    string,
    string,
    string,
  ];
  try {
    for (const each of [lower, upper, work, at]) fs.mkdirSync(each, { recursive: true, mode: 0o700 });
    fs.mkdirSync(join(lower, "a"));
    await given.overlay({ lower, upper, work, at });
    try {
      // Without this a directory of the base could not be renamed.
      fs.renameSync(join(given.root + at, "a"), join(given.root + at, "b"));
      return given;
    } finally {
      await given.unmount(at);
    }
  } catch {
    return null;
  } finally {
    await discard(bytesOf(bases), name);
  }
}

/** Removes all that is kept of a root as layers. */
async function forget(home: string, root: string): Promise<void> {
  for (const end of ["", ".upper", ".work", ".base", ".stat"]) await discard(bytesOf(home), root + end);
}

/** So long after it was written a file is on the disk by itself, in ms. */
const FLUSHED = 120_000;

/** What had only been written when the machine went down may lack in it, though all of it was known. */
function isWhole(base: string): boolean {
  if (!fs.existsSync(join(base, "files.stat"))) return false;
  const made = fs.statSync(join(base, "boot"), { throwIfNoEntry: false });
  if (!made) return false;
  return fs.readFileSync(join(base, "boot"), "utf8") === bootId() || fs.statSync(base).mtimeMs - made.mtimeMs > FLUSHED;
}

function newest({ bases }: Layers, family: string): string | null {
  const all = join(bases, family);
  const whole = numbersIn(all).filter((n) => isWhole(join(all, String(n))));
  return whole.length === 0 ? null : join(all, String(Math.max(...whole)));
}

function makeBase(layers: Layers, objects: Objects, spec: LayerSpec): Promise<string> {
  const key = join(layers.bases, spec.family);
  const known = making.get(key);
  if (known) return known.catch(() => makeBase(layers, objects, spec));
  const made = fillBase(layers, objects, spec).finally(() => making.delete(key));
  making.set(key, made);
  return made;
}

/** One process makes the first base of a family, and those that came with it wait. */
async function fillBase(layers: Layers, objects: Objects, spec: LayerSpec): Promise<string> {
  const all = join(layers.bases, spec.family);
  fs.mkdirSync(all, { recursive: true, mode: 0o700 });
  const { mode, generation, signal, onProgress, seed } = spec;
  const lock = join(all, "making");
  while (!take(lock)) {
    onProgress?.({ files: 0, read: 0, bytes: 0 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    signal?.throwIfAborted();
  }
  const name = "new";
  try {
    // What somebody who was killed has begun.
    await discard(bytesOf(all), name);
    const base = newest(layers, spec.family);
    if (base !== null) return base;
    const number = String(Math.max(0, ...numbersIn(all)) + 1);
    fs.mkdirSync(join(all, name), { mode: 0o700 });
    const path = join(all, name, "files");
    const files = openDirectory(path, { ...(mode !== undefined && { mode }) }, objects, generation);
    await files.restore(spec.state!, { from: seed, signal, onProgress });
    files.save();
    fs.writeFileSync(join(all, name, "boot"), bootId() ?? "", { mode: 0o600 });
    fs.writeFileSync(join(all, name, USAGE), `${files.bytes()}\n`, { mode: 0o600 });
    if (!isWhole(join(all, name))) throw new Error("What is known of the files of a scope cannot be kept.");
    fs.renameSync(join(all, name), join(all, number));
    tellUsage(all);
    return join(all, number);
  } catch (error) {
    await discard(bytesOf(all), name);
    throw error;
  } finally {
    fs.rmSync(lock, { force: true });
  }
}

/** Takes a lock for this process; false as long as another one has it that lives. */
function take(lock: string): boolean {
  // Whole from the first, so that nobody reads half of it.
  const own = `${lock}-${randomBytes(6).toString("hex")}`;
  fs.writeFileSync(own, JSON.stringify(thisOwner()), { mode: 0o600 });
  try {
    fs.linkSync(own, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    fs.rmSync(own, { force: true });
  }
  const owner = ownerOf(lock);
  if (owner !== undefined && !(isOwner(owner) && alive(owner))) fs.rmSync(lock, { force: true });
  return false;
}

/** Who has a lock; undefined if nobody has it any more. */
function ownerOf(lock: string): unknown {
  try {
    return JSON.parse(fs.readFileSync(lock, "utf8"));
  } catch (error) {
    return error instanceof SyntaxError ? null : undefined;
  }
}

const numbersIn = (all: string): number[] =>
  namesIn(all)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

/** Says what the bases of a family take, so that nobody has to look through them. */
function tellUsage(all: string): void {
  const read = (file: string): number => (fs.existsSync(file) ? Number(fs.readFileSync(file, "utf8")) : 0);
  const sum = numbersIn(all).reduce((bytes, n) => bytes + read(join(all, String(n), USAGE)), 0);
  fs.writeFileSync(join(all, USAGE), `${sum}\n`, { mode: 0o600 });
}

/** Its time is that of the last use. */
function touch(base: string): void {
  const now = Date.now() / 1000;
  try {
    fs.utimesSync(base, now, now);
  } catch {
    // On a disk that takes nothing.
  }
}

/** Removes bases on which no world stands any more, and that nobody is about to use. */
export async function removeBases(bases: string, worlds: string, idle: number): Promise<void> {
  const used = new Set<string>();
  for (const id of namesIn(worlds))
    for (const name of namesIn(join(worlds, id))) if (name.endsWith(".base")) used.add(baseIn(join(worlds, id, name)));
  for (const family of namesIn(bases)) {
    const all = join(bases, family);
    for (const n of numbersIn(all)) {
      const base = join(all, String(n));
      const stat = fs.statSync(base, { throwIfNoEntry: false });
      if (!stat || used.has(base) || Date.now() - stat.mtimeMs < idle) continue;
      await discard(bytesOf(all), String(n));
      tellUsage(all);
    }
  }
}

/** The base that a world names; an empty text where the world is gone. */
function baseIn(note: string): string {
  try {
    return fs.readFileSync(note, "utf8");
  } catch {
    return "";
  }
}

/** The names in a directory; none where there is no such directory. */
function namesIn(path: string): string[] {
  try {
    return fs.readdirSync(path);
  } catch (error) {
    if (gone(error)) return [];
    throw error;
  }
}

/** The directories below one, by their paths in it, and itself. However deep it is: neither a path nor the stack limits it. */
function directoriesIn(upper: string): Set<string> {
  const found = new Set([""]);
  const dirsIn = ({ at }: Dir): string[] =>
    fs
      .readdirSync(arg(at), { withFileTypes: true, encoding: "latin1" })
      .flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  const open: Array<{ dir: Dir; key: string; left: string[] }> = [];
  const enter = (dir: Dir, key: string): void => void open.push({ dir, key, left: dirsIn(dir) });
  try {
    enter(openRoot(bytesOf(upper)), "");
    for (let here = open.at(-1); here; here = open.at(-1)) {
      const name = here.left.pop();
      if (name === undefined) {
        closeDir(open.pop()!.dir);
        continue;
      }
      const key = inside(here.key, name);
      found.add(key);
      try {
        enter(openDir(here.dir, name), key);
      } catch (error) {
        // A process has removed it meanwhile.
        if (!gone(error)) throw error;
      }
    }
    return found;
  } finally {
    for (const { dir } of open) closeDir(dir);
  }
}
