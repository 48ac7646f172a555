/** The graph of commits: who descends from whom. */
import { decodeJson, target } from "../trace/bytes.ts";
import type { Commit } from "../trace/commit.ts";
import { findEdge } from "../trace/edge.ts";
import type { Hash, Link } from "../trace/ports.ts";
import type { Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { readFold } from "../trace/writer.ts";

/** Computes anew what follows from the logs (commits, conversations), where the cache of it was deleted. */
export async function rebuild(store: EmbeddedStore): Promise<void> {
  for (const log of await store.logs.list()) await readFold(store, log, store.derived);
}

interface Known {
  commit: Commit;
  /** Whether it came with an imported run, so that what it descends from need not be here. */
  edge: boolean;
}

/** Finds commits; computes the cache anew where it lacks one, but once only. Null if no log leads to it, and it is no edge either. */
function commitFinder(store: EmbeddedStore): (id: Hash) => Promise<Known | null> {
  let rebuilt = false;
  return async (id) => {
    let bytes = await store.derived.get(id);
    if (!bytes && !rebuilt) {
      rebuilt = true;
      await rebuild(store);
      bytes = await store.derived.get(id);
    }
    if (bytes) return { commit: decodeJson(bytes) as unknown as Commit, edge: false };
    const commit = await findEdge(store.objects, id);
    return commit && { commit, edge: true };
  };
}

/** A commit by its id. Throws if it is neither computed from a log nor came with an imported run. */
export const getCommit = async (store: EmbeddedStore, id: Hash): Promise<Commit> =>
  ((await commitFinder(store)(id)) ?? unknownCommit(id)).commit;

function unknownCommit(id: Hash): never {
  throw new Error(`The commit ${id.slice(0, 12)} follows from no log in this store: run \`shepherd fsck\`.`);
}

/** What was taken back, of `undos`: pairs of an undo's own commit and that of the step it took back. An undo can be taken back too. */
function takenBack(undos: Iterable<readonly [undo: Hash, of: Hash]>): Set<Hash> {
  const by = new Map<Hash, Hash[]>();
  for (const [undo, of] of undos) by.set(of, [...(by.get(of) ?? []), undo]);
  const isUndone = (id: Hash): boolean => by.get(id)?.some((undo) => !isUndone(undo)) ?? false;
  return new Set([...by.keys()].filter(isUndone));
}

/** Commits of a log that were taken back in it. */
export const undoneIn = (sealed: readonly Step[]): Set<Hash> =>
  takenBack(
    sealed.flatMap(({ intent, outcome, sealed }) =>
      intent.kind === "undo" && outcome?.status === "done" && typeof intent.of === "string"
        ? [[sealed!.id, intent.of] as const]
        : [],
    ),
  );

/** Some commits and all that they descend from, as far as it is known here. */
type Graph = ReadonlyMap<Hash, Commit>;

/** Commits that were read, which never change: a run that lands each of its steps reads its history once. */
const kept = new WeakMap<EmbeddedStore, Map<Hash, Commit>>();

async function historyOf(store: EmbeddedStore, ...ids: Hash[]): Promise<Graph> {
  const known = kept.get(store) ?? new Map<Hash, Commit>();
  kept.set(store, known);
  const graph = new Map<Hash, Commit>();
  const seen = new Set(ids);
  const find = commitFinder(store);
  /** Of what was before an edge, only what is here by other ways. */
  const read = async (id: Hash): Promise<Commit> => {
    const { commit, edge } = (await find(id)) ?? unknownCommit(id);
    if (!edge) return commit;
    const parents: Hash[] = [];
    for (const parent of commit.parents) if (await find(parent)) parents.push(parent);
    return { ...commit, parents };
  };
  for (const id of seen) {
    const commit = known.get(id) ?? (await read(id));
    known.set(id, commit);
    graph.set(id, commit);
    for (const parent of commit.parents) seen.add(parent);
  }
  return graph;
}

const treeIn = (graph: Graph, id: Hash | undefined): Link | undefined =>
  id === undefined ? undefined : graph.get(id)?.state.roots.workspace;

/**
 * Merges that were taken back: nothing of what they merged is there any more, so that merging it again brings it again. A landing may have
 * been taken back in part, as far as the user had not changed it since.
 */
const undoneMerges = (graph: Graph): Set<Hash> =>
  takenBack(
    [...graph].flatMap(([id, { kind, status, intent, parents }]) =>
      kind === "undo" &&
      typeof intent.of === "string" &&
      (status === "done" || treeIn(graph, id) !== treeIn(graph, parents[0]))
        ? [[id, intent.of] as const]
        : [],
    ),
  );

/**
 * The nearest common ancestors of two commits: those from which no other common one descends. Of a merge that was taken back in the history of
 * either, only what stood before it counts.
 */
export async function mergeBases(store: EmbeddedStore, a: Hash, b: Hash): Promise<Hash[]> {
  const graph = await historyOf(store, a, b);
  const undone = undoneMerges(graph);
  const parentsOf = (id: Hash): readonly Hash[] => {
    const { parents, kind } = graph.get(id)!;
    if (undone.has(id)) return parents.slice(0, 1);
    // It has nothing of what stood before it, but the files of another scope.
    return kind === "handoff" && parents.length > 1 ? parents.slice(1) : parents;
  };
  const ancestors = (id: Hash): Set<Hash> => {
    const seen = new Set([id]);
    for (const each of seen) for (const parent of parentsOf(each)) seen.add(parent);
    return seen;
  };
  const ofA = ancestors(a);
  const nearest = new Set<Hash>();
  const seen = new Set([b]);
  for (const id of seen) {
    if (ofA.has(id)) nearest.add(id);
    else for (const parent of parentsOf(id)) seen.add(parent);
  }
  for (const id of nearest.size > 1 ? [...nearest] : []) {
    const above = ancestors(id);
    for (const other of nearest) if (other !== id && above.has(other)) nearest.delete(other);
  }
  return [...nearest].sort();
}

/**
 * The user's own edits that a commit descends from and has nothing of any more, since a revert went back behind them: steps `external` of main,
 * as the trees before and behind each.
 */
export async function editsLeftBehind(store: EmbeddedStore, id: Hash): Promise<Array<{ from: Hash | null; to: Hash }>> {
  const graph = await historyOf(store, id);
  const undone = undoneMerges(graph);
  const before = (commit: Hash): Hash | undefined => graph.get(commit)?.parents[0];
  const held = new Set([id]);
  for (const each of held) {
    const { kind, intent, parents } = graph.get(each)!;
    const of = typeof intent.of === "string" ? graph.get(intent.of) : undefined;
    // A revert has what its target has; its undo what stood before the revert besides.
    if (kind === "revert" && typeof intent.to === "string" && graph.has(intent.to)) held.add(intent.to);
    // Its files are those of the scope that it was handed over from.
    else if (kind === "handoff" && parents.length > 1) held.add(parents[1]!);
    else for (const parent of parents) held.add(parent);
    if (kind === "undo" && of?.kind === "revert" && !undone.has(each)) held.add(before(intent.of as Hash)!);
  }
  const left: Array<{ from: Hash | null; to: Hash }> = [];
  for (const [each, { kind, state }] of graph) {
    if (held.has(each) || kind !== "external") continue;
    const was = treeIn(graph, before(each));
    left.push({ from: was ? target(was) : null, to: target(state.roots.workspace) });
  }
  return left;
}

/**
 * The edge behind which nothing of a commit's history is known: what was taken in from there last, else what it began with. Null where all of its
 * history is here.
 */
export async function nearestEdge(store: EmbeddedStore, id: Hash): Promise<Commit | null> {
  const find = commitFinder(store);
  const at: Hash[] = [id];
  for (const each of at) {
    const { commit, edge } = (await find(each)) ?? unknownCommit(each);
    if (edge) return commit;
    const [before, merged] = commit.parents;
    const other = merged === undefined ? null : await find(merged);
    if (other?.edge) return other.commit;
    if (before !== undefined) at.push(before);
  }
  return null;
}
