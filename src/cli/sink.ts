/** Where a file is written that is to be there whole or not at all. */
import { randomInt } from "node:crypto";
import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import type { EmbeddedStore } from "../trace/store.ts";
import { Exit } from "./errors.ts";

export interface Sink {
  write(bytes: Uint8Array): void;
  /** Makes it what was to be written. */
  keep(): Promise<void>;
  /** Removes what was not kept; does nothing after `keep`. */
  drop(): void;
}

/** Takes the bytes and forgets them. */
export const nowhere: Sink = { write: () => {}, keep: async () => {}, drop: () => {} };

const writeAll = (fd: number, bytes: Uint8Array): void => {
  for (let at = 0; at < bytes.length; ) at += fs.writeSync(fd, bytes, at);
};

/** A new file, which only its owner can read. It has another name until it is whole. */
export function fileSink(path: string): Sink {
  const part = join(dirname(path), `.${basename(path)}.${randomInt(2 ** 47)}.part`);
  let fd: number | null = null;
  try {
    fd = fs.openSync(part, "wx", 0o600);
  } catch (error) {
    throw new Exit(
      2,
      `${path} cannot be written (${(error as NodeJS.ErrnoException).code}): name another file with -o.`,
    );
  }
  const drop = (): void => {
    if (fd === null) return;
    fs.closeSync(fd);
    fd = null;
    fs.rmSync(part, { force: true });
  };
  return {
    write: (bytes) => writeAll(fd!, bytes),
    keep: async () => {
      fs.fsyncSync(fd!);
      try {
        fs.linkSync(part, path);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "EEXIST") throw new Exit(2, `${path} exists: name another file with -o, or remove it.`);
        // A file system without links.
        fs.renameSync(part, path);
      }
      drop();
    },
    drop,
  };
}

/** Standard output, once all is well: kept beside the caches until then, in a file without a name. */
export function outputSink(store: EmbeddedStore): Sink {
  const path = join(store.cache("unpack"), `export-${process.pid}`);
  const fd = fs.openSync(path, "w+", 0o600);
  fs.unlinkSync(path);
  return {
    write: (bytes) => writeAll(fd, bytes),
    keep: async () => {
      const bytes = Buffer.alloc(1 << 20);
      for (let at = 0, n = -1; n !== 0; at += n) {
        n = fs.readSync(fd, bytes, 0, bytes.length, at);
        if (n > 0 && !process.stdout.write(Buffer.from(bytes.subarray(0, n))))
          await new Promise((resolve) => process.stdout.once("drain", resolve));
      }
    },
    drop: () => fs.closeSync(fd),
  };
}
