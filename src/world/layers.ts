/**
 * Layers that worlds of a family stand on, as a cache by what they hold. A layer is made once, from the store, and never written to again: below,
 * a base, which has all files of a state; over it, what another state has otherwise, as the kernel's overlays know it. Which state that is says
 * its name, so that a fork of a state that was forked before is a mount.
 *
 *     <bases>/<family>/<key>/files       what it has
 *     <bases>/<family>/<key>/files.stat  what is known of it
 *     <bases>/<family>/<key>/about       what it stands on; there once it is whole
 *     <bases>/<family>/<key>/usage       what it takes, in bytes
 *     <bases>/<family>/usage             what all of them take
 *     <bases>/<family>/making            who makes one
 *
 * One made for each of n steps would make n of them. So a new one takes in those below that took in no more than itself, as a binary counter
 * carries: log n of them are left, and a file is written log n times.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { sha256 } from "../trace/bytes.ts";
import type { Objects } from "../trace/ports.ts";
import { USAGE } from "../trace/quota.ts";
import { openDirectory } from "./directory.ts";
import { bytesOf, gone } from "./dirs.ts";
import type { RestoreOptions } from "./driver.ts";
import { whileLocked } from "./lockfile.ts";
import type { FileState, Source } from "./materialise.ts";
import { dress } from "./place.ts";
import { discard } from "./remove.ts";
import { bootId, type Ground, loadGround } from "./statfile.ts";
import { changedIn } from "./upper.ts";

/** Who makes overlays: they are seen in its mounts, and not in this process's. */
export interface Mounts {
  /** Where its root is seen from here. */
  readonly root: string;
  /** Whether all can rename a directory of a layer there; else only commands can, in a sandbox. */
  readonly renames: boolean;
  /** Shows directories as one at `at`, the first of `lower` over the next, and `upper` over all, which alone is written to. */
  overlay(layers: { at: string; upper: string; work: string; lower: readonly string[] }): Promise<void>;
  unmount(at: string): Promise<void>;
  /** What has changed below a directory since a time (ms since 1970), by paths in it (latin1); with 0 all directories. */
  changed(path: string, since: number): Promise<string[]>;
  /** Has directories that are made in this one from then on lie apart on the disk. Rejects where the file system knows no such thing. */
  spread(path: string): Promise<void>;
  /** Takes out what is in a directory, as far as that can be done and nothing is mounted there. */
  remove(path: string): Promise<void>;
}

export interface Layers {
  /** Where they lie; it must exist. */
  bases: string;
  /** The roots of worlds that are worth it. */
  roots: readonly string[];
  /** Null where there are no overlays here. */
  mounts(): Promise<Mounts | null>;
}

export interface Layer {
  readonly key: string;
  readonly path: string;
  /** What it stands on, and that on what it stands. */
  readonly below: readonly Layer[];
  /** How often it has taken others in; a base never is. */
  readonly rank: number;
  /** Whether it holds what its name says, to the last byte. */
  readonly exact: boolean;
  readonly bytes: number;
  /** What is known of what it shows together with those below. */
  readonly ground: Ground;
}

export interface LayerSpec extends RestoreOptions<string> {
  family: string;
  generation: string | undefined;
  mode?: number | undefined;
  owners?: boolean | undefined;
  state: FileState;
  /** Where a base may share blocks. */
  seed?: Source | undefined;
}

/** What `about` says. */
interface About {
  v: 1;
  boot: string | null;
  below: string[];
  rank: number;
  exact: boolean;
  bytes: number;
}

export const filesOf = ({ path, below }: Layer): string[] => [path, ...below.map((each) => each.path)].map(files);
const files = (path: string): string => join(path, "files");

export const keysOf = ({ key, below }: Layer): string[] => [key, ...below.map((each) => each.key)];

/** Whether nobody has removed some of what it shows. */
export const isWhole = ({ path, below }: Layer): boolean =>
  [path, ...below.map((each) => each.path)].every((each) => fs.existsSync(join(each, "about")));

const keyOf = ({ tree, mtimes = null, vcs, vcsMtimes = null }: FileState): string =>
  sha256(JSON.stringify([tree, mtimes, vcs ?? (vcs === null ? "none" : "any"), vcsMtimes])).slice(0, 32);

/** Layers that were found whole, by their paths, and when they were made. They do not change, but may go, and come again as others. */
const found = new Map<string, { layer: Layer; made: string }>();

