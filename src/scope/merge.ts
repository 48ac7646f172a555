/** Merging states: a child into its parent, a parent into its child, an operation's inverse into what has come since. */
import { encodeJson, link, target } from "../trace/bytes.ts";
import type { OutcomeFacts } from "../trace/frame.ts";
import type { Carry, Hash, Json, Link, Session, State } from "../trace/ports.ts";
import { capturedUnsealed } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { type Conflict, mergeBase, mergeTrees, type Resolved, resolveTrees, weaveTrees } from "../world/merge.ts";
import { recordBackground } from "./background.ts";
import { getCommit, mergeBases, nearestEdge } from "./history.ts";
import type { Ticket } from "./lock.ts";
import { planOperation, updateOperation } from "./operations.ts";
import { type LiveScope, orAbort, treeLink } from "./scope.ts";
import type { View } from "./view.ts";

export interface Merged {
  /** Step that the merge made; null if there was nothing to merge. */
  n: number | null;
  op: number | null;
  status: "done" | "conflict" | "nothing";
  adopted: boolean;
  conflicts: Conflict[];
  /** Places that both changed, and how \`take: "both"\` settled them. */
  resolved: Resolved[];
}

/**
 * The tree that two commits have in common: that of the nearest common ancestor, or of the merge of several, by the same rule. Where an imported run
 * has none with what is here, what it began with is taken for it, so that only what it did itself is merged.
 */
export async function baseTree(store: EmbeddedStore, a: Hash, b: Hash): Promise<{ tree: Hash | null; bases: Hash[] }> {
  const bases = await mergeBases(store, a, b);
  const [first, ...rest] = bases;
  if (first === undefined) {
    const edge = (await nearestEdge(store, b)) ?? (await nearestEdge(store, a));
    return { tree: edge && target(edge.state.roots.workspace), bases };
  }
  const treeOf = async (id: Hash): Promise<Hash> => target((await getCommit(store, id)).state.roots.workspace);
  let tree = await treeOf(first);
  for (const id of rest)
    tree = (await mergeBase(store.objects, [tree, await treeOf(id)], (await baseTree(store, first, id)).tree))!;
  return { tree, bases };
}

/** The object that a conflict step names: base, ours and theirs of each path, and which conversations differ. */
export async function putConflicts(
  store: EmbeddedStore,
  conflicts: readonly (Conflict | Resolved)[],
  threads: string[] = [],
): Promise<Link> {
  const paths = [];
  for (const conflict of conflicts) {
    const side = (entry: Conflict["base"]) =>
      entry && {
        mode: entry.mode,
        content: link(entry.type === "d" ? "tree" : entry.type === "F" ? "chunks" : "blob", entry.id),
        type: entry.type,
      };
    paths.push({
      path: link("blob", await store.objects.put(conflict.path)),
      why: conflict.why,
      base: side(conflict.base),
      ours: side(conflict.ours),
      theirs: side(conflict.theirs),
      ...("how" in conflict && { how: conflict.how }),
    });
  }
  return link("json", await store.objects.put(encodeJson({ type: "conflict", v: 1, paths, threads })));
}

/** Which side a place gets that both changed; `both` what `resolveText` makes of it. */
export type Take = "ours" | "theirs" | "both";

/** What is settled of what both changed: for a side, or as `how` says. */
export type Settled = Conflict & Partial<Resolved>;

/** Merges two trees; with `take` each conflict is resolved for that side, and told; with `both` what can be resolved, while the others are left. */
export async function mergeTaking(
  store: EmbeddedStore,
  base: Hash | null,
  ours: Hash,
  theirs: Hash,
  take?: Take,
): Promise<{ tree: Hash; conflicts: Conflict[]; resolved: Settled[] }> {
  if (take === "both") return weaveTrees(store.objects, base, ours, theirs);
  const merged = await mergeTrees(store.objects, base, ours, theirs);
  if (!take || merged.conflicts.length === 0) return { ...merged, resolved: [] };
  const { tree } = await resolveTrees(store.objects, base, ours, theirs, take);
  return { tree, conflicts: [], resolved: merged.conflicts };
}

/**
 * Merges the head of `child` into a scope. Where the scope has not moved since the fork it takes over all of the child. A conflict keeps
 * the scope as it is; merging again with `take` resolves it. Synced at return.
 */
