/**
 * Puts one file or link into an open directory. What stands there is replaced by a rename, never written to: a process may have it open
 * or mapped, and it may have another name elsewhere.
 */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { arg, changeMode, codeOf, type Dir, pathOf } from "./dirs.ts";

const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, COPYFILE_EXCL, COPYFILE_FICLONE_FORCE } = fs.constants;

/** What a file has besides its content. */
export interface Attributes {
  /** The 07777 bits. */
  mode: number;
  /** Nanoseconds since 1970; null leaves the time of writing. */
  ns: bigint | null;
}

/** A file that is being written. One of `finish` and `abort` must be called. */
export interface Placing {
  /** Appends. Long runs of zeroes are left as holes. */
  write(bytes: Uint8Array): void;
  /** Puts the file under its name and tells what it is then. */
  finish(attributes: Attributes): fs.BigIntStats;
  abort(): void;
}

/** Begins a file. With `replace` something other than a directory may stand there, and does until the end; without it nothing may. */
export function placeFile(dir: Dir, name: string, mode: number, replace: boolean): Placing {
  const path = arg(dir.at + (replace ? temporaryName() : name));
  const fd = fs.openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode & 0o777);
  let size = 0;
  let end = 0;
  return {
    write: (bytes) => {
      const written = writeSparse(fd, bytes, size);
      size += bytes.length;
      if (written > 0) end = size - bytes.length + written;
    },
    finish: (attributes) => {
      if (end < size) fs.ftruncateSync(fd, size);
      const stat = dress(fd, attributes);
      return arrive(dir, name, path, replace, () => fs.fstatSync(fd, { bigint: true }), stat, () => fs.closeSync(fd));
    },
    abort: () => {
      fs.closeSync(fd);
      fs.rmSync(path, { force: true });
    },
  };
}
