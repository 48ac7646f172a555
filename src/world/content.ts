/**
 * The content of files. Up to MAX_OBJECT bytes it is one object with exactly these bytes. Larger content is a list of chunks:
 *
 *     "shepherd chunks 1\n" size:u64  id*          size is that of the whole, ids are the SHA-256 of consecutive chunks
 *
 * of MAX_OBJECT bytes each, the last one with the rest. Integers are big-endian.
 */
import * as fs from "node:fs";
import { type Hash, type Link, MAX_OBJECT, type Objects } from "../trace/ports.ts";
import { arg, type Dir, denied, gone } from "./dirs.ts";
import { missing } from "./missing.ts";
import type { Pace } from "./pace.ts";
import type { EntryType } from "./tree.ts";

const HEAD = Buffer.from("shepherd chunks 1\n");
const MOST = Math.floor((MAX_OBJECT - HEAD.length - 8) / 32);
/** The largest file: its list of chunks must be an object too (32 GiB, less about 1 MiB). */
export const MAX_FILE = MOST * MAX_OBJECT;

export function encodeChunks(size: number, ids: readonly Hash[]): Buffer {
  if (size > MAX_FILE)
    throw new Error(`A file of ${size} bytes is over the limit of ${MAX_FILE}: keep it out of the workspace.`);
  if (size <= MAX_OBJECT || ids.length !== Math.ceil(size / MAX_OBJECT)) bad("the size does not fit the chunks");
  const head = Buffer.alloc(8);
  head.writeBigUInt64BE(BigInt(size));
  return Buffer.concat([HEAD, head, ...ids.map((id) => Buffer.from(id, "hex"))]);
}

/** The bytes may be hostile: throws a sentence on any that `encodeChunks` does not write. */
export function decodeChunks(bytes: Uint8Array): { size: number; ids: Hash[] } {
  const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const from = HEAD.length + 8;
  if (b.length < from || b.length > MAX_OBJECT || !b.subarray(0, HEAD.length).equals(HEAD))
    bad("it does not start as one");
  const size = b.readBigUInt64BE(HEAD.length);
  if (size <= MAX_OBJECT || size > MAX_FILE) bad("its size is out of range");
  const ids: Hash[] = [];
  for (let at = from; at + 32 <= b.length; at += 32) ids.push(b.toString("hex", at, at + 32));
  if (b.length !== from + ids.length * 32 || ids.length !== Math.ceil(Number(size) / MAX_OBJECT))
    bad("the size does not fit the chunks");
  return { size: Number(size), ids };
}

/** What a list of chunks names, for whoever follows links. */
export const linksOfChunks = (bytes: Uint8Array): Link[] => decodeChunks(bytes).ids.map((id): Link => `blob:${id}`);

/** The content of a file, or the target of a link, in pieces of at most MAX_OBJECT bytes. Throws `Missing` where an object lacks. */
export async function* readContent(objects: Objects, type: EntryType, id: Hash): AsyncGenerator<Uint8Array> {
  if (type === "d") throw new Error("A directory has no content.");
  const bytes = (await objects.get(id)) ?? missing(id, "content");
  if (type !== "F") {
    yield bytes;
    return;
  }
  const { size, ids } = decodeChunks(bytes);
  for (const [index, chunk] of ids.entries()) {
    const piece = (await objects.get(chunk)) ?? missing(chunk, "content");
    if (piece.length !== Math.min(MAX_OBJECT, size - index * MAX_OBJECT)) bad("a chunk has the wrong size");
    yield piece;
  }
}

/** A file as it was read. */
export type Taken = {
  /** Of the open file; taken before the content was read. */
  stat: fs.BigIntStats;
  /** False if the file changed each time it was read: the content is that of the last time. */
  steady: boolean;
} & ({ bytes: Buffer } | { type: "f" | "F"; id: Hash });

const ATTEMPTS = 4;
/** So many for what takes long to read. */
const FEW = 2;
const LONG = 64 << 20;

/**
 * Reads an entry of `dir` that was a regular file when looked at. A small file's bytes are returned for the caller to put, a large one's
 * chunks are put on the way. `gone`: it is no regular file any more. `denied`: it may not or cannot be read. `large`: over MAX_FILE.
 * Throws what `put` throws.
 */
