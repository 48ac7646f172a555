/** Numbers of a report, and what it says in both of its forms. */

import type { Report, WorkerReport } from "./data.ts";
import { type Quantiles, quantiles } from "./quantiles.ts";

export const money = (usd: number): string => `$${usd.toFixed(usd < 0.1 ? 4 : 2)}`;
export const time = (at: number): string => new Date(at).toISOString();

export interface Figures {
  ms: number;
  looks: number;
  /** From the first news until the policy is asked, without the policy's own time. */
  waited: Quantiles | null;
  /** From the question at a gate until its answer. */
  gate: Quantiles | null;
  asked: Quantiles | null;
  decided: number;
  refused: number;
  denied: number;
}

export function figuresOf({ from, to, ticks, decisions, verdicts, judged }: Report): Figures {
  return {
    ms: to - from,
    looks: ticks.length,
    waited: quantiles(ticks.flatMap(({ waited }) => (waited === null ? [] : [waited]))),
    gate: quantiles(judged),
    asked: quantiles(ticks.filter(({ model }) => model).map(({ asked }) => asked)),
    decided: decisions.length,
    refused: decisions.filter(({ refused }) => refused !== null).length,
    denied: verdicts.length,
  };
}

/** What supervision cost, in a sentence. */
export function costWords({ spent: { workers, policy } }: Report): string {
  const share = workers.tokens > 0 ? ` (${((100 * policy.tokens) / workers.tokens).toFixed(1)} % of it)` : "";
  return `The workers: ${workers.calls} model calls, ${workers.tokens} tokens, ${money(workers.usd)}. The policy: ${policy.calls} model calls, ${policy.tokens} tokens${share}, ${money(policy.usd)}.`;
}

/** How it ended, in a sentence. */
export function endWords({ finished, plan }: Report): string {
  if (!finished) return "It has not come to its end.";
  const done = finished.workers.filter(({ merged }) => merged === "done" || merged === "nothing").length;
  const check =
    finished.check === null
      ? plan.check === null
        ? "There was no check."
        : "The check was not run."
      : finished.check.code === 0
        ? "The check passes on the merged work."
        : `The check fails on the merged work (${finished.check.code ?? "a signal"}).`;
  return `${done} of ${finished.workers.length} workers are merged${finished.into === null ? "" : ` in ${finished.into}`}. ${check}`;
}

export const WORKER_HEAD = [
  "worker",
  "task",
  "agent",
  "state",
  "merged",
  "handed back",
  "steps",
  "files",
  "tokens",
  "cost",
] as const;

/** A worker as a row under that head. */
export const workerRow = (each: WorkerReport): string[] => [
  each.name,
  each.task,
  each.agent,
  each.state,
  each.merged ?? "",
  String(each.handedBack.conflict + each.handedBack.check),
  String(each.steps),
  `${each.changes.files} (+${each.changes.added} -${each.changes.removed})`,
  String(each.spent.tokens),
  money(each.spent.usd),
];