export async function mergeScope(
  parent: LiveScope,
  child: View,
  take?: Take,
  witness: { [key: string]: Json } = {},
): Promise<Merged> {
  const { store, ref } = parent;
  const ours = parent.head();
  const theirs = child.fold.head();
  if (!ours.state || !ours.id) throw new Error(`${ref.name} has no state yet, so nothing can be merged into it.`);
  if (!theirs.state || !theirs.id || theirs.id === ours.id) return NOTHING;
  const { tree: base, bases } = await baseTree(store, ours.id, theirs.id);
  if (bases.includes(theirs.id)) return NOTHING;
  // What a step names as merged must not be lost before it.
  await store.logs.sync(child.log);
  const adopted = bases.length === 1 && bases[0] === ours.id;
  const theirTree = target(theirs.state.roots.workspace);
  const merged = adopted
    ? { tree: theirTree, conflicts: [], resolved: [] }
    : await mergeTaking(store, base, target(ours.state.roots.workspace), theirTree, take);
  const effect: OutcomeFacts = adopted
    ? { status: "done", state: theirs.state, with: theirs.id }
    : { status: "done", workspace: treeLink(merged.tree), with: theirs.id };
  const done = await takeIn(parent, {
    kind: merged.resolved.length > 0 ? "resolve" : "merge",
    from: child.ref?.name ?? "main",
    of: theirs.id,
    witness: { ...witness, merged: child.log },
    conflicts: merged.conflicts,
    resolved: woven(merged.resolved),
    effect,
    carry: adopted ? theirs.carry : null,
  });
  return { ...done, adopted };
}

/**
 * As `mergeScope`, while the scope goes on: only the files are merged, with the lock as a call that writes has it, and what runs there goes on.
 * Its conversations stay its own. Left if `signal` aborts while it waits.
 */
export async function mergeBeside(scope: LiveScope, child: View, inside: number, signal: AbortSignal): Promise<Merged> {
  const ticket = await lockWhenSealed(scope, signal);
  try {
    await recordBackground(scope);
    const { store, ref } = scope;
    const ours = scope.head();
    const theirs = child.fold.head();
    if (!ours.state || !ours.id) throw new Error(`${ref.name} has no state yet, so nothing can be merged into it.`);
    if (!theirs.state || !theirs.id || theirs.id === ours.id) return NOTHING;
    const { tree: base, bases } = await baseTree(store, ours.id, theirs.id);
    if (bases.includes(theirs.id)) return NOTHING;
    await store.logs.sync(child.log);
    const [mine, other] = [ours.state, theirs.state].map(({ roots }) => target(roots.workspace));
    const { tree, conflicts } = await mergeTaking(store, base, mine!, other!);
    return await takeIn(scope, {
      kind: "merge",
      beside: true,
      inside,
      from: child.ref?.name ?? "main",
      of: theirs.id,
      witness: { merged: child.log },
      conflicts,
      effect: { status: "done", workspace: treeLink(tree), with: theirs.id },
      carry: null,
    });
  } finally {
    ticket.release();
  }
}

export interface SyncOptions {
  take?: Take | undefined;
  signal?: AbortSignal | undefined;
  /** Throws where the scope does not stand any more where it was to be; called when nothing can change it. */
  stands?: () => void;
  /** Who does it, and why. */
  witness?: { [key: string]: Json };
}

/** Takes what changed in another tree (of the commit `from.id`, which `from.log` has made) into a scope: its files only. Synced at return. Left if `signal` aborts while it waits. */
export async function syncScope(
  scope: LiveScope,
  from: { id: Hash; tree: Hash; name: string; log: string },
  { take, signal, stands, witness = {} }: SyncOptions = {},
): Promise<Merged> {
  const { store, ref } = scope;
  const ticket = await lockWhenSealed(scope, signal);
  try {
    signal?.throwIfAborted();
    stands?.();
    await recordBackground(scope);
    const ours = scope.head();
    if (!ours.state || !ours.id) throw new Error(`${ref.name} has no state yet, so nothing can be synced into it.`);
    const { tree: base, bases } = await baseTree(store, ours.id, from.id);
    if (bases.includes(from.id)) return NOTHING;
    await store.logs.sync(from.log);
    const merged = await mergeTaking(store, base, target(ours.state.roots.workspace), from.tree, take);
    const { tree, conflicts } = merged;
    return await takeIn(scope, {
      kind: "sync",
      beside: true,
      from: from.name,
      of: from.id,
      witness,
      conflicts,
      resolved: woven(merged.resolved),
      effect: { status: "done", workspace: treeLink(tree), with: from.id },
      carry: null,
    });
  } finally {
    ticket.release();
  }
}

/**
 * Takes the lock once all that was captured has its commits: what is merged with the head before that would be overwritten by them. It is given
 * back meanwhile, since what they wait for may be a call that waits for it. Rejects once `signal` aborts.
 */
