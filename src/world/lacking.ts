/** Entries of a state whose bytes were destroyed: it is restored without them, and what is captured from there still has them. */
import type { Hash, Objects } from "../trace/ports.ts";
import { readContentIds } from "./content-ids.ts";
import { lookup } from "./lookup.ts";
import { type Entry, readTree, writeTree } from "./tree.ts";

/** Paths below `tree` that cannot be restored, if `gone` tells of an object whether it is no more. */
export async function findLacking(
  objects: Objects,
  tree: Hash,
  gone: (id: Hash) => Promise<boolean>,
  at: Buffer = Buffer.alloc(0),
): Promise<Buffer[]> {
  if (await gone(tree)) return [at];
  const found: Buffer[] = [];
  for (const entry of (await readTree(objects, tree)).entries) {
    const path = at.length > 0 ? Buffer.concat([at, SLASH, entry.name]) : entry.name;
    if (entry.type === "d") found.push(...(await findLacking(objects, entry.id, gone, path)));
    else if (await lacks(objects, entry, gone)) found.push(path);
  }
  return found;
}

const SLASH = Buffer.from("/");

/** Whether the content of an entry is no more, of a directory whether it itself is. */
export async function lacks(objects: Objects, entry: Entry, gone: (id: Hash) => Promise<boolean>): Promise<boolean> {
  if (await gone(entry.id)) return true;
  if (entry.type !== "F") return false;
  for (const id of await readContentIds(objects, entry)) if (await gone(id)) return true;
  return false;
}

/**
 * `tree` with what a restore of `was` had to leave out at `paths`, where nothing else stands there now and its directory still does. For
 * that a file is not there is no doing of whoever works there, and must not be merged as if they had deleted it.
 */
export async function keepLacking(objects: Objects, tree: Hash, was: Hash, paths: readonly Buffer[]): Promise<Hash> {
  let whole = tree;
  for (const path of paths) {
    const entry = await lookup(objects, was, path);
    if (entry && path.length > 0) whole = await put(objects, whole, path, entry);
  }
  return whole;
}

async function put(objects: Objects, tree: Hash, path: Buffer, entry: Entry): Promise<Hash> {
  const { mode, entries } = await readTree(objects, tree);
  const end = path.indexOf(SLASH);
  const name = end < 0 ? path : path.subarray(0, end);
  const at = entries.findIndex((each) => each.name.equals(name));
  const there = entries[at];
  if (end < 0) return there ? tree : writeTree(objects, { mode, entries: [...entries, entry] });
  if (there?.type !== "d") return tree;
  const id = await put(objects, there.id, path.subarray(end + 1), entry);
  return id === there.id ? tree : writeTree(objects, { mode, entries: entries.with(at, { ...there, id }) });
}
