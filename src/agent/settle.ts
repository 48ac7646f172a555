/** What becomes of steps that a crash, an abort or a new instruction left without an outcome. */

import type { LiveScope } from "../scope/scope.ts";
import { itemsOf, MAIN, openCalls } from "../scope/thread.ts";
import type { Step } from "../trace/seal.ts";
import { readRequest } from "./request.ts";
import { blocksOf, lastTurnOver, stepsOf, waiting } from "./steps.ts";
import { cut } from "./turn.ts";

/**
 * Ends a model step whose process is gone: as `cut` with the blocks that were passed on, so that its calls count. One without blocks is
 * left as it is (`again`): the loop attempts it again if the thread still stands where it asked, and else gives it up.
 */
export async function settleModel(scope: LiveScope, step: Step): Promise<"cut" | "again" | "aborted"> {
  const blocks = await blocksOf(scope, step);
  if (blocks.length === 0) return "again";
  if (!(await standsWhereAsked(scope, step))) {
    await abandonModel(scope, step);
    return "aborted";
  }
  const { status, result, threads } = await cut(scope, step.intent.thread ?? MAIN, blocks);
  await scope.writer.outcome(
    step.n,
    { status, ...(result && { result }), ...(threads && { threads }) },
    { witness: { at: Date.now() } },
  );
  return "cut";
}

/** Ends a model step whose answer nobody waits for any more. Blocks that it had stay its result. */
export async function abandonModel(scope: LiveScope, step: Step): Promise<void> {
  const blocks = await blocksOf(scope, step);
  const { result } = blocks.length > 0 ? await cut(scope, step.intent.thread ?? MAIN, blocks) : {};
  await scope.writer.outcome(step.n, { status: "aborted", ...(result && { result }) }, { witness: { at: Date.now() } });
}

/** Whether a thread still ends where a model step's request ends. */
async function standsWhereAsked(scope: LiveScope, step: Step): Promise<boolean> {
  const { what, thread = MAIN } = step.intent;
  if (!what || step.intentSeq < lastTurnOver(scope.writer.fold)) return false;
  const { items } = await readRequest(scope.store, what);
  return items === (scope.head().state?.threads[thread]?.items ?? null);
}

/** Ends as `not-run` the calls of a thread that wait: all of them, or those that are not open any more and so will never be performed. */
export async function settleCalls(scope: LiveScope, thread: string, which: "all" | "stale"): Promise<void> {
  const steps = waiting(scope.writer.fold, thread, "tool");
  if (steps.length === 0) return;
  const open = which === "stale" ? openCalls(await itemsOf(scope.store, scope.head().state?.threads[thread])) : [];
  const wanted = new Set((await stepsOf(scope, thread, open)).values());
  for (const step of steps)
    if (!wanted.has(step)) await scope.writer.outcome(step.n, { status: "not-run" }, { witness: { at: Date.now() } });
}

/** Ends answers that were passed on in part: they count with the blocks they have. */
export async function settleModels(scope: LiveScope): Promise<void> {
  for (const step of scope.writer.fold.pending())
    if (step.intent.kind === "model" && !step.outcome) await settleModel(scope, step);
}
