/** Steps in doubt: an intent without an outcome whose owner is gone. What becomes of one is a matter of its tier. */

import { discards, listOperations, markUndone, orphans, updateOperation } from "../scope/operations.ts";
import { ownedSince } from "../scope/owned.ts";
import { findScope } from "../scope/registry.ts";
import { type Compensate, performRevert } from "../scope/revert.ts";
import { idempotencyKey, type LiveScope } from "../scope/scope.ts";
import { readLog, sealedStep, type View } from "../scope/view.ts";
import type { Step } from "../trace/seal.ts";
import { tierOf } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";

const viewOf = (scope: LiveScope): View => ({ ref: scope.ref, log: scope.ref.log, fold: scope.writer.fold });

/**
 * Ends what is in doubt without performing anything: for an operation that leaves it behind anyway. A revert that was begun is gone on
 * with, since its compensations may have acted already.
 */
export async function settlePending(scope: LiveScope, compensate?: Compensate): Promise<void> {
  await finishReverts(scope, compensate);
  for (const step of scope.writer.fold.pending())
    if (!step.outcome) await scope.writer.outcome(step.n, { status: "aborted" }, { witness: { at: Date.now() } });
}

/** Goes on with reverts that a crash cut short, and ends merges, syncs and undos that had not acted yet. */
export async function finishReverts(scope: LiveScope, compensate?: Compensate): Promise<void> {
  const planned = await orphans(scope.store, scope.ref.workspace);
  for (const step of scope.writer.fold.pending()) {
    if (step.outcome) continue;
    const operation = planned.find(({ log, op }) => log === scope.ref.log && op === step.witness.op);
    if (step.intent.kind === "revert" && typeof step.witness.to === "number") {
      const target = await sealedStep(scope.store, viewOf(scope), step.witness.to);
      const order = target.log === scope.ref.log ? target.sealed.order : -1;
      await performRevert(
        scope,
        step.n,
        target.sealed,
        await ownedSince(scope.store, viewOf(scope), order),
        compensate,
      );
      if (operation) await updateOperation(scope.store, operation, { state: "done", n: step.n });
    } else if (["merge", "sync", "undo", "resolve"].includes(step.intent.kind)) {
      await scope.writer.outcome(step.n, { status: "aborted" }, { witness: { at: Date.now() } });
      if (operation) await updateOperation(scope.store, operation, { state: "void" });
    }
  }
}

/**
 * Writes down how operations stand whose process ended after they had acted, or before: so that they can be undone, and are not offered if
 * they did nothing. One whose step still waits is left to whoever drives its scope next, a landing to who looks at main.
 */
export async function settleOperations(store: EmbeddedStore, workspace: string): Promise<void> {
  for (const operation of await orphans(store, workspace)) {
    if (operation.plan) continue;
    const { op, log, undoes } = operation;
    const undone = (await listOperations(store, workspace)).find((each) => each.op === undoes);
    let acted: boolean;
    let n: number | null = null;
    const givesUp = discards(operation);
    if (givesUp !== null) {
      const scope = await findScope(store, operation.scope);
      acted = scope !== null && givesUp === (scope.discarded !== null);
    } else {
      const { fold } = await readLog(store, log);
      const step = [...fold.steps.values()].find(({ witness }) => witness.op === op);
      if (step && !step.outcome) continue;
      acted = step?.outcome?.status === "done";
      n = step?.n ?? null;
    }
    if (acted && undone) await markUndone(store, workspace, undone.op);
    await updateOperation(store, operation, { state: acted ? "done" : "void", n });
  }
}

export interface Recovery {
  /** Ends a model step as `cut` with the blocks it has, or attempts it again if it has none. */
  model(scope: LiveScope, step: Step): Promise<void>;
  /** Performs a reversible or repeatable call again, as a new attempt of the same intent. */
  again(scope: LiveScope, step: Step): Promise<void>;
  /** Runs the undo that an effect declared. */
  compensate?: Compensate;
}

/** A call that may have acted, and that nobody may perform or settle without being asked. */
export interface Doubt {
  n: number;
  tier: string;
}

/** Settles what a crash left in doubt, as the tiers say. Gives the calls on which the user must decide. Running it twice is running it once. */
export async function recover(scope: LiveScope, recovery: Recovery): Promise<Doubt[]> {
  await finishReverts(scope, recovery.compensate);
  const doubts: Doubt[] = [];
  for (const step of scope.writer.fold.pending().filter((each) => !each.outcome && each.intent.kind === "model"))
    await recovery.model(scope, step);
  const head = scope.head();
  if (head.state && scope.files) await scope.files.restore(head.state.roots.workspace, head.carry);
  for (const step of scope.writer.fold.pending()) {
    if (step.outcome) continue;
    const tier = tierOf(step);
    if (tier === "reversible" || tier === "repeatable" || !step.allowed) await recovery.again(scope, step);
    else if (tier === "compensable" && recovery.compensate) await compensateOnce(scope, step, recovery.compensate);
    else doubts.push({ n: step.n, tier });
  }
  return doubts;
}

async function compensateOnce(scope: LiveScope, step: Step, compensate: Compensate): Promise<void> {
  const of = String(step.n);
  if (!scope.writer.fold.compensated.has(of)) {
    await scope.writer.part(step.n, { part: "compensating", of });
    await scope.writer.sync();
    await compensate({ step, log: scope.ref.log, key: idempotencyKey(scope.ref.log, step.n, step.intent.what ?? "") });
    await scope.writer.part(step.n, { part: "compensated", of });
  }
  await scope.writer.outcome(step.n, { status: "aborted" }, { witness: { at: Date.now() } });
  await scope.writer.sync();
}
