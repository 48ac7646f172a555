import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

/** Where files lie that are gone soon: in memory where that can be, since a disk makes and removes them ten times as slowly. */
export function shortLived(): string {
  try {
    fs.accessSync("/dev/shm", fs.constants.W_OK | fs.constants.X_OK);
    return "/dev/shm";
  } catch {
    return os.tmpdir();
  }
}

/**
 * A file without a name: its descriptor, open for reading and writing, that nobody can reach by path and that leaves nothing behind
 * when we die. With `append` every write goes to its end, whoever writes.
 */
export function unnamedFile(content: string | Uint8Array = "", append = false): number {
  const { O_RDWR, O_CREAT, O_EXCL, O_APPEND, O_NOFOLLOW } = fs.constants;
  const name = path.join(shortLived(), `shepherd-${randomBytes(9).toString("hex")}`);
  const fd = fs.openSync(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | (append ? O_APPEND : 0), 0o600);
  try {
    fs.unlinkSync(name);
    writeAt(fd, content);
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
  return fd;
}

/** Writes all of `content` from the start of the file, and leaves the descriptor's own offset where it is. */
export function writeAt(fd: number, content: string | Uint8Array): void {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  for (let done = 0; done < bytes.length; ) done += fs.writeSync(fd, bytes, done, bytes.length - done, done);
}

/** The first `limit` bytes of a file, but for those before `from`. */
export function readUpTo(fd: number, limit: number, from = 0): Buffer {
  const bytes = Buffer.alloc(Math.max(0, Math.min(fs.fstatSync(fd).size, limit) - from));
  let done = 0;
  while (done < bytes.length) {
    const got = fs.readSync(fd, bytes, done, bytes.length - done, from + done);
    if (got === 0) break;
    done += got;
  }
  return bytes.subarray(0, done);
}
