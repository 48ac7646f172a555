/** What a run of the built-in agent may use: what its options say, and what of that a run keeps for who goes on with it. */
import type { Table } from "../agent/table.ts";
import { type Budget, budgetHandler } from "../gateway/budget.ts";
import { PRICES, type Prices } from "../gateway/prices.ts";
import type { Task } from "../run/start.ts";
import type { LiveScope } from "../scope/scope.ts";
import { getBytes } from "../scope/thread.ts";
import { readLog, type View } from "../scope/view.ts";
import { encodeJson, link } from "../trace/bytes.ts";
import type { Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { Exit } from "./errors.ts";
import { BUDGET, budgetOf } from "./gateway.ts";
import { durationOf } from "./limits.ts";
import { type Flags, type Option, text } from "./verb.ts";

export const AGENT_BUDGET: { [name: string]: Option } = {
  ...BUDGET,
  "max-time": { type: "string", value: "TIME", help: "stop the built-in agent after this time, as 10m" },
};

/** In all, but for the time: that is of one command. */
export interface AgentBudget extends Budget {
  ms?: number;
}

/** What the flags say; undefined where they say nothing. Throws for a run whose agent has limits of its own. */
export function agentBudgetOf(flags: Flags, { worker }: Task): AgentBudget | undefined {
  const given = Object.keys(AGENT_BUDGET).find((flag) => flags[flag] !== undefined);
  if (given === undefined) return undefined;
  if (worker !== "agent")
    throw new Exit(
      2,
      `--${given} is for a run of \`shepherd gateway\`, or of the built-in agent (--model without \`claude\` or \`codex\`): leave it out.`,
    );
  const time = text(flags, "max-time");
  return { ...budgetOf(flags), ...(time !== undefined && { ms: durationOf(time, "--max-time") }) };
}

/** The budget of a run, or of what that was forked from; an empty one if it has none. */
export async function budgetBefore(store: EmbeddedStore, { fold }: Pick<View, "fold">): Promise<AgentBudget> {
  const what = fold.notes.get("budget")?.facts.what;
  if (typeof what === "string") {
    const { type: _, v: __, ...budget } = JSON.parse((await getBytes(store, what as Link)).toString());
    return budget as AgentBudget;
  }
  return fold.header.origin ? budgetBefore(store, await readLog(store, fold.header.origin.log)) : {};
}

/** Holds a scope to its budget: what is given now stands in the place of what it had. Gives what counts. */
export async function keepBudget(
  scope: LiveScope,
  given: AgentBudget | undefined,
  model: string,
  table: Table,
): Promise<AgentBudget> {
  const { store, writer } = scope;
  const before = await budgetBefore(store, { fold: writer.fold });
  const budget = { ...before, ...given };
  if (given) {
    const what = link("json", await store.objects.put(encodeJson({ type: "budget", v: 1, ...budget })));
    await writer.note(null, { note: "budget", what });
  }
  if (budget.usd !== undefined || budget.calls !== undefined || budget.tokens !== undefined)
    scope.handlers.push(budgetHandler(budget, pricesOf(table, model), () => writer.fold));
  return budget;
}

/** A script costs nothing. */
const FREE = { input: 0, output: 0 };

const pricesOf = (table: Table, model: string): Prices => ({
  ...PRICES,
  ...Object.fromEntries(
    Object.values(table).flatMap((each) => (typeof each === "object" && each.price ? [[each.model, each.price]] : [])),
  ),
  ...(model.startsWith("script:") && { [model]: FREE }),
});
