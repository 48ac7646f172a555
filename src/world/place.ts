/**
 * Puts one file or link into an open directory. What stands there is replaced by a rename, never written to: a process may have it open
 * or mapped, and it may have another name elsewhere.
 */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { isTime } from "./clock.ts";
import { arg, codeOf, type Dir, pathOf } from "./dirs.ts";
import type { Owner } from "./mtimes.ts";

const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, COPYFILE_EXCL, COPYFILE_FICLONE_FORCE } = fs.constants;

/** What a file has besides its content. */
export interface Attributes {
  /** The 07777 bits. */
  mode: number;
  /** Nanoseconds since 1970; null leaves the time of writing. */
  ns: bigint | null;
  /** Null, or left out: who makes it. */
  owner?: Owner | null;
}

/** A file that is being written. `close` must be called; before `finish` it takes the file away again. */
export interface Placing {
  /** Appends. Long runs of zeroes are left as holes. */
  write(bytes: Uint8Array): void;
  /** Puts the file under its name, and tells what it is then. */
  finish(attributes: Attributes): fs.BigIntStats;
  close(): void;
}

/** Begins a file. With `replace` something other than a directory may stand there, and does until the end; without it nothing may. */
export function placeFile(dir: Dir, name: string, mode: number, replace: boolean): Placing {
  const path = arg(dir.at + (replace ? temporaryName() : name));
  const fd = fs.openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode & 0o777);
  let size = 0;
  let written = 0;
  let done = false;
  return {
    write: (bytes) => {
      written = writeSparse(fd, bytes, size) ?? written;
      size += bytes.length;
    },
    finish: ({ mode, ns, owner }) => {
      if (written < size) fs.ftruncateSync(fd, size);
      // A new file's time is never the wanted one, so there is no need to look.
      if (ns !== null) fs.futimesSync(fd, Date.now() / 1000, seconds(ns));
      let stat = dress(fd, { mode, ns: null, owner: owner ?? null });
      if (replace) {
        fs.renameSync(path, arg(dir.at + name));
        stat = fs.fstatSync(fd, { bigint: true });
      }
      done = true;
      return stat;
    },
    close: () => {
      fs.closeSync(fd);
      if (!done) fs.rmSync(path, { force: true });
    },
  };
}

/**
 * Makes a file that shares its blocks with an open one, if that is `unchanged` afterwards (else null). "unable": the file system does not do
 * that. In both cases nothing is left behind.
 */
export function placeClone(
  dir: Dir,
  name: string,
  source: number,
  unchanged: () => boolean,
  attributes: Attributes,
  replace: boolean,
): fs.BigIntStats | null | "unable" {
  const from = pathOf(source);
  if (from === null) return "unable";
  const path = arg(dir.at + (replace ? temporaryName() : name));
  let done = false;
  try {
    fs.copyFileSync(from, path, COPYFILE_EXCL | COPYFILE_FICLONE_FORCE);
    if (!unchanged()) return null;
    const fd = fs.openSync(path, O_RDONLY | O_NOFOLLOW);
    try {
      let stat = dress(fd, attributes);
      if (replace) {
        fs.renameSync(path, arg(dir.at + name));
        stat = fs.fstatSync(fd, { bigint: true });
      }
      done = true;
      return stat;
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    if (UNABLE.has(codeOf(error) ?? "")) return "unable";
    throw error;
  } finally {
    if (!done) fs.rmSync(path, { force: true });
  }
}

const UNABLE = new Set(["ENOTSUP", "EOPNOTSUPP", "EXDEV", "EINVAL", "ENOTTY", "ENOSYS"]);

/** Makes a link with the given target. */
export function placeLink(
  dir: Dir,
  name: string,
  target: Uint8Array,
  { ns, owner }: Pick<Attributes, "ns" | "owner">,
  replace: boolean,
): fs.BigIntStats {
  const placed = replace ? temporaryName() : name;
  fs.symlinkSync(Buffer.from(target), arg(dir.at + placed));
  try {
    if (owner) setOwner(dir, placed, owner);
    if (ns !== null) setTime(dir, placed, ns);
    if (replace) fs.renameSync(arg(dir.at + placed), arg(dir.at + name));
  } catch (error) {
    fs.rmSync(arg(dir.at + placed), { force: true });
    throw error;
  }
  return fs.lstatSync(arg(dir.at + name), { bigint: true });
}

/** Sets the modification time of an entry, of a link its own. */
export const setTime = (dir: Dir, name: string, ns: bigint): void =>
  fs.lutimesSync(arg(dir.at + name), Date.now() / 1000, seconds(ns));

/** Sets the owner of an entry, of a link its own; with that the system may take rights from its mode. */
export const setOwner = (dir: Dir, name: string, { uid, gid }: Owner): void =>
  fs.lchownSync(arg(dir.at + name), uid, gid);

/** Sets owner, mode and time of an open file or directory where they differ, and tells what it is then. */
export function dress(fd: number, { mode, ns, owner }: Attributes): fs.BigIntStats {
  let stat = fs.fstatSync(fd, { bigint: true });
  if (owner && (Number(stat.uid) !== owner.uid || Number(stat.gid) !== owner.gid)) {
    fs.fchownSync(fd, owner.uid, owner.gid);
    stat = fs.fstatSync(fd, { bigint: true });
  }
  const time = ns !== null && !isTime(stat.mtimeNs, ns);
  const bits = (Number(stat.mode) & 0o7777) !== mode;
  if (time) fs.futimesSync(fd, Date.now() / 1000, seconds(ns));
  if (bits) fs.fchmodSync(fd, mode);
  if (time || bits) stat = fs.fstatSync(fd, { bigint: true });
  return stat;
}

/** For `utimes`, which cuts a fraction of a microsecond off: half of one is added, since most decimals have no exact double. */
const seconds = (ns: bigint): string => String((Number(ns / 1000n) + (ns < 0n ? -0.5 : 0.5)) / 1e6);

/** What a leftover of a crash is called: the next restore takes it for an entry that is none of the state's. */
const temporaryName = (): string => `.shepherd-${randomBytes(8).toString("hex")}`;

const HOLE = 64 << 10;
const zeroes = Buffer.alloc(HOLE);

/** Writes `bytes` at `position`, but for aligned blocks of zeroes. The end of what was written; null if nothing was. */
function writeSparse(fd: number, bytes: Uint8Array, position: number): number | null {
  if (bytes.length < HOLE) return bytes.length > 0 ? writeAll(fd, bytes, 0, bytes.length, position) : null;
  let end: number | null = null;
  let from = 0;
  for (let at = 0; at + HOLE <= bytes.length; at += HOLE) {
    if (zeroes.compare(bytes, at, at + HOLE) !== 0) continue;
    if (at > from) end = writeAll(fd, bytes, from, at, position);
    from = at + HOLE;
  }
  if (from < bytes.length) end = writeAll(fd, bytes, from, bytes.length, position);
  return end;
}

function writeAll(fd: number, bytes: Uint8Array, from: number, to: number, position: number): number {
  while (from < to) from += fs.writeSync(fd, bytes, from, to - from, position + from);
  return position + to;
}
