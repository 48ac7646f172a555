import { flippedIn } from "./flip.ts";
import type { Hash } from "./ports.ts";
import { FORMAT } from "./segment.ts";

/** What a check of a store found. */
export interface Finding {
  /** `error`: something is lost or wrong. `warning`: something is wrong and nothing is lost. `note`: explained, nothing to do. */
  severity: "error" | "warning" | "note";
  what: What;
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

export type What =
  /** The store, a log or a frame is of a version that is not known, or of none. */
  | "format"
  /** First line of a file; header of a log; a frame. */
  | "heading"
  | "header"
  | "frame"
  /** An unfinished record. */
  | "torn"
  /** An intact frame that does not count. */
  | "stray"
  /** A frame that breaks a law; the place where a log was forked from; a commit that follows from no log. */
  | "law"
  | "origin"
  | "commit"
  /** A damaged object; one that is not there; one that was forgotten; bytes that are not what they are named as. */
  | "object"
  | "missing"
  | "forgotten"
  | "malformed"
  /** Files beside logs and objects. */
  | "index"
  | "ref"
  | "lease"
  | "writer"
  | "leftover"
  | "unreadable";

/** A byte, and what it should be. */
export interface Fix {
  /** Relative to the store. */
  file: string;
  offset: number;
  byte: number;
}

type Where = Omit<Partial<Finding>, "severity" | "what" | "text">;

const finding =
  (severity: Finding["severity"]) =>
  (what: What, where: Where, text: string, repair?: string): Finding => ({
    severity,
    what,
    ...where,
    text: oneLine(text),
    ...(repair && { repair }),
  });

export const error = finding("error");
export const warning = finding("warning");
export const note = finding("note");

/** What to do where a finding has a `fix`. */
export const ONE_BIT = "One bit is flipped: `shepherd fsck --repair` sets it right.";

/** What came from outside may hold anything, newlines too. */
export const quoted = (text: string): string => JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);

/** The reason of an error as the end of a sentence, without the advice to do what is being done. */
export const because = (wrong: unknown): string =>
  (typeof wrong === "string" ? wrong : (wrong as Error).message)
    .replace(/: run `shepherd fsck`\.$/, "")
    .replace(/\.?$/, ".");

const oneLine = (text: string): string =>
  text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]+/g, " ").replace(/^(.{1000}).+$/, "$1…");

/** A file whose first line is not that of its type. */
export function headingFinding(file: string, type: string, start: Buffer, where: Where = {}): Finding {
  const wanted = `shepherd ${type} ${FORMAT}\n`;
  const at = flippedIn(start, Buffer.from(wanted));
  const version = /^shepherd ([a-z]+) (\d{1,9})\n/.exec(start.toString("latin1"));
  const newer = version && version[1] === type && Number(version[2]) > FORMAT;
  const text = newer
    ? `${file} has format ${version[2]}, and this Shepherd knows formats up to ${FORMAT}.`
    : `The heading of ${file} is damaged, so it cannot be read; what follows is where it was.`;
  const repair = `${newer ? "Update Shepherd; if no newer one ever wrote here, its" : "Its"} first ${wanted.length} bytes should read ${quoted(wanted)}.`;
  const fix = at >= 0 && { fix: { file, offset: at, byte: wanted.charCodeAt(at) } };
  return error("heading", { file, offset: 0, ...fix, ...where }, text, repair);
}
