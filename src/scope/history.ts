/** The graph of commits: who descends from whom. */
import { decodeJson } from "../trace/bytes.ts";
import type { Commit } from "../trace/commit.ts";
import type { Hash } from "../trace/ports.ts";
import type { Fold } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { readFold } from "../trace/writer.ts";

/** Computes anew what follows from the logs (commits, conversations), where the cache of it was deleted. */
export async function rebuild(store: EmbeddedStore): Promise<void> {
  for (const log of await store.logs.list()) await readFold(store, log, store.derived);
}

/** A commit by its id; computes the cache anew if it lacks it. Throws if no log leads to it. */
export async function getCommit(store: EmbeddedStore, id: Hash): Promise<Commit> {
  let bytes = await store.derived.get(id);
  if (!bytes) {
    await rebuild(store);
    bytes = await store.derived.get(id);
  }
  if (!bytes)
    throw new Error(`The commit ${id.slice(0, 12)} follows from no log in this store: run \`shepherd fsck\`.`);
  return decodeJson(bytes) as unknown as Commit;
}

/**
 * Merges of a log that were taken back: nothing of what they merged is there any more, so that merging it again brings it again. By their
 * commits.
 */
export const undoneMerges = (fold: Pick<Fold, "sealed">): Set<Hash> =>
  new Set(
    fold.sealed
      .filter(({ intent, outcome }) => intent.kind === "undo" && outcome?.status === "done")
      .flatMap(({ intent }) => (typeof intent.of === "string" ? [intent.of] : [])),
  );

/** All commits that `id` descends from, and itself; of commits in `undone` the first parent only. */
export async function ancestors(
  store: EmbeddedStore,
  id: Hash,
  undone: ReadonlySet<Hash> = new Set(),
): Promise<Set<Hash>> {
  const seen = new Set<Hash>([id]);
  const queue = [id];
  for (let next = queue.pop(); next; next = queue.pop())
    for (const parent of await parentsOf(store, next, undone))
      if (!seen.has(parent)) {
        seen.add(parent);
        queue.push(parent);
      }
  return seen;
}

async function parentsOf(store: EmbeddedStore, id: Hash, undone: ReadonlySet<Hash>): Promise<readonly Hash[]> {
  const { parents } = await getCommit(store, id);
  return undone.has(id) ? parents.slice(0, 1) : parents;
}

/** The nearest common ancestors of two commits: those from which no other common one descends. `undone` as for `ancestors`. */
export async function mergeBases(
  store: EmbeddedStore,
  a: Hash,
  b: Hash,
  undone: ReadonlySet<Hash> = new Set(),
): Promise<Hash[]> {
  const ofA = await ancestors(store, a, undone);
  const nearest = new Set<Hash>();
  const seen = new Set<Hash>([b]);
  let queue = [b];
  while (queue.length > 0) {
    const further: Hash[] = [];
    for (const id of queue) {
      if (ofA.has(id)) nearest.add(id);
      else
        for (const parent of await parentsOf(store, id, undone))
          if (!seen.has(parent)) {
            seen.add(parent);
            further.push(parent);
          }
    }
    queue = further;
  }
  if (nearest.size < 2) return [...nearest];
  for (const id of [...nearest]) {
    const above = await ancestors(store, id, undone);
    for (const other of nearest) if (other !== id && above.has(other)) nearest.delete(other);
  }
  return [...nearest].sort();
}
