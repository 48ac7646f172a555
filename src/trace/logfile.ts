/**
 * A log as it lies in its file: all of it, also what does not count, and without trusting it. Whoever runs a scope reads logs by `logs.ts`;
 * this is for fsck, gc and du, which must see everything and keep nothing open.
 */
import { decodeJson, isHash, linksIn, sha256 } from "./bytes.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { pieces, type Shape } from "./examine.ts";
import { checkFrame, type Frame } from "./frame.ts";
import type { Hash, Json, Link, LogHeader } from "./ports.ts";
import type { Found } from "./record.ts";
import { FORMAT, NewerFormat } from "./segment.ts";

export const LOG_ID = /^[0-9a-f]{32}$/;
export const LOG_HEADING = `shepherd log ${FORMAT}\n`;

export interface At {
  offset: number;
  end: number;
}

export type LogPiece = At &
  (
    | { what: "header"; header: LogHeader; hash: Hash }
    | { what: "frame"; frame: Frame; hash: Hash }
    /** An intact record that is neither. */
    | { what: "stranger"; why: string; value: Json | undefined }
    | { what: "damage"; shape: Shape }
  );

/** What lies in a log from `offset` on (default: behind the heading). A header is one only as the very first record. */
export function* logPieces(file: DiskFile, offset = LOG_HEADING.length): Generator<LogPiece> {
  for (const piece of pieces(file, offset)) {
    if (piece.what === "damage") yield piece;
    else yield pieceOf(piece);
  }
}

/** What an intact record of a log is. */
export const pieceOf = ({ offset, end, payload }: Found): LogPiece => ({
  offset,
  end,
  ...parse(payload, offset === LOG_HEADING.length),
});

function parse(payload: Buffer, first: boolean) {
  let value: Json;
  try {
    value = decodeJson(payload);
  } catch (error) {
    return { what: "stranger", why: `is not JSON: ${(error as Error).message}`, value: undefined } as const;
  }
  if (first) {
    const wrong = wrongHeader(value);
    if (wrong) return { what: "stranger", why: wrong, value } as const;
    return { what: "header", header: value as unknown as LogHeader, hash: sha256(payload) } as const;
  }
  const frame = checkFrame(value);
  if (typeof frame === "string") return { what: "stranger", why: frame, value } as const;
  return { what: "frame", frame, hash: sha256(payload) } as const;
}

function wrongHeader(value: Json): string | null {
  const header = value as unknown as LogHeader;
  if (!header || typeof header !== "object" || header.type !== "log") return "is not the header of a log";
  if (header.v !== 1) return `has version ${JSON.stringify(header.v)}, and this Shepherd knows version 1: update Shepherd`;
  if (typeof header.id !== "string" || !LOG_ID.test(header.id)) return "is a header without an id";
  if (!header.meta || typeof header.meta !== "object") return "is a header without facts";
  if (header.origin === undefined || (header.origin !== null && !isOrigin(header.origin)))
    return "is a header with a malformed origin";
  return null;
}

function isOrigin(origin: NonNullable<LogHeader["origin"]>): boolean {
  const counts = [origin.n, origin.seq, origin.top];
  return (
    typeof origin.log === "string" &&
    counts.every((count) => Number.isSafeInteger(count)) &&
    isHash(origin.commit) &&
    typeof origin.carry === "object" &&
    origin.carry !== null &&
    typeof origin.state?.roots?.workspace === "string" &&
    typeof origin.state.threads === "object" &&
    origin.state.threads !== null &&
    Object.values(origin.state.threads).every((each) => typeof each === "object" && each !== null)
  );
}

/** The frames that count, as `logs.ts` decides it. Stops where the chain breaks. */
export function* countingFrames(file: DiskFile): Generator<LogHeader | { frame: Frame; hash: Hash }> {
  let prev: Hash | null = null;
  let seq = 0;
  let epoch = 0;
  for (const piece of logPieces(file)) {
    if (piece.what === "header") {
      prev = piece.hash;
      yield piece.header;
    } else if (piece.what === "frame") {
      const { frame, hash } = piece;
      if (frame.seq !== seq || frame.prev !== prev || frame.epoch < epoch) continue;
      seq++;
      prev = hash;
      epoch = frame.epoch;
      yield { frame, hash };
    }
  }
}

/** Names that stand in a value: of objects, of logs, and hashes that say nothing of what they name, such as those of commits. */
export interface Names {
  links: Link[];
  logs: string[];
  hashes: Hash[];
}

export function namesIn(value: Json | undefined): Names {
  const names: Names = { links: [], logs: [], hashes: [] };
  const stack: unknown[] = [value];
  while (stack.length > 0) {
    const each = stack.pop();
    if (typeof each === "string") {
      if (LOG_ID.test(each)) names.logs.push(each);
      else if (isHash(each)) names.hashes.push(each);
      else names.links.push(...linksIn(each));
    } else if (each && typeof each === "object") for (const member of Object.values(each)) stack.push(member);
  }
  return names;
}

/**
 * What every intact record of a log names from `offset` on, whether it counts or not, and where the last of them ends. Throws `NewerFormat` where
 * a newer Shepherd wrote what this one may not understand.
 */
export function* recordNames(
  file: DiskFile,
  log: string,
  offset = 0,
  broken?: () => void,
): Generator<Names & { end: number }> {
  if (offset === 0) {
    const heading = /^shepherd log (\d{1,9})\n/.exec(file.read(0, 32).toString("latin1"));
    if (heading && Number(heading[1]) > FORMAT) throw newer(log);
  }
  for (const piece of logPieces(file, offset === 0 ? LOG_HEADING.length : offset)) {
    if (piece.what === "damage") {
      if (piece.shape === "broken") broken?.();
      continue;
    }
    const value = piece.what === "header" ? piece.header : piece.what === "frame" ? piece.frame : piece.value;
    if (piece.what === "stranger" && piece.why.startsWith("has version")) throw newer(log);
    const names = namesIn(value as unknown as Json);
    if (piece.what === "frame") names.hashes.splice(names.hashes.indexOf(piece.frame.prev), 1);
    yield { ...names, end: piece.end };
  }
}

const newer = (log: string): NewerFormat =>
  new NewerFormat(`The log ${log} was written by a newer Shepherd: update Shepherd to work on this store.`);

export const logPath = (directory: string, log: string): string => `${directory}/logs/${log}.log`;

/** Opens a log for the time of `work` only; null if there is none. */
export function withLog<T>(disk: Disk, directory: string, log: string, work: (file: DiskFile) => T): T | null {
  const file = disk.open(logPath(directory, log));
  if (!file) return null;
  try {
    return work(file);
  } finally {
    file.close();
  }
}
