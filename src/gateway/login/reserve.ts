/** What is to take the place of a file, with room for it made sure of before it is known. */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { exists } from "../../trace/owner.ts";

/** So much larger than what it replaces it may be. */
const MORE = 16 << 10;

export interface Reserved {
  /** Puts a text in the file's place, synced. It is whole, and where this throws the file is as it was, unless a link from elsewhere leads to it. */
  replace(text: string): void;
  /** Gives up the room that was not used. */
  close(): void;
}

/**
 * Throws where the disk has no room for a file as large as that at `path`, and some more. A file in its directory is replaced by a whole one. One
 * that a link leads to is written over, as Claude Code does with all: runs do not see the directory, but a file elsewhere is hidden from them
 * only as long as it is the same.
 */
export function reserve(path: string): Reserved {
  const target = realpathSync(path);
  const linked = dirname(target) !== realpathSync(dirname(path));
  sweep(target);
  // Nobody else's, also where two hold the locks: one that slept for long, and one that took them for left over.
  const made = `${target}.${process.pid}.${randomBytes(6).toString("hex")}.shepherd`;
  const fd = openSync(made, "wx", 0o600);
  const close = (): void => {
    closeSync(fd);
    rmSync(made, { force: true });
  };
  try {
    // Noise, since there are disks on which nothing but zeros takes no room.
    write(fd, randomBytes(statSync(target).size + MORE));
    fsyncSync(fd);
  } catch (error) {
    close();
    throw error;
  }
  return {
    replace: (text) => {
      const bytes = Buffer.from(text);
      if (linked) {
        // Its room is what the file may need.
        ftruncateSync(fd, 0);
        return writeOver(target, bytes);
      }
      write(fd, bytes);
      ftruncateSync(fd, bytes.length);
      fsyncSync(fd);
      renameSync(made, target);
    },
    close,
  };
}

function writeOver(target: string, bytes: Buffer): void {
  const fd = openSync(target, "r+");
  try {
    write(fd, bytes);
    ftruncateSync(fd, bytes.length);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A disk that is nearly full takes a part. */
function write(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
}

/** Removes what processes that were killed have left beside a file. */
function sweep(target: string): void {
  const prefix = `${basename(target)}.`;
  for (const name of readdirSync(dirname(target))) {
    const pid = /^(\d+)\.[0-9a-f]+\.shepherd$/.exec(name.startsWith(prefix) ? name.slice(prefix.length) : "")?.[1];
    if (pid !== undefined && !exists(Number(pid))) rmSync(join(dirname(target), name), { force: true });
  }
}
