/** The few operations on files that the embedded store is built from, so that tests can run it on a simulated disk. */
import { randomInt } from "node:crypto";
import * as fs from "node:fs";
import { dirname, resolve } from "node:path";
import { makeDirectories } from "./directories.ts";
import { diskError, isReadOnly } from "./diskerror.ts";

/** Every operation throws `DiskError`, or what else `node:fs` says, where the disk does not do it. */
export interface Disk {
  /** Makes a directory and those above it, synced. Throws if something else, also a link, stands in its place. */
  mkdir(path: string): void;
  /** Names in a directory, sorted; none if there is no such directory. */
  list(path: string): string[];
  /** Opens a file for reading and appending; null if it does not exist. */
  open(path: string): DiskFile | null;
  /**
   * Creates a file with `bytes` atomically: it is there whole, or not at all, also after power loss. With `replace` it takes the
   * place of an existing one; without, false is returned where one exists.
   */
  create(path: string, bytes: Uint8Array, options?: { replace?: boolean }): Promise<boolean>;
  /** The whole content; null if there is no file. Throws on one larger than 256 MiB, which no file is that is read whole. */
  read(path: string): Buffer | null;
  remove(path: string): void;
  /** Calls back soon after a file changed; ends with the function it gives. A hint only: readers also look by themselves. */
  watch?(path: string, changed: () => void): () => void;
}

export interface DiskFile {
  /** Appends in one write, atomic towards other processes that append. Written at return. */
  append(bytes: Uint8Array): void;
  /** Reads at most `length` bytes at `offset`. */
  read(offset: number, length: number): Buffer;
  /** Overwrites bytes in place: only to destroy them (`forget`). */
  overwrite(offset: number, bytes: Uint8Array): void;
  truncate(size: number): void;
  size(): number;
  /** Synced when it resolves. */
  sync(): Promise<void>;
  close(): void;
}

export { DiskError, diskError, isReadOnly } from "./diskerror.ts";

function attempt<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw diskError(error, path);
  }
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === "ENOENT";
const fault = (code: string): Error => Object.assign(new Error(code), { code });

