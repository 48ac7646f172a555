/**
 * Landing: a merged tree comes into the user's working directory, path by path, while the user, an editor or a branch switch may be at work in it.
 *
 * What holds whoever acts in between, and if this process dies at any point and `recoverLanding` runs later:
 * - Nothing that the user saved is lost: it is under its name, or in the store and named by a conflict.
 * - A file appears under its name whole or not at all, with its mode and owner; nothing outside the plan is touched, nor anything named `.git`;
 *   no link is followed.
 * - A path that is not as the plan expects is left as it is, and reported. One that already is as it is to be counts as landed.
 *
 * What cannot be held: without an exchange in one call a replaced name is free for some microseconds; a write through a descriptor or mapping that
 * `writers` does not show, after the last look at the displaced file, is lost; access lists, extended attributes and hard links of a replaced
 * file stay with the old one.
 */
import { encodeJson } from "../../trace/bytes.ts";
import type { Json, Link, Objects } from "../../trace/ports.ts";
import { absolute } from "../../world/capture.ts";
import { pace } from "../../world/pace.ts";
import { applyChange } from "./apply.ts";
import { type Files, realFiles } from "./files.ts";
import { hold } from "./hold.ts";
import { type Change, linkOf } from "./plan.ts";
import { readyRecord, settledRecords } from "./record.ts";
import { drop, type Rest, settle } from "./settle.ts";
import { isModeOnly, makeStaging, removeStaging, stageAll, stagingName, writeReady } from "./staging.ts";
import { type Conflict, closePlace, conflict, explain, isSystemError, openPlace, type Work } from "./work.ts";
import { procWriters, type Writers } from "./writers.ts";

export interface LandOptions {
  /** The workspace. */
  dir: string | Buffer;
  /** Names this landing: up to 64 letters, digits and hyphens. Recorded with the plan. */
  id: string;
  /** Of a plan, recorded (`storePlan`) before `land` is called. */
  changes: readonly Change[];
  objects: Objects;
  /** Resolves when all that was put before is synced. */
  sync: () => Promise<void>;
  /** Appends the link of an object that tells the landing's course; synced when it resolves. `recoverLanding` gets them all. */
  journal: (record: Link) => Promise<void>;
  onProgress?: (done: number, total: number) => void;
  /** Before anything is touched it stops the landing, and its reason is thrown; later what has not landed yet is left. */
  signal?: AbortSignal;
  /** Asked once for the changes that run code later: all, none, or which of them may land. Without it none do. */
  confirm?: (asking: readonly Change[]) => Promise<boolean | readonly Change[]>;
}

/** What a landing stands on; tests and a native helper put others in. */
export interface Ports {
  files: Files;
  writers: Writers;
  /** For how many milliseconds a program that has a displaced file open for writing is waited for. */
  patience: number;
}

export interface Landing {
  /** In the order in which they were made; `invert` takes them back. */
  landed: Change[];
  conflicts: Conflict[];
  /** Every content that was displaced, as it last was, and the user's of every conflict. Whoever calls names them in a frame: so they stay until retention. */
  displaced: { path: Buffer; link: Link }[];
  /** Changes that run code later and were not allowed, with the directories that only they need. */
  held: Change[];
  /** Changes that were not begun because `signal` aborted. */
  left: Change[];
}

/**
 * Lands a plan. One landing or recovery at a time in a workspace: whoever calls holds a lease. Synced when it resolves. Throws a sentence, with
 * nothing changed, where it cannot begin (no space, no hard links, a landing of this id not ended, objects missing); what it throws after that,
 * where the store fails, leaves all to `recoverLanding`.
 */
export async function land(options: LandOptions, ports: Partial<Ports> = {}): Promise<Landing> {
  options.signal?.throwIfAborted();
  const work = open(options, ports);
  try {
    await hold(work, options.confirm);
    return await begin(work, options);
  } finally {
    close(work);
  }
}

/** A landing's workspace, held open; the staging directory is not yet. */
export function open({ dir, id, changes, objects, sync }: LandOptions, ports: Partial<Ports>): Work {
  const staging = stagingName(id);
  const files = ports.files ?? realFiles;
  const path = absolute(dir);
  const root = files.openRoot(path);
  return {
    files,
    writers: ports.writers ?? procWriters,
    patience: ports.patience ?? 300,
    objects,
    sync,
    // Not stopped by the signal: a read that was begun is ended.
    pace: pace({}),
    root,
    path,
    staging,
    stage: root,
    changes,
    outcomes: new Array(changes.length).fill(undefined),
    ours: new Array(changes.length).fill(null),
    stuck: new Set(),
  };
}

export function close(work: Work): void {
  if (work.stage !== work.root) work.files.closeDir(work.stage);
  work.files.closeDir(work.root);
}

/** Thrown where the workspace takes nothing: it is as it was. */
export class Unfit extends Error {}

