/** The few operations on files that the embedded store is built from, so that tests can run it on a simulated disk. */
import * as fs from "node:fs";
import { dirname } from "node:path";

export interface Disk {
  /** Makes a directory and those above it. */
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
  /** Overwrites bytes in place: only to destroy them (`forget`) and to cut a log that power loss damaged. */
  overwrite(offset: number, bytes: Uint8Array): void;
  truncate(size: number): void;
  size(): number;
  /** Synced when it resolves. */
  sync(): Promise<void>;
  close(): void;
}

let serial = 0;

/** The disk of this machine. Errors are those of `node:fs`, with `ENOSPC` and `EROFS` told in a sentence by the caller. */
export const realDisk: Disk = {
  mkdir: (path) => {
    fs.mkdirSync(path, { recursive: true, mode: 0o700 });
  },
  list: (path) => {
    try {
      return fs.readdirSync(path).sort();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  },
  open: (path) => {
    let fd: number;
    try {
      fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_APPEND);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "ENOENT") return null;
      if (code !== "EROFS" && code !== "EACCES") throw error;
      fd = fs.openSync(path, fs.constants.O_RDONLY);
    }
    return realFile(fd, path);
  },
  create: async (path, bytes, options) => {
    const temporary = `${path}.${process.pid}.${serial++}.tmp`;
    const fd = fs.openSync(temporary, "wx", 0o600);
    try {
      writeAll(fd, bytes);
      await promise((done) => fs.fdatasync(fd, done));
    } catch (error) {
      fs.closeSync(fd);
      fs.unlinkSync(temporary);
      throw error;
    }
    fs.closeSync(fd);
    let made = true;
    if (options?.replace) fs.renameSync(temporary, path);
    else {
      try {
        fs.linkSync(temporary, path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
        made = false;
      } finally {
        fs.unlinkSync(temporary);
      }
    }
    await syncDirectory(dirname(path));
    return made;
  },
  read: (path) => {
    try {
      return fs.readFileSync(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  },
  remove: (path) => fs.rmSync(path, { force: true, recursive: true }),
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

const realFile = (fd: number, path: string): DiskFile => ({
  append: (bytes) => writeAll(fd, bytes),
  read: (offset, length) => {
    const buffer = Buffer.allocUnsafe(length);
    let got = 0;
    while (got < length) {
      const n = fs.readSync(fd, buffer, got, length - got, offset + got);
      if (n === 0) break;
      got += n;
    }
    return buffer.subarray(0, got);
  },
  overwrite: (offset, bytes) => {
    // A descriptor opened for appending ignores positions.
    const writable = fs.openSync(path, fs.constants.O_WRONLY);
    try {
      for (let at = 0; at < bytes.length; ) at += fs.writeSync(writable, bytes, at, bytes.length - at, offset + at);
    } finally {
      fs.closeSync(writable);
    }
  },
  truncate: (size) => fs.ftruncateSync(fd, size),
  size: () => fs.fstatSync(fd).size,
  sync: () => promise((done) => fs.fdatasync(fd, done)),
  close: () => fs.closeSync(fd),
});

// A short write leaves a torn record, which readers pass over; what is left of it must not be appended behind other writers' records.
function writeAll(fd: number, bytes: Uint8Array): void {
  const written = fs.writeSync(fd, bytes, 0, bytes.length);
  if (written !== bytes.length)
    throw Object.assign(new Error("The disk took only a part of a record."), { code: "ENOSPC" });
}

const promise = (run: (done: (error: Error | null) => void) => void): Promise<void> =>
  new Promise((resolve, reject) => run((error) => (error ? reject(error) : resolve())));

async function syncDirectory(path: string): Promise<void> {
  const fd = fs.openSync(path, "r");
  try {
    await promise((done) => fs.fsync(fd, done));
  } finally {
    fs.closeSync(fd);
  }
}
