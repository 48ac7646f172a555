/** What one directory is to be: its tree, its modification times and its part of `vcs`, put together. */
import { Forgotten } from "../trace/objects.ts";
import type { Hash, Objects } from "../trace/ports.ts";
import { ForgottenAt, Missing } from "./missing.ts";
import { type Owner, readMtimes } from "./mtimes.ts";
import { inside, quotePath } from "./paths.ts";
import { type EntryType, readTree } from "./tree.ts";

/** The ids of what a directory is to be. */
export interface Want {
  tree: Hash;
  /** Null: unknown. */
  mtimes: Hash | null;
  /** Null: no `.git` below; undefined: every `.git` stays as it is. */
  vcs: Hash | null | undefined;
  vcsMtimes: Hash | null;
}

export interface Target {
  /** A byte string. */
  name: string;
  type: EntryType;
  mode: number;
  id: Hash;
  /** Nanoseconds since 1970; null where unknown, and for a directory, which has its own plan. */
  ns: bigint | null;
  /** Null where unknown or not restored, and for a directory. */
  owner: Owner | null;
  /** Of a directory. */
  want?: Want;
}

export interface Plan {
  mode: number;
  /** Nanoseconds since 1970; null where unknown. */
  ns: bigint | null;
  owner: Owner | null;
  targets: Target[];
  /** Names of directories that `vcs` has and `tree` has not. */
  unplaced: string[];
  /** Whether a `.git` that stands there is to stay. */
  sparesGit: boolean;
}

/**
 * Reads the plan of directory `key`. `inGit`: it is `.git` or in it. `lacks` is called where times or the part of `vcs` are not in the store,
 * and may throw; a tree that lacks throws `Missing`. Throws a sentence if the state is not one that a capture can have made.
 */
export async function readPlan(
  objects: Objects,
  want: Want,
  key: string,
  inGit: boolean,
  lacks: (error: Missing) => void,
  owners: boolean,
): Promise<Plan> {
  const ownerIn = (told: { owner?: Owner } | null | undefined): Owner | null =>
    owners && told ? (told.owner ?? { uid: 0, gid: 0 }) : null;
  const read = <T>(what: () => Promise<T>): Promise<T> => located(what, key);
  const optional = async <T>(what: () => Promise<T>): Promise<T | null> => {
    try {
      return await read(what);
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
      lacks(error);
      return null;
    }
  };
  const tree = await read(() => readTree(objects, want.tree));
  const times = want.mtimes ? await optional(() => readMtimes(objects, want.mtimes!)) : null;
  const git = want.vcs && !inGit ? await optional(() => readTree(objects, want.vcs!)) : null;
  const gitTimes = git && want.vcsMtimes ? await optional(() => readMtimes(objects, want.vcsMtimes!)) : null;
  const time = byName(times?.entries ?? []);
  const gitTime = byName(gitTimes?.entries ?? []);
  // A part of `vcs` that lacks is like one that was never told: what is there stays.
  const gitBelow = byName(git?.entries ?? []);
  const sparesGit = !inGit && (want.vcs === undefined || (want.vcs !== null && !git));
  const targets: Target[] = [];
  for (const { type, mode, name, id } of tree.entries) {
    const text = name.toString("latin1");
    const at = time.get(text);
    const target: Target = { name: text, type, mode, id, ns: null, owner: null };
    if (at?.type === "f" && type !== "d") Object.assign(target, { ns: at.ns, owner: ownerIn(at) });
    if (type === "d") {
      if (text === ".git" && !inGit) throw wrong(key, "its tree has a directory named .git, which belongs to `vcs`");
      const gitDir = gitBelow.get(text);
      const gitAt = gitTime.get(text);
      target.want = {
        tree: id,
        mtimes: at?.type === "d" ? at.id : null,
        vcs: inGit || sparesGit ? undefined : (gitDir?.id ?? null),
        vcsMtimes: gitAt?.type === "d" ? gitAt.id : null,
      };
    }
    targets.push(target);
  }
  const there = new Set(targets.map(({ name, type }) => (type === "d" ? `${name}/` : name)));
  const unplaced: string[] = [];
  for (const [name, { type, mode, id }] of gitBelow) {
    if (type !== "d") throw wrong(key, "its `vcs` has an entry that is no directory");
    const at = gitTime.get(name);
    const want: Want = { tree: id, mtimes: at?.type === "d" ? at.id : null, vcs: undefined, vcsMtimes: null };
    if (name === ".git" && !there.has(name)) targets.push({ name, type, mode, id, ns: null, owner: null, want });
    else if (!there.has(`${name}/`)) unplaced.push(name);
  }
  targets.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { mode: tree.mode, ns: times?.own ?? null, owner: ownerIn(times), targets, unplaced, sparesGit };
}

/** Runs `what`; if an object lacks or the system refuses, the error tells the path that it is about: `key`, or the entry `name` of it. */
export async function located<T>(what: () => Promise<T> | T, key: string, name = ""): Promise<T> {
  try {
    return await what();
  } catch (error) {
    const path = name === "" ? Buffer.from(key, "latin1") : pathOfEntry(key, name);
    if (error instanceof Missing && !error.path) throw new Missing(error.id, error.what, path, { cause: error });
    if (error instanceof Forgotten) throw new ForgottenAt(error.id, path, { cause: error });
    const { syscall, code, message } = error as NodeJS.ErrnoException;
    // The paths in such messages are those of open directories and mean nothing to anybody.
    if (!syscall || !code) throw error;
    const reason = message.slice(0, message.indexOf(", ") < 0 ? undefined : message.indexOf(", "));
    throw new Error(`${show(path)} cannot be restored (${syscall}: ${reason}): see to it and try again.`, {
      cause: error,
    });
  }
}

export const pathOfEntry = (key: string, name: string): Buffer => Buffer.from(inside(key, name), "latin1");

export const show = (path: Buffer): string => quotePath(path) || "The root directory";

const byName = <T extends { name: Buffer }>(entries: readonly T[]): Map<string, T> =>
  new Map(entries.map((entry) => [entry.name.toString("latin1"), entry]));

/** Of a state that is none: `key` is the path in it. */
export const wrong = (key: string, why: string): Error =>
  new Error(
    `${show(Buffer.from(key, "latin1"))} cannot be restored, since no capture can have made this state: ${why}.`,
  );
