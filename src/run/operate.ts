/**
 * Operations on a run, whoever drives it: by its owner, through the control socket, or by this process under a lease of its own when
 * there is no owner.
 */

import { recordBackground } from "../scope/background.ts";
import type { Compensate } from "../scope/effect.ts";
import { handoffScope } from "../scope/handoff.ts";
import { type Merged, mergeScope, syncScope, type Take } from "../scope/merge.ts";
import { listOperations } from "../scope/operations.ts";
import type { Outside } from "../scope/owned.ts";
import { findScope } from "../scope/registry.ts";
import { checkRevert, Refused, revertScope } from "../scope/revert.ts";
import { attach, Busy, type LiveScope } from "../scope/scope.ts";
import { MAIN } from "../scope/thread.ts";
import { undoInScope } from "../scope/undo.ts";
import { readScope, sealedStep } from "../scope/view.ts";
import type { Json } from "../trace/ports.ts";
import { capturedUnsealed, tierOf } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { quotePath } from "../world/paths.ts";
import { witnessBy } from "./actor.ts";
import { ask, NoOwner } from "./connect.ts";
import { cannot } from "./control.ts";
import { checkExpected } from "./expect.ts";
import { inject } from "./inject.ts";
import { doubtsOf, InDoubt, settlePending } from "./recover.ts";
import { socketPath } from "./socket.ts";
import { taskOf } from "./start.ts";

export type Params = { [key: string]: Json };
/** `signal` aborts if nobody waits for it any more: then it may be left, as long as it has not begun. */
export type Operate = (scope: LiveScope, params: Params, signal?: AbortSignal) => Promise<Json>;

/**
 * What can be done to a scope as a whole. Parameters and results are JSON, since they may cross a socket. Each takes `by`, `right` and `why` (who
 * does it), and `expect` (the step that it was decided on).
 */
export const OPERATIONS: { [name: string]: Operate } = {
  revert: async (scope, { n, acknowledge, ...said }) => {
    const options = { acknowledge: acknowledge === true, witness: await witnessBy(scope.store, said) };
    // One that is refused must not end what is in doubt: the user is still to be asked about that.
    if (doubtsOf(scope).length > 0) await checkRevert(scope, n as number, options);
    const running = (await scope.files?.leftRunning()) ?? [];
    await standStill(scope);
    const done = await revertScope(scope, n as number, options);
    const outside = done.outside.map(tellOutside);
    return { n: done.n, op: done.op, outside, running, live: scope.files !== null };
  },
  handoff: async (scope, { guidance, from, at, ...said }) => {
    const { store, ref } = scope;
    const task = await taskOf(store, ref.name);
    const why = cannot(task, "handoff", ref.name);
    if (why !== null) throw new Refused(why);
    if (doubtsOf(scope).length > 0) throw new InDoubt(ref.name, doubtsOf(scope));
    const leader = typeof from === "string" ? await readScope(store, from) : null;
    const n = typeof at === "number" ? at : leader?.fold.head().n;
    // Before anything is stopped for good.
    if (leader) await sealedStep(store, leader, n!);
    await standStill(scope);
    const done = await handoffScope(scope, {
      text: [String(guidance ?? ""), task.text].filter((each) => each.trim() !== "").join("\n\n"),
      thread: String(scope.writer.fold.header.meta.thread ?? MAIN),
      // A coding agent says it to its model itself.
      says: task.worker === "agent",
      ...(leader && { from: { view: leader, n: n! } }),
      witness: await witnessBy(store, said),
    });
    return { ...done, live: scope.files !== null };
  },
  merge: async (scope, { from, take, ...said }) => {
    const inDoubt = await standStill(scope);
    const by = await witnessBy(scope.store, said);
    const merged = await mergeScope(scope, await readScope(scope.store, from as string), takeOf(take), by);
    return { ...merged, inDoubt, ...tellBoth(merged) };
  },
  sync: async (scope, { id, tree, name, log, take, expect, ...said }, signal) => {
    const stands = checkExpected({ ref: scope.ref, fold: scope.writer.fold }, expect);
    const merged = await syncScope(
      scope,
      { id: id as string, tree: tree as string, name: name as string, log: log as string },
      { take: takeOf(take), signal, stands, witness: await witnessBy(scope.store, said) },
    );
    return { ...merged, ...tellBoth(merged) };
  },
  undo: async (scope, { op, ...said }) => {
    const operation = (await listOperations(scope.store, scope.ref.workspace)).find((each) => each.op === op);
    if (!operation) throw new Error(`There is no operation ${op}.`);
    const inDoubt = await standStill(scope);
    const undone = await undoInScope(scope, operation, await witnessBy(scope.store, said));
    return { ...undone, inDoubt, conflicts: tellConflicts(undone.conflicts) };
  },
  inject: async (scope, { id, text, ...said }) => {
    const witness = { by: "somebody", ...(await witnessBy(scope.store, said)) };
    await inject(scope, { id: String(id), text: String(text), witness });
    return null;
  },
  note: async (scope, { n, facts, ...said }) => {
    const witness = await witnessBy(scope.store, said);
    await scope.writer.note(n as number | null, facts as { note: string }, { witness });
    return null;
  },
};

