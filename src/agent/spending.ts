/** What a run and the agents that it calls have spent, and its limits. */
import type { Handler } from "../scope/effect.ts";
import { listScopes } from "../scope/registry.ts";
import { readLog } from "../scope/view.ts";
import type { Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { OverBudget } from "./errors.ts";
import type { Budget } from "./run.ts";

export interface Spending {
  /** Stands among the handlers of the run. */
  handler: Handler;
  /** Counts the outcome of a model call. */
  add(facts: { [key: string]: unknown }, witness: { [key: string]: Json }): void;
  /** The limit that was reached, if any. */
  over: OverBudget | null;
}

/** @param before what the log of the run, and those of the agents that it called, have spent already */
export function spending(
  budget: Budget,
  before: { usd: number; tokens: number; turns: number },
  run: string,
): Spending {
  const spent = { ...before };
  const limits = [
    { of: "usd", most: budget.usd, word: (most: number) => `The budget of $${most} is spent` },
    { of: "tokens", most: budget.tokens, word: (most: number) => `The budget of ${most} tokens is spent` },
    { of: "turns", most: budget.turns, word: (most: number) => `The limit of ${most} model calls is reached` },
  ] as const;
  const here: Spending = {
    over: null,
    handler: {
      name: "budget",
      handle: ({ kind, n }) => {
        if (kind !== "model") return { kind: "forward" };
        for (const { of, most, word } of limits) {
          if (most === undefined || spent[of] < most) continue;
          here.over = new OverBudget(`${word(most)}.`, { run, step: n, hint: "Resumed with more, it goes on." });
          return { kind: "deny", reason: here.over.message };
        }
        return { kind: "forward" };
      },
    },
    add: (facts, witness) => {
      spent.turns++;
      spent.tokens += tokensOf(facts.usage);
      if (typeof witness.cost === "number") spent.usd += witness.cost;
    },
  };
  return here;
}

const tokensOf = (usage: unknown): number =>
  typeof usage === "object" && usage !== null
    ? Object.values(usage).reduce<number>((all, each) => all + (typeof each === "number" ? each : 0), 0)
    : 0;

/** What stands in the log of a run, and in those of agents that it called. */
export async function spentBefore(
  store: EmbeddedStore,
  log: string,
): Promise<{ usd: number; tokens: number; turns: number }> {
  const sum = { usd: 0, tokens: 0, turns: 0 };
  const scopes = await listScopes(store);
  const heads = await Promise.all(
    scopes.map(async (each) => ({ log: each.log, header: await store.logs.header(each.log) })),
  );
  const add = async (of: string): Promise<void> => {
    for (const { intent, outcome, outcomeWitness } of (await readLog(store, of)).fold.steps.values()) {
      if (intent.kind !== "model" || !outcome || outcome.status === "denied") continue;
      sum.turns++;
      sum.tokens += tokensOf(outcome.usage);
      if (typeof outcomeWitness.cost === "number") sum.usd += outcomeWitness.cost;
    }
    for (const { log: child, header } of heads) {
      const call = header?.meta.call as { log?: string } | undefined;
      if (call?.log === of) await add(child);
    }
  };
  await add(log);
  return sum;
}
