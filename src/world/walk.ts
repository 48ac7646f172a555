/** What one capture walks with: what it knows, where it is, and what it has found. */
import * as fs from "node:fs";
import type { Objects } from "../trace/ports.ts";
import { arg, type Dir, denied, gone } from "./dirs.ts";
import type { LeftOut, LeftOuts } from "./left-out.ts";
import type { Pace } from "./pace.ts";
import { inside } from "./paths.ts";
import type { Changed, DirRecord, Row, StatCache } from "./statcache.ts";

/** Why an entry is no part of the captured state. `changing`: it became something else each time it was looked at. */
export type Why = LeftOut | "socket" | "fifo" | "device" | "unreadable" | "too large" | "changing";

export interface Skipped {
  /** Relative to the captured directory. */
  path: Buffer;
  why: Why;
}

export interface Walk extends Pace {
  objects: Objects;
  cache: StatCache;
  device: bigint;
  trusting: boolean;
  /** Whether the files are ours alone: then what keeps its owner out is read all the same. */
  own: boolean;
  /** Whether it is carried who owns what. */
  owners: boolean;
  leftOuts: LeftOuts;
  seen: Set<string>;
  /** Directories that nobody looked into, since nothing has changed below. */
  spared: Set<string>;
  /** Where alone something may have changed since the cache was brought up to date; undefined: anywhere. */
  changed: Changed | undefined;
  /** Files of which no stamp tells what they hold, by their paths in the tree. */
  mapped: ReadonlySet<string>;
  skipped: Skipped[];
  unsteady: Buffer[];
  young: number;
  /** What is older is settled, if it is read from now on. */
  limit: number;
  /** Goes through a directory below. */
  descend: (here: Here) => Promise<DirRecord>;
}

/** A directory on the walk. */
export interface Here {
  dir: Dir;
  key: string;
  names: string[];
  stat: fs.BigIntStats;
  /** Whether it is the directory that the cache knows by this path: another may have come into its place, with old files. */
  same: boolean;
  /** Whether it is the directory below that the ground knows by this path, with something above. */
  asBelow: boolean;
  /** Whether it is `.git` or in it: then no name is special. */
  inGit: boolean;
  depth: number;
  /** Puts that have not returned, and their bytes. */
  puts: Promise<void>[];
  bytes: number;
}

/** An entry as it will be in the state. Its id is empty until it is put. */
export interface Slot extends Row {
  /** The record of a directory. */
  below?: DirRecord;
}

export const isMapped = ({ mapped }: Walk, { key }: Here, name: string): boolean =>
  mapped.size > 0 && mapped.has(inside(key, name));

/** Takes note of an entry that is left out. */
export function skip(walk: Walk, here: Here, name: string, why: Why): null {
  walk.skipped.push({ path: Buffer.from(inside(here.key, name), "latin1"), why });
  return null;
}

const quiet = { throwIfNoEntry: false } as const;

/** What an entry is; by its path first, which is quicker, and by the open directory if that leads nowhere. */
export function lookAt(dir: Dir, name: string): fs.Stats | "denied" | undefined {
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
