/** A file that is to be read here and there, though it may come through a pipe. */
import * as fs from "node:fs";
import { join } from "node:path";
import type { Source } from "../trace/bundle/format.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { Exit } from "./errors.ts";

export interface OpenSource extends Source {
  close(): void;
}

/** @param path `-` for standard input, which is kept beside the caches meanwhile, in a file without a name */
export async function openSource(store: EmbeddedStore, path: string): Promise<OpenSource> {
  const fd = path === "-" ? await spooled(store) : opened(path);
  const { size } = fs.fstatSync(fd);
  return {
    size: () => size,
    read: (offset, length) => {
      const bytes = Buffer.allocUnsafe(length);
      let got = 0;
      for (let n = -1; got < length && n !== 0; got += n) n = fs.readSync(fd, bytes, got, length - got, offset + got);
      return bytes.subarray(0, got);
    },
    close: () => fs.closeSync(fd),
  };
}

function opened(path: string): number {
  try {
    // A pipe without a writer would hold us.
    const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    if (fs.fstatSync(fd).isFile()) return fd;
    fs.closeSync(fd);
  } catch (error) {
    throw new Exit(2, `${path} cannot be read (${(error as NodeJS.ErrnoException).code}): name a file.`);
  }
  throw new Exit(2, `${path} is no file: name one, or - for standard input.`);
}

async function spooled(store: EmbeddedStore): Promise<number> {
  if (process.stdin.isTTY) throw new Exit(2, "Standard input is a terminal: `shepherd import FILE`");
  const path = join(store.cache("unpack"), `import-${process.pid}`);
  const fd = fs.openSync(path, "w+", 0o600);
  fs.unlinkSync(path);
  try {
    for await (const chunk of process.stdin as AsyncIterable<Buffer>)
      for (let at = 0; at < chunk.length; ) at += fs.writeSync(fd, chunk, at);
    return fd;
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}
