/** `shepherd gateway`: the model calls of any program as the steps of a run. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type Budget, budgetHandler, spentIn } from "../../gateway/budget.ts";
import { type Gateway, openGateway } from "../../gateway/gateway.ts";
import { PRICES, type Prices, readPrices } from "../../gateway/prices.ts";
import type { Provider } from "../../gateway/protocol.ts";
import { type Upstream, upstreamOf } from "../../gateway/upstream.ts";
import { drive } from "../../run/drive.ts";
import { freshMain } from "../../run/land.ts";
import { beginRun, createRun, placeRun, type Task } from "../../run/start.ts";
import { checkName, findScope, NO_GRANTS } from "../../scope/registry.ts";
import type { LiveScope } from "../../scope/scope.ts";
import { explainQuota, requireRoom } from "../../trace/quota.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { Exit } from "../errors.ts";
import { taskOf, tellSteps } from "../launch.ts";
import { settleAll } from "../operate.ts";
import { findWorkspace } from "../select.ts";
import { type Context, count, type Flags, list, text, type Verb } from "../verb.ts";

const TASK: Task = { worker: "gateway", text: "gateway" };

export const verb: Verb = {
  brief: "record the model calls of any program",
  usage: "[--scope NAME] [--budget USD] [--max-calls N]",
  goesOn: true,
  most: 0,
  options: {
    scope: { type: "string", value: "NAME", help: "name of the run; goes on with one of that name" },
    budget: { type: "string", value: "USD", help: "refuse calls once this much is spent" },
    "max-calls": { type: "string", value: "N", help: "refuse calls after N" },
    upstream: {
      type: "string",
      multiple: true,
      value: "URL",
      help: "where requests go: anthropic=URL or openai=URL; else ANTHROPIC_BASE_URL and OPENAI_BASE_URL, else the provider",
    },
    prices: { type: "string", value: "FILE", help: "prices of models, in dollars for a million tokens" },
  },
  details:
    "Prints the variables that lead a program to it, and runs until Ctrl-C. A program that speaks to Anthropic Messages, OpenAI Responses or Chat " +
    "Completions is recorded, whatever it is: each model call and tool call becomes a step before it happens. It runs on your own files, which are not " +
    "recorded. A program whose key is `shepherd` gets yours, which only the gateway knows.",
  examples: [
    "shepherd gateway",
    "shepherd gateway --scope fix --budget 2",
    "shepherd gateway --upstream openai=http://localhost:8000/v1",
  ],
  run: async (context, flags) => {
    const { out, signal, cwd } = context;
    const store = await context.store();
    const quota = await requireRoom(store);
    if (quota.state === "warn") out.warn(`shepherd: ${explainQuota(quota)}`);
    const budget = budgetOf(flags);
    const prices = pricesOf(context, text(flags, "prices"));
    const upstreams = upstreamsOf(list(flags, "upstream"));
    const given = text(flags, "scope");
    const workspace = await findWorkspace(store, cwd);
    const known = given === undefined ? null : await findScope(store, checkName(given));
    if (known) await requireGateway(store, known.name);
    const { name } =
      known ??
      (await createRun(store, {
        task: TASK,
        workspace,
        grants: NO_GRANTS,
        ...(given !== undefined && { name: given }),
      }));
    const gateway = await openGateway({ upstreams, prices });
    try {
      let steps: { done(): Promise<void> } | null = null;
      const ending = await drive(store, name, {
        signal,
        worker: { name: "gateway", work: (scope, stop) => gateway.serve(scope, stop).then(() => "done" as const) },
        prepared: async (scope) => {
          steps = tellSteps({ store, out, several: false }, scope);
          scope.handlers.push(budgetHandler(budget, prices, () => scope.writer.fold));
          await place(context, scope, workspace.path);
          await settleAll(scope);
          tellUrls(context, scope, gateway);
        },
        ended: async (scope) => {
          await steps?.done();
          const { calls, usd } = spentIn(scope.writer.fold);
          out.object({ scope: name, calls, usd });
          out.line(`${name} has ${calls} model call${calls === 1 ? "" : "s"}${usd > 0 ? `, $${usd.toFixed(4)}` : ""}.`);
          out.line(`Next: \`shepherd log ${name}\`; \`shepherd gateway --scope ${name}\` goes on.`);
        },
      });
      return ending === "done" ? 0 : 1;
    } finally {
      await gateway.close();
    }
  },
};

/** Step 0 stands on main as it is now, and so do all behind it. */
async function place({ store: open, signal, out }: Context, scope: LiveScope, directory: string): Promise<void> {
  const { fold } = scope.writer;
  if (fold.header.origin || fold.steps.get(0)?.outcome) return;
  const progress = out.progress();
  try {
    const main = await freshMain(await open(), directory, { signal, onProgress: (at) => progress.at(at) });
    await placeRun(scope, fold.steps.has(0) ? 0 : await beginRun(scope, TASK), main, TASK);
    await scope.writer.sync();
  } finally {
    progress.done();
  }
}

function tellUrls({ out }: Context, scope: LiveScope, { urls }: Gateway): void {
  out.object({
    scope: scope.ref.name,
    n: scope.head().n,
    ANTHROPIC_BASE_URL: urls.anthropic,
    OPENAI_BASE_URL: urls.openai,
  });
  out.line(`export ANTHROPIC_BASE_URL=${urls.anthropic}`);
  out.line(`export OPENAI_BASE_URL=${urls.openai}`);
  out.warn(
    `shepherd: ${scope.ref.name} records what is sent there, until Ctrl-C. Whoever knows an address can use your keys.`,
  );
}

async function requireGateway(store: EmbeddedStore, name: string): Promise<void> {
  if ((await taskOf(store, name)).worker !== "gateway")
    throw new Exit(2, `${name} is a run of another kind: choose another name with --scope.`);
}

function budgetOf(flags: Flags): Budget {
  const usd = text(flags, "budget");
  const calls = count(flags, "max-calls", 1);
  if (usd !== undefined && !(/^\$?\d+(\.\d+)?$/.test(usd) && Number(usd.replace("$", "")) > 0))
    throw new Exit(2, `--budget takes US dollars, not ${JSON.stringify(usd)}.`);
  return {
    ...(usd !== undefined && { usd: Number(usd.replace("$", "")) }),
    ...(calls !== undefined && { calls }),
  };
}

function pricesOf({ cwd }: Context, file: string | undefined): Prices {
  if (file === undefined) return PRICES;
  try {
    return { ...PRICES, ...readPrices(readFileSync(resolve(cwd, file), "utf8")) };
  } catch (error) {
    throw new Exit(2, `--prices ${file}: ${(error as Error).message}.`);
  }
}

function upstreamsOf(given: string[]): { [provider in Provider]: Upstream } {
  const named: { [provider in Provider]?: string } = {};
  for (const each of given) {
    const match = /^(anthropic|openai)=(.+)$/s.exec(each);
    if (!match) throw new Exit(2, "--upstream takes anthropic=URL or openai=URL.");
    named[match[1] as Provider] = match[2]!;
  }
  try {
    const of = (provider: Provider): Upstream => upstreamOf(provider, process.env, named[provider]);
    return { anthropic: of("anthropic"), openai: of("openai") };
  } catch (error) {
    throw new Exit(2, (error as Error).message);
  }
}