async function lockWhenSealed({ writer, lock }: LiveScope, signal?: AbortSignal): Promise<Ticket> {
  const waits = (): boolean => writer.fold.pending().some(capturedUnsealed);
  for (;;) {
    signal?.throwIfAborted();
    const ticket = lock.request("exclusive");
    let free = false;
    try {
      await orAbort(ticket.held, signal);
      free = !waits();
    } finally {
      if (!free) ticket.release();
    }
    if (free) return ticket;
    let unwatch = (): void => {};
    const sealed = new Promise<void>((resolve) => {
      unwatch = writer.watch(() => {
        if (!waits()) resolve();
      });
    });
    await orAbort(sealed, signal).finally(unwatch);
  }
}

const NOTHING: Merged = { n: null, op: null, status: "nothing", adopted: false, conflicts: [], resolved: [] };

/** Of what was settled that which no side decided. */
export const woven = (settled: readonly Settled[]): Resolved[] =>
  settled.flatMap(({ how, ...conflict }) => (how ? [{ ...conflict, how }] : []));

interface Incoming {
  kind: "merge" | "sync" | "resolve";
  /** Whether what runs in the scope goes on, and finds all but what this brings as it was. */
  beside?: boolean;
  /** The container in which it is done. */
  inside?: number;
  /** Name of where it comes from, and its commit. */
  from: string;
  of: Hash;
  witness: { [key: string]: Json };
  conflicts: Conflict[];
  resolved?: Resolved[];
  /** The outcome where there is no conflict. */
  effect: OutcomeFacts;
  /** What is carried from there; null keeps what the scope has. */
  carry: Carry | null;
}

/** The operation and the step by which a scope takes something in, or tells that it conflicts. */
async function takeIn(scope: LiveScope, incoming: Incoming): Promise<Merged> {
  const { store, writer, ref } = scope;
  const { kind, from, conflicts, resolved = [], effect, carry } = incoming;
  const conflict = conflicts.length > 0;
  const operation = await planOperation(store, {
    kind,
    workspace: ref.workspace,
    scope: ref.name,
    log: ref.log,
    details: { from },
  });
  const n = await writer.intent(
    { kind, tier: "reversible", of: incoming.of },
    {
      witness: { ...incoming.witness, op: operation.op, from },
      ...(incoming.inside !== undefined && { links: { inside: incoming.inside } }),
    },
  );
  const extra = { witness: { at: Date.now() } };
  if (conflict) await writer.outcome(n, { status: "conflict", conflict: await putConflicts(store, conflicts) }, extra);
  else {
    if (incoming.beside) await scope.files?.bring(effect.workspace!);
    else await scope.files?.restore(effect.workspace ?? effect.state!.roots.workspace, carry ?? scope.head().carry);
    const settled = resolved.length > 0 && { conflict: await putConflicts(store, resolved) };
    await writer.outcome(n, { ...effect, ...settled }, carry ? { ...extra, carry } : extra);
  }
  await writer.sync();
  await updateOperation(store, operation, { state: conflict ? "void" : "done", n });
  return {
    n,
    op: operation.op,
    status: conflict ? "conflict" : "done",
    adopted: false,
    conflicts,
    resolved: conflict ? [] : resolved,
  };
}

export interface Inverse {
  state: State | null;
  carry: Carry | null;
  conflicts: Conflict[];
  /** Conversations that went on since. */
  threads: string[];
}

/** The state that takes back a change from `before` to `after`, applied to what stands now. What changed since is a conflict. */
export async function invert(
  store: EmbeddedStore,
  change: { before: { state: State; carry: Carry }; after: State },
  now: State,
): Promise<Inverse> {
  const { before, after } = change;
  const same = (a: Session | undefined, b: Session | undefined) =>
    (a?.items ?? null) === (b?.items ?? null) && (a?.shell ?? null) === (b?.shell ?? null);
  const threads: { [name: string]: Session } = {};
  const differing: string[] = [];
  for (const name of new Set([
    ...Object.keys(before.state.threads),
    ...Object.keys(after.threads),
    ...Object.keys(now.threads),
  ])) {
    const was = before.state.threads[name];
    const current = now.threads[name];
    const untouched = same(current, after.threads[name]);
    if (!untouched && !same(was, after.threads[name]) && !same(current, was)) differing.push(name);
    const chosen = untouched ? was : current;
    if (chosen) threads[name] = chosen;
  }
  const nothingSince = differing.length === 0 && now.roots.workspace === after.roots.workspace;
  if (nothingSince)
    return { state: { roots: before.state.roots, threads }, carry: before.carry, conflicts: [], threads: [] };
  const { tree, conflicts } = await mergeTrees(
    store.objects,
    target(after.roots.workspace),
    target(now.roots.workspace),
    target(before.state.roots.workspace),
  );
  if (conflicts.length > 0 || differing.length > 0) return { state: null, carry: null, conflicts, threads: differing };
  return { state: { roots: { workspace: treeLink(tree) }, threads }, carry: null, conflicts: [], threads: [] };
}
