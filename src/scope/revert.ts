/** Revert: a step whose state is that of an earlier one. Nothing is taken away; what was done since stays reachable. */

import type { Json } from "../trace/ports.ts";
import type { Sealed } from "../trace/seal.ts";
import { tierOf } from "../trace/seal.ts";
import type { Compensate } from "./effect.ts";
import { planOperation, updateOperation } from "./operations.ts";
import { nameIn, type Outside, ownedSince } from "./owned.ts";
import { idempotencyKey, type LiveScope } from "./scope.ts";
import { sealedStep, viewOf } from "./view.ts";

/** Thrown where a revert would pass effects that cannot be taken back. */
export class Unacknowledged extends Error {
  constructor(readonly effects: Outside[]) {
    super(
      `This passes ${effects.length === 1 ? "an effect" : `${effects.length} effects`} that cannot be taken back (step ${effects
        .map(({ step }) => step.n)
        .join(", ")}): add --acknowledge to go on.`,
    );
  }
}

/** Thrown where an effect is to be taken back, and how is not known. */
export class Refused extends Error {}

/** Thrown where the undo of an effect failed: what was begun is gone on with by whoever comes next. */
export class UndoFailed extends Error {}

export interface RevertOptions {
  acknowledge?: boolean;
  /** Instead of the way that the scope has. */
  compensate?: Compensate | undefined;
  /** Who does it, and why. */
  witness?: { [key: string]: Json };
  /** Whether it is a part of going on, where an agent cannot go on from where its scope stands. */
  goesOn?: boolean;
}

/** Where a revert leads and which effects it passes. Throws where it may not. */
export async function checkRevert(
  scope: LiveScope,
  n: number,
  options: RevertOptions = {},
): Promise<{ target: { sealed: Sealed; log: string }; outside: Outside[] }> {
  const { store, ref } = scope;
  const view = viewOf(scope);
  const target = await sealedStep(store, view, n);
  const order = target.log === ref.log ? target.sealed.order : -1;
  const outside = await ownedSince(store, view, order);
  const lost = outside.filter(({ step, compensated }) => tierOf(step) === "irreversible" && !compensated);
  if (lost.length > 0 && !options.acknowledge) throw new Unacknowledged(lost);
  // Before anything is planned: a revert that is begun must be gone on with by whoever comes next.
  await mustKnowUndo(outside, options.compensate ?? scope.compensate);
  return { target, outside };
}

/** Sets a scope to the state of its step `n`. Synced at return. Gives the number of the new step and what cannot be taken back. */
export async function revertScope(
  scope: LiveScope,
  n: number,
  options: RevertOptions = {},
): Promise<{ n: number; op: number; outside: Outside[] }> {
  const { store, writer, ref } = scope;
  const { target, outside } = await checkRevert(scope, n, options);
  const operation = await planOperation(store, {
    kind: "revert",
    workspace: ref.workspace,
    scope: ref.name,
    log: ref.log,
    details: { to: n },
  });
  const step = await writer.intent(
    { kind: "revert", tier: "reversible", to: target.sealed.id },
    { witness: { ...options.witness, op: operation.op, to: n, ...(options.goesOn && { goesOn: true }) } },
  );
  await writer.sync();
  const left = await performRevert(scope, step, target.sealed, outside, options.compensate);
  await updateOperation(store, operation, { state: "done", n: step });
  return { n: step, op: operation.op, outside: left };
}

/** Whether a revert was begun and not brought to its end: its compensations may have acted already, so that nobody may go on as if there was none. */
export const isReverting = ({ writer }: Pick<LiveScope, "writer">): boolean =>
  writer.fold.pending().some(({ intent, outcome }) => intent.kind === "revert" && !outcome);

/** What a revert does once its intent is written; the same when it is gone on with after a crash. Gives the effects as they stand then. */
export async function performRevert(
  scope: LiveScope,
  step: number,
  to: Sealed,
  outside: readonly Outside[],
  compensate?: Compensate,
): Promise<Outside[]> {
  const left = await compensateAll(scope, step, outside, compensate);
  await scope.files?.restore(to.state.roots.workspace, to.carry);
  await scope.writer.outcome(
    step,
    { status: "done", state: to.state },
    { carry: to.carry, witness: { at: Date.now() } },
  );
  await scope.writer.sync();
  return left;
}

/** Whether an effect is still to be taken back. */
const isDue = ({ step, compensated }: Outside): boolean => !compensated && tierOf(step) === "compensable";

/**
 * Runs the compensations that are still due, newest effect first, each written down as part of step `by`, or as a note. Gives the effects as they
 * stand then.
 */
export async function compensateAll(
  scope: LiveScope,
  by: number | null,
  outside: readonly Outside[],
  compensate: Compensate | undefined = scope.compensate,
): Promise<Outside[]> {
  await mustKnowUndo(outside, compensate);
  for (const { log, step } of outside.filter(isDue)) {
    const of = nameIn(scope.ref.log, log, step);
    const tell = (what: "compensating" | "compensated"): Promise<void> =>
      by === null ? scope.writer.note(null, { note: what, of }) : scope.writer.part(by, { part: what, of });
    await tell("compensating");
    await scope.writer.sync();
    await compensate!({ step, log, key: idempotencyKey(log, step) });
    await tell("compensated");
    await scope.writer.sync();
  }
  return outside.map((each) => (isDue(each) ? { ...each, compensated: true } : each));
}

/** Throws a sentence where something is to be compensated, and how is not known. */
export async function mustKnowUndo(outside: readonly Outside[], compensate: Compensate | undefined): Promise<void> {
  for (const { step, log } of outside.filter(isDue)) {
    if (!compensate)
      throw new Refused(
        `Step ${step.n} has an effect that must be compensated, and its undo is not known here: run this from the program that declared it.`,
      );
    await compensate.check?.({ step, log });
  }
}
