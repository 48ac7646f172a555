/** Steps from which a coding agent can go on exactly, where a verb sets a run back to one. */
import { placeOf } from "../plugins/place.ts";
import { pluginNamed } from "../plugins/plugins.ts";
import type { ScopeRef } from "../scope/registry.ts";
import type { Revision } from "../scope/revision.ts";
import { cameThrough, type Found, readLog, sealedStep } from "../scope/view.ts";
import type { Sealed } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { Exit } from "./errors.ts";
import { taskOf } from "./launch.ts";
import type { Flags, Verb } from "./verb.ts";

export const NEAREST: NonNullable<Verb["options"]> = {
  nearest: { type: "boolean", help: "where a coding agent cannot go on from STEP, to the nearest step where it can" },
};

/**
 * The step to go to: STEP itself, or with --nearest another one, where STEP stands in the middle of a turn of a coding agent.
 * Its files are right there, and its agent has no record of that place. Throws a sentence without --nearest.
 */
export async function exactStep(
  store: EmbeddedStore,
  run: ScopeRef,
  found: Revision,
  flags: Flags,
): Promise<{ n: number; sealed: Sealed }> {
  const { step, view } = found;
  const same = { n: step.n, sealed: found.sealed };
  const task = await taskOf(store, run.name).catch(() => null);
  const plugin = task?.plugin && pluginNamed(task.plugin.name);
  if (!plugin) return same;
  if (await isExact(store, found)) return same;
  const near = await around(store, run, found);
  if (near.length === 0) return same;
  if (flags.nearest) return { n: near[0]!, sealed: (await sealedStep(store, view, near[0]!)).sealed };
  const words = near.length === 1 ? `Step ${near[0]} is` : `Steps ${near.join(" and ")} are`;
  throw new Exit(
    3,
    `Step ${step.n} stands in the middle of a turn, and ${plugin.command} cannot go on from there. ${words} the nearest where it can: --nearest goes to ${near[0]}.`,
  );
}

/** Whether its agent knows where it stands: between the turns of its main conversation, or at an answer none of whose calls was performed. */
async function isExact(store: EmbeddedStore, { step }: Found): Promise<boolean> {
  if ((step.intent.thread ?? "main") !== "main") return false;
  const { open, answered } = await placeOf(store, step.sealed!.state);
  return open.length === 0 || answered.length === 0;
}

/** Behind the last call of its turn, and before it; the nearer one first. */
async function around(store: EmbeddedStore, run: ScopeRef, { log, step }: Found): Promise<number[]> {
  const { fold } = await readLog(store, log);
  const { turn } = step.links;
  const calls = turn === undefined ? [] : [...fold.steps.values()].filter(({ links }) => links.turn === turn);
  const last = calls.at(-1);
  const near: number[] = [];
  if (last && calls.every(({ sealed }) => sealed) && (await isExact(store, { log, step: last }))) near.push(last.n);
  const path = await cameThrough(store, { ref: run, log: run.log, fold: (await readLog(store, run.log)).fold });
  for (const each of path.slice(path.findIndex((other) => other.step === step || other.step.n === step.n) + 1)) {
    if (!(await isExact(store, each))) continue;
    near.push(each.step.n);
    break;
  }
  return near.sort((a, b) => Math.abs(a - step.n) - Math.abs(b - step.n));
}
