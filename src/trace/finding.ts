import { flippedIn } from "./flip.ts";
import type { Hash } from "./ports.ts";
import { FORMAT } from "./segment.ts";

/** What a check of a store found. */
export interface Finding {
  /** `error`: something is lost or wrong. `warning`: something is wrong and nothing is lost. `note`: explained, nothing to do. */
  severity: "error" | "warning" | "note";
  what:
    | "format"
    | "heading"
    | "header"
    | "frame"
    | "torn"
    | "stray"
    | "law"
    | "origin"
    | "commit"
    | "object"
    | "missing"
    | "forgotten"
    | "malformed"
    | "index"
    | "ref"
    | "lease"
    | "writer"
    | "leftover"
    | "unreadable";
  log?: string;
  /** Sequence number of a frame. */
  seq?: number;
  /** Of an object, or of a commit. */
  id?: Hash;
  /** Relative to the store, and where in it. */
  file?: string;
  offset?: number;
  /** One sentence. */
  text: string;
  /** One sentence: what to do. */
  repair?: string;
  /** Where one flipped bit explains it: see `mend`. */
  fix?: Fix;
}

/** A byte, and what it should be. */
export interface Fix {
  /** Relative to the store. */
  file: string;
  offset: number;
  byte: number;
}

/** What to do where a finding has a `fix`. */
export const ONE_BIT = "One bit is flipped: `shepherd fsck --repair` sets it right.";

/** Names that came from outside may hold anything, newlines too. */
export const quoted = (text: string): string => JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);

/** A file whose first line is not that of its type. */
export function headingFinding(file: string, type: string, start: Buffer, severity: Finding["severity"]): Finding {
  const wanted = `shepherd ${type} ${FORMAT}\n`;
  const at = flippedIn(start, Buffer.from(wanted));
  const version = /^shepherd ([a-z]+) (\d{1,9})\n/.exec(start.toString("latin1"));
  const newer = version && version[1] === type && Number(version[2]) > FORMAT;
  return {
    severity,
    what: "heading",
    file,
    offset: 0,
    text: newer
      ? `${file} has format ${version[2]}, and this Shepherd knows formats up to ${FORMAT}.`
      : `The heading of ${file} is damaged, so it cannot be read; what follows is where it was.`,
    repair: `${newer ? "Update Shepherd; if no newer one ever wrote here, its" : "Its"} first ${wanted.length} bytes should read ${quoted(wanted)}.`,
    ...(at >= 0 && { fix: { file, offset: at, byte: wanted.charCodeAt(at) } }),
  };
}
