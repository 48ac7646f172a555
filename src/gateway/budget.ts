/** What a run may spend on models: asked before each call, as any handler. A call that crosses the limit is let finish. */
import type { Handler } from "../scope/effect.ts";
import type { Fold } from "../trace/seal.ts";
import { type Prices, priceOf } from "./prices.ts";

export interface Budget {
  /** US dollars. */
  usd?: number;
  /** Model calls; each attempt is one. */
  calls?: number;
  /** Of all calls together, what was read from a cache included. */
  tokens?: number;
}

/** Calls that were sent, and what they cost as far as that is known. */
export function spentIn(fold: Fold): { calls: number; usd: number; tokens: number } {
  let calls = 0;
  let usd = 0;
  let tokens = 0;
  for (const { intent, outcome, outcomeWitness, attempts } of fold.steps.values()) {
    if (intent.kind !== "model" || outcome?.status === "denied" || outcomeWitness.recorded) continue;
    calls += attempts;
    if (typeof outcomeWitness.cost === "number") usd += outcomeWitness.cost;
    tokens += tokensIn(outcome?.usage);
  }
  return { calls, usd, tokens };
}

/** Tokens of a usage as an outcome has it. What is kept for an hour is a part of what was written into a cache. */
export const tokensIn = (usage: unknown): number =>
  typeof usage !== "object" || usage === null
    ? 0
    : Object.entries(usage).reduce(
        (sum, [kind, count]) => sum + (kind === "cacheWriteHour" ? 0 : Number(count) || 0),
        0,
      );

export const budgetHandler = ({ usd, calls, tokens }: Budget, prices: Prices, fold: () => Fold): Handler => ({
  name: "budget",
  handle: ({ kind, input }) => {
    // What stands on record was paid for.
    if (kind !== "model" || (input as { recorded?: true }).recorded) return { kind: "forward" };
    const spent = spentIn(fold());
    // Its own intent is written already.
    if (calls !== undefined && spent.calls > calls)
      return {
        kind: "deny",
        reason: `The limit of ${calls} model call${calls === 1 ? "" : "s"} is reached (--max-calls).`,
      };
    if (tokens !== undefined && spent.tokens >= tokens)
      return {
        kind: "deny",
        reason: `The limit of ${tokens} tokens is reached: ${spent.tokens} so far (--max-tokens).`,
      };
    if (usd === undefined) return { kind: "forward" };
    if (spent.usd >= usd)
      return { kind: "deny", reason: `The budget of $${usd} is spent: $${spent.usd.toFixed(4)} so far (--budget).` };
    const { model } = input as { model: string };
    if (!priceOf(model, prices))
      return {
        kind: "deny",
        reason: `Nobody said what ${model} costs, so a budget cannot be kept: name its price with --prices.`,
      };
    return { kind: "forward" };
  },
});