/** The layer of this name; null where it is not there, or not all that it needs. */
export function layerNamed({ bases }: Layers, family: string, key: string): Layer | null {
  const path = join(bases, family, key);
  const stat = fs.statSync(join(path, "about"), { throwIfNoEntry: false });
  const made = stat ? `${stat.ino} ${stat.ctimeMs}` : "";
  const known = found.get(path);
  if (stat && known?.made === made) return known.layer;
  found.delete(path);
  if (!stat) return null;
  try {
    const about = JSON.parse(fs.readFileSync(join(path, "about"), "utf8")) as About;
    // What had only been written when the machine went down may lack in it, though all of it was known.
    if (about.v !== 1 || (about.boot !== bootId() && fs.statSync(path).mtimeMs - stat.mtimeMs <= FLUSHED)) return null;
    const below = about.below.map((each) => layerNamed({ bases } as Layers, family, each));
    if (!below.every((each) => each !== null)) return null;
    const { rank, exact, bytes } = about;
    const ground = loadGround(join(path, "files.stat"), below[0]?.ground ?? null);
    const layer: Layer = {
      key,
      path,
      below,
      rank: below.length === 0 ? Number.POSITIVE_INFINITY : rank,
      exact,
      bytes,
      ground,
    };
    found.set(path, { layer, made });
    return layer;
  } catch {
    return null;
  }
}

/** So long after it was written a file is on the disk by itself, in ms. */
const FLUSHED = 120_000;

/** The layer that holds a state exactly; null if there is none. */
export function layerOf(layers: Layers, family: string, state: FileState): Layer | null {
  const layer = layerNamed(layers, family, keyOf(state));
  return layer?.exact ? layer : null;
}

