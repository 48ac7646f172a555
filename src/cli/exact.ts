/** Steps from which a coding agent can go on exactly, where a verb sets a run back to one. */
import { belonging, sinceHandoff } from "../plugins/handedover.ts";
import { madeIn, withNotRun } from "../plugins/made.ts";
import { leftBehind, placeOf } from "../plugins/place.ts";
import type { Plugin } from "../plugins/plugin.ts";
import { pluginNamed } from "../plugins/plugins.ts";
import { sessionAt } from "../plugins/sessions.ts";
import { type ScopeRef, workspacePath } from "../scope/registry.ts";
import type { Revision } from "../scope/revision.ts";
import { itemsReader } from "../scope/thread.ts";
import { cameThrough, type Found, sealedStep, type View } from "../scope/view.ts";
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
 * agent has no record of that place. Calls that have no result there are told as not run. Throws a sentence without --nearest.
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
  const came = await cameThrough(store, view, found);
  const at: At = {
    ...{ store, view, plugin, came },
    made: new Map(),
    read: itemsReader(store),
    path: plugin.session.path(await workspacePath(store, run.log), task.plugin!.session),
    live: (await store.leases.holder(`log/${run.log}`)) !== null,
  };
  if (await isExact(at, 0)) return same;
  const near = await before(at);
  if (near === null) return same;
  if (flags.nearest) return { n: near, sealed: (await sealedStep(store, view, near)).sealed };
  throw new Exit(
    3,
    `${plugin.command} has no record with which it could go on from step ${step.n}. Step ${near} is the nearest where it has one: --nearest goes there.`,
  );
}

/** Where it is looked for steps, with what was read of them: one look for all. */
interface At {
  store: EmbeddedStore;
  view: View;
  plugin: Plugin;
  /** The steps that a state came through, newest first. */
  came: readonly Found[];
  made: NonNullable<Parameters<typeof madeIn>[2]>;
  read: ReturnType<typeof itemsReader>;
  /** Of the agent's own record, below its configuration directory. */
  path: string;
  /** Whether it works: then its record is still being written. */
  live: boolean;
}

/** Whether an agent can go on from the step at a place of those that a state came through. */
async function isExact(at: At, i: number): Promise<boolean> {
  const { store, view, plugin, path, live } = at;
  const all = at.came.slice(i);
  const came = sinceHandoff(all);
  const made = await madeIn(store, came, at.made);
  const place = await placeOf(store, came[0]!.step.sealed!.state, made, at.read);
  // A summary that nothing was said behind yet.
  if (place.turns === 0 && came.some(({ step }) => step.intent.kind === "compact")) return false;
  if (live || place.open.length === 0) return true;
  const belongs = await belonging(store, view, all);
  const then = { place: leftBehind(place), made: withNotRun(made, place.open), belongs };
  return (await sessionAt(store, view, plugin, path, then)) !== null;
}

/** The newest step before the first at which an agent can go on; null where there is none. */
async function before(at: At): Promise<number | null> {
  for (let i = 1; i < at.came.length; i++) if (await isExact(at, i)) return at.came[i]!.step.n;
  return null;
}
