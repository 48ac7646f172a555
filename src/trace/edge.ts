/**
 * Edges: commits that follow from no log here, and lie among the objects as what they are. They come with an imported run, whose first commit
 * descends from the exporter's directory: what stood there is known, and nothing of what was before.
 */
import { decodeJson, isHash } from "./bytes.ts";
import type { Commit } from "./commit.ts";
import { checkState } from "./frame.ts";
import type { Hash, Json, Objects } from "./ports.ts";

/** The commit in some bytes, which may be hostile; null if it is none. */
export function parseCommit(bytes: Uint8Array): Commit | null {
  let value: Json;
  try {
    value = decodeJson(bytes);
  } catch {
    return null;
  }
  if (!value || typeof value !== "object" || Array.isArray(value) || value.type !== "commit" || value.v !== 1)
    return null;
  const { parents, kind, tier, status, intent, outcome, state } = value;
  const isObject = (each: unknown): boolean => typeof each === "object" && each !== null && !Array.isArray(each);
  if (!Array.isArray(parents) || !parents.every(isHash) || !isObject(intent) || !isObject(outcome)) return null;
  if (![kind, tier, status].every((each) => typeof each === "string") || !checkState(state!)) return null;
  return value as unknown as Commit;
}

/** The commit `id`, if it lies among the objects. */
export async function findEdge(objects: Pick<Objects, "get">, id: Hash): Promise<Commit | null> {
  const bytes = await objects.get(id).catch(() => null);
  return bytes && parseCommit(bytes);
}