/** One on which a state may stand that nothing else is known of: the base that was used last. */
export function anyBase(layers: Layers, family: string): Layer | null {
  const all = join(layers.bases, family);
  return (
    keysIn(all)
      .map((key) => ({ key, used: fs.statSync(join(all, key), { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
      .sort((a, b) => b.used - a.used)
      .map(({ key }) => layerNamed(layers, family, key))
      .find((layer) => layer !== null && layer.below.length === 0) ?? null
  );
}

/** Layers that are being made by this process, by their paths. */
const making = new Map<string, Promise<Layer>>();

/**
 * The layer of a state, made if need be. It is not exact where the store lacks some of it.
 * @param near one that holds much of the same
 */
export async function makeLayer(
  layers: Layers,
  mounts: Mounts,
  objects: Objects,
  spec: LayerSpec,
  near: Layer | null,
): Promise<Layer> {
  const key = keyOf(spec.state);
  const path = join(layers.bases, spec.family, key);
  const known = making.get(path);
  if (known) return known.catch(() => makeLayer(layers, mounts, objects, spec, near));
  const made = whileAlone(layers, spec, async (all) => {
    const there = layerNamed(layers, spec.family, key);
    if (there) return there;
    const under = near ?? anyBase(layers, spec.family);
    await discard(bytesOf(all), key);
    await fill(mounts, objects, spec, { all, key, ...placeOver(under) });
    return layerNamed(layers, spec.family, key) ?? fail();
  }).finally(() => making.delete(path));
  making.set(path, made);
  return made;
}

function fail(): never {
  throw new Error("What is known of the files of a scope cannot be kept.");
}

/** More than this, in bytes, is not written again so that there are fewer layers. */
const LARGE = 64 << 20;
/** However large they are, no more may lie upon each other: then all but the base are taken in at once. The helper can name 60. */
export const DEEP = 40;

/** What a new layer is to stand on, and how often it has taken others in then. */
export function placeOver(near: Layer | null): { under: Layer | null; rank: number } {
  if (near && near.below.length >= DEEP) return { under: near.below.at(-1)!, rank: near.below.length };
  let [under, rank] = [near, 0];
  while (under && under.below.length > 0 && under.rank <= rank && under.bytes < LARGE) {
    rank = under.rank + 1;
    under = under.below[0]!;
  }
  return { under, rank };
}

interface Making {
  all: string;
  key: string;
  under: Layer | null;
  rank: number;
}

async function fill(
  mounts: Mounts,
  objects: Objects,
  spec: LayerSpec,
  { all, key, under, rank }: Making,
): Promise<void> {
  const { mode, owners, generation, signal, onProgress, seed, state } = spec;
  const root = { ...(mode !== undefined && { mode }), ...(owners && { owners }) };
  const path = join(all, "new");
  const upper = files(path);
  try {
    fs.mkdirSync(path, { mode: 0o700 });
    const restored = async (at: string, known: Parameters<typeof openDirectory>[4]) => {
      const directory = openDirectory(at, root, objects, generation, known);
      const { missing } = await directory.restore(state, { from: seed, signal, onProgress });
      return { directory, exact: missing.length === 0 && directory.holds(state) };
    };
    let made: Awaited<ReturnType<typeof restored>>;
    if (under) {
      const lower = filesOf(under);
      const stat = join(path, "files.stat");
      dressLike(upper, lower[0]!);
      const over = { stat, ground: under.ground, changed: (since: number | null) => changedIn(mounts, upper, since) };
      await withOverlay(mounts, path, { upper, lower }, async (at) => (await restored(at, over)).directory.save());
      // A directory that shows through has another number from below than from above.
      fs.mkdirSync(join(path, "above"), { mode: 0o700 });
      dressLike(join(path, "above"), upper);
      made = await withOverlay(mounts, path, { upper: join(path, "above"), lower: [upper, ...lower] }, async (at) => {
        const directory = openDirectory(at, root, objects, generation, over);
        await directory.capture(signal ? { signal } : {});
        return { directory, exact: directory.holds(state) };
      });
      await discard(bytesOf(path), "above");
    } else made = await restored(upper, {});
    made.directory.save();
    const about: About = {
      ...{ v: 1, boot: bootId(), below: under ? keysOf(under) : [], rank },
      ...{ exact: made.exact, bytes: await made.directory.bytes() },
    };
    fs.writeFileSync(join(path, USAGE), `${about.bytes}\n`, { mode: 0o600 });
    fs.writeFileSync(join(path, "about"), JSON.stringify(about), { mode: 0o600 });
    fs.renameSync(path, join(all, key));
    tellUsage(all, toldUsage(all) + about.bytes);
  } catch (error) {
    await discard(bytesOf(all), "new");
    throw error;
  }
}

/** Shows layers as one at a place that is there as long as the work goes on. */
export async function withOverlay<T>(
  mounts: Mounts,
  path: string,
  { upper, lower }: { upper: string; lower: readonly string[] },
  work: (at: string) => Promise<T>,
): Promise<T> {
  const [place, room] = [join(path, "at"), join(path, "work")];
  for (const each of [place, room]) fs.mkdirSync(each, { recursive: true, mode: 0o700 });
  await mounts.overlay({ at: place, upper, work: room, lower });
  try {
    return await work(mounts.root + place);
  } finally {
    await mounts.unmount(place);
    for (const each of ["at", "work"]) await discard(bytesOf(path), each);
  }
}

/** Gives a directory, made if need be, the owner, the mode and the time of another one: a root is seen to have those of what lies above all. */
export function dressLike(path: string, other: string): void {
  fs.mkdirSync(path, { recursive: true, mode: 0o700 });
  const { mode, mtimeNs: ns, uid, gid } = fs.statSync(other, { bigint: true });
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    dress(fd, { mode: Number(mode) & 0o7777, ns, owner: { uid: Number(uid), gid: Number(gid) } });
  } finally {
    fs.closeSync(fd);
  }
}

/** One process makes a layer of a family at a time, and others wait. */
async function whileAlone<T>(
  { bases }: Layers,
  { family, signal, onProgress }: LayerSpec,
  work: (all: string) => Promise<T>,
): Promise<T> {
  const all = join(bases, family);
  fs.mkdirSync(all, { recursive: true, mode: 0o700 });
  const waits = (): void => onProgress?.({ files: 0, read: 0, bytes: 0 });
  return whileLocked(join(all, "making"), { signal, waits }, async () => {
    // What somebody who was killed has begun.
    await discard(bytesOf(all), "new");
    return work(all);
  });
}

const keysIn = (all: string): string[] => namesIn(all).filter((name) => /^[0-9a-f]+$/.test(name));

/** Says what the layers of a family take, so that nobody has to look through them. */
const tellUsage = (all: string, bytes: number): void =>
  fs.writeFileSync(join(all, USAGE), `${bytes}\n`, { mode: 0o600 });

const toldUsage = (path: string): number => {
  const file = join(path, USAGE);
  return fs.existsSync(file) ? Number(fs.readFileSync(file, "utf8")) : 0;
};

/** Its time is that of the last use. */
export function touch({ path }: Layer): void {
  const now = Date.now() / 1000;
  try {
    fs.utimesSync(path, now, now);
  } catch {
    // On a disk that takes nothing.
  }
}

/**
 * Removes layers on which nothing stands any more, and that nobody is about to use.
 * @param named the layers that worlds stand on, by family
 */
export async function removeLayers(
  bases: string,
  named: ReadonlyMap<string, ReadonlySet<string>>,
  idle: number,
): Promise<void> {
  for (const family of namesIn(bases)) {
    const all = join(bases, family);
    const kept = new Set(named.get(family));
    const isIdle = (key: string): boolean => {
      const stat = fs.statSync(join(all, key), { throwIfNoEntry: false });
      return stat !== undefined && Date.now() - stat.mtimeMs >= idle;
    };
    const there = keysIn(all);
    for (const key of there) if (!isIdle(key)) kept.add(key);
    for (const key of [...kept]) for (const each of belowOf(join(all, key))) kept.add(each);
    const unused = there.filter((key) => !kept.has(key));
    for (const key of unused) {
      // First what says that it is whole, so that nobody takes what is left for it.
      fs.rmSync(join(all, key, "about"), { force: true });
      found.delete(join(all, key));
      await discard(bytesOf(all), key);
    }
    if (unused.length > 0)
      tellUsage(
        all,
        keysIn(all).reduce((bytes, key) => bytes + toldUsage(join(all, key)), 0),
      );
  }
}

function belowOf(path: string): string[] {
  try {
    return (JSON.parse(fs.readFileSync(join(path, "about"), "utf8")) as About).below;
  } catch {
    return [];
  }
}

/** The names in a directory; none where there is no such directory. */
export function namesIn(path: string): string[] {
  try {
    return fs.readdirSync(path);
  } catch (error) {
    if (gone(error)) return [];
    throw error;
  }
}
