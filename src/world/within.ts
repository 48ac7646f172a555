/**
 * Single files below a directory that a program in a scope writes to as well: whatever links it has put there, these reach nothing outside,
 * and a pipe or a device holds nobody up.
 */
import * as fs from "node:fs";
import { arg, bytesOf, closeDir, type Dir, denied, gone, openDir, openRoot } from "./dirs.ts";
import { placeFile } from "./place.ts";

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
/** A larger file counts as none, in bytes. */
const MOST = 1 << 29;

/** Calls back with the directory of `path`, which is relative to `root`, and the last name. Throws where `step` comes to no directory. */
function at<T>(
  root: string,
  path: string,
  step: (dir: Dir, name: string) => Dir,
  use: (dir: Dir, name: string) => T,
): T {
  const names = bytesOf(path).split("/");
  const last = names.pop()!;
  let dir = openRoot(bytesOf(root));
  try {
    for (const name of names) {
      const below = step(dir, name);
      closeDir(dir);
      dir = below;
    }
    return use(dir, last);
  } finally {
    closeDir(dir);
  }
}

/** As `at`; null where nothing is in that place. */
function ifThere<T>(root: string, path: string, use: (dir: Dir, name: string) => T): T | null {
  try {
    return at(root, path, openDir, use);
  } catch (error) {
    if (gone(error)) return null;
    throw error;
  }
}

/** What a program keeps from us it has not. */
function ifReadable<T>(root: string, path: string, use: (dir: Dir, name: string) => T): T | null {
  try {
    return ifThere(root, path, use);
  } catch (error) {
    if (denied(error)) return null;
    throw error;
  }
}

/** The bytes of a file; null where there is none that can be read. */
export const readWithin = (root: string, path: string): Buffer | null =>
  ifReadable(root, path, (dir, name) => {
    const fd = fs.openSync(arg(dir.at + name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const stat = fs.fstatSync(fd);
      return stat.isFile() && stat.size <= MOST ? fs.readFileSync(fd) : null;
    } finally {
      fs.closeSync(fd);
    }
  });

/** The size of a file, in bytes; null where there is none that can be looked at. */
export const sizeWithin = (root: string, path: string): number | null =>
  ifReadable(root, path, (dir, name) => {
    const stat = fs.lstatSync(arg(dir.at + name));
    return stat.isFile() ? stat.size : null;
  });

/** Writes a file, with the directories above it; what else stands in their places makes way. Not synced. */
export function writeWithin(root: string, path: string, bytes: Uint8Array): void {
  at(root, path, madeDir, (dir, name) => {
    if (fs.lstatSync(arg(dir.at + name), { throwIfNoEntry: false })?.isDirectory()) clear(dir, name);
    const file = placeFile(dir, name, 0o600, true);
    try {
      file.write(bytes);
      file.finish({ mode: 0o600, ns: null });
    } finally {
      file.close();
    }
  });
}

/** Removes a file, or what stands in its place. */
export const removeWithin = (root: string, path: string): void => void ifThere(root, path, clear);

/** A link is removed itself, and not what it leads to. */
const clear = (dir: Dir, name: string): void => fs.rmSync(arg(dir.at + name), { recursive: true, force: true });

function madeDir(parent: Dir, name: string): Dir {
  try {
    return openDir(parent, name);
  } catch (error) {
    if (!gone(error)) throw error;
  }
  clear(parent, name);
  fs.mkdirSync(arg(parent.at + name), 0o700);
  return openDir(parent, name);
}
