/** How a worker stands, as a supervisor sees it: from its log, and from whether somebody drives it. */
import { type RunState, stateOf } from "../../run/lifecycle.ts";
import { findScope } from "../../scope/registry.ts";
import type { Fold, Step } from "../../trace/seal.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import type { Tail } from "./tails.ts";

export interface Standing {
  state: RunState;
  /** Whether nothing comes of it any more unless somebody does something. */
  over: boolean;
  /** Whether somebody drives it. */
  driven: boolean;
}

/** Ids of what was said to a run and is not told to its agent yet. */
export function untold({ notes, steps }: Pick<Fold, "notes" | "steps">): string[] {
  const told = new Set<unknown>();
  for (const { intent, outcome, witness } of steps.values())
    if (intent.kind === "inject" && outcome?.status === "done" && Array.isArray(witness.inject))
      for (const id of witness.inject) told.add(id);
  return [...notes.values()]
    .filter(({ facts }) => facts.note.startsWith("inject "))
    .map(({ facts }) => facts.note.slice("inject ".length))
    .filter((id) => !told.has(id));
}

/**
 * @param own whether the supervisor has started it, and so starts it again where it was merely stopped: a run of somebody else's ends where they
 * end it
 */
export async function standingOf(store: EmbeddedStore, { name, log, fold }: Tail, own: boolean): Promise<Standing> {
  const ref = await findScope(store, name);
  const { state, owner } = await stateOf(store, { ref, log, fold });
  const driven = owner !== null;
  if (driven) return { state, over: false, driven };
  if (state === "discarded") return { state, over: true, driven };
  const goesOn = untold(fold).length > 0;
  const stopped = state === "interrupted" || state === "idle" || (state === "aborted" && !wasCancelled(fold));
  return { state, over: !goesOn && !(own && stopped), driven };
}

/** Whether somebody has ended it for a reason, since it was last begun. */
function wasCancelled({ notes }: Pick<Fold, "notes">): boolean {
  const cancelled = notes.get("cancelled");
  return cancelled !== undefined && cancelled.epoch === notes.get("run")?.epoch;
}

export interface Spent {
  calls: number;
  tokens: number;
  usd: number;
}

export const NOTHING_SPENT: Spent = { calls: 0, tokens: 0, usd: 0 };

/** What the model calls of a run have cost, as far as their provider's prices are known. */
export function spentBy(steps: Iterable<Pick<Step, "intent" | "outcome" | "outcomeWitness">>): Spent {
  const spent = { ...NOTHING_SPENT };
  for (const { intent, outcome, outcomeWitness } of steps) {
    if (intent.kind !== "model" || !outcome || outcome.status === "denied") continue;
    spent.calls++;
    for (const each of Object.values(outcome.usage ?? {})) if (typeof each === "number") spent.tokens += each;
    if (typeof outcomeWitness.cost === "number") spent.usd += outcomeWitness.cost;
  }
  return spent;
}

export const together = (all: readonly Spent[]): Spent =>
  all.reduce(
    (sum, { calls, tokens, usd }) => ({ calls: sum.calls + calls, tokens: sum.tokens + tokens, usd: sum.usd + usd }),
    NOTHING_SPENT,
  );
