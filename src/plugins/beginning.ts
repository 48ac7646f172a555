/** Where an agent begins: with its record of the conversation up to where its scope stands, or anew. */
import { wasReverted } from "../agent/steps.ts";
import { settlePending } from "../run/recover.ts";
import { revertScope } from "../scope/revert.ts";
import type { LiveScope } from "../scope/scope.ts";
import { itemLinks, MAIN } from "../scope/thread.ts";
import { cameThrough, type Found, viewOf } from "../scope/view.ts";
import { encodeJson } from "../trace/bytes.ts";
import type { State } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { removeWithin, writeWithin } from "../world/within.ts";
import { belonging, handedWords, sinceHandoff } from "./handedover.ts";
import { leaveOpen, madeIn, type Results, withNotRun } from "./made.ts";
import { isBetween, leftBehind, type Place, placeOf } from "./place.ts";
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
  /** What becomes of open calls. Default: they are told as not run behind a revert and where there is something new to say, else performed. */
  open?: "perform" | "drop" | undefined;
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
  const { plugin, session, workspace, prompt, interactive = false } = options;
  const { store, ref, files } = scope;
  const path = plugin.session.path(workspace, session);
  const config = files!.config!.host;
  const silent = prompt === null && !interactive;
  const from = scope.head().n;
  let back: number | null = null;
  const goTo = async (to: Found | undefined): Promise<void> => {
    if (!to) throw new Inexact(ref.name);
    await settlePending(scope);
    await revertScope(scope, to.step.n, { goesOn: true });
    back = to.step.n;
  };
  const begin = (record: Buffer | null, what: Beginning): Beginning => {
    const start = record ?? plugin.session.seed?.(workspace, session);
    if (start) writeWithin(config, path, start);
    else removeWithin(config, path);
    if (back !== null)
      options.tell?.(
        `shepherd: ${plugin.command} cannot go on from step ${from}${silent ? "" : " with something new"}, so it goes on from step ${back}; what came between stays in the log.\n`,
      );
    return what;
  };
  // Whether its task, which has to be said with what is to be said now, had been told before it came back to where nothing was.
  let asked = false;
  // A run whose first step is still to be sealed: nothing was said in it.
  if (!scope.head().state) {
    const words = interactive ? prompt : (prompt ?? options.task);
    return words === null && !interactive ? null : begin(null, { prompt: words, resumed: false });
  }
  // Each time it goes further back.
  for (let tries = 0; tries < 1000; tries++) {
    const state = scope.head().state!;
    const all = await cameThrough(store, viewOf(scope));
    const came = sinceHandoff(all);
    const handed = await handedWords(store, all);
    const task = handed ?? options.task;
    const belongs = await belonging(store, viewOf(scope), all);
    const made = await madeIn(store, came);
    const place = await placeOf(store, state, made);
    const { turns, answered, open } = place;
    const at = (place: Place, made: Results): Promise<Buffer | null> =>
      sessionAt(store, viewOf(scope), plugin, path, { place, made, belongs });
    // A summary that nothing was said behind yet is no place to go on from.
    const compacted = turns === 0 ? came.findIndex(({ step }) => step.intent.kind === "compact") : -1;
    if (compacted >= 0) {
      await goTo(came[compacted + 1]);
      continue;
    }
    const drops = options.open ? options.open === "drop" : !silent || wasReverted(scope.writer.fold, MAIN);
    if (drops && open.length > 0) {
      const record = await at(leftBehind(place), withNotRun(made, open));
      if (record) {
        await setBack(scope, came);
        await leaveOpen(scope);
        return begin(record, { prompt, resumed: true });
      }
    }
    const between = await isBetween(store, came, place, plugin);
    const answer = await lastAnswer(store, state, came);
    // What its calls changed before they were stopped is not there when they are performed anew.
    if (silent && open.length > 0 && !between && answer.last && isTouched(scope, answer.last)) {
      await goTo(answer.last);
      continue;
    }
    // Where the first answer is still to be acted on, it asks for that again, and gets it from the record.
    if (turns === 0 || (turns === 1 && open.length > 0 && !between && silent)) {
      // Behind a handoff an older record would say the older task.
      const record = silent && (handed === null || turns > 0) ? await at(place, made) : null;
      if (record) return begin(record, { prompt, resumed: true });
      // With other words it begins another conversation, which is the main one only where none has begun.
      const clear = came.find(({ step }) => !step.sealed!.state.threads[MAIN]?.items);
      if (!silent && place.first !== "" && clear) {
        asked = true;
        await goTo(clear);
        continue;
      }
      const words = asked && task !== null && prompt !== null ? `${task}\n\n${prompt}` : (prompt ?? task);
      if (interactive) return begin(null, { prompt, resumed: false });
      return words === null ? null : begin(null, { prompt: words, resumed: false });
    }
    if (silent && open.length === 0 && answered.length + place.made.length === 0) return null;
    if (!between && (open.length === 0 || silent)) {
      const record = await at(place, made);
      if (record) return begin(record, { prompt, resumed: true });
    }
    // To the answer whose calls were not all performed, or whose results its record has not; or, with something new to say, behind what came before.
    const here = answer.last && encodeJson(answer.last.step.sealed!.state).equals(encodeJson(state));
    await goTo(here || (open.length > 0 && (!silent || !between)) ? answer.before : answer.last);
  }
  throw new Inexact(ref.name);
}

/** Takes back what calls changed before they were stopped: they are told as not run. */
async function setBack(scope: LiveScope, came: readonly Found[]): Promise<void> {
  const before = came.find(({ step }) => step.intent.kind !== "tool" || step.outcome?.status !== "aborted");
  if (!before || !isTouched(scope, before)) return;
  await settlePending(scope);
  await revertScope(scope, before.step.n, { goesOn: true });
}

/** Whether files have changed since a step. */
function isTouched(scope: LiveScope, { step }: Found): boolean {
  const { state, carry } = scope.head();
  const then = step.sealed!;
  return (
    then.state.roots.workspace !== state!.roots.workspace ||
    then.carry.vcs !== carry.vcs ||
    then.carry.outerVcs !== carry.outerVcs
  );
}

/** The step of the last answer of the main conversation, and what a scope came through before it. */
async function lastAnswer(
  store: EmbeddedStore,
  state: State,
  came: readonly Found[],
): Promise<{ last: Found | undefined; before: Found | undefined }> {
  const said = new Set(await itemLinks(store, state.threads[MAIN]));
  const at = came.findIndex(({ step }) => step.intent.kind === "model" && said.has(step.outcome!.result!));
  return { last: came[at], before: at < 0 ? undefined : came[at + 1] };
}

/** Thrown where an agent cannot go on from where its run stands. */
class Inexact extends Error {
  constructor(scope: string) {
    super(
      `${scope} stands between the calls of a turn, and its agent cannot go on from there: \`shepherd revert ${scope} N\` to a step behind or before them.`,
    );
  }
}
