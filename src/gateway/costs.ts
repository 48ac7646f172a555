/** What model calls took: tokens and money, by model. */
import { getBytes } from "../scope/thread.ts";
import { decodeJson } from "../trace/bytes.ts";
import type { Json } from "../trace/ports.ts";
import type { Fold, Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";

export interface Cost {
  /** Each attempt is one. */
  calls: number;
  /** Tokens; those that were read from or written into a provider's cache are not in `input`. */
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  /** US dollars, as far as prices are known. */
  usd: number;
  /** Calls whose tokens are known and whose price is not. */
  unpriced: number;
}

export const noCost = (): Cost => ({
  calls: 0,
  input: 0,
  output: 0,
  cacheRead: 0,
  cacheWrite: 0,
  usd: 0,
  unpriced: 0,
});

export function addCost(to: Cost, more: Cost): void {
  for (const key of Object.keys(to) as Array<keyof Cost>) to[key] += more[key];
  // Else the last digits tell of how numbers are held.
  to.usd = Number(to.usd.toFixed(9));
}

/**
 * What the calls of a log's own steps took, by the name of the model. What was answered from the record was paid for once, by the run that asked; what was
 * denied was never sent.
 * @param since only calls that began at this time or later, ms since the epoch
 */
export async function costsIn(
  store: EmbeddedStore,
  { steps }: Pick<Fold, "steps">,
  since = 0,
): Promise<Map<string, Cost>> {
  const costs = new Map<string, Cost>();
  for (const step of steps.values()) {
    const { intent, outcome, outcomeWitness, attempts, at } = step;
    if (intent.kind !== "model" || outcome?.status === "denied" || outcomeWitness.recorded || at < since) continue;
    const model = await modelOf(store, step);
    const cost = costs.get(model) ?? noCost();
    costs.set(model, cost);
    const { input, output, cacheRead, cacheWrite } = tokensOf(outcome?.usage);
    const price = typeof outcomeWitness.cost === "number" ? outcomeWitness.cost : null;
    const unpriced = price === null && input + output + cacheRead + cacheWrite > 0 ? 1 : 0;
    addCost(cost, { calls: attempts, input, output, cacheRead, cacheWrite, usd: price ?? 0, unpriced });
  }
  return costs;
}

async function modelOf(store: EmbeddedStore, { intent }: Step): Promise<string> {
  try {
    const { model } = decodeJson(await getBytes(store, intent.what!)) as { model?: Json };
    return typeof model === "string" ? model : "(unknown)";
  } catch {
    return "(unknown)";
  }
}

function tokensOf(usage: unknown): Pick<Cost, "input" | "output" | "cacheRead" | "cacheWrite"> {
  const of = (usage ?? {}) as { [name: string]: unknown };
  const number = (name: string): number => (typeof of[name] === "number" ? (of[name] as number) : 0);
  return {
    input: number("input"),
    output: number("output"),
    cacheRead: number("cacheRead"),
    cacheWrite: number("cacheWrite"),
  };
}
