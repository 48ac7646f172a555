import type { Hash } from "./ports.ts";

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
}

/** Names that came from outside may hold anything, newlines too. */
export const quoted = (text: string): string => JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
