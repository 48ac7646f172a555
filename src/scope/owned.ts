/** What was done to the world outside, and which scope answers for it. */
import { importOf } from "../trace/bundle/imported.ts";
import type { Hash, Json } from "../trace/ports.ts";
import { type Fold, isContainer, type Step, tierOf } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { undoneIn } from "./history.ts";
import { listScopes } from "./registry.ts";
import { readLog, type View } from "./view.ts";

/** An effect outside the scope that is not taken back by setting the files back. */
export interface Outside {
  log: string;
  step: Step;
  compensated: boolean;
}

/** The folds that were read, by log. */
type Folds = Map<string, Fold>;
/** A place in a log. */
interface Place {
  log: string;
  place: number;
}

/**
 * Effects that this scope owns and that came to it behind the step with place `order`: those that it performed, unless another scope has merged
 * them since, those that it merged, and those of agents that it called whose work never came to be merged. What it only inherited belongs to
 * others. Last performed first, which is the order of compensation.
 */
export async function ownedSince(store: EmbeddedStore, view: View, order: number): Promise<Outside[]> {
  const folds: Folds = new Map([[view.log, view.fold]]);
  if ((await within(store, folds, view.log, order + 1, Number.POSITIVE_INFINITY)).length === 0) return [];
  // Who else may have merged them, and taken them back.
  for (const { log } of await listScopes(store)) await fold(store, folds, log);
  // A scope whose name retention has taken still answers for what it merged from those that were forked from it.
  for (const { header } of folds.values())
    for (const log of [header.meta.parent, header.origin?.log])
      if (typeof log === "string" && (await store.logs.header(log))) await fold(store, folds, log);
  const calls = await callsAmong(store, folds);
  const owned: Outside[][] = [];
  for (const [log, { steps }] of folds) {
    const here: Outside[] = [];
    for (const step of steps.values()) {
      if (!isEffect(step)) continue;
      const owners = [...ownersOf(folds, calls, { log, place: placeOf(step) })];
      if (owners.some((owner) => owner.log === view.log && owner.place > order))
        here.push({ log, step, compensated: isCompensated(folds, log, step) });
    }
    owned.push(here.sort((a, b) => endOf(b.step) - endOf(a.step) || b.step.n - a.step.n));
  }
  return lastFirst(owned);
}

const fold = async (store: EmbeddedStore, folds: Folds, log: string): Promise<Fold> => {
  const known = folds.get(log) ?? (await readLog(store, log)).fold;
  folds.set(log, known);
  return known;
};

const placeOf = (step: Step): number => step.sealed?.order ?? Number.POSITIVE_INFINITY;

/** Where a step ended in its log. What a crash left without an outcome, in the log of who was called, was the last. */
const endOf = ({ outcome, outcomeSeq }: Step): number => (outcome ? outcomeSeq : Number.MAX_SAFE_INTEGER);

/** Whether a step acted, or may have: its consent is written down in the moment in which it begins. */
function isEffect(step: Step): boolean {
  const { outcome } = step;
  if (outcome?.status === "denied" || outcome?.status === "not-run") return false;
  const tier = tierOf(step);
  return (tier === "compensable" || tier === "irreversible") && (step.allowed || outcome?.tier !== undefined);
}

/** Whether another agent was called in it, in a scope of its own. */
const isCall = ({ intent }: Step): boolean => intent.kind === "effect" && isContainer(intent);

/** Merges of a log that stand, and the log and place that each has merged. */
function* merges({ sealed }: Fold): Generator<{ step: Step; log: string; upTo: Hash }> {
  const undone = undoneIn(sealed);
  for (const step of sealed) {
    const { merged } = step.witness;
    if (step.outcome?.with && typeof merged === "string" && !undone.has(step.sealed!.id))
      yield { step, log: merged, upTo: step.outcome.with };
  }
}

const orderOf = ({ sealed }: Fold, commit: Hash): number => sealed.findIndex((step) => step.sealed!.id === commit);

/** Effects in a log, and in those that it merged, whose place is in `from` to `to`; and calls, in which others may have been performed. */
async function within(store: EmbeddedStore, folds: Folds, log: string, from: number, to: number): Promise<Step[]> {
  const here = await fold(store, folds, log);
  const isIn = (step: Step): boolean => placeOf(step) >= from && placeOf(step) <= to;
  const found = [...here.steps.values()].filter((step) => (isEffect(step) || isCall(step)) && isIn(step));
  for (const each of merges(here)) {
    if (!isIn(each.step)) continue;
    const child = await fold(store, folds, each.log);
    found.push(...(await within(store, folds, each.log, 0, orderOf(child, each.upTo))));
  }
  return found;
}

/** Of logs that stand for a call of an agent in another: that other, and the number of the call. What a file says of the logs in it is no such thing. */
async function callsAmong(store: EmbeddedStore, folds: Folds): Promise<Map<string, { log: string; n: number }>> {
  const calls = new Map<string, { log: string; n: number }>();
  for (const [log, { header }] of folds) {
    const call = header.meta.call as { [key: string]: Json } | undefined;
    if (typeof call?.log === "string" && typeof call.n === "number" && !(await importOf(store, log)))
      calls.set(log, { log: call.log, n: call.n });
  }
  return calls;
}

/** Who answers for what came to a log at a place: the first that merged it, and so on; where it is nobody but who was called, whoever called, too. */
function* ownersOf(folds: Folds, calls: Map<string, { log: string; n: number }>, from: Place): Generator<Place> {
  const owner = ownerOf(folds, from);
  yield owner;
  const call = calls.get(owner.log);
  const step = call && folds.get(call.log)?.steps.get(call.n);
  if (step) yield* ownersOf(folds, calls, { log: call.log, place: placeOf(step) });
}

/** The scope that has what came to a log at a place, and where it came to that: the first that merged it, and so on. */
function ownerOf(folds: Folds, { log, place }: Place): Place {
  const source = folds.get(log)!;
  let first: { log: string; step: Step } | null = null;
  for (const [by, fold] of folds)
    for (const { step, log: from, upTo } of merges(fold))
      if (from === log && orderOf(source, upTo) >= place && (!first || atOf(step) < atOf(first.step)))
        first = { log: by, step };
  return first ? ownerOf(folds, { log: first.log, place: placeOf(first.step) }) : { log, place };
}

const isCompensated = (folds: Folds, log: string, step: Step): boolean =>
  [...folds].some(([by, { compensated }]) => compensated.has(nameIn(by, log, step)));

/** What an effect is called in the log of who takes it back. Where that is another, it is the attempt that was made by then. */
export const nameIn = (by: string, log: string, { n, attempts }: Step): string =>
  by === log ? String(n) : `${log}/${n}${attempts > 1 ? `/${attempts}` : ""}`;

const atOf = ({ outcomeWitness }: Step): number =>
  typeof outcomeWitness.at === "number" ? outcomeWitness.at : Number.POSITIVE_INFINITY;

/** Lists of several logs, each in its order, as one: by the clock, which alone tells how they stand to each other. */
function lastFirst(lists: Outside[][]): Outside[] {
  const all: Outside[] = [];
  for (;;) {
    const next = lists.filter((list) => list.length > 0).sort((a, b) => atOf(b[0]!.step) - atOf(a[0]!.step))[0];
    if (!next) return all;
    all.push(next.shift()!);
  }
}
