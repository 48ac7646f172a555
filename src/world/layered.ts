/**
 * Roots of worlds that stand on layers: below, what nobody writes to; above, what one world has changed. To open one is a mount, however large
 * it is, and what has changed is found above alone.
 *
 *     <home>/<root>         where all is seen as one, by whoever has the mounts; to all others, room of the kernel's for that
 *     <home>/<root>.upper   what the world has changed
 *     <home>/<root>.base    which layers it stands on
 *
 * Each directory that a fork needs takes a fortieth of the time that it takes, so there is none beside the kernel's room to mount it on.
 */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import type { Objects } from "../trace/ports.ts";
import { bytesOf } from "./dirs.ts";
import { isState } from "./known.ts";
import {
  dressLike,
  filesOf,
  isWhole,
  keysOf,
  type Layer,
  type LayerSpec,
  type Layers,
  layerNamed,
  layerOf,
  type Mounts,
  makeLayer,
  namesIn,
  removeLayers,
  touch,
  withOverlay,
} from "./layers.ts";
import type { FileState } from "./materialise.ts";
import { discard } from "./remove.ts";
import type { Changed } from "./statcache.ts";
import { type Ground, loadCache } from "./statfile.ts";
import { throwAway } from "./trash.ts";
import { changedIn } from "./upper.ts";

export type { Layers, Mounts } from "./layers.ts";

/** A root that stands on layers. */
export interface Layered {
  /** Where its files are reached. */
  path: string;
  /** Throws a sentence where they are there no more: who has made the mount is gone, and another process may have its number by now. */
  check(): void;
  /** Whether it has the state for which it was opened without being set to it. */
  readonly isSet: boolean;
  /** What is known of the layers. */
  readonly ground: Ground;
  /** Whether nothing differs from the layers. */
  isUntouched(): boolean;
  /** Where something may differ from the layers, or has changed since a time (ms since 1970) and is not known all the same. */
  changed(since: number | null, isKnown?: (path: string) => boolean): Promise<Changed>;
  close(): Promise<void>;
}

export interface LayeredSpec extends Omit<LayerSpec, "state"> {
  state: FileState | undefined;
  /** Where a world keeps what may hold much of the same. */
  like?: string | undefined;
  /** Whether nothing lies in `home` yet. */
  isNew?: boolean | undefined;
}

/** Which layers a root stands on; none where nothing that is kept says so. */
export interface Note {
  family: string;
  layers: string[];
}

/** What lies beside a place of a root. */
const ENDS = ["", ".upper", ".base", ".stat"] as const;
export const endsOf = (home: string, root: string) =>
  ENDS.map((end) => join(home, root + end)) as [at: string, upper: string, note: string, stat: string];

/** Whether what lies there is a root on layers, or was about to become one: without that it is a directory of its own. */
export const isLayered = (home: string, root: string): boolean => {
  const [, upper, note] = endsOf(home, root);
  return fs.existsSync(note) || fs.existsSync(upper);
};

/** Opens a root as layers; null where it is to be a directory of its own. What an earlier owner left above is there again. */
export async function openLayered(
  home: string,
  root: string,
  layers: Layers,
  objects: Objects,
  spec: LayeredSpec,
): Promise<Layered | null> {
  const [at, upper, note, stat] = endsOf(home, root);
  const isThere = !spec.isNew && isLayered(home, root);
  // Filled before there were layers, or where there were none.
  if (!spec.isNew && !isThere && fs.existsSync(at)) return null;
  const mounts = await usable(layers);
  const { state, family } = spec;
  // What stands above says nothing without what is below. And where all that is wanted lies below, nothing of it is needed.
  let base = isThere && mounts ? layerIn(layers, note) : null;
  const kept = base && !(state && !holds(stat, base, state) && layerOf(layers, family, state));
  if (isThere && !kept) forget(home, root, layers);
  if (!mounts) return null;
  layApart(mounts, dirname(home));
  let isSet = false;
  if (!kept) {
    if (!state) return null;
    const near = (): Layer | null =>
      base ?? (spec.like === undefined ? null : layerIn(layers, endsOf(spec.like, root)[2]));
    base = layerOf(layers, family, state) ?? (await makeLayer(layers, mounts, objects, { ...spec, state }, near()));
    isSet = base.exact;
  }
  const layer = base!;
  touch(layer);
  // Of a killed owner the kernel would not take it again.
  if (kept) throwAway(dirname(home), at, layers);
  const named = (): void => {
    if (!kept) noteDown(note, { family, layers: keysOf(layer) });
  };
  const isUntouched = (): boolean => namesIn(upper).length === 0;
  try {
    const shown = await show(layers, mounts, home, root, filesOf(layer), named);
    const close = async (): Promise<void> => {
      await shown.close();
      if (isUntouched()) throwAway(dirname(home), upper, layers);
    };
    const changed: Layered["changed"] = (...which) => changedIn(mounts, upper, ...which);
    return { ...shown, isSet, ground: groundOf(layer, isSet, spec), isUntouched, changed, close };
  } catch (error) {
    // Somebody has found that nobody needs it, in the same moment.
    if (isWhole(layer)) throw error;
    forget(home, root, layers);
    return openLayered(home, root, layers, objects, spec);
  }
}

/** Where worlds lie that were told to lie apart. */
const apart = new Set<string>();

function layApart({ spread }: Mounts, worlds: string): void {
  if (apart.has(worlds)) return;
  apart.add(worlds);
  // Not every file system knows that, and none needs it to work.
  spread(worlds).catch(() => {});
}