const tellConflicts = (conflicts: ReadonlyArray<{ path: Buffer; why: string }>) =>
  conflicts.map(({ path, why }) => ({ path: quotePath(path), why }));

const tellBoth = ({ conflicts, resolved }: Merged) => ({
  conflicts: tellConflicts(conflicts),
  resolved: resolved.map(({ path, how }) => ({ path: quotePath(path), how })),
});

/** Nothing is under way any more, and all that was written is in a step. Gives what was ended although it may have acted. */
async function standStill(scope: LiveScope): Promise<Array<{ n: number; tier: string }>> {
  const ended = await settlePending(scope, scope.compensate);
  await recordBackground(scope, { end: true });
  return ended.filter(({ compensated }) => !compensated).map(({ n, tier }) => ({ n, tier }));
}

/** An effect that an operation leaves behind. */
export interface Left {
  n: number;
  tier: string;
  compensated: boolean;
  /** Nobody knows whether it acted. */
  inDoubt: boolean;
}

export const tellOutside = ({ step, compensated }: Outside): Left & { [key: string]: Json } => ({
  n: step.n,
  tier: tierOf(step),
  compensated,
  inDoubt: step.outcomeWitness.inDoubt === true && !compensated,
});

const takeOf = (value: Json | undefined): Take | undefined =>
  value === "ours" || value === "theirs" || value === "both" ? value : undefined;

/** Operations for which a worker need not stop. */
export const BESIDE: ReadonlySet<string> = new Set(["note", "sync", "inject"]);

/** What is done before an operation to steps that a crash left without an outcome; the operation ends the others. */
export type Settle = (scope: LiveScope) => Promise<void>;

/** Throws where a call has captured files and its commit waits for what only a worker does: there is none, so a sync would wait for ever. */
function checkWhole({ writer, ref: { name } }: LiveScope): void {
  if (writer.fold.pending().some(capturedUnsealed))
    throw new Error(`A call of ${name} was cut short: \`shepherd resume ${name}\` first.`);
}

export interface OperateOptions {
  settle?: Settle | undefined;
  /** Takes effects back, where nobody drives the scope; its owner has a way of its own, or none. */
  compensate?: Compensate | undefined;
  /** Stops waiting for the owner; what it has not begun by then it does not do. */
  signal?: AbortSignal | undefined;
}

/** Does an operation to a scope. Throws what the operation throws; an owner's refusal comes as `OwnerError`. */
export async function operate(
  store: EmbeddedStore,
  name: string,
  operation: string,
  params: Params,
  { settle, compensate, signal }: OperateOptions = {},
): Promise<Json> {
  for (let tries = 0; ; tries++) {
    try {
      const scope = await attach(store, name, { compensate });
      try {
        checkExpected({ ref: scope.ref, fold: scope.writer.fold }, params.expect);
        if (!BESIDE.has(operation)) await settle?.(scope);
        if (operation === "sync") checkWhole(scope);
        return await OPERATIONS[operation]!(scope, params, signal);
      } finally {
        await scope.close();
      }
    } catch (error) {
      if (!(error instanceof Busy)) throw error;
      const ref = await findScope(store, name);
      try {
        return await ask(socketPath(store, ref!.log), operation, params, undefined, signal);
      } catch (refusal) {
        if (!(refusal instanceof NoOwner)) throw refusal;
        // The owner went away, or has the lease but does not listen yet, or not at all (a shell).
        if (tries >= 100) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20 + tries * 5));
        signal?.throwIfAborted();
      }
    }
  }
}
