/** What differs between two trees, looking only into what has another id. */
import type { Hash, Objects } from "../trace/ports.ts";
import { joinPath } from "./paths.ts";
import { type Entry, readTree } from "./tree.ts";

export interface Change {
  /** Relative to the trees; empty for the root directory itself. */
  path: Buffer;
  /** `mode`: nothing but the mode. `type`: file, link or directory took another one's place. `modified`: other content of the same type. */
  kind: "added" | "deleted" | "modified" | "mode" | "type";
  /** A directory's entry has the directory's own mode here. */
  before?: Entry;
  after?: Entry;
}

/** A directory that is on one side or on both. */
interface Pair {
  path: Buffer;
  before: Entry | null;
  after: Entry | null;
}

/**
 * The differences from tree `a` to tree `b` (null: nothing at all), a directory before what is in it, the entries of one directory in order. An
 * added or deleted directory is told with all that is in it. Throws `Missing` where an object lacks.
 */
export async function* diffTrees(objects: Objects, a: Hash | null, b: Hash | null): AsyncGenerator<Change> {
  if (a === b) return;
  const root = (id: Hash | null): Entry | null => (id ? { type: "d", mode: 0, name: Buffer.alloc(0), id } : null);
  const stack: (Pair | Change)[] = [{ path: Buffer.alloc(0), before: root(a), after: root(b) }];
  for (let next = stack.pop(); next; next = stack.pop()) {
    if ("kind" in next) {
      yield next;
      continue;
    }
    const { path, before, after } = next;
    const left = isDir(before) ? await readTree(objects, before.id) : null;
    const right = isDir(after) ? await readTree(objects, after.id) : null;
    const change = compare(path, own(before, left?.mode), own(after, right?.mode));
    if (change) yield change;
    const below: (Pair | Change)[] = [];
    for (const { name, before, after } of zip(left?.entries ?? [], right?.entries ?? [])) {
      const here = joinPath(path, name);
      if (isDir(before) || isDir(after)) {
        if (!(isDir(before) && isDir(after) && before.id === after.id)) below.push({ path: here, before, after });
        continue;
      }
      const change = compare(here, before, after);
      if (change) below.push(change);
    }
    for (const each of below.reverse()) stack.push(each);
  }
}

const isDir = (entry: Entry | null): entry is Entry => entry?.type === "d";

const own = (entry: Entry | null, mode: number | undefined): Entry | null =>
  entry && mode !== undefined ? { ...entry, mode } : entry;

function compare(path: Buffer, before: Entry | null, after: Entry | null): Change | null {
  if (!before) return after && { path, kind: "added", after };
  if (!after) return { path, kind: "deleted", before };
  const sort = (entry: Entry): string => (entry.type === "F" ? "f" : entry.type);
  if (sort(before) !== sort(after)) return { path, kind: "type", before, after };
  if (before.type !== "d" && before.id !== after.id) return { path, kind: "modified", before, after };
  return before.mode === after.mode ? null : { path, kind: "mode", before, after };
}

/** The entries of two directories side by side, in order of names. */
function* zip(
  left: readonly Entry[],
  right: readonly Entry[],
): Generator<{ name: Buffer; before: Entry | null; after: Entry | null }> {
  for (let i = 0, j = 0; i < left.length || j < right.length; ) {
    const [a, b] = [left[i], right[j]];
    const order = !a ? 1 : !b ? -1 : Buffer.compare(a.name, b.name);
    yield { name: (order <= 0 ? a : b)!.name, before: order <= 0 ? a! : null, after: order >= 0 ? b! : null };
    if (order <= 0) i++;
    if (order >= 0) j++;
  }
}