/**
 * Mounts a root over directories, the first over the next.
 * @param meanwhile what can be done while that is done
 */
export async function show(
  layers: Layers,
  mounts: Mounts,
  home: string,
  root: string,
  lower: readonly string[],
  meanwhile?: () => void,
): Promise<Pick<Layered, "path" | "check" | "close">> {
  const [at, upper] = endsOf(home, root);
  // Above comes first: by that it is told from a directory of its own.
  if (!fs.existsSync(upper) || namesIn(upper).length === 0) dressLike(upper, lower[0]!);
  fs.mkdirSync(at, { recursive: true, mode: 0o700 });
  const mounting = mounts.overlay({ at, upper, work: at, lower });
  const path = mounts.root + at;
  let fd: number | null = null;
  const close = async (): Promise<void> => {
    if (fd !== null) fs.closeSync(fd);
    // Where who has made it is gone, so is the mount.
    await mounts.unmount(at).catch(() => {});
    throwAway(dirname(home), at, layers);
  };
  try {
    try {
      meanwhile?.();
    } finally {
      await mounting;
    }
    fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
    const is = fs.fstatSync(fd);
    const check = (): void => {
      const now = fs.statSync(path, { throwIfNoEntry: false });
      // The directory below the mount is not the scope's, and nobody must take it for its files.
      if (!now || now.dev !== is.dev || now.ino !== is.ino || is.dev === fs.statSync(at).dev)
        throw new Error(
          "The files of the scope went with the process that had mounted them: go on with `shepherd resume`.",
        );
    };
    check();
    return { path, check, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Says on which layers a root stands. */
export const noteDown = (file: string, note: Note): void =>
  fs.writeFileSync(file, JSON.stringify(note), { mode: 0o600 });

/** The layer that a world stands on; null where it is not there any more. */
function layerIn(layers: Layers, note: string): Layer | null {
  const named = noteIn(note);
  if (!named?.layers[0]) return null;
  const layer = layerNamed(layers, named.family, named.layers[0]);
  return layer && keysOf(layer).join() === named.layers.join() ? layer : null;
}

function noteIn(file: string): Note | null {
  try {
    const { family, layers } = JSON.parse(fs.readFileSync(file, "utf8")) as Note;
    return { family, layers };
  } catch {
    return null;
  }
}

/** Whether a root was known to have a state when it was closed. */
const holds = (stat: string, { ground }: Layer, state: FileState): boolean =>
  isState(loadCache(stat, ground).dirs.get("")?.ids, state);

/**
 * What is known of a layer. All that a base holds is in the state for which it was opened, so the store has it: it may say so although the store
 * has collected since it was made.
 */
const groundOf = ({ ground, below }: Layer, isSet: boolean, { generation }: LayeredSpec): Ground =>
  generation !== undefined && isSet && below.length === 0 && ground.generation !== null
    ? { ...ground, generation }
    : ground;

/** Whether layers work where they lie, by their places. */
const tried = new Map<string, Promise<Mounts | null>>();

/**
 * Who makes overlays there. Not every file system takes them: one that is an overlay itself, as in a container, does not. Throws where the disk
 * is full: that says nothing of overlays.
 */
export function usable(layers: Layers): Promise<Mounts | null> {
  const known = tried.get(layers.bases) ?? tryOut(layers);
  tried.set(layers.bases, known);
  known.catch(() => tried.delete(layers.bases));
  return known;
}

async function tryOut({ bases, mounts }: Layers): Promise<Mounts | null> {
  const given = await mounts();
  if (!given) return null;
  const name = `new-${process.pid}-${randomBytes(4).toString("hex")}`;
  const path = join(bases, name);
  try {
    for (const each of ["lower/a", "lower/c", "upper", "at", "work"])
      fs.mkdirSync(join(path, each), { recursive: true, mode: 0o700 });
    fs.writeFileSync(join(path, "lower/c/f"), "");
  } catch (error) {
    await discard(bytesOf(bases), name);
    throw error;
  }
  try {
    return await withOverlay(given, path, { upper: join(path, "upper"), lower: [join(path, "lower")] }, async (at) => {
      // Without this a directory of the layer could not be renamed.
      if (given.renames) fs.renameSync(join(at, "a"), join(at, "b"));
      // What the kernel notes above of what is gone below, and of what has taken its place.
      fs.renameSync(join(at, "c/f"), join(at, "f"));
      fs.rmdirSync(join(at, "c"));
      fs.mkdirSync(join(at, "c"));
      return fs.readdirSync(join(at, "c")).length === 0 && fs.existsSync(join(at, "f")) ? given : null;
    });
  } catch {
    return null;
  } finally {
    await discard(bytesOf(bases), name);
  }
}

/** Removes all that is kept of a root as layers. */
export function forget(home: string, root: string, layers: Layers): void {
  const [at, upper, note, stat] = endsOf(home, root);
  // The note last: without it what is left would be taken for a directory of its own.
  for (const each of [at, upper, stat, note]) throwAway(dirname(home), each, layers);
}

/** Removes layers on which no world stands any more, and that nobody is about to use. */
export async function removeUnused(bases: string, worlds: string, idle: number): Promise<void> {
  const named = new Map<string, Set<string>>();
  for (const id of namesIn(worlds))
    for (const name of namesIn(join(worlds, id))) {
      const note = name.endsWith(".base") ? noteIn(join(worlds, id, name)) : null;
      if (!note) continue;
      const keys = named.get(note.family) ?? new Set();
      for (const key of note.layers) keys.add(key);
      named.set(note.family, keys);
    }
  await removeLayers(bases, named, idle);
}