export async function takeFile(
  dir: Dir,
  name: string,
  put: Objects["put"],
  pace: Pace,
): Promise<Taken | "gone" | "denied" | "large"> {
  for (let attempt = 1; ; attempt++) {
    let fd: number;
    try {
      // NONBLOCK: a fifo that has taken the place of the file must not hold us.
      fd = fs.openSync(arg(dir.at + name), fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
    } catch (error) {
      if (gone(error)) return "gone";
      if (denied(error)) return "denied";
      throw error;
    }
    try {
      const stat = fs.fstatSync(fd, { bigint: true });
      if (!stat.isFile()) return "gone";
      if (stat.size > MAX_FILE) return "large";
      const size = Number(stat.size);
      const content = size > MAX_OBJECT ? await takeLarge(fd, size, put, pace) : takeSmall(fd, size);
      if (content === "denied") return content;
      const after = fs.fstatSync(fd, { bigint: true });
      const steady =
        content.size === size &&
        after.size === stat.size &&
        after.mtimeNs === stat.mtimeNs &&
        after.ctimeNs === stat.ctimeNs;
      if (steady || attempt >= (size > LONG ? FEW : ATTEMPTS)) return { stat, steady, ...content };
    } finally {
      fs.closeSync(fd);
    }
  }
}

function takeSmall(fd: number, size: number): { size: number; bytes: Buffer } | "denied" {
  const bytes = Buffer.allocUnsafe(size);
  const got = fill(fd, bytes, 0);
  if (got < 0) return "denied";
  return { size: got, bytes: got === size ? bytes : bytes.subarray(0, got) };
}

let zeroes: Buffer | undefined;

/** So many chunks of a file are put at once, as Node has threads for. */
const LANES = 4;

async function takeLarge(
  fd: number,
  size: number,
  put: Objects["put"],
  pace: Pace,
): Promise<{ size: number; type: "f" | "F"; id: Hash } | "denied"> {
  const ids: Hash[] = [];
  // Several are put at once, each from a buffer of its own.
  const lanes = Array.from({ length: LANES }, () => ({ buffer: null as Buffer | null, done: Promise.resolve() }));
  zeroes ??= Buffer.alloc(MAX_OBJECT);
  let zero: Promise<Hash> | undefined;
  let total = 0;
  try {
    for (let at = 0; total < size; at++) {
      const lane = lanes[at % LANES]!;
      await lane.done;
      lane.buffer ??= Buffer.allocUnsafeSlow(MAX_OBJECT);
      const wanted = Math.min(MAX_OBJECT, size - total);
      const got = fill(fd, lane.buffer.subarray(0, wanted), total);
      if (got < 0) return "denied";
      if (got === 0) break;
      const chunk = lane.buffer.subarray(0, got);
      // The holes of a sparse file need not be hashed again and again.
      const isHole = got === MAX_OBJECT && chunk.equals(zeroes);
      const id = isHole ? (zero ??= put(chunk)) : put(chunk);
      lane.done = id.then((known) => {
        ids[at] = known;
      });
      // Awaited later; a rejection before that must not end the process.
      lane.done.catch(() => {});
      total += got;
      if (got < wanted) break;
      if (pace.due()) await pace.rest();
    }
    for (const { done } of lanes) await done;
  } finally {
    // Their buffers are being read.
    await Promise.allSettled(lanes.map(({ done }) => done));
  }
  if (total === 0) return { size: 0, type: "f", id: await put(Buffer.alloc(0)) };
  if (total <= MAX_OBJECT) return { size: total, type: "f", id: ids[0]! };
  return { size: total, type: "F", id: await put(encodeChunks(total, ids)) };
}

/** Reads until `into` is full or the file ends; -1 where the disk fails. */
function fill(fd: number, into: Buffer, position: number): number {
  let got = 0;
  try {
    while (got < into.length) {
      const n = fs.readSync(fd, into, got, into.length - got, position + got);
      if (n === 0) break;
      got += n;
    }
  } catch (error) {
    if (denied(error)) return -1;
    throw error;
  }
  return got;
}

function bad(why: string): never {
  throw new Error(`This is not a list of chunks: ${why}.`);
}
