/** Bisection: the first of the steps of a run at which a command fails. */

import type { Limits } from "../scope/limits.ts";
import { cameThrough, type Found, type View } from "../scope/view.ts";
import type { Hash } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { performCommand } from "./command.ts";
import { withDriven } from "./driven.ts";
import type { Settle } from "./operate.ts";
import { removeScratch, scratchOf } from "./scratch.ts";

export type Verdict = "passes" | "fails" | "skipped";

/** One state, and the steps that have it: the first is the one that made it. */
export interface Candidate {
  steps: Found[];
}

/**
 * The states that a run came through from the step with commit `good` to that of `bad`, oldest first: what a revert went back from is none of them, and steps that
 * changed nothing have the state of the step before. Null if the run did not come through `good`.
 */
export async function statesBetween(
  store: EmbeddedStore,
  view: View,
  good: Hash | null,
  bad: Found,
): Promise<Candidate[] | null> {
  const path = await cameThrough(store, view, bad);
  const end = good === null ? path.length - 1 : path.findIndex(({ step }) => step.sealed!.id === good);
  if (end < 0) return null;
  const states: Candidate[] = [];
  let last = "";
  for (const found of path.slice(0, end + 1).reverse()) {
    const { state, carry } = found.step.sealed!;
    const key = JSON.stringify([state.roots.workspace, carry]);
    if (key === last) states.at(-1)!.steps.push(found);
    else states.push({ steps: [found] });
    last = key;
  }
  return states;
}

export type Bisected =
  /** `states[first]` fails and the one before it passes. */
  | { how: "found"; first: number }
  /** Between them all were skipped: any of (`after`, `last`] can be the first. */
  | { how: "skipped"; after: number; last: number }
  /** The newest passes, or the oldest fails, so there is nothing between them to be found. */
  | { how: "passes" | "fails" }
  /** Nothing can be said of the newest, or of the oldest. */
  | { how: "unknown"; at: number };

/** Looks for the first of `count` states that fails: asks of the last, the first, then halves. What is asked is asked once. */
export async function bisect(count: number, probe: (at: number) => Promise<Verdict>): Promise<Bisected> {
  let bad = count - 1;
  const newest = await probe(bad);
  if (newest !== "fails") return newest === "passes" ? { how: "passes" } : { how: "unknown", at: bad };
  if (bad === 0) return { how: "fails" };
  let good = 0;
  const oldest = await probe(good);
  if (oldest !== "passes") return oldest === "fails" ? { how: "fails" } : { how: "unknown", at: good };
  const skipped = new Set<number>();
  while (bad - good > 1) {
    const open = Array.from({ length: bad - good - 1 }, (_, i) => good + 1 + i).filter((at) => !skipped.has(at));
    const middle = (good + bad) / 2;
    const [next] = open.sort((a, b) => Math.abs(a - middle) - Math.abs(b - middle));
    if (next === undefined) return { how: "skipped", after: good, last: bad };
    const verdict = await probe(next);
    if (verdict === "skipped") skipped.add(next);
    else if (verdict === "passes") good = next;
    else bad = next;
  }
  return { how: "found", first: bad };
}

export interface ProbeOptions {
  argv: readonly string[];
  /** Where the command starts, relative to the workspace. */
  at: string;
  signal: AbortSignal;
  limits?: Limits | undefined;
  settle?: Settle;
  onOutput?: ((chunk: Buffer, stream: "stdout" | "stderr") => void) | undefined;
  onProgress?: (text: string) => void;
  onForgotten?: (text: string) => void;
}

/** As `git bisect run` has it. */
const SKIP = 125;

/** Runs a command on the state of step `n`, in a fork that writes nothing outside and is removed behind it. Rejects if `signal` aborts. */
export async function probeAt(
  store: EmbeddedStore,
  run: string,
  n: number,
  { argv, at, onOutput, ...options }: ProbeOptions,
): Promise<{ verdict: Verdict; code: number | null; signal: string | null }> {
  const scratch = await scratchOf(store, run, n, { suffix: "bisect", grants: { writable: [] } });
  try {
    const done = await withDriven(store, scratch.name, options, (scope) =>
      performCommand(scope, argv, options.signal, { at, ...(onOutput && { onOutput }) }),
    );
    options.signal.throwIfAborted();
    const { code, signal } = done;
    return { verdict: code === 0 ? "passes" : code === SKIP ? "skipped" : "fails", code, signal };
  } finally {
    await removeScratch(store, scratch);
  }
}
