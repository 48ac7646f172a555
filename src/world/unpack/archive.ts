/** The bytes of an archive in a file, unpacked where they are packed, with their digests as they pass. */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { createGunzip } from "node:zlib";
import { TarError } from "./tar.ts";

/** What may come out of all archives of one image together. It is asked before anything is written. */
export interface Allowance {
  bytes: number;
  /** Directory on the disk that must not be filled. */
  disk: string;
  signal?: AbortSignal | undefined;
}

export interface Archive {
  pieces: AsyncIterable<Buffer>;
  /** Once all has passed: of the file, and of what came out of it, as `sha256:…`. */
  digests(): { packed: string; plain: string };
}

const PIECE = 1 << 18;
/** So much of a disk stays free, in bytes; looked at each time as much has passed. */
const FREE = 1 << 28;

/** Kinds of files by how they begin, and what unpacks those that this does not. */
const OTHERS: ReadonlyArray<readonly [start: string, what: string, how: string]> = [
  ["28b52ffd", "zstd", "zstd -d"],
  ["fd377a585a00", "xz", "xz -d"],
  ["425a68", "bzip2", "bunzip2"],
];

/** @param fd open for reading; it stays open */
export function readArchive(fd: number, name: string, allowance: Allowance): Archive {
  const start = Buffer.alloc(6);
  const got = fs.readSync(fd, start, 0, start.length, 0);
  const head = start.subarray(0, got).toString("hex");
  for (const [magic, what, how] of OTHERS)
    if (head.startsWith(magic))
      throw new TarError(`${name} is packed with ${what}, which is not read here: unpack it first, with \`${how}\`.`);
  const [packed, plain] = [createHash("sha256"), createHash("sha256")];
  async function* read(): AsyncGenerator<Buffer> {
    for (let at = 0; ; ) {
      const piece = Buffer.allocUnsafe(PIECE);
      const length = fs.readSync(fd, piece, 0, PIECE, at);
      if (length === 0) return;
      at += length;
      packed.update(piece.subarray(0, length));
      yield piece.subarray(0, length);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  async function* counted(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let unlooked = FREE;
    for await (const piece of source) {
      allowance.signal?.throwIfAborted();
      allowance.bytes -= piece.length;
      if (allowance.bytes < 0)
        throw new TarError(
          "More comes out of it than an image may have: give it a larger --max-size if that is meant.",
        );
      unlooked += piece.length;
      if (unlooked > FREE) {
        unlooked = 0;
        const { bavail, bsize } = fs.statfsSync(allowance.disk);
        if (bavail * bsize < FREE)
          throw new TarError(`The disk of ${allowance.disk} would be full: make room there, and try again.`);
      }
      plain.update(piece);
      yield piece;
    }
  }
  const source = head.startsWith("1f8b") ? gunzipped(read(), name) : read();
  return {
    pieces: counted(source),
    digests: () => ({ packed: `sha256:${packed.digest("hex")}`, plain: `sha256:${plain.digest("hex")}` }),
  };
}

async function* gunzipped(source: AsyncIterable<Buffer>, name: string): AsyncGenerator<Buffer> {
  const { Readable } = await import("node:stream");
  const gunzip = createGunzip({ chunkSize: PIECE });
  const from = Readable.from(source);
  from.on("error", (error) => gunzip.destroy(error));
  from.pipe(gunzip);
  try {
    for await (const piece of gunzip) yield piece as Buffer;
  } catch (error) {
    if (!String((error as NodeJS.ErrnoException).code).startsWith("Z_")) throw error;
    throw new TarError(`${name} is damaged: it cannot be unpacked (${(error as NodeJS.ErrnoException).code}).`);
  } finally {
    from.destroy();
    gunzip.destroy();
  }
}
