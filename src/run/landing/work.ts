/** What the parts of a landing share: the workspace and the staging directory held open, what each change has come to, what landed and what did not. */
import type { Link, Objects } from "../../trace/ports.ts";
import { codeOf } from "../../world/dirs.ts";
import type { Pace } from "../../world/pace.ts";
import type { Dir, Files, Stat } from "./files.ts";
import { type Change, type Side, untouchable } from "./plan.ts";
import type { Writers } from "./writers.ts";

/**
 * - `changed`, `deleted`, `exists`: the user changed or removed what was to be replaced, or made something where there was nothing;
 * - `parent`: a directory above it is gone, or has become something else;
 * - `not empty`: a directory that was to be removed holds what the plan does not know;
 * - `in use`: a program has the file open for writing;
 * - `late`: somebody wrote to the old file after it had been replaced;
 * - `refused`: no landing writes there; `failed`: the system said no.
 */
export type Why = "changed" | "deleted" | "exists" | "parent" | "not empty" | "in use" | "late" | "refused" | "failed";

/** A path that did not land. The user's version is left, or was put back. */
export interface Conflict {
  path: Buffer;
  why: Why;
  /** What is the matter, in words that follow the path. */
  text: string;
  /** What the user has there, its content in the store; null where there is nothing, or nothing that can be kept. */
  theirs: Side | null;
  /** Bytes of the user's that could not be left under their name, and are in the store. */
  kept: Link[];
  /** Where in the workspace lies what could neither be put back nor be kept in the store: the user has to take it from there. */
  stays: Buffer[];
}

export type Outcome =
  | { at: "landed" }
  | { at: "held" }
  | { at: "left" }
  | ({ at: "conflict" } & Omit<Conflict, "path">);

export const LANDED: Outcome = { at: "landed" };

export const conflict = (why: Why, text: string, theirs: Side | null = null): Outcome => ({
  at: "conflict",
  why,
  text,
  theirs,
  kept: [],
  stays: [],
});

export interface Work {
  files: Files;
  writers: Writers;
  /** For how many milliseconds a writer is waited for. */
  patience: number;
  objects: Objects;
  /** Makes what was put survive power loss. */
  sync: () => Promise<void>;
  pace: Pace;
  root: Dir;
  /** Its absolute path as a byte string, and the name of the staging directory. */
  path: string;
  staging: string;
  stage: Dir;
  changes: readonly Change[];
  outcomes: (Outcome | undefined)[];
  /** The inode numbers of what was staged, to tell ours from what the user has put in its place. */
  ours: (bigint | null)[];
  /** Changes whose old entry was moved away, is not what was expected, and could not be linked back: their path is free only because of us. */
  stuck: Set<number>;
}

/** Names in the staging directory: what is new, what was old, and what of ours went back. */
export const slot = (kind: "n" | "o" | "b", change: number): string => `${kind}${change}`;
export const parseSlot = (name: string): { kind: "n" | "o" | "b"; change: number } | null => {
  const match = /^([nob])(\d{1,9})$/.exec(name);
  return match ? { kind: match[1] as "n" | "o" | "b", change: Number(match[2]) } : null;
};

/** The directory that a path is in, held open, and what it is called there. */
export interface Place {
  dir: Dir;
  name: string;
}

/** Opens the way to a path, component by component. Throws ENOENT, ENOTDIR or ELOOP where it does not lead through directories. */
export function openPlace({ files, root }: Pick<Work, "files" | "root">, path: string): Place {
  const names = path.split("/");
  const name = names.pop()!;
  let dir = root;
  for (const each of names) {
    const above = dir;
    try {
      dir = files.openDir(above, each);
    } finally {
      if (above !== root) files.closeDir(above);
    }
  }
  return { dir, name: name === "" ? "." : name };
}

export const closePlace = ({ files, root }: Pick<Work, "files" | "root">, { dir }: Place): void => {
  if (dir !== root) files.closeDir(dir);
};

/** Why no landing may touch a path, whatever its plan says. */
export function refusal(path: string): string | null {
  for (const [at, name] of path.split("/").entries()) {
    if (name === "." || name === ".." || (name === "" && path !== "")) return "is no path in a workspace";
    const why = untouchable(name, at === 0);
    if (why) return `is left alone: ${why}`;
  }
  return null;
}

/** What a system call refused, in words that follow the path. */
export function explain(error: unknown): string {
  switch (codeOf(error)) {
    case "EACCES":
    case "EPERM":
      return "may not be changed by you: give yourself the permission and land again";
    case "EROFS":
      return "is on a file system that is read-only";
    case "EXDEV":
      return "is on another file system than the workspace: land the change there by hand";
    case "EBUSY":
      return "has something mounted on it, or is in use by the system";
    case "ENOSPC":
    case "EDQUOT":
      return "did not fit on the disk: make room and land again";
    case "ENAMETOOLONG":
      return "has a name that this file system cannot hold";
    case "EILSEQ":
    case "EINVAL":
      return "has a name that this file system does not allow";
    default:
      return `could not be changed (${(error as Error).message})`;
  }
}

/** Whether an error is that of a system call. */
export const isSystemError = (error: unknown): boolean =>
  typeof (error as { syscall?: unknown } | null)?.syscall === "string";

export const sameStamps = (a: Stat, b: Stat): boolean =>
  a.ino === b.ino && a.dev === b.dev && a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs;
