/** Keeps what the user has where a run has gone back behind an edit of theirs: to land that would take the edit away. */
import type { Hash, Objects } from "../../trace/ports.ts";
import { diffTrees } from "../../world/diff.ts";
import { lookup } from "../../world/lookup.ts";
import type { Conflict } from "../../world/merge.ts";
import { type Entry, readTree } from "../../world/tree.ts";
import { changedTree } from "./come.ts";
import type { Change, Side } from "./plan.ts";

/**
 * `merged` with what `main` has at each path that one of `edits` touched, where the two differ. Each of these paths is a conflict.
 * Throws `Missing` where the store lacks a tree.
 */
export async function keepEdits(
  objects: Objects,
  edits: ReadonlyArray<{ from: Hash | null; to: Hash }>,
  main: Hash,
  merged: Hash,
): Promise<{ tree: Hash; conflicts: Conflict[] }> {
  const paths = new Map<string, Buffer>();
  for (const { from, to } of edits)
    for await (const { path, before, after } of diffTrees(objects, from, to))
      if (before?.type !== "d" && after?.type !== "d") paths.set(path.toString("latin1"), path);
  const conflicts: Conflict[] = [];
  const changes: Change[] = [];
  for (const path of paths.values()) {
    const ours = await lookup(objects, main, path);
    const theirs = await lookup(objects, merged, path);
    if (same(ours, theirs) || ours?.type === "d" || theirs?.type === "d") continue;
    if (ours) changes.push(...(await directoriesTo(objects, path, main, merged)));
    changes.push({ path, expected: null, next: ours && sideOf(ours), asks: null });
    conflicts.push({ path, base: null, ours, theirs, why: ours && theirs ? "content" : "modify/delete" });
  }
  return changes.length === 0
    ? { tree: merged, conflicts }
    : { tree: await changedTree(objects, merged, changes), conflicts };
}

const same = (a: Entry | null, b: Entry | null): boolean =>
  a === b || (a !== null && b !== null && a.type === b.type && a.mode === b.mode && a.id === b.id);

const sideOf = ({ type, mode, id }: Entry): Side => ({ type, mode, id });

/** Makes the directories above a path that `merged` has no more, as `main` has them. */
async function directoriesTo(objects: Objects, path: Buffer, main: Hash, merged: Hash): Promise<Change[]> {
  const changes: Change[] = [];
  for (let end = path.indexOf(0x2f); end >= 0; end = path.indexOf(0x2f, end + 1)) {
    const above = path.subarray(0, end);
    if ((await lookup(objects, merged, above))?.type === "d") continue;
    const { mode } = await readTree(objects, (await lookup(objects, main, above))!.id);
    changes.push({ path: above, expected: null, next: { type: "d", mode, id: null }, asks: null });
  }
  return changes;
}
