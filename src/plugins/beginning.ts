/** Where an agent begins: with its record of the conversation up to where its scope stands, or anew. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { settlePending } from "../run/recover.ts";
import { revertScope } from "../scope/revert.ts";
import type { LiveScope } from "../scope/scope.ts";
import { itemLinks, itemsOf, openCalls } from "../scope/thread.ts";
import { allSteps } from "../scope/view.ts";
import { placeOf } from "./place.ts";
import type { Plugin } from "./plugin.ts";
import { sessionAt } from "./sessions.ts";

export interface BeginOptions {
  plugin: Plugin;
  session: string;
  workspace: string;
  /** What it is to do, for a conversation that has not begun. */
  task: string;
  /** What to say first; null to go on without a word. */
  prompt: string | null;
  tell?: ((text: string) => void) | undefined;
}

export interface Beginning {
  prompt: string | null;
  resumed: boolean;
}

/**
 * Sets the files of a scope up for its agent. Null if there is nothing left to do. Throws `Inexact` where its record does not tell what it
 * had there.
 */
export async function beginning(scope: LiveScope, options: BeginOptions): Promise<Beginning | null> {
  const { plugin, session, workspace, prompt, task } = options;
  const { store, ref, files } = scope;
  let place = await placeOf(store, scope.head().state!);
  const partly = place.answered.length > 0 || prompt !== null || (await inScript(scope, plugin));
  if (place.open.length > 0 && partly) {
    await stepBack(scope, prompt === null ? "intent" : "before", options.tell);
    place = await placeOf(store, scope.head().state!);
  }
  // Where the first answer is still to be acted on, it asks for that again, and gets it from the record.
  const first = place.turns === 0 || (place.turns === 1 && place.open.length > 0);
  if (!first && prompt === null && place.answered.length === 0 && place.open.length === 0) return null;
  const path = plugin.session.path(workspace, session);
  const file = join(files!.config!.host, path);
  const record = first && prompt !== null ? null : await sessionAt(store, ref.log, plugin, path, place);
  if (!record && !first) throw new Inexact(ref.name);
  const start = record ?? plugin.session.seed?.(workspace, session);
  if (start) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, start, { mode: 0o600 });
  } else rmSync(file, { force: true });
  return record ? { prompt, resumed: true } : { prompt: prompt ?? task, resumed: false };
}

/** Whether the scope stands inside of a script: going on from the answer that asks for it would do once more what is done. */
async function inScript({ store, ref, writer, head }: LiveScope, plugin: Plugin): Promise<boolean> {
  const steps = await allSteps(store, { ref, log: ref.log, fold: writer.fold });
  if (steps.findLast(({ step }) => step.n === head().n)?.step.links.inside === undefined) return false;
  const open = openCalls(await itemsOf(store, head().state!.threads.main));
  return open.some((call) => plugin.traits(call).script);
}

/**
 * Sets a scope back to where its agent can go on from: to the answer whose calls were not all performed, or, where something else is to be said,
 * behind what came before it.
 */
async function stepBack(scope: LiveScope, how: "intent" | "before", tell?: (text: string) => void): Promise<void> {
  const { store, ref, writer } = scope;
  const said = (await itemLinks(store, scope.head().state!.threads.main)).reverse();
  const steps = await allSteps(store, { ref, log: ref.log, fold: writer.fold });
  const models = steps.filter(({ step }) => step.sealed && step.intent.kind === "model");
  const at = models.findLast(({ step }) => said.includes(step.outcome!.result!));
  if (!at) throw new Inexact(ref.name);
  const sealed = steps.filter(({ step }) => step.sealed);
  const to = how === "intent" ? at : sealed[sealed.indexOf(at) - 1];
  if (!to) throw new Inexact(ref.name);
  await settlePending(scope);
  const { n } = await revertScope(scope, to.step.n);
  tell?.(
    `shepherd: not all calls of step ${at.step.n} were performed, so it goes on from step ${to.step.n}, as step ${n}.\n`,
  );
}

/** Thrown where an agent cannot go on from where its run stands. */
export class Inexact extends Error {
  constructor(scope: string) {
    super(
      `${scope} stands between the calls of a turn, and its agent cannot go on from there: \`shepherd revert ${scope} N\` to a step behind or before them.`,
    );
  }
}
