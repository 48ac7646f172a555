/**
 * The hidden directory at the workspace's root that a landing works in, on the same file system as what it replaces. It holds, by the number
 * of the change: `n3` what is to come, `o3` what was moved away, `b3` what of ours was taken back; and `ready`, which is written
 * when all that is to come is staged and synced. No path of the workspace is touched before that.
 */
import { MAX_OBJECT } from "../../trace/ports.ts";
import { readContent } from "../../world/content.ts";
import { codeOf, gone } from "../../world/dirs.ts";
import type { Dir, Files } from "./files.ts";
import { type Side, STAGING_PREFIX } from "./plan.ts";
import { conflict, explain, isSystemError, parseSlot, slot, type Work } from "./work.ts";

const READY = "ready";
const PROBE = "probe";
const FULL = new Set(["ENOSPC", "EDQUOT", "EROFS", "EIO"]);

export const stagingName = (id: string): string => {
  if (!/^[0-9A-Za-z-]{1,64}$/.test(id))
    throw new Error(`\`${id}\` cannot name a landing: use up to 64 letters, digits and hyphens.`);
  return STAGING_PREFIX + id;
};

/** Makes the staging directory. Throws a sentence where there is one already, and what `mkdir` throws. */
export function makeStaging(files: Files, root: Dir, name: string): Dir {
  try {
    files.mkdir(root, name, 0o700);
  } catch (error) {
    if (codeOf(error) === "EEXIST")
      throw new Error(`A landing was begun and not ended (${name} is still there): recover it first.`);
    throw error;
  }
  const stage = files.openDir(root, name);
  return stage;
}

/** Stages what the changes bring, but for those that have an outcome already. Synced, with the names, when it resolves. */
export async function stageAll(work: Work, signal?: AbortSignal): Promise<void> {
  const { files, stage, changes, outcomes } = work;
  const syncs = new Set<Promise<void>>();
  let failure: unknown;
  let probed = false;
  for (const [index, { next, expected }] of changes.entries()) {
    if (!next || next.type === "d" || outcomes[index] || isModeOnly(expected, next)) continue;
    signal?.throwIfAborted();
    if (failure) break;
    let done: () => Promise<void>;
    try {
      done = await stageOne(work, index, next);
    } catch (error) {
      if (next.type !== "l" || !isSystemError(error) || FULL.has(codeOf(error)!)) throw error;
      // A target that this file system cannot hold.
      outcomes[index] = conflict("failed", explain(error), expected);
      continue;
    }
    if (!probed) {
      probe(files, stage, slot("n", index));
      probed = true;
    }
    const sync = done().catch((error: unknown) => {
      failure ??= error;
    });
    const tracked = sync.finally(() => syncs.delete(tracked));
    syncs.add(tracked);
    if (syncs.size >= 16) await Promise.race(syncs);
    if (work.pace.due()) await work.pace.rest();
  }
  await Promise.all(syncs);
  if (failure) throw failure;
}

/** Whether a change is of a file's mode alone, which is changed in place. */
export const isModeOnly = (expected: Side | null, next: Side | null): boolean =>
  expected !== null && next !== null && expected.type === next.type && expected.id === next.id && next.type !== "l";

/** Stages one entry; what it gives syncs and closes it. */
export async function stageOne(work: Work, index: number, next: Side): Promise<() => Promise<void>> {
  const { files, stage, objects } = work;
  const name = slot("n", index);
  if (next.type === "l") {
    const pieces: Uint8Array[] = [];
    for await (const piece of readContent(objects, "l", next.id!)) pieces.push(piece);
    files.symlink(Buffer.concat(pieces), stage, name);
    work.ours[index] = files.lstat(stage, name)!.ino;
    return async () => {};
  }
  const fd = files.create(stage, name);
  try {
    let size = 0;
    let written = 0;
    for await (const piece of readContent(objects, next.type, next.id!)) {
      const hole = piece.length === MAX_OBJECT && piece.every((byte) => byte === 0);
      if (!hole) files.write(fd, piece, size);
      size += piece.length;
      if (!hole) written = size;
      if (work.pace.due()) await work.pace.rest();
    }
    if (written < size) files.truncate(fd, size);
    files.fchmod(fd, next.mode);
    work.ours[index] = files.lstat(stage, name)!.ino;
  } catch (error) {
    files.close(fd);
    throw error;
  }
  return async () => {
    try {
      await files.fsync(fd);
    } finally {
      files.close(fd);
    }
  };
}

/** Before anything is touched: what was moved away must be able to come back without replacing anything. */
function probe(files: Files, stage: Dir, name: string): void {
  try {
    files.link(stage, name, stage, PROBE);
  } catch (error) {
    if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"].includes(codeOf(error) ?? "")) throw error;
    throw new Error(
      "The file system of the workspace has no hard links, so nothing can be landed there safely: copy the changes by hand (`shepherd diff`).",
    );
  }
  files.unlink(stage, PROBE);
}

/** What `ready` says: the inodes that were staged, and which changes nobody allowed. */
export interface Ready {
  ours: (bigint | null)[];
  held: number[];
}

export async function writeReady(work: Work): Promise<void> {
  const { files, stage, root, ours, outcomes } = work;
  const held = outcomes.flatMap((outcome, index) => (outcome?.at === "held" ? [index] : []));
  const fd = files.create(stage, `${READY}.tmp`);
  try {
    const inodes = ours.map((ino) => (ino === null ? null : String(ino)));
    files.write(fd, Buffer.from(JSON.stringify({ v: 1, held, ours: inodes })), 0);
    await files.fsync(fd);
  } finally {
    files.close(fd);
  }
  files.rename(stage, `${READY}.tmp`, stage, READY);
  await files.syncDir(stage);
  await files.syncDir(root);
}

/** What the landing had staged when it was cut off; null if it had not come so far as to touch anything. */
export async function readReady(files: Files, stage: Dir, work: Pick<Work, "pace">): Promise<Ready | null> {
  const chunks: Buffer[] = [];
  const put = async (bytes: Uint8Array) => {
    chunks.push(Buffer.from(bytes));
    return "";
  };
  const taken = await files.take(stage, READY, put, work.pace);
  if (typeof taken === "string") return null;
  // A large file comes in pieces, the list of which is put last.
  const bytes = "bytes" in taken ? taken.bytes : Buffer.concat(taken.type === "F" ? chunks.slice(0, -1) : chunks);
  const { ours, held } = JSON.parse(bytes.toString()) as { ours: (string | null)[]; held: number[] };
  return { ours: ours.map((ino) => (ino === null ? null : BigInt(ino))), held };
}

/** Removes what is ours from the staging directory, but for the names in `stay`, and the directory itself if nothing is left in it. */
export function removeStaging(
  work: Pick<Work, "files" | "root" | "stage" | "staging">,
  stay: ReadonlySet<string>,
): void {
  const { files, root, stage, staging } = work;
  try {
    for (const name of files.names(stage)) {
      if (stay.has(name) || !(parseSlot(name) || [READY, `${READY}.tmp`, PROBE].includes(name))) continue;
      try {
        files.unlink(stage, name);
      } catch (error) {
        if (!gone(error)) throw error;
      }
    }
    files.rmdir(root, staging);
  } catch (error) {
    // Somebody removed it, or left something in it.
    if (!gone(error) && !["ENOTEMPTY", "EEXIST"].includes(codeOf(error) ?? "")) throw error;
  }
}
