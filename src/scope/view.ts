/** A scope as it can be read, whoever drives it: its steps, and those of the scopes it was forked from. */
import type { Fold, Head, Sealed, Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { loadFold } from "./index.ts";
import { findScope, listScopes, NameError, type ScopeRef } from "./registry.ts";
import type { LiveScope } from "./scope.ts";

export interface View {
  /** Null for main. */
  ref: ScopeRef | null;
  log: string;
  fold: Fold;
}

/** A scope that is being driven, as it stands. */
export const viewOf = ({ ref, writer }: Pick<LiveScope, "ref" | "writer">): View => ({
  ref,
  log: ref.log,
  fold: writer.fold,
});

/** Thrown for a step that does not exist, or has no commit yet. */
export class StepError extends Error {}

export async function readLog(store: EmbeddedStore, log: string, ref: ScopeRef | null = null): Promise<View> {
  return { ref, log, fold: await loadFold(store, log) };
}

export async function readScope(store: EmbeddedStore, name: string): Promise<View> {
  const ref = await findScope(store, name);
  if (!ref) throw new NameError(`There is no scope ${name}: \`shepherd status\` lists them.`);
  return readLog(store, ref.log, ref);
}

/** A step together with the log that it stands in. */
export interface Found {
  log: string;
  step: Step;
}

/** Step `n` of a scope, in its own log or in the prefix that it shares with the scopes it was forked from; null if there is none. */
export async function findStep(store: EmbeddedStore, view: View, n: number): Promise<Found | null> {
  const own = view.fold.steps.get(n);
  if (own) return { log: view.log, step: own };
  const { origin } = view.fold.header;
  if (!origin || n > origin.top) return null;
  const parent = await readLog(store, origin.log);
  const found = await findStep(store, parent, n);
  return found && (found.log !== origin.log || inPrefix(parent.fold, origin.n, found.step)) ? found : null;
}

/** Whether a step of `parent` was sealed when the step `fork` was, from which a scope was forked. */
function inPrefix(parent: Fold, fork: number, step: Step): boolean {
  const end = parent.steps.get(fork)?.sealed?.order ?? -1;
  return step.sealed !== null && step.sealed.order <= end;
}

/** How a step of a scope gets the commit that it lacks: somebody is at work on it, or nobody is any more. */
export const howFinished = async (store: EmbeddedStore, { log, ref }: Omit<View, "fold">): Promise<string> =>
  !ref || (await store.leases.holder(`log/${log}`)) ? "wait for it" : `\`shepherd resume ${ref.name}\` goes on with it`;

/** As `findStep`; throws a sentence where there is no such step or it is not sealed. */
export async function sealedStep(store: EmbeddedStore, view: View, n: number): Promise<Found & { sealed: Sealed }> {
  const name = view.ref?.name ?? "main";
  const found = await findStep(store, view, n);
  if (!found) throw new StepError(`${name} has no step ${n}: \`shepherd log ${name}\` lists them.`);
  if (!found.step.sealed)
    throw new StepError(
      `Step ${n} of ${name} is not finished, so it has no state yet: ${await howFinished(store, view)}, or fork at its intent.`,
    );
  return { ...found, sealed: found.step.sealed };
}

/** Where a scope stood just before a step of its own log was sealed. */
export function before(fold: Fold, step: Step): Head {
  const order = step.sealed ? step.sealed.order : fold.sealed.length;
  const previous = fold.sealed[order - 1];
  if (previous) return headAt(previous);
  const { origin } = fold.header;
  return origin
    ? { id: origin.commit, n: origin.n, state: origin.state, carry: origin.carry, top: origin.top }
    : { id: null, n: -1, state: null, carry: {}, top: -1 };
}

export function headAt(step: Step): Head {
  const { id, state, carry, top } = step.sealed!;
  return { id, n: step.n, state, carry, top };
}

/** The steps of all runs that have a commit id starting with `prefix`. */
export async function findCommit(store: EmbeddedStore, prefix: string): Promise<Array<Found & { ref: ScopeRef }>> {
  const found: Array<Found & { ref: ScopeRef }> = [];
  for (const ref of await listScopes(store)) {
    const { fold } = await readLog(store, ref.log, ref);
    for (const step of fold.sealed) if (step.sealed!.id.startsWith(prefix)) found.push({ ref, log: ref.log, step });
  }
  return found;
}

/** Steps of the prefix and of the scope itself, in the order of sealing, then what is pending. */
export async function allSteps(store: EmbeddedStore, view: View): Promise<Found[]> {
  const own = [...view.fold.sealed, ...view.fold.pending()].map((step) => ({ log: view.log, step }));
  const { origin } = view.fold.header;
  if (!origin) return own;
  const header = await store.logs.header(origin.log);
  if (!header || header.meta.kind === "main") return own;
  const parent = await readLog(store, origin.log);
  const shared = await allSteps(store, parent);
  return [...shared.filter(({ log, step }) => log !== origin.log || inPrefix(parent.fold, origin.n, step)), ...own];
}

/** The calls that a model step asked for, in order. */
export const callsOf = ({ steps }: Pick<View["fold"], "steps">, turn: number): Step[] =>
  [...steps.values()].filter(({ links }) => links.turn === turn);

/**
 * The sealed steps that a state came through, that of `to` or the newest one, newest first: behind a revert stands what it went back to, unless the
 * revert was undone.
 */
export async function cameThrough(store: EmbeddedStore, view: View, to?: Found): Promise<Found[]> {
  const sealed = (await allSteps(store, view)).filter(({ step }) => step.sealed);
  const path: Found[] = [];
  const undone = new Set<string>();
  const from = to ? sealed.findIndex(({ log, step }) => log === to.log && step.n === to.step.n) : sealed.length - 1;
  for (let at = from; at >= 0; ) {
    const { step } = sealed[at]!;
    path.push(sealed[at]!);
    const { kind, to, of } = step.intent;
    const counts = step.outcome?.status === "done" && !undone.has(step.sealed!.id);
    if (counts && kind === "undo" && typeof of === "string") undone.add(of);
    const back = counts && kind === "revert" ? to : undefined;
    const before = back === undefined ? -1 : sealed.findLastIndex((each, i) => i < at && each.step.sealed!.id === back);
    at = before >= 0 ? before : at - 1;
  }
  return path;
}
