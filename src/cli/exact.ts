/** Steps from which a coding agent can go on exactly, where a verb sets a run back to one. */
import { isBetween, placeOf } from "../plugins/place.ts";
import type { Plugin } from "../plugins/plugin.ts";
import { pluginNamed } from "../plugins/plugins.ts";
import type { ScopeRef } from "../scope/registry.ts";
import type { Revision } from "../scope/revision.ts";
import { MAIN } from "../scope/thread.ts";
import { callsOf, cameThrough, type Found, readLog, sealedStep, type View } from "../scope/view.ts";
import type { Sealed } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { Exit } from "./errors.ts";
import { taskOf } from "./launch.ts";
import type { Flags, Verb } from "./verb.ts";

export const NEAREST: NonNullable<Verb["options"]> = {
  nearest: { type: "boolean", help: "where a coding agent cannot go on from STEP, to the nearest step where it can" },
};

/**
 * The step to go to: STEP itself, or with --nearest another one, where a coding agent cannot go on from STEP: its files are right there, and its
 * agent has no record of that place. Throws a sentence without --nearest.
 * @param says whether it is to be told something there: then it cannot be at an answer whose calls are still to be performed
 */
export async function exactStep(
  store: EmbeddedStore,
  run: ScopeRef,
  found: Revision,
  flags: Flags,
  says = false,
): Promise<{ n: number; sealed: Sealed }> {
  const { step, view } = found;
  const same = { n: step.n, sealed: found.sealed };
  const task = await taskOf(store, run.name).catch(() => null);
  const plugin = task?.plugin && pluginNamed(task.plugin.name);
  if (!plugin) return same;
  const came = await cameThrough(store, view, found);
  const exact = (path: readonly Found[]): Promise<boolean> => isExact(store, path, plugin, says);
  if (await exact(came)) return same;
  const near = [await endOfTurn(store, view, found, exact), await before(came, exact)]
    .filter((n) => n !== null)
    .sort((a, b) => Math.abs(a - step.n) - Math.abs(b - step.n));
  if (near.length === 0) return same;
  if (flags.nearest) return { n: near[0]!, sealed: (await sealedStep(store, view, near[0]!)).sealed };
  const words = near.length === 1 ? `Step ${near[0]} is` : `Steps ${near.join(" and ")} are`;
  throw new Exit(
    3,
    `Step ${step.n} stands in the middle of a turn, and ${plugin.command} cannot go on from there${says ? " with something new" : ""}. ${words} the nearest where it can: --nearest goes to ${near[0]}.`,
  );
}

/** Whether an agent can go on from the first of the steps that a state came through, newest first. */
async function isExact(store: EmbeddedStore, came: readonly Found[], plugin: Plugin, says: boolean): Promise<boolean> {
  const { step } = came[0]!;
  if ((step.intent.thread ?? MAIN) !== MAIN) return false;
  const place = await placeOf(store, step.sealed!.state);
  if (says && place.open.length > 0) return false;
  // A summary that nothing was said behind yet.
  if (place.turns === 0 && came.some((each) => each.step.intent.kind === "compact")) return false;
  return !(await isBetween(store, came, place, plugin));
}

type Exact = (came: readonly Found[]) => Promise<boolean>;

/** The last call of the turn in which a step stands; null where that is not over. */
async function endOfTurn(store: EmbeddedStore, view: View, { log, step }: Found, exact: Exact): Promise<number | null> {
  const { turn = step.intent.kind === "model" ? step.n : undefined } = step.links;
  if (turn === undefined) return null;
  const { fold } = await readLog(store, log);
  const calls = callsOf(fold, turn);
  const last = calls.at(-1);
  if (!last || calls.some(({ sealed }) => !sealed)) return null;
  const came = await cameThrough(store, view, { log, step: last });
  return came.length > 0 && (await exact(came)) ? last.n : null;
}

/** The newest step before those at which an agent cannot go on; null where there is none. */
async function before(came: readonly Found[], exact: Exact): Promise<number | null> {
  for (let at = 1; at < came.length; at++) if (await exact(came.slice(at))) return came[at]!.step.n;
  return null;
}
