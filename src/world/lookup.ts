/** A path in a tree. */
import type { Hash, Objects } from "../trace/ports.ts";
import { type Entry, readTree } from "./tree.ts";

/** What stands at `path` (names between `/`; empty for the root) below `tree`; null if nothing does. Follows no links. */
export async function lookup(objects: Objects, tree: Hash, path: Buffer): Promise<Entry | null> {
  let entry: Entry = { type: "d", mode: 0, name: Buffer.alloc(0), id: tree };
  for (const name of split(path)) {
    if (entry.type !== "d") return null;
    const found = (await readTree(objects, entry.id)).entries.find((each) => each.name.equals(name));
    if (!found) return null;
    entry = found;
  }
  return entry;
}

function split(path: Buffer): Buffer[] {
  const names: Buffer[] = [];
  for (let from = 0; from <= path.length; ) {
    const end = path.indexOf(0x2f, from);
    const name = path.subarray(from, end < 0 ? path.length : end);
    if (name.length > 0 && !name.equals(DOT)) names.push(name);
    if (end < 0) break;
    from = end + 1;
  }
  return names;
}

const DOT = Buffer.from(".");
