/** What was done to the world outside, and which scope answers for it. */
import type { Hash } from "../trace/ports.ts";
import { type Fold, type Step, tierOf } from "../trace/seal.ts";
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

/**
 * Effects that this scope owns and that came to it behind the step with place `order`: those that it performed, unless another scope has merged
 * them since, and those that it merged. What it only inherited belongs to others. Last performed first, which is the order of compensation.
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
  const owned: Outside[][] = [];
  for (const [log, { steps }] of folds) {
    const here: Outside[] = [];
    for (const step of steps.values()) {
      if (!isEffect(step)) continue;
      const owner = ownerOf(folds, log, placeOf(step));
      if (owner.log === view.log && owner.place > order)
        here.push({ log, step, compensated: isCompensated(folds, log, step) });
    }
    owned.push(here.sort((a, b) => b.step.outcomeSeq - a.step.outcomeSeq));
  }
  return lastFirst(owned);
}

const fold = async (store: EmbeddedStore, folds: Folds, log: string): Promise<Fold> => {
  const known = folds.get(log) ?? (await readLog(store, log)).fold;
  folds.set(log, known);
  return known;
};

const placeOf = (step: Step): number => step.sealed?.order ?? Number.POSITIVE_INFINITY;

/** Whether a step acted, or may have: its consent is written down in the moment in which it begins. */
function isEffect(step: Step): boolean {
  const { outcome } = step;
  if (outcome?.status === "denied" || outcome?.status === "not-run") return false;
  const tier = tierOf(step);
  return (tier === "compensable" || tier === "irreversible") && (step.allowed || outcome?.tier !== undefined);
}

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

/** Effects in a log, and in those that it merged, whose place is in `from` to `to`. */
async function within(store: EmbeddedStore, folds: Folds, log: string, from: number, to: number): Promise<Step[]> {
  const here = await fold(store, folds, log);
  const isIn = (step: Step): boolean => placeOf(step) >= from && placeOf(step) <= to;
  const found = [...here.steps.values()].filter((step) => isEffect(step) && isIn(step));
  for (const each of merges(here)) {
    if (!isIn(each.step)) continue;
    const child = await fold(store, folds, each.log);
    found.push(...(await within(store, folds, each.log, 0, orderOf(child, each.upTo))));
  }
  return found;
}

/** The scope that answers for what came to a log at a place, and where it came to that: the first that merged it, and so on. */
function ownerOf(folds: Folds, log: string, place: number): { log: string; place: number } {
  const source = folds.get(log)!;
  let first: { log: string; step: Step } | null = null;
  for (const [by, fold] of folds)
    for (const { step, log: from, upTo } of merges(fold))
      if (from === log && orderOf(source, upTo) >= place && (!first || atOf(step) < atOf(first.step)))
        first = { log: by, step };
  return first ? ownerOf(folds, first.log, placeOf(first.step)) : { log, place };
}

const isCompensated = (folds: Folds, log: string, { n }: Step): boolean =>
  [...folds].some(([by, { compensated }]) => compensated.has(by === log ? String(n) : `${log}/${n}`));

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
