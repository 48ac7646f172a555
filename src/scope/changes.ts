/** What changed between two trees, as numbers for a row and as text for a person. */
import { Forgotten } from "../trace/objects.ts";
import type { Hash } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { readContent } from "../world/content.ts";
import { type Change, diffTrees } from "../world/diff.ts";
import { countLines } from "../world/hunks.ts";
import { isBinary } from "../world/lines.ts";
import { Missing } from "../world/missing.ts";
import type { Entry } from "../world/tree.ts";

export interface ChangeCount {
  /** Files and links; directories do not count. */
  files: number;
  /** Lines of texts. */
  added: number;
  removed: number;
}

/** Beyond these, lines are not counted: a row must not cost more than the step. */
export const MOST_FILES = 200;
const LARGEST = 512 << 10;

const isFile = (entry: Entry | undefined): boolean => entry !== undefined && entry.type !== "d";

/** Counts what a step changed. Lines are counted in the first 200 files of at most 512 KiB. */
export async function countChanges(store: EmbeddedStore, a: Hash | null, b: Hash | null): Promise<ChangeCount> {
  const count: ChangeCount = { files: 0, added: 0, removed: 0 };
  if (a === b) return count;
  for await (const change of diffTrees(store.objects, a, b)) {
    if (!isFile(change.before) && !isFile(change.after)) continue;
    count.files++;
    if (count.files > MOST_FILES) continue;
    const sides = await textsOf(store, change);
    if (!sides) continue;
    const { added, removed } = countLines(sides.before, sides.after);
    count.added += added;
    count.removed += removed;
  }
  return count;
}

/** Both sides of a change as text; null where one is binary, too large or gone. */
export async function textsOf(store: EmbeddedStore, change: Change): Promise<{ before: Buffer; after: Buffer } | null> {
  const before = await textOf(store, change.before);
  const after = await textOf(store, change.after);
  return before === null || after === null ? null : { before, after };
}

async function textOf(store: EmbeddedStore, entry: Entry | undefined): Promise<Buffer | null> {
  if (!entry || entry.type === "d") return Buffer.alloc(0);
  try {
    return await readText(store, entry.type, entry.id);
  } catch (error) {
    // That its bytes are gone must not keep anybody from going on.
    if (error instanceof Forgotten || error instanceof Missing) return null;
    throw error;
  }
}

async function readText(
  store: EmbeddedStore,
  type: Parameters<typeof readContent>[1],
  id: Hash,
): Promise<Buffer | null> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of readContent(store.objects, type, id)) {
    size += part.length;
    if (size > LARGEST) return null;
    parts.push(part);
  }
  const bytes = Buffer.concat(parts);
  return isBinary(bytes) ? null : bytes;
}
