/** A directory that is captured and restored again and again, with what is known of it kept in a file beside it. */
import * as fs from "node:fs";
import type { Objects } from "../trace/ports.ts";
import { type Capture, capture, type Mapped, type Skipped } from "./capture.ts";
import { arg } from "./dirs.ts";
import type { RootSpec } from "./driver.ts";
import { isState } from "./known.ts";
import { type FileState, type Materialised, materialise, type Source } from "./materialise.ts";
import type { PaceOptions } from "./pace.ts";
import { lookAt } from "./rooted.ts";
import { bytesIn, type Changed, isHit, placesIn, type StatCache } from "./statcache.ts";
import { type Ground, keepCache, knownIn, loadCache } from "./statfile.ts";

export interface Directory {
  readonly path: string;
  /** `mapped`: files that processes can write to through mappings, and when that was looked at. They are read now, and the next time. */
  capture(options?: PaceOptions & { mapped?: Mapped | undefined }): Promise<Capture>;
  /** Leaves out what the store lacks. */
  restore(state: FileState, options: PaceOptions & { from?: Source | undefined }): Promise<Materialised>;
  /** Whether it is known to hold a state, to the last byte. */
  holds(state: FileState): boolean;
  /** Keeps what is known, if anything has become known since. */
  save(): void;
  /** What the files take, as far as is known; where it stands on another one, those of the directories in which something differs. */
  bytes(): Promise<number>;
}

/** What is known of it where it stands on another one. */
export interface Known {
  /** Where it lies. */
  stat?: string;
  /** What is known of the other one. */
  ground?: Ground;
  /** Where alone something may have changed since a time (ms since 1970); null: since it was like the other one. */
  changed?: (since: number | null, isKnown?: (path: string) => boolean) => Promise<Changed>;
  /** Whether it still is like the other one. */
  isSet?: boolean;
  /** So far a stamp may be behind the clock, in ms. */
  lag?: number | undefined;
}

/** What is known is kept once so many files or bytes would have to be read again without it, and at the end. */
const FILES = 1000;
const BYTES = 64 << 20;

/** A moment by the clock that makes stamps, and by one that nobody sets. Both in ms. */
interface Moment {
  at: number;
  steady: number;
}
const moment = (): Moment => ({ at: Date.now(), steady: performance.now() });

/** Stamps later than a moment are greater only if nobody has set the clock since. */
const sameClock = (a: Moment, b: Moment): boolean => Math.abs(b.at - a.at - (b.steady - a.steady)) < LAG / 2;
const LAG = 2000;

const NONE: ReadonlySet<string> = new Set();

/** With some files, and all directories above them. */
function withPaths(changed: Changed, files: ReadonlySet<string>): Changed {
  const { dirs, entries } = changed;
  if (files.size === 0) return changed;
  const more = new Set(dirs);
  for (const file of files)
    for (let end = file.lastIndexOf("/"); end > 0; end = file.lastIndexOf("/", end - 1)) more.add(file.slice(0, end));
  return { ...changed, dirs: more, entries: entries && new Set([...entries, ...more]) };
}

/** Whether a file is what it was when it was looked at. Its directory need not be listed then. */
function isKnownFile({ dirs }: StatCache, root: string, file: string): boolean {
  const cut = file.lastIndexOf("/");
  const record = dirs.get(file.slice(0, Math.max(0, cut)));
  const at = record && placesIn(record).get(file.slice(cut + 1));
  if (at === undefined) return false;
  const stat = lookAt(arg(`${root}/${file}`));
  return stat !== undefined && isHit(record!.rows, at, stat);
}

const parentOf = (path: Buffer): string => path.toString("latin1").replace(/\/?[^/]*$/, "");

/** Opens `path`, and makes it if there is none. What is known of it lies in `path`.stat. */
export function openDirectory(
  path: string,
  { mode = 0o700, exclude = [], owners }: RootSpec,
  objects: Objects,
  generation: string | undefined,
  { stat: file = `${path}.stat`, ground, changed, isSet = false, lag = LAG }: Known = {},
): Directory {
  if (!ground && !fs.existsSync(path)) {
    fs.mkdirSync(path, mode);
    // mkdir heeds the umask.
    fs.chmodSync(path, mode);
  }
  const cache = loadCache(file, ground);
  let saved = knownIn(cache);
  const known = {
    own: true,
    owners,
    cache,
    generation,
    exclude: exclude.map((name) => Buffer.from(`${path}/${name}`)),
  };
  let unsaved = { files: 0, bytes: 0 };
  const save = (): void => {
    keepCache(file, cache, saved);
    unsaved = { files: 0, bytes: 0 };
    saved = knownIn(cache);
  };
  // When it was captured or restored last.
  let last: Moment | null = isSet ? moment() : null;
  let skipped: readonly Skipped[] = [];
  let mappedBefore: Iterable<string> = [];
  const keep = async <T extends Capture | Materialised>(
    work: (changed: Changed | undefined) => Promise<T>,
    files = NONE,
    isKnown?: (path: string) => boolean,
  ): Promise<T> => {
    const began = moment();
    const since = last && sameClock(last, began) ? last.at - lag : null;
    last = null;
    try {
      const looked = changed && withPaths(await changed(since, isKnown), files);
      const done = await work(looked);
      if ("skipped" in done) {
        // What was left out where nobody looked still is there.
        if (looked) done.skipped.push(...skipped.filter(({ path }) => !looked.dirs.has(parentOf(path))));
        skipped = done.skipped;
      }
      last = began;
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
    capture: ({ mapped = { files: NONE, at: Number.POSITIVE_INFINITY }, ...options } = {}) => {
      const files = new Set([...mappedBefore, ...mapped.files]);
      mappedBefore = files;
      return keep(
        async (changed) => {
          const done = await capture(path, objects, { ...options, ...known, changed, mapped: { ...mapped, files } });
          mappedBefore = mapped.files;
          return done;
        },
        files,
        (file) => isKnownFile(cache, path, file),
      );
    },
    restore: (state, options) =>
      keep((changed) => materialise(path, state, objects, { ...options, ...known, changed, partial: true })),
    holds: (state) => isState(cache.dirs.get("")?.ids, state),
    save,
    bytes: async () => bytesIn(cache, await changed?.(null)),
  };
}