const { O_RDWR, O_RDONLY, O_WRONLY, O_APPEND, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
/** Opens files only: links are not followed, and a pipe must not hold us. */
const PLAIN = O_NOFOLLOW | O_NONBLOCK;
const LARGEST = 256 << 20;

/** The disk of this machine. */
export const realDisk: Disk = {
  mkdir: (path) =>
    attempt(path, () => {
      const first = makeDirectories(path, 0o700);
      if (!fs.lstatSync(path).isDirectory()) throw fault("ENOTDIR");
      // The names of what was made stand in the directories above.
      const above = first ? dirname(resolve(first)) : null;
      for (let at = resolve(path); above && at !== above && at !== dirname(at); at = dirname(at)) syncNow(dirname(at));
    }),
  list: (path) => {
    try {
      return fs.readdirSync(path).sort();
    } catch (error) {
      if (isMissing(error)) return [];
      throw diskError(error, path);
    }
  },
  open: (path) => {
    try {
      return realFile(openPlain(path, O_RDWR | O_APPEND), path);
    } catch (error) {
      if (isMissing(error)) return null;
      const told = diskError(error, path);
      if (!isReadOnly(told)) throw told;
      return attempt(path, () => realFile(openPlain(path, O_RDONLY), path, told.code));
    }
  },
  create: async (path, bytes, options) => {
    // Not the pid alone, which a process in another namespace can have too.
    const temporary = `${path}.${process.pid}.${randomInt(2 ** 47)}.tmp`;
    try {
      const fd = fs.openSync(temporary, "wx", 0o600);
      try {
        for (let at = 0; at < bytes.length; ) at += fs.writeSync(fd, bytes, at);
        await promise((done) => fs.fdatasync(fd, done));
      } finally {
        fs.closeSync(fd);
      }
      let made = true;
      if (options?.replace) fs.renameSync(temporary, path);
      else {
        try {
          fs.linkSync(temporary, path);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
          made = false;
        }
        fs.unlinkSync(temporary);
      }
      // Also where another made it: who is told so counts on it.
      await syncDirectory(dirname(path));
      return made;
    } catch (error) {
      fs.rmSync(temporary, { force: true });
      throw diskError(error, path);
    }
  },
  read: (path) => {
    try {
      const fd = openPlain(path, O_RDONLY);
      try {
        if (fs.fstatSync(fd).size > LARGEST) throw fault("EISDIR");
        return fs.readFileSync(fd);
      } finally {
        fs.closeSync(fd);
      }
    } catch (error) {
      if (isMissing(error)) return null;
      throw diskError(error, path);
    }
  },
  remove: (path) => attempt(path, () => fs.rmSync(path, { force: true, recursive: true })),
  watch: (path, changed) => {
    try {
      const watcher = fs.watch(path, { persistent: false }, changed).on("error", () => {});
      return () => watcher.close();
    } catch {
      // No watches left: reading at intervals still finds all.
      return () => {};
    }
  },
};

function openPlain(path: string, flags: number): number {
  const fd = fs.openSync(path, flags | PLAIN);
  if (fs.fstatSync(fd).isFile()) return fd;
  fs.closeSync(fd);
  throw fault("EISDIR");
}

/** @param why the code of what kept it from being opened for writing too */
function realFile(fd: number, path: string, why = "EROFS"): DiskFile {
  // The number of a closed descriptor soon belongs to another file, so it is closed only when nothing uses it any more.
  let syncing = 0;
  let closed = false;
  const finish = (): void => {
    if (closed && syncing === 0) fs.closeSync(fd);
  };
  const use = <T>(work: () => T): T => {
    if (closed) throw new Error(`${path} is closed.`);
    return attempt(path, work);
  };
  return {
    append: (bytes) =>
      use(() => {
        let written: number;
        try {
          written = fs.writeSync(fd, bytes, 0, bytes.length);
        } catch (error) {
          // The descriptor could only be opened for reading.
          throw (error as NodeJS.ErrnoException).code === "EBADF" ? fault(why) : error;
        }
        // The rest must not be appended behind the records of others; readers pass over the torn one.
        if (written !== bytes.length) throw fault("ENOSPC");
      }),
    read: (offset, length) =>
      use(() => {
        const buffer = Buffer.allocUnsafe(length);
        let got = 0;
        while (got < length) {
          const n = fs.readSync(fd, buffer, got, length - got, offset + got);
          if (n === 0) break;
          got += n;
        }
        return buffer.subarray(0, got);
      }),
    overwrite: (offset, bytes) =>
      use(() => {
        // A descriptor opened for appending ignores positions.
        const writable = openPlain(path, O_WRONLY);
        try {
          if (fs.fstatSync(writable).ino !== fs.fstatSync(fd).ino) throw new Error(`${path} was replaced: try again.`);
          for (let at = 0; at < bytes.length; ) at += fs.writeSync(writable, bytes, at, bytes.length - at, offset + at);
        } finally {
          fs.closeSync(writable);
        }
      }),
    truncate: (size) => use(() => fs.ftruncateSync(fd, size)),
    size: () => use(() => fs.fstatSync(fd).size),
    sync: async () => {
      if (closed) throw new Error(`${path} is closed.`);
      syncing++;
      try {
        await promise((done) => fs.fdatasync(fd, done));
      } catch (error) {
        throw diskError(error, path);
      } finally {
        syncing--;
        finish();
      }
    },
    close: () => {
      if (closed) return;
      closed = true;
      finish();
    },
  };
}

const promise = (run: (done: (error: Error | null) => void) => void): Promise<void> =>
  new Promise((resolve, reject) => run((error) => (error ? reject(error) : resolve())));

function syncNow(directory: string): void {
  const fd = fs.openSync(directory, O_RDONLY);
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

async function syncDirectory(path: string): Promise<void> {
  const fd = fs.openSync(path, O_RDONLY);
  try {
    await promise((done) => fs.fsync(fd, done));
  } finally {
    fs.closeSync(fd);
  }
}
