/** Which frames of a log count, and by what hash each names the one before it. */
import { canonical, decodeJson, encodeJson, isHash, sha256 } from "./bytes.ts";
import type { Disk } from "./disk.ts";
import { checkFrame, checkState, type Frame, isCarry } from "./frame.ts";
import { type Hash, type Json, type LogHeader, MAX_OBJECT } from "./ports.ts";
import type { Damage } from "./record.ts";
import { NewerFormat, openSegment, type Segment } from "./segment.ts";

/** Where reading a log can go on without what came before. */
export interface Cursor {
  offset: number;
  /** The sequence number expected next, the hash of the frame before it, the newest epoch seen. */
  seq: number;
  prev: Hash;
  epoch: number;
}

export interface Counted {
  frame: Frame;
  /** Behind the frame; its `prev` is the hash of the frame. */
  cursor: Cursor;
}

export interface Strays {
  /** Bytes that form no record, or no frame. */
  damaged?: (damage: Damage) => void;
  /** Frames that do not count, by the offset of their records. */
  stray?: (offset: number) => void;
}

const ID = /^[0-9a-f]{32}$/;
export const isLogId = (log: string): boolean => ID.test(log);

const encoded = new WeakMap<Frame, Buffer>();
const hashes = new WeakMap<Frame, Hash>();

/** A frame as it will be read again, which nobody else can change any more. Throws on what cannot be written. */
export function makeFrame(draft: unknown): Frame {
  const text = canonical(draft);
  return writable(JSON.parse(text) as Json, Buffer.from(text));
}

/** Canonical bytes of a frame, which does not change once it is made. Throws on what could not be read again. */
export function encodeFrame(frame: Frame): Buffer {
  let bytes = encoded.get(frame);
  if (!bytes) {
    bytes = encodeJson(frame);
    writable(frame as unknown as Json, bytes);
  }
  return bytes;
}

function writable(value: Json, bytes: Buffer): Frame {
  const frame = checkFrame(value);
  if (typeof frame === "string") throw new Error(`A frame that ${frame} cannot be written.`);
  if (bytes.length > MAX_OBJECT)
    throw new Error(
      `A frame of ${bytes.length} bytes is over the limit of ${MAX_OBJECT}: put what is large into an object.`,
    );
  encoded.set(frame, bytes);
  return frame;
}

/** By which the next frame names this one. */
export function frameHash(frame: Frame): Hash {
  let hash = hashes.get(frame);
  if (!hash) {
    hash = sha256(encodeFrame(frame));
    hashes.set(frame, hash);
  }
  return hash;
}

/** What the first frame names as the one before it. */
export const headerHash = (header: LogHeader): Hash => sha256(encodeJson(header));

export interface LogFile {
  segment: Segment;
  header: LogHeader;
  /** Behind the header. */
  first: Cursor;
}

/** Opens the file of a log; null if there is none. Throws a sentence if its header cannot be read. */
export function openLogFile(disk: Disk, path: string, log: string): LogFile | null {
  const segment = openSegment(disk, path, "log");
  if (!segment) return null;
  try {
    const first = segment.scan(segment.start).next();
    if (!first.done && first.value.offset === segment.start) {
      const { payload, end } = first.value;
      const header = parseHeader(payload, log);
      // Else what the first frame names before it would be another hash than that of these bytes.
      if (header && encodeJson(header).equals(payload))
        return { segment, header, first: { offset: end, seq: 0, prev: sha256(payload), epoch: 0 } };
    }
    throw new Error(`The header of log ${log} is damaged: run \`shepherd fsck\`.`);
  } catch (error) {
    segment.close();
    throw error;
  }
}

/**
 * The frames that count, in file order: the first with the sequence number expected next that names the frame before it and is of no
 * older epoch than any before. All others are what a fenced or torn writer left.
 */
export function* counted(segment: Segment, from: Cursor, { damaged, stray }: Strays = {}): Generator<Counted> {
  let { seq, prev, epoch } = from;
  for (const { offset, end, payload } of segment.scan(from.offset, damaged)) {
    const frame = parseFrame(payload, segment.path);
    if (!frame) damaged?.({ offset, end });
    else if (frame.seq !== seq || frame.prev !== prev || frame.epoch < epoch) stray?.(offset);
    else {
      seq++;
      prev = sha256(payload);
      epoch = frame.epoch;
      hashes.set(frame, prev);
      yield { frame, cursor: { offset: end, seq, prev, epoch } };
    }
  }
}

/** The frame in a record; null if it is none. Throws where a newer Shepherd wrote it. */
export function parseFrame(payload: Buffer, path: string): Frame | null {
  let value: Json;
  try {
    value = decodeJson(payload);
  } catch {
    return null;
  }
  const frame = checkFrame(value);
  if (typeof frame !== "string") return frame;
  if (frame.startsWith("has version")) throw new NewerFormat(`A frame of ${path} ${frame}.`);
  return null;
}

/** The header of log `log`; null if it is none. Throws where a newer Shepherd wrote it. */
export function parseHeader(payload: Uint8Array, log: string): LogHeader | null {
  let header: LogHeader;
  try {
    header = decodeJson(payload) as unknown as LogHeader;
  } catch {
    return null;
  }
  if (header?.type !== "log") return null;
  if (Number.isSafeInteger(header.v) && header.v > 1)
    throw new NewerFormat(
      `The log ${log} has version ${header.v}, and this Shepherd knows version 1: update Shepherd.`,
    );
  const { v, id, origin, meta } = header;
  if (v !== 1 || id !== log || typeof meta !== "object" || meta === null || Array.isArray(meta)) return null;
  return origin === null || isOrigin(origin) ? header : null;
}

function isOrigin(origin: LogHeader["origin"]): boolean {
  const { log, n, seq, commit, state, top, carry } = origin ?? {};
  return (
    typeof log === "string" &&
    [n, seq, top].every(Number.isSafeInteger) &&
    isHash(commit) &&
    isCarry(carry) &&
    checkState(state as unknown as Json)
  );
}
