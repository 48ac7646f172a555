/**
 * The system calls that a landing is made of, so that tests can let somebody else act between any two of them. Names and paths are byte
 * strings (see world/dirs.ts); every entry is named by an open directory, so no link that appears on the way leads a call elsewhere.
 */
import * as fs from "node:fs";
import type { Objects } from "../../trace/ports.ts";
import { type Taken, takeFile } from "../../world/content.ts";
import { arg, closeDir, codeOf, type Dir, gone, namesIn, openDir, openRoot, pathOf } from "../../world/dirs.ts";
import type { Pace } from "../../world/pace.ts";

export type Stat = fs.BigIntStats;

/** Each throws what its system call throws, but where it says otherwise. */
export interface Files {
  /** Opens a directory by its path, through links. */
  openRoot(path: string): Dir;
  /** Opens an entry as a directory; never follows a link. */
  openDir(parent: Dir, name: string): Dir;
  closeDir(dir: Dir): void;
  names(dir: Dir): string[];
  /** Null where there is nothing. */
  lstat(dir: Dir, name: string): Stat | null;
  readlink(dir: Dir, name: string): Buffer;
  /** See `takeFile`. */
  take(dir: Dir, name: string, put: Objects["put"], pace: Pace): ReturnType<typeof takeFile>;
  /** Creates a file for writing that only its owner may read. */
  create(dir: Dir, name: string): number;
  /** Writes all of it. */
  write(fd: number, bytes: Uint8Array, position: number): void;
  truncate(fd: number, size: number): void;
  fchmod(fd: number, mode: number): void;
  fsync(fd: number): Promise<void>;
  close(fd: number): void;
  symlink(target: Buffer, dir: Dir, name: string): void;
  /** Gives a file or link a second name; never replaces, never follows. */
  link(from: Dir, name: string, to: Dir, as: string): void;
  rename(from: Dir, name: string, to: Dir, as: string): void;
  unlink(dir: Dir, name: string): void;
  mkdir(dir: Dir, name: string, mode: number): void;
  rmdir(dir: Dir, name: string): void;
  /** Changes the owner of an entry; never follows a link. */
  chown(dir: Dir, name: string, uid: number, gid: number): void;
  /** Changes the mode of a file or directory if the entry still is the inode of `same`, with its mode; false if it is not. */
  chmod(dir: Dir, name: string, mode: number, same: Stat): boolean;
  /** Makes the names in a directory survive power loss. */
  syncDir(dir: Dir): Promise<void>;
  /**
   * Exchanges two names in one system call (renameat2 with RENAME_EXCHANGE). Where there is none, the old entry is moved away and the new
   * one linked in, and the name is free for the moment between.
   */
  exchange?(a: Dir, name: string, b: Dir, other: string): void;
}

export type { Dir, Taken };

const at = (dir: Dir, name: string) => arg(dir.at + name);
const { O_WRONLY, O_CREAT, O_EXCL, O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_DIRECTORY } = fs.constants;
/** O_PATH, the same number on every architecture that Node is built for: opens what may not be read, too. */
const BARE = process.platform === "linux" && pathOf(0) ? 0o10000000 : O_RDONLY;

const fsync = (fd: number): Promise<void> =>
  new Promise((resolve, reject) => fs.fsync(fd, (error) => (error ? reject(error) : resolve())));

export const realFiles: Files = {
  openRoot,
  openDir,
  closeDir,
  names: namesIn,
  lstat: (dir, name) => {
    try {
      return fs.lstatSync(at(dir, name), { bigint: true, throwIfNoEntry: false }) ?? null;
    } catch (error) {
      if (gone(error)) return null;
      throw error;
    }
  },
  readlink: (dir, name) => fs.readlinkSync(at(dir, name), "buffer"),
  take: takeFile,
  create: (dir, name) => fs.openSync(at(dir, name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600),
  write: (fd, bytes, position) => {
    for (let done = 0; done < bytes.length; )
      done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done);
  },
  truncate: (fd, size) => fs.ftruncateSync(fd, size),
  fchmod: (fd, mode) => fs.fchmodSync(fd, mode),
  fsync,
  close: (fd) => fs.closeSync(fd),
  symlink: (target, dir, name) => fs.symlinkSync(target, at(dir, name)),
  link: (from, name, to, as) => {
    // There a second name of a link would be one of what it leads to. A new link replaces nothing either.
    if (process.platform === "darwin" && fs.lstatSync(at(from, name)).isSymbolicLink())
      fs.symlinkSync(fs.readlinkSync(at(from, name), "buffer"), at(to, as));
    else fs.linkSync(at(from, name), at(to, as));
  },
  rename: (from, name, to, as) => fs.renameSync(at(from, name), at(to, as)),
  unlink: (dir, name) => fs.unlinkSync(at(dir, name)),
  mkdir: (dir, name, mode) => {
    fs.mkdirSync(at(dir, name), { mode });
  },
  rmdir: (dir, name) => fs.rmdirSync(at(dir, name)),
  chown: (dir, name, uid, gid) => fs.lchownSync(at(dir, name), uid, gid),
  chmod: (dir, name, mode, same) => {
    let fd: number;
    try {
      fd = fs.openSync(at(dir, name), BARE | O_NOFOLLOW | O_NONBLOCK);
    } catch (error) {
      if (gone(error)) return false;
      throw error;
    }
    try {
      const stat = fs.fstatSync(fd, { bigint: true });
      if (stat.ino !== same.ino || stat.dev !== same.dev || stat.mode !== same.mode) return false;
      const path = pathOf(fd);
      if (path) fs.chmodSync(path, mode);
      else fs.fchmodSync(fd, mode);
      return true;
    } finally {
      fs.closeSync(fd);
    }
  },
  syncDir: async (dir) => {
    const fd = fs.openSync(at(dir, "."), O_RDONLY | O_DIRECTORY);
    try {
      await fsync(fd);
    } catch (error) {
      // Some file systems keep no directories to sync.
      if (codeOf(error) !== "EINVAL" && codeOf(error) !== "ENOTSUP") throw error;
    } finally {
      fs.closeSync(fd);
    }
  },
};
