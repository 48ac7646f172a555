/** A directory that is captured and restored again and again, with what is known of it kept in a file beside it. */
import * as fs from "node:fs";
import type { Objects } from "../trace/ports.ts";
import { type Capture, capture } from "./capture.ts";
import type { RootSpec } from "./driver.ts";
import { type FileState, type Materialised, materialise, type Source } from "./materialise.ts";
import type { PaceOptions } from "./pace.ts";
import { bytesIn, keepCache, knownIn, loadCache } from "./statcache.ts";

export interface Directory {
  readonly path: string;
  capture(options?: PaceOptions): Promise<Capture>;
  /** Leaves out what the store lacks. */
  restore(state: FileState, options: PaceOptions & { from?: Source | undefined }): Promise<Materialised>;
  /** Keeps what is known, if anything has become known since. */
  save(): void;
  /** What the files take, as far as is known; where it stands on another one, those of the directories in which something differs. */
  bytes(): number;
}

/** What is known of it where it stands on another one. */
export interface Known {
  /** Where it lies. */
  stat?: string;
  /** What is known of the other one, which it is until something is known of itself. */
  base?: string;
  /** The only directories in which something may have changed since it was captured or restored last. */
  changed?: () => ReadonlySet<string>;
}

/** What is known is kept once so many files or bytes would have to be read again without it, and at the end. */
const FILES = 1000;
const BYTES = 64 << 20;

/** Opens `path`, and makes it if there is none. What is known of it lies in `path`.stat. */
export function openDirectory(
  path: string,
  { mode = 0o700, exclude = [] }: RootSpec,
  objects: Objects,
  generation: string | undefined,
  { stat: file = `${path}.stat`, base, changed }: Known = {},
): Directory {
  if (!fs.existsSync(path)) {
    fs.mkdirSync(path, mode);
    // mkdir heeds the umask.
    fs.chmodSync(path, mode);
  }
  const cache = loadCache(base !== undefined && !fs.existsSync(file) ? base : file);
  let saved = knownIn(cache);
  const known = { own: true, cache, generation, exclude: exclude.map((name) => Buffer.from(`${path}/${name}`)) };
  let unsaved = { files: 0, bytes: 0 };
  const save = (): void => {
    keepCache(file, cache, saved);
    unsaved = { files: 0, bytes: 0 };
    saved = knownIn(cache);
  };
  const keep = async <T extends Capture | Materialised>(work: Promise<T>): Promise<T> => {
    try {
      const done = await work;
      unsaved.files += done.stats.read;
      unsaved.bytes += done.stats.bytes;
      if (unsaved.files > FILES || unsaved.bytes > BYTES) save();
      return done;
    } catch (error) {
      // How far it came is known, but not how much that was.
      unsaved.files++;
      save();
      throw error;
    }
  };
  return {
    path,
    capture: (options) => keep(capture(path, objects, { ...options, ...known, changed: changed?.() })),
    restore: (state, options) =>
      keep(materialise(path, state, objects, { ...options, ...known, changed: changed?.(), partial: true })),
    save,
    bytes: () => bytesIn(cache, changed?.()),
  };
}
