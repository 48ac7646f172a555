/**
 * The file of an exported run, byte for byte (docs/format.md): a first line, then blocks, each a record whose payload is an encoding and up to a
 * mebibyte of items, then a last record with the hash of all bytes before it. Nothing in it is trusted: whoever reads it goes through it in order,
 * never holds more than a block, and throws a sentence at the first byte that is not as it is written here.
 */
import { createHash, type Hash as Digest } from "node:crypto";
import { crc32, deflateRawSync, inflateRawSync } from "node:zlib";
import { type Hash, MAX_OBJECT } from "../ports.ts";
import { encodeRecord, MAX_RECORD, RECORD_HEAD, valid } from "../record.ts";
import { NewerFormat } from "../segment.ts";

/** Thrown for a file that is no export, or not all of one, or holds what no export holds. */
export class BadBundle extends Error {}

export const VERSION = 1;
const HEADING = `shepherd run ${VERSION}\n`;

/** What an item is, by its first byte. They come in this order, but that a log can begin behind frames of others. */
export const ITEMS = ["head", "scope", "edge", "object", "forgotten", "log", "frame", "tail"] as const;
export type ItemKind = (typeof ITEMS)[number];

const LOG = ITEMS.indexOf("log");
const FRAME = ITEMS.indexOf("frame");

export interface Item {
  kind: ItemKind;
  bytes: Buffer;
}

const RAW = 0;
const DEFLATED = 1;
const LAST = 2;

const ITEM_HEAD = 5;
/** The largest item: an object, or the header of a log, and what is said of it. */
const LARGEST = MAX_OBJECT + 1024;
/** A block is closed before it would grow beyond this; one item always fits. */
const BLOCK = LARGEST + ITEM_HEAD;

export interface BundleWriter {
  add(kind: ItemKind, bytes: Uint8Array): void;
  /** Closes the file; gives the hash by which it is known, and its size. */
  end(): { digest: Hash; bytes: number };
}

/** @param write takes the next bytes of the file */
export function startBundle(write: (bytes: Uint8Array) => void): BundleWriter {
  const digest = createHash("sha256");
  let bytes = 0;
  let pending: Uint8Array[] = [];
  let size = 0;
  const out = (chunk: Uint8Array): void => {
    digest.update(chunk);
    bytes += chunk.length;
    write(chunk);
  };
  const flush = (): void => {
    if (size === 0) return;
    const block = Buffer.concat(pending);
    const deflated = deflateRawSync(block, { level: 6 });
    const smaller = deflated.length < block.length;
    out(encodeRecord(Buffer.of(smaller ? DEFLATED : RAW), smaller ? deflated : block));
    pending = [];
    size = 0;
  };
  out(Buffer.from(HEADING));
  return {
    add: (kind, item) => {
      if (item.length > LARGEST) throw new Error(`A ${kind} of ${item.length} bytes is over the limit of ${LARGEST}.`);
      if (size + ITEM_HEAD + item.length > BLOCK) flush();
      const head = Buffer.alloc(ITEM_HEAD);
      head[0] = ITEMS.indexOf(kind);
      head.writeUInt32LE(item.length, 1);
      pending.push(head, item);
      size += ITEM_HEAD + item.length;
    },
    end: () => {
      flush();
      const hash = digest.digest();
      const last = encodeRecord(Buffer.of(LAST), hash);
      write(last);
      return { digest: hash.toString("hex"), bytes: bytes + last.length };
    },
  };
}

/** Where the bytes of a file are read. */
export interface Source {
  size(): number;
  /** At most `length` bytes at `offset`. */
  read(offset: number, length: number): Buffer;
}

/** So many times its own size a file may hold, beyond an allowance for small ones. */
const RATIO = 100;
const ALLOWANCE = 256 << 20;

export interface ReadOptions {
  /** Takes files that grow by more than a hundred times when they are unpacked. */
  large?: boolean;
  onProgress?: (done: number, total: number) => void;
}

/** The items of a file in order; at the end its hash. Throws `BadBundle` or `NewerFormat`. */
export function* readBundle(source: Source, options: ReadOptions = {}): Generator<Item, Hash> {
  const total = source.size();
  const heading = source.read(0, 64);
  checkHeading(heading);
  const digest = createHash("sha256").update(HEADING);
  const most = options.large ? Number.POSITIVE_INFINITY : RATIO * total + ALLOWANCE;
  let unpacked = 0;
  let order = 0;
  let at = HEADING.length;
  for (;;) {
    options.onProgress?.(at, total);
    const { payload, record } = recordAt(source, at);
    at += record.length;
    if (payload[0] === LAST) return last(digest, payload, at, total);
    digest.update(record);
    const block = unpack(payload);
    unpacked += block.length;
    if (unpacked > most)
      throw new BadBundle(
        `The file is made such that it grows by more than ${RATIO} times when it is unpacked: add --large if you trust who made it.`,
      );
    for (let from = 0; from < block.length; ) {
      const kind = ITEMS[block[from]!];
      const end = from + ITEM_HEAD + (from + ITEM_HEAD <= block.length ? block.readUInt32LE(from + 1) : block.length);
      if (kind === undefined || end > block.length) throw damaged("it holds something unknown");
      const place = block[from] === FRAME ? LOG : block[from]!;
      if (place < order) throw damaged("its parts are out of order");
      order = place;
      yield { kind, bytes: block.subarray(from + ITEM_HEAD, end) };
      from = end;
    }
  }
}

export const damaged = (why: string): BadBundle =>
  new BadBundle(`The file is damaged, or was not made by \`shepherd export\`: ${why}.`);

function checkHeading(bytes: Buffer): void {
  if (bytes.toString("latin1").startsWith(HEADING)) return;
  const version = /^shepherd run (\d{1,9})\n/.exec(bytes.toString("latin1"))?.[1];
  if (version && Number(version) > VERSION)
    throw new NewerFormat(
      `The file has format ${version}, and this Shepherd knows formats up to ${VERSION}: update Shepherd to read it.`,
    );
  throw new BadBundle("The file is no export of a run: `shepherd export RUN` makes one.");
}

function recordAt(source: Source, at: number): { payload: Buffer; record: Buffer } {
  const head = source.read(at, RECORD_HEAD);
  if (head.length === 0) throw damaged("its end is missing");
  if (head.length < RECORD_HEAD) throw damaged("it is cut off");
  if (!valid(head)) throw damaged(`byte ${at} begins no record`);
  const length = head.readUInt32LE(4);
  if (length === 0 || length > MAX_RECORD) throw damaged(`the record at byte ${at} has an impossible length`);
  const payload = source.read(at + RECORD_HEAD, length);
  if (payload.length < length) throw damaged("it is cut off");
  if (crc32(payload) !== head.readUInt32LE(8)) throw damaged(`the record at byte ${at} is not as it was written`);
  return { payload, record: Buffer.concat([head, payload]) };
}

function unpack(payload: Buffer): Buffer {
  const body = payload.subarray(1);
  if (payload[0] === RAW) return body;
  if (payload[0] !== DEFLATED) throw damaged("it holds a record of an unknown encoding");
  try {
    return inflateRawSync(body, { maxOutputLength: BLOCK });
  } catch {
    throw damaged("what is packed in it cannot be unpacked");
  }
}

function last(digest: Digest, payload: Buffer, end: number, total: number): Hash {
  const hash = digest.digest();
  if (!payload.subarray(1).equals(hash)) throw damaged("it has not the hash that it names");
  if (end !== total) throw damaged("something stands behind its end");
  return hash.toString("hex");
}
