/** Steps in doubt: an intent without an outcome whose owner is gone. What becomes of one is a matter of its tier. */

import { type Compensate, needsConsent } from "../scope/effect.ts";
import { discards, listOperations, markUndone, orphans, updateOperation } from "../scope/operations.ts";
import { ownedSince } from "../scope/owned.ts";
import { findScope, NameError } from "../scope/registry.ts";
import { performRevert, Refused } from "../scope/revert.ts";
import { attach, Busy, idempotencyKey, type LiveScope } from "../scope/scope.ts";
import { readLog, sealedStep, viewOf } from "../scope/view.ts";
import type { Step } from "../trace/seal.ts";
import { tierOf } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";

/** A call that may have acted, and that nobody may perform or settle without being asked. */
export interface Doubt {
  n: number;
  tier: string;
  /** It was taken back, so it is only asked whether it is to be performed after all. */
  compensated: boolean;
}

/** Thrown where the user must say first what becomes of calls that may have acted. */
export class InDoubt extends Error {
  constructor(
    scope: string,
    readonly doubts: readonly Doubt[],
  ) {
    const [{ n }] = doubts as [Doubt];
    const steps = `Step ${doubts.map((each) => each.n).join(", ")} of ${scope}`;
    const what = doubts.every(({ compensated }) => compensated)
      ? "may have acted before the crash and was taken back, and is not performed again unasked"
      : "may or may not have acted before the crash, and cannot be repeated safely";
    super(`${steps} ${what}: look (\`shepherd show ${scope} ${n}\`), then \`shepherd revert\` behind or before it.`);
  }
}

/** Calls of a scope whose owner is gone that may have acted. */
export const doubtsOf = ({ writer: { fold } }: LiveScope): Doubt[] =>
  fold
    .pending()
    .filter((step) => !step.outcome && step.allowed && needsConsent(tierOf(step)))
    .map((step) => ({ n: step.n, tier: tierOf(step), compensated: fold.compensated.has(String(step.n)) }));

/**
 * Ends what is in doubt without performing anything: for an operation that leaves it behind anyway. A revert that was begun is gone on
 * with, since its compensations may have acted already. Gives the calls among them that may have acted, for the user to know.
 */
export async function settlePending(scope: LiveScope, compensate?: Compensate): Promise<Doubt[]> {
  await finishReverts(scope, compensate);
  const doubts = doubtsOf(scope);
  for (const step of scope.writer.fold.pending()) {
    if (step.outcome) continue;
    const inDoubt = doubts.some(({ n, compensated }) => n === step.n && !compensated);
    const witness = { at: Date.now(), ...(inDoubt && { inDoubt }) };
    const { observed: tier } = step;
    await scope.writer.outcome(step.n, { status: "aborted", ...(tier && { tier }) }, { witness });
  }
  return doubts;
}

/** Goes on with reverts that a crash cut short, and ends merges, syncs and undos that had not acted yet. */
async function finishReverts(scope: LiveScope, compensate?: Compensate): Promise<void> {
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
    } else if (["merge", "sync", "undo", "resolve", "handoff"].includes(step.intent.kind)) {
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
    const all = await listOperations(store, workspace);
    const undone = all.find((each) => each.op === undoes);
    let acted: boolean;
    let n: number | null = null;
    const givesUp = discards(operation);
    if (givesUp !== null) {
      const scope = await findScope(store, operation.scope);
      // Who did the same later had found it not done.
      const again = all.some((each) => each.op > op && each.log === log && discards(each) === givesUp);
      acted = !again && scope !== null && givesUp === (scope.discarded !== null);
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

/** Goes on with reverts of a workspace whose process ended after they had begun, where nobody drives their scopes: so that they can be taken back. */
export async function finishBegun(store: EmbeddedStore, workspace: string): Promise<void> {
  for (const { kind, op, log, scope } of await orphans(store, workspace)) {
    if (kind !== "revert") continue;
    const { fold } = await readLog(store, log);
    if (!fold.pending().some((step) => !step.outcome && step.witness.op === op)) continue;
    try {
      const driven = await attach(store, scope);
      await finishReverts(driven).finally(() => driven.close());
    } catch (error) {
      // Somebody drives it, or must say first what becomes of an effect: then it stays as it is.
      if (!(error instanceof Busy || error instanceof Refused || error instanceof NameError)) throw error;
    }
  }
}

export interface Recovery {
  /** Ends a model step as `cut` with the blocks it has, or attempts it again if it has none. */
  model(scope: LiveScope, step: Step): Promise<void>;
  /** Performs a reversible or repeatable call again, as a new attempt of the same intent. */
  again(scope: LiveScope, step: Step): Promise<void>;
  /** Runs the undo that an effect declared, where the scope has no way of its own. */
  compensate?: Compensate;
}

/**
 * Settles what a crash left in doubt, as the tiers say. Gives the calls on which the user must decide: they stay without an outcome until
 * then. Running it twice is running it once.
 */
export async function recover(scope: LiveScope, recovery: Recovery): Promise<Doubt[]> {
  const { compensate = scope.compensate } = recovery;
  await finishReverts(scope, compensate);
  for (const step of scope.writer.fold.pending().filter((each) => !each.outcome && each.intent.kind === "model"))
    await recovery.model(scope, step);
  const head = scope.head();
  if (head.state && scope.files) await scope.files.restore(head.state.roots.workspace, head.carry);
  for (const step of scope.writer.fold.pending()) {
    if (step.outcome) continue;
    const tier = tierOf(step);
    if (!needsConsent(tier) || !step.allowed) await recovery.again(scope, step);
    else if (tier === "compensable" && compensate) await compensateOnce(scope, step, compensate);
  }
  return doubtsOf(scope);
}

async function compensateOnce(scope: LiveScope, step: Step, compensate: Compensate): Promise<void> {
  const of = String(step.n);
  if (scope.writer.fold.compensated.has(of)) return;
  await scope.writer.part(step.n, { part: "compensating", of });
  await scope.writer.sync();
  await compensate({ step, log: scope.ref.log, key: idempotencyKey(scope.ref.log, step) });
  await scope.writer.part(step.n, { part: "compensated", of });
  await scope.writer.sync();
}
