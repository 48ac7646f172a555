/**
 * Where a command behind the gateway begins again. It has no session that it could go on from, so it is started anew on the files that it had
 * started on, and gets the answers on record (`recordedFor`) until it asks for something else.
 */
import { revertScope } from "../scope/revert.ts";
import type { LiveScope } from "../scope/scope.ts";
import { allSteps, cameThrough, type Found, readLog, type View, viewOf } from "../scope/view.ts";
import type { Fold, Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";

export interface Again {
  /** The command that is started anew; null where none has recorded anything: then it is that of the run's task. */
  command: Step | null;
  /** The step on whose files it starts. */
  start: Found;
  /** Where the scope stands: what is on record of the command is what this came through. */
  from: Found;
  /** Model steps with an answer that it was given, oldest first. */
  answers: Found[];
  /** What others have brought since its start, which is not there when it starts anew. */
  lost: Found[];
}

/** Set back in order to go on, and not by the user. */
const isDrive = ({ intent, witness }: Step): boolean => intent.kind === "revert" && witness.goesOn === true;
const setsBack = ({ intent }: Step): boolean => intent.kind === "revert" || intent.kind === "undo";
const BROUGHT: ReadonlySet<string> = new Set(["command", "sync", "merge", "resolve", "rewrite"]);

/** Whether a scope stands where somebody has set it back to. */
export const wasSetBack = ({ from }: Again): boolean => setsBack(from.step);

/** What a scope's command would begin again with. The scope has its step 0. */
export const againOf = (scope: LiveScope): Promise<Again> => againAt(scope.store, viewOf(scope));

async function againAt(store: EmbeddedStore, view: View, to?: Found): Promise<Again> {
  const path = await cameThrough(store, view, to);
  // Set back, and killed before its command began.
  const stood = isDrive(path[0]!.step) ? await beforeIn(store, view, path[0]!) : null;
  if (stood) return { ...(await againAt(store, view, stood)), from: path[0]! };
  const folds = new Map<string, Fold>([[view.log, view.fold]]);
  const commandOf = async ({ log, step }: Found): Promise<Step | null> => {
    const { inside } = step.links;
    if (step.intent.gateway === true) return step;
    if (inside === undefined) return null;
    if (!folds.has(log)) folds.set(log, (await readLog(store, log)).fold);
    const around = folds.get(log)!.steps.get(inside);
    return around?.intent.gateway === true ? around : null;
  };
  let command: Step | null = null;
  for (const each of path) {
    command = await commandOf(each);
    if (command) break;
  }
  // A step that only set it back to its start is none to start on: that start is.
  const starts = ({ step }: Found): boolean => (command ? step.n < command.n : step.n === 0) && !isDrive(step);
  const at = path.findIndex(starts);
  const since = path.slice(0, at);
  const answers = since.filter(({ step }) => step.intent.kind === "model" && step.outcome?.status === "done").reverse();
  const lost = since.filter(
    ({ step }) => BROUGHT.has(step.intent.kind) && step.intent.gateway !== true && step.links.inside === undefined,
  );
  const left = await leftOver(store, view, since, answers);
  return { command, start: path[at]!, from: path[0]!, answers: [...answers, ...left], lost: lost.reverse() };
}

/** Where a scope stood before one of its own steps. */
async function beforeIn(store: EmbeddedStore, view: View, { log, step }: Found): Promise<Found | null> {
  if (log !== view.log) return null;
  const sealed = (await allSteps(store, view)).filter((each) => each.step.sealed);
  return sealed[sealed.findIndex((each) => each.log === log && each.step.n === step.n) - 1] ?? null;
}

/** Answers that a command which was driven before has not come to, since it was stopped on its way. Not where somebody has gone back since. */
async function leftOver(
  store: EmbeddedStore,
  view: View,
  since: readonly Found[],
  answers: readonly Found[],
): Promise<Found[]> {
  const drive = since.find(({ step }) => setsBack(step));
  const before = drive && isDrive(drive.step) ? await beforeIn(store, view, drive) : null;
  if (!before) return [];
  const left = [...(await againAt(store, view, before)).answers];
  for (const { step } of answers) {
    if (step.outcomeWitness.recorded !== true) continue;
    const at = left.findIndex((each) => each.step.intent.what === step.intent.what);
    if (at >= 0) left.splice(at, 1);
  }
  return left;
}

/** Sets a scope to where its command begins, and says in its log that it is driven from there. */
export async function beginAgain(scope: LiveScope, { start, from, answers }: Again): Promise<void> {
  if (from.log === start.log && from.step.n === start.step.n) {
    const { state, carry } = start.step.sealed!;
    await scope.files?.restore(state.roots.workspace, carry);
  } else await revertScope(scope, start.step.n, { goesOn: true });
  const facts = { note: "driven", to: start.step.n, from: from.step.n, answers: answers.length };
  await scope.writer.note(null, facts);
}
