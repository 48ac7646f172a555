/** Takes entries out of a directory, with all that is in them. */
import * as fs from "node:fs";
import { MAX_FILE } from "./content.ts";
import { arg, changeMode, closeDir, type Dir, denied, namesIn, openDir, openRoot } from "./dirs.ts";
import { type LeftOut, type LeftOuts, leftOuts } from "./left-out.ts";
import { type Pace, pace } from "./pace.ts";
import { inside } from "./paths.ts";

/**
 * Why something is left as it is. `vcs`: a `.git` that the state says nothing of. `mode`: the system did not take the mode that the state
 * has (a group's bit from somebody who is not in the group; a file system without modes).
 */
export type Keep = LeftOut | "vcs" | "unreadable" | "too large" | "mode";

export interface Remover extends Pace {
  device: bigint;
  leftOuts: LeftOuts;
  /** Whether directories named `.git` are none of our business. */
  sparesGit: boolean;
  /** Whether nothing needs to be brought back: then only mounts stay. */
  forgets?: boolean;
  /** Whether a capture keeps also what its owner may not read. */
  own?: boolean;
  /** Called for each entry that is kept, with its path in the tree. */
  kept: (path: string, why: Keep) => void;
  /** Called for each entry that is gone. */
  removed: () => void;
}

/** A directory in the tree. */
export interface Place {
  dir: Dir;
  /** Its path in the tree, "" for the root. */
  key: string;
  /** Whether it is `.git` or in it. */
  inGit: boolean;
  depth: number;
}

export const below = ({ key, inGit, depth }: Place, dir: Dir, name: string): Place => ({
  dir,
  key: inside(key, name),
  inGit: inGit || name === ".git",
  depth: depth + 1,
});

/**
 * Removes an entry. What no capture could have kept (what is unreadable, excluded, or on another file system) stays, since it could not be
 * brought back, and so do the directories above it. False if anything stayed.
 */
export async function remove(remover: Remover, place: Place, name: string): Promise<boolean> {
  // A deep tree must not be a deep stack.
  if (place.depth % 50 === 49) await null;
  const path = arg(place.dir.at + name);
  const stat = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (!stat) return true;
  const why = reasonToKeep(remover, place, name, stat);
  if (why) {
    remover.kept(inside(place.key, name), why);
    return false;
  }
  if (remover.due()) await remover.rest();
  if (stat.isDirectory()) {
    if (!(await empty(remover, place, name, Number(stat.mode) & 0o7777))) return false;
    makeWritable(place.dir);
    fs.rmdirSync(path);
  } else {
    makeWritable(place.dir);
    fs.unlinkSync(path);
  }
  remover.removed();
  return true;
}

async function empty(remover: Remover, place: Place, name: string, mode: number): Promise<boolean> {
  let dir: Dir;
  try {
    if ((remover.forgets || remover.own) && (mode & 0o700) !== 0o700 && process.geteuid?.() !== 0)
      changeMode(place.dir, name, 0o700);
    dir = openDir(place.dir, name);
  } catch (error) {
    if (!denied(error)) throw error;
    remover.kept(inside(place.key, name), "unreadable");
    return false;
  }
  try {
    let all = true;
    const inner = below(place, dir, name);
    for (const each of namesIn(dir)) if (!(await remove(remover, inner, each))) all = false;
    if (!all && (fs.fstatSync(dir.fd).mode & 0o7777) !== mode) fs.fchmodSync(dir.fd, mode);
    return all;
  } finally {
    closeDir(dir);
  }
}

function reasonToKeep(remover: Remover, place: Place, name: string, stat: fs.BigIntStats): Keep | null {
  const why = remover.leftOuts.get(place.key)?.get(name);
  if (why) return why;
  if (stat.isDirectory()) {
    if (stat.dev !== remover.device) return "mounted";
    return name === ".git" && !place.inGit && remover.sparesGit ? "vcs" : null;
  }
  if (!stat.isFile() || remover.forgets) return null;
  if (stat.size > MAX_FILE) return "too large";
  if (remover.own || process.geteuid?.() === 0) return null;
  try {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
    fs.closeSync(fs.openSync(arg(place.dir.at + name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    return null;
  } catch (error) {
    return denied(error) ? "unreadable" : null;
  }
}

/** Lets its owner change a directory. Who restores it sets its mode afterwards. */
export function makeWritable({ fd }: Dir): void {
  if (process.geteuid?.() === 0) return;
  const mode = fs.fstatSync(fd).mode & 0o7777;
  if ((mode & 0o700) === 0o700) return;
  try {
    fs.fchmodSync(fd, mode | 0o700);
  } catch (error) {
    // Another owner's: whoever writes to it fails, or not.
    if (!denied(error)) throw error;
  }
}

/** Removes the directory `name` of directory `parent` (absolute byte string) for good. What is mounted in it stays; false then. */
export async function discard(parent: string, name: string): Promise<boolean> {
  const dir = openRoot(parent);
  try {
    let all = true;
    const remover: Remover = {
      ...pace({}),
      device: fs.fstatSync(dir.fd, { bigint: true }).dev,
      leftOuts: leftOuts(parent),
      sparesGit: false,
      forgets: true,
      kept: () => {
        all = false;
      },
      removed: () => {},
    };
    return (await remove(remover, { dir, key: "", inGit: false, depth: 0 }, name)) && all;
  } finally {
    closeDir(dir);
  }
}
