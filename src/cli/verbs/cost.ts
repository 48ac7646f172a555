/** `shepherd cost`: tokens and money, by run and by model. */
import { addCost, type Cost, costsIn, noCost } from "../../gateway/costs.ts";
import { listScopes, type ScopeRef } from "../../scope/registry.ts";
import { readLog } from "../../scope/view.ts";
import { pace } from "../../world/pace.ts";
import { clip, type Output, plain } from "../output.ts";
import { chooseRun, findWorkspace } from "../select.ts";
import { momentOf } from "../since.ts";
import { type Context, text, type Verb } from "../verb.ts";
import { counted } from "../words.ts";

export const verb: Verb = {
  brief: "tokens and money, by run and by model",
  usage: "[RUN…] [--since WHEN] [--all]",
  options: {
    since: { type: "string", value: "WHEN", help: "only calls since then: 12h, 7d, or a date" },
    all: { type: "boolean", short: "a", help: "runs of all directories" },
  },
  details:
    "Without RUN all runs of this directory, also discarded ones: what they took was paid for. A fork counts only what it did itself. What was answered from the record " +
    "costs nothing. Calls of a model whose price is not known count with their tokens alone.",
  examples: ["shepherd cost", "shepherd cost fix-login", "shepherd cost --all --since 7d"],
  run: async (context, flags, args) => {
    const { out, signal } = context;
    const when = text(flags, "since");
    const since = when === undefined ? 0 : momentOf("since", when);
    const store = await context.store();
    const runs = await chosen(context, args, flags.all === true);
    const { due, rest } = pace({ signal });
    const rows: Row[] = [];
    const total = noCost();
    const models = new Map<string, Cost>();
    for (const ref of runs) {
      if (due()) await rest();
      const costs = await costsIn(store, (await readLog(store, ref.log, ref)).fold, since);
      if (costs.size === 0 && args.length === 0) continue;
      const cost = noCost();
      for (const [model, each] of costs) {
        addCost(cost, each);
        const all = models.get(model) ?? noCost();
        addCost(all, each);
        models.set(model, all);
      }
      addCost(total, cost);
      out.object({ scope: ref.name, ...cost, models: listOf(costs) });
      rows.push({ name: ref.name, cost, models: costs });
    }
    out.object({ runs: rows.length, ...total, models: listOf(models) });
    if (!out.json) table(out, rows, { name: "total", cost: total, models });
    return undefined;
  },
};

async function chosen(context: Context, names: readonly string[], all: boolean): Promise<ScopeRef[]> {
  const store = await context.store();
  if (names.length > 0) return Promise.all([...new Set(names)].map((name) => chooseRun(context, name)));
  const workspace = all ? undefined : (await findWorkspace(store, context.cwd)).id;
  return (await listScopes(store, workspace)).sort((a, b) => b.created - a.created);
}

interface Row {
  name: string;
  cost: Cost;
  models: ReadonlyMap<string, Cost>;
}

const listOf = (costs: ReadonlyMap<string, Cost>): object[] =>
  [...costs].sort(([, a], [, b]) => b.usd - a.usd || b.calls - a.calls).map(([model, cost]) => ({ model, ...cost }));

/** A number of tokens, short: 950, 1.2k, 41k, 3.4M. */
function tokens(n: number): string {
  const [by, unit] = n >= 1e6 ? [1e6, "M"] : n >= 1000 ? [1000, "k"] : [1, ""];
  const amount = n / by;
  return `${unit && amount < 100 ? amount.toFixed(1) : Math.round(amount)}${unit}`;
}

const money = ({ usd, unpriced }: Cost): string => (usd === 0 && unpriced > 0 ? "?" : `$${usd.toFixed(4)}`);

function table(out: Output, rows: readonly Row[], total: Row): void {
  if (rows.length === 0) {
    out.say("No run has asked a model.");
    return;
  }
  const line = (name: string, { calls, input, output, cacheRead, cacheWrite }: Cost, spent: string): void => {
    const numbers = [String(calls), ...[input, cacheRead, cacheWrite, output].map(tokens)];
    out.line(
      `${(out.terminal ? clip(name, 28) : name).padEnd(28)} ${numbers.map((each) => each.padStart(7)).join(" ")} ${spent.padStart(10)}`,
    );
  };
  const heads = ["calls", "input", "cached", "written", "output"].map((each) => each.padStart(7)).join(" ");
  out.line(out.style("dim", `${"".padEnd(28)} ${heads} ${"cost".padStart(10)}`));
  for (const each of rows.length === 1 ? rows : [...rows, total]) {
    const [only, ...more] = [...each.models];
    const single = only && more.length === 0;
    line(each.name, each.cost, money(each.cost));
    if (single && each === total) continue;
    for (const [model, cost] of each.models) line(`  ${plain(model)}`, cost, money(cost));
  }
  const { unpriced } = total.cost;
  if (unpriced > 0)
    out.say(`Of ${counted(unpriced, "call")} the price is not known: \`shepherd gateway --prices FILE\` names prices.`);
}
