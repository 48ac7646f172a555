/** Where an agent begins: with its record of the conversation up to where its scope stands, or anew. */
import { settlePending } from "../run/recover.ts";
import { revertScope } from "../scope/revert.ts";
import type { LiveScope } from "../scope/scope.ts";
import { itemLinks, itemsOf, openCalls } from "../scope/thread.ts";
import { allSteps, cameThrough, type Found } from "../scope/view.ts";
import { encodeJson } from "../trace/bytes.ts";
import { removeWithin, writeWithin } from "../world/within.ts";
import { placeOf } from "./place.ts";
import type { Plugin } from "./plugin.ts";
import { sessionAt } from "./sessions.ts";

export interface BeginOptions {
  plugin: Plugin;
  session: string;
  workspace: string;
  /** What it is to do, for a conversation that has not begun; null where its user was to say that on the terminal. */
  task: string | null;
  /** What to say first; null to go on without a word. */
  prompt: string | null;
  /** Whether it has the terminal, where its user says what comes next. */
  interactive?: boolean;
  tell?: ((text: string) => void) | undefined;
}

export interface Beginning {
  prompt: string | null;
  resumed: boolean;
}

/**
 * Sets the files of a scope up for its agent. Null if there is nothing left to do. Throws `Inexact` where nothing tells what it had there, nor
 * anywhere before.
 */
export async function beginning(scope: LiveScope, options: BeginOptions): Promise<Beginning | null> {
  const { plugin, session, workspace, prompt, task, interactive = false } = options;
  const { store, ref, files } = scope;
  const path = plugin.session.path(workspace, session);
  const config = files!.config!.host;
  const begin = (record: Buffer | null, what: Beginning): Beginning => {
    const start = record ?? plugin.session.seed?.(workspace, session);
    if (start) writeWithin(config, path, start);
    else removeWithin(config, path);
    return what;
  };
  const silent = prompt === null && !interactive;
  // Whether its task, which has to be said with what is to be said now, had been told before it came back to where nothing was.
  let asked = false;
  // Each time it goes further back.
  for (let tries = 0; tries < 1000; tries++) {
    const place = await placeOf(store, scope.head().state!);
    const { turns, answered, open } = place;
    // A summary that nothing was said behind yet is no place to go on from.
    const came = turns === 0 ? await cameThrough(store, { ref, log: ref.log, fold: scope.writer.fold }) : [];
    const compacted = came.findIndex(({ step }) => step.intent.kind === "compact");
    if (compacted >= 0) {
      await goTo(scope, came[compacted + 1], options.tell);
      continue;
    }
    const between = open.length > 0 && (answered.length > 0 || (await inScript(scope, plugin)));
    // What its calls changed before they were stopped is not there when they are performed anew.
    if (silent && open.length > 0 && !between && (await isTouched(scope))) {
      await stepBack(scope, "answer", options.tell);
      continue;
    }
    // Where the first answer is still to be acted on, it asks for that again, and gets it from the record.
    if (turns === 0 || (turns === 1 && open.length > 0 && !between && silent)) {
      const record = silent ? await sessionAt(store, ref.log, plugin, path, place) : null;
      if (record) return begin(record, { prompt, resumed: true });
      // With other words it begins another conversation, which is the main one only where none has begun.
      const clear = came.find(({ step }) => !step.sealed!.state.threads.main?.items);
      if (!silent && place.first !== "" && clear) {
        asked = true;
        await goTo(scope, clear, options.tell);
        continue;
      }
      const words = asked && task !== null && prompt !== null ? `${task}\n\n${prompt}` : (prompt ?? task);
      if (interactive) return begin(null, { prompt, resumed: false });
      return words === null ? null : begin(null, { prompt: words, resumed: false });
    }
    if (silent && open.length === 0 && answered.length === 0) return null;
    if (!between && (open.length === 0 || silent)) {
      const record = await sessionAt(store, ref.log, plugin, path, place);
      if (record) return begin(record, { prompt, resumed: true });
    }
    // To the answer whose calls were not all performed, or whose results its record has not; or, with something new to say, behind what came before.
    await stepBack(scope, open.length > 0 && (!silent || !between) ? "before" : "answer", options.tell);
  }
  throw new Inexact(ref.name);
}

/** Whether the scope stands inside of a script: going on from the answer that asks for it would do once more what is done. */
async function inScript({ store, ref, writer, head }: LiveScope, plugin: Plugin): Promise<boolean> {
  const steps = await allSteps(store, { ref, log: ref.log, fold: writer.fold });
  if (steps.findLast(({ step }) => step.n === head().n)?.step.links.inside === undefined) return false;
  const open = openCalls(await itemsOf(store, head().state!.threads.main));
  return open.some((call) => plugin.traits(call).script);
}

/** Whether files have changed since the last answer. */
async function isTouched(scope: LiveScope): Promise<boolean> {
  const { last } = await lastAnswer(scope);
  const { state, carry } = scope.head();
  const then = last?.step.sealed;
  if (!then || !state) return false;
  return (
    then.state.roots.workspace !== state.roots.workspace ||
    then.carry.vcs !== carry.vcs ||
    then.carry.outerVcs !== carry.outerVcs
  );
}

/** The step of the last answer of the main conversation, and what a scope came through before it. */
async function lastAnswer({ store, ref, writer, head }: LiveScope): Promise<{ last?: Found; before?: Found }> {
  const said = new Set(await itemLinks(store, head().state!.threads.main));
  const path = await cameThrough(store, { ref, log: ref.log, fold: writer.fold });
  const at = path.findIndex(({ step }) => step.intent.kind === "model" && said.has(step.outcome!.result!));
  return at < 0 ? {} : { last: path[at]!, ...(path[at + 1] && { before: path[at + 1]! }) };
}

/** Sets a scope back to the last answer of its conversation, or to what came before that; also where it stands at the answer already. */
async function stepBack(scope: LiveScope, how: "answer" | "before", tell?: (text: string) => void): Promise<void> {
  const { last, before } = await lastAnswer(scope);
  const here = encodeJson(scope.head().state);
  const there = last?.step.sealed && encodeJson(last.step.sealed.state);
  await goTo(scope, how === "before" || there?.equals(here) ? before : last, tell);
}

async function goTo(scope: LiveScope, to: Found | undefined, tell?: (text: string) => void): Promise<void> {
  if (!to) throw new Inexact(scope.ref.name);
  await settlePending(scope);
  const { n } = await revertScope(scope, to.step.n);
  tell?.(`shepherd: what followed step ${to.step.n} cannot be gone on with, so it goes on from there, as step ${n}.\n`);
}

/** Thrown where an agent cannot go on from where its run stands. */
class Inexact extends Error {
  constructor(scope: string) {
    super(
      `${scope} stands between the calls of a turn, and its agent cannot go on from there: \`shepherd revert ${scope} N\` to a step behind or before them.`,
    );
  }
}
