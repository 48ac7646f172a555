/**
 * Directories held open, so that what is done below them cannot be led elsewhere: on Linux the entry of an open directory is named by
 * `/proc/self/fd/N/name`, which stays in that directory whatever becomes of its path, and reaches beyond the longest path too. Elsewhere
 * there is only the path: the last name is never followed, but who exchanges a directory for a link at the right moment is.
 *
 * Names and paths in here are *byte strings*: one character (U+0000 to U+00FF) for each byte, as Node's "latin1" has it. They hold any
 * name, compare and sort as the bytes do, and are their own UTF-8 as long as they are ASCII.
 */
import * as fs from "node:fs";
import { resolve } from "node:path";
import { quotePath } from "./paths.ts";

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants;
/** The same number on every architecture that Node is built for. */
const O_PATH = 0o10000000;
const O_TMPFILE = 0o20000000 | O_DIRECTORY;
const held = process.platform === "linux" && fs.existsSync("/proc/self/fd");

export interface Dir {
  readonly fd: number;
  /** What to put before a name to reach an entry of exactly this directory. */
  readonly at: string;
  /** The same by its path: quicker, but only for looking, since somebody may have put a link in the way. */
  readonly near: string;
}

/** What a system call takes for a byte string. */
export const arg = (path: string): string | Buffer => (/[^\0-\x7f]/.test(path) ? Buffer.from(path, "latin1") : path);

/** The byte string of a path as Node has it. */
export const bytesOf = (path: string | Buffer): string =>
  (typeof path === "string" ? Buffer.from(path) : path).toString("latin1");

/** The byte string of a path, absolute. */
export const absolute = (path: string | Buffer): string => bytesOf(typeof path === "string" ? resolve(path) : path);

/** Opens a directory by its path, through links; `path` is absolute. Throws a sentence with the `code` of the system. */
export function openRoot(path: string): Dir {
  try {
    return dir(fs.openSync(arg(path), O_RDONLY | O_DIRECTORY), path);
  } catch (error) {
    const told = quotePath(Buffer.from(path, "latin1"));
    throw Object.assign(new Error(`The directory ${told} cannot be opened: ${codeOf(error)}.`, { cause: error }), {
      code: codeOf(error),
    });
  }
}

/** Opens an entry as a directory. Throws ENOTDIR or ELOOP if it is none (any more), also where it is a link to one. */
export function openDir(parent: Dir, name: string): Dir {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  return dir(fs.openSync(arg(parent.at + name), flags), parent.near + name);
}

export const closeDir = ({ fd }: Dir): void => fs.closeSync(fd);

/** The names in a directory, sorted by bytes. */
export const namesIn = ({ at }: Dir): string[] => fs.readdirSync(arg(at), "latin1").sort();

/** Changes the mode of an entry that is no link, also of one that may not be opened. */
export function changeMode(parent: Dir, name: string, mode: number): void {
  const path = arg(parent.at + name);
  if (!held) {
    fs.lchmodSync(path, mode);
    return;
  }
  const fd = fs.openSync(path, O_PATH | O_NOFOLLOW);
  try {
    // Of a link this is refused: it leads to the link itself.
    fs.chmodSync(`/proc/self/fd/${fd}`, mode);
  } finally {
    fs.closeSync(fd);
  }
}

/** A path that leads to an open file, whatever its name has become; null where the platform has none. */
export const pathOf = (fd: number): string | null => (held ? `/proc/self/fd/${fd}` : null);

/** A file in `dir` that never gets a name: nobody sees it. Throws where the file system has no such files. */
export const openNameless = ({ at }: Dir): number => {
  if (process.platform !== "linux") throw new Error("Only Linux has files without a name.");
  return fs.openSync(arg(at), O_TMPFILE | fs.constants.O_RDWR, 0o600);
};

/** The code of a system error; undefined for any other. */
export const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | null)?.code;

/** Whether an error says that an entry has gone, or has become something else, since it was looked at. */
export const gone = (error: unknown): boolean =>
  ["ENOENT", "ENOTDIR", "ELOOP", "ESTALE", "ENXIO"].includes(codeOf(error) ?? "");

/** Whether an error says that an entry may not be read, or that the disk cannot read it. */
export const denied = (error: unknown): boolean => ["EACCES", "EPERM", "EIO"].includes(codeOf(error) ?? "");

function dir(fd: number, path: string): Dir {
  const near = path.endsWith("/") ? path : `${path}/`;
  const at = held ? `/proc/self/fd/${fd}/` : near;
  // A path may have 4096 bytes, the name at its end 255.
  return { fd, at, near: near.length > 3800 ? at : near };
}