/** Stages what has no outcome yet, and lands it. */
export async function begin(work: Work, options: LandOptions): Promise<Landing> {
  try {
    work.stage = makeStaging(work.files, work.root, work.staging);
    await stageAll(work, options.signal);
    await writeReady(work);
    options.signal?.throwIfAborted();
    await record(options, readyRecord(work));
  } catch (error) {
    if (work.stage !== work.root) removeStaging(work, new Set());
    if (!isSystemError(error)) throw error;
    throw new Unfit(`Nothing was landed and nothing has changed: what is to come ${explain(error)}.`, { cause: error });
  }
  return carryOn(work, options);
}

/** Makes the changes that have no outcome yet, and ends the landing. */
export async function carryOn(work: Work, options: LandOptions): Promise<Landing> {
  const { onProgress, signal } = options;
  const { changes, outcomes } = work;
  await refuseOpen(work);
  const made = new Set<string>();
  for (const [index, change] of changes.entries()) {
    const path = change.path.toString("latin1");
    // What was made writable for a while is closed again all the same.
    const closes = change.expected?.type === "d" && change.next?.type === "d" && made.has(path);
    if (!outcomes[index])
      outcomes[index] = signal?.aborted && !closes ? { at: "left" } : await applyChange(work, index);
    if (outcomes[index].at === "landed" && change.next?.type === "d") made.add(path);
    onProgress?.(index + 1, changes.length);
    if (work.pace.due()) await work.pace.rest();
  }
  await end(work, await settle(work), options);
  return resultOf(work);
}

/** Writes down what the landing has come to, and clears up. */
export async function end(work: Work, rest: Rest, options: LandOptions): Promise<void> {
  await syncTouched(work);
  do for (const each of settledRecords(work)) await record(options, each);
  while (await drop(work, rest));
  removeStaging(work, rest.stay);
  await work.files.syncDir(work.root);
}

async function record({ objects, sync, journal }: LandOptions, value: Json): Promise<void> {
  const id = await objects.put(encodeJson(value));
  await sync();
  await journal(`json:${id}`);
}

/** Files that a program writes to are not taken from it: it would go on writing to the old one. */
async function refuseOpen(work: Work): Promise<void> {
  const { files, changes, outcomes, writers } = work;
  const candidates: { name: string; dev: bigint; ino: bigint }[] = [];
  for (const [index, { path, expected, next }] of changes.entries()) {
    if (outcomes[index] || !expected || expected.type === "d" || expected.type === "l" || isModeOnly(expected, next))
      continue;
    const name = path.toString("latin1");
    const stat = lookThrough(work, name);
    if (stat?.isFile()) candidates.push({ name, dev: stat.dev, ino: stat.ino });
    if (work.pace.due()) await work.pace.rest();
  }
  const open = candidates.length > 0 ? await writers(candidates) : new Map<string, string>();
  if (open.size === 0) return;
  for (const [index, { path, expected }] of changes.entries()) {
    const who = open.get(path.toString("latin1"));
    if (who && !outcomes[index] && expected && expected.type !== "d")
      outcomes[index] = conflict("in use", `is open for writing in ${who}`, expected);
  }

  function lookThrough(work: Work, path: string) {
    try {
      const place = openPlace(work, path);
      try {
        return files.lstat(place.dir, place.name);
      } finally {
        closePlace(work, place);
      }
    } catch {
      return null;
    }
  }
}

async function syncTouched(work: Work): Promise<void> {
  const { files, changes, outcomes } = work;
  const parents = new Set<string>();
  for (const [index, { path, next }] of changes.entries()) {
    if (outcomes[index]?.at === "held" || outcomes[index]?.at === "left" || path.length === 0) continue;
    const name = path.toString("latin1");
    parents.add(name.slice(0, Math.max(0, name.lastIndexOf("/"))));
    if (next?.type === "d") parents.add(name);
  }
  for (const parent of parents) {
    try {
      const place = openPlace(work, parent === "" ? "." : `${parent}/.`);
      try {
        await files.syncDir(place.dir);
      } finally {
        closePlace(work, place);
      }
    } catch (error) {
      // Gone, or not ours to open: then nothing of ours is in it.
      if (!["ENOENT", "ENOTDIR", "ELOOP", "EACCES", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? ""))
        throw error;
    }
  }
}

/** The result of a landing all of whose changes have an outcome. */
export function resultOf({ changes, outcomes }: Pick<Work, "changes" | "outcomes">): Landing {
  const result: Landing = { landed: [], conflicts: [], displaced: [], held: [], left: [] };
  for (const [index, change] of changes.entries()) {
    const outcome = outcomes[index]!;
    const { path, expected, next } = change;
    if (outcome.at === "conflict") {
      const { why, text, theirs, kept, stays } = outcome;
      result.conflicts.push({ path, why, text, theirs, kept, stays });
      const seen = linkOf(theirs);
      for (const link of new Set(seen ? [...kept, seen] : kept)) result.displaced.push({ path, link });
    } else {
      result[outcome.at].push(change);
      const old = linkOf(expected);
      if (outcome.at === "landed" && old && !isModeOnly(expected, next)) result.displaced.push({ path, link: old });
    }
  }
  return result;
}
