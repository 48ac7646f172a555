/**
 * A log as it lies in its file: all of it, also what does not count, and without trusting it. Whoever runs a scope reads logs by `logs.ts`;
 * this is for fsck, gc and du, which must see everything and keep nothing open.
 */
import { decodeJson, encodeJson, isHash, linksIn, sha256 } from "./bytes.ts";
import { isLogId, parseHeader } from "./chain.ts";
import type { DiskFile } from "./disk.ts";
import { pieces, type Shape } from "./examine.ts";
import { checkFrame, type Frame } from "./frame.ts";
import type { Hash, Json, Link, LogHeader } from "./ports.ts";
import type { Found } from "./record.ts";
import { FORMAT, NewerFormat } from "./segment.ts";

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
    const header = headerIn(payload, value);
    if (typeof header === "string") return { what: "stranger", why: header, value } as const;
    return { what: "header", header, hash: sha256(payload) } as const;
  }
  const frame = checkFrame(value);
  if (typeof frame === "string") return { what: "stranger", why: frame, value } as const;
  return { what: "frame", frame, hash: sha256(payload) } as const;
}

/** The header, or what is wrong with it. Which log it should be of is for others to check. */
function headerIn(payload: Buffer, value: Json): LogHeader | string {
  const id = value && typeof value === "object" && !Array.isArray(value) ? value.id : null;
  if (typeof id !== "string" || !isLogId(id)) return "is not one";
  try {
    const header = parseHeader(payload, id);
    return header && encodeJson(header).equals(payload) ? header : "is malformed";
  } catch {
    return "has version that this Shepherd does not know: update Shepherd";
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
      if (isLogId(each)) names.logs.push(each);
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
