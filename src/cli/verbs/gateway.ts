/** `shepherd gateway`: the model calls of any program as the steps of a run. */
import { budgetHandler, spentIn } from "../../gateway/budget.ts";
import { type Gateway, openGateway } from "../../gateway/gateway.ts";
import { PORT } from "../../plugins/worker.ts";
import { typedText } from "../../run/command.ts";
import { drive } from "../../run/drive.ts";
import { freshMain } from "../../run/placing.ts";
import { doubtsOf, InDoubt, settlePending } from "../../run/recover.ts";
import { beginRun, createRun, placeRun, type Task } from "../../run/start.ts";
import { detect } from "../../scope/exec/abilities.ts";
import type { SandboxSpec } from "../../scope/exec/spec.ts";
import { checkName, findScope, NO_GRANTS } from "../../scope/registry.ts";
import type { LiveScope } from "../../scope/scope.ts";
import { explainQuota, requireRoom } from "../../trace/quota.ts";
import { keepReserve } from "../../trace/reserve.ts";
import { commandBehind, programsBehind } from "../behind.ts";
import { tellEnd } from "../end.ts";
import { Exit } from "../errors.ts";
import { budgetOf, pricesOf, togetherIn, upstreamsOf } from "../gateway.ts";
import { LANDS_ONCE, type Land, landOf } from "../landing.ts";
import { filesFor, type Launch, taskOf, tellSteps } from "../launch.ts";
import { settleModels } from "../operate.ts";
import { lacks, PARTIAL } from "../partial.ts";
import { below, findWorkspace } from "../select.ts";
import { type Context, choice, type Flags, list, text, type Verb } from "../verb.ts";
import { counted } from "../words.ts";

export const verb: Verb = {
  brief: "record the model calls of any program",
  usage: "[--scope NAME] [--budget USD] [-- COMMAND…]",
  goesOn: true,
  most: 0,
  command: true,
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
    ...PARTIAL,
    network: {
      type: "string",
      value: "NET",
      help: "gateway or host: what COMMAND reaches; without it the gateway alone, where this machine has namespaces",
    },
    land: {
      type: "string",
      value: "HOW",
      help: "ask, auto or never: when what COMMAND changes comes into your directory",
    },
  },
  details:
    "Without a command it prints the variables that lead programs to it, and runs until Ctrl-C: what they do to files is not recorded. A command runs on files of " +
    "its own, as with `run`, and reaches nothing but the gateway unless --network host says so. Whatever speaks to Anthropic Messages, OpenAI Responses or Chat Completions is recorded: each model call and tool call " +
    "becomes a step before it happens. A program whose key is `shepherd` gets yours, which only the gateway knows.",
  examples: [
    "shepherd gateway",
    "shepherd gateway --budget 2 -- python agent.py",
    "shepherd gateway --upstream openai=http://localhost:8000/v1",
  ],
  run: async (context, flags) => {
    const { out, signal, cwd, rest } = context;
    if (rest?.length === 0) throw new Exit(2, "Which command? shepherd gateway -- COMMAND…");
    const store = await context.store();
    const quota = await requireRoom(store);
    await keepReserve(store);
    if (quota.state === "warn") out.warn(`shepherd: ${explainQuota(quota)}`);
    const budget = budgetOf(flags);
    const prices = pricesOf(context, text(flags, "prices"));
    const upstreams = upstreamsOf(list(flags, "upstream"));
    const workspace = await findWorkspace(store, cwd);
    const network = await networkOf(context, flags);
    const land = await landOfCommand(context, flags, workspace.id);
    const at = below(workspace.path, cwd);
    const task: Task = {
      worker: "gateway",
      text: rest ? typedText(rest) : "gateway",
      ...(rest && { argv: rest, ...(at && { at }) }),
    };
    const name = await nameOf(context, text(flags, "scope"), task);
    const launch: Launch = { store, out, signal, several: false, land, lacks: lacks(context, flags) };
    const progress = out.progress();
    const gateway = await openGateway({ upstreams, prices, ...togetherIn(store) });
    try {
      // What has the terminal for itself is not written between.
      const quiet = rest !== null && !out.json && out.terminal && process.stdin.isTTY === true;
      let steps: { done(): Promise<void> } | null = null;
      const ending = await drive(store, name, {
        signal,
        ...(rest && { files: filesFor(launch, progress, { hide: [], network }) }),
        worker: rest ? commandBehind(gateway, rest, at, { out, quiet }) : programsBehind(gateway),
        prepared: async (scope) => {
          if (!quiet) steps = tellSteps(launch, scope);
          scope.handlers.push(budgetHandler(budget, prices, () => scope.writer.fold));
          try {
            await place(context, scope, workspace.path, task);
          } finally {
            progress.done();
          }
          // With a network of its own a program cannot go around it.
          await scope.writer.note(null, { note: "gateway", enforced: rest !== null && network !== "host" });
          if (!rest) tellUrls(context, scope, gateway);
        },
        ended: async (scope) => {
          await steps?.done();
          const { calls, usd } = spentIn(scope.writer.fold);
          out.object({ scope: name, calls, usd });
          out.line(`${name} has ${counted(calls, "model call")}${usd > 0 ? `, $${usd.toFixed(4)}` : ""}.`);
          if (!rest) out.line(`Next: \`shepherd log ${name}\`; \`shepherd gateway --scope ${name}\` goes on.`);
        },
      });
      if (rest) {
        const again = `shepherd gateway --scope ${name} -- ${task.text}`;
        return launch.lacks.code(await tellEnd(launch, { name, ending, land, error: null, unfit: false, again }));
      }
      return ending === "done" ? 0 : 1;
    } finally {
      progress.done();
      await gateway.close();
    }
  },
};

/** What a command reaches. */
async function networkOf({ rest }: Context, flags: Flags): Promise<SandboxSpec["network"]> {
  const word = choice(flags, "network", ["gateway", "host"]);
  if (word !== undefined && !rest)
    throw new Exit(2, "--network is for a command: without one nothing is kept from it.");
  if (!rest || word === "host") return "host";
  const { samePath, why } = await detect();
  if (samePath) return { port: PORT };
  if (word === "gateway") throw new Exit(4, `The command cannot have a network of its own here. ${why}`);
  return "host";
}

async function landOfCommand(context: Context, flags: Flags, workspace: string): Promise<Land> {
  const word = choice(flags, "land", LANDS_ONCE);
  if (word !== undefined && !context.rest)
    throw new Exit(2, "--land is for a command: without one no files are changed.");
  return context.rest ? landOf(context, word, { workspace, count: 1 }) : "never";
}

/** The run of that name if there is one, else a new one. */
async function nameOf({ store: open, cwd }: Context, given: string | undefined, task: Task): Promise<string> {
  const store = await open();
  const known = given === undefined ? null : await findScope(store, checkName(given));
  if (!known) {
    const workspace = await findWorkspace(store, cwd);
    return (await createRun(store, { task, workspace, grants: NO_GRANTS, ...(given !== undefined && { name: given }) }))
      .name;
  }
  if ((await taskOf(store, known.name)).worker !== "gateway")
    throw new Exit(2, `${known.name} is a run of another kind: choose another name with --scope.`);
  return known.name;
}

/** Step 0 stands on main as it is now, and so do all behind it; a run that goes on stands where it was. */
async function place(context: Context, scope: LiveScope, directory: string, task: Task): Promise<void> {
  const { signal } = context;
  const { fold } = scope.writer;
  const store = await context.store();
  const progress = context.out.progress();
  let seed: Parameters<NonNullable<LiveScope["files"]>["restore"]>[2];
  if (!fold.header.origin && !fold.steps.get(0)?.outcome) {
    const main = await freshMain(store, directory, { signal, onProgress: (at) => progress.at(at) }).finally(() =>
      progress.done(),
    );
    await placeRun(scope, fold.steps.has(0) ? 0 : await beginRun(scope, task), main, task);
    await scope.writer.sync();
    seed = main.sources;
  }
  const doubts = doubtsOf(scope);
  if (doubts.length > 0) throw new InDoubt(scope.ref.name, doubts);
  await settleModels(scope);
  await settlePending(scope);
  const { state, carry } = scope.head();
  if (state) await scope.files?.restore(state.roots.workspace, carry, seed);
}

function tellUrls({ out }: Context, scope: LiveScope, { urls }: Gateway): void {
  const { name } = scope.ref;
  out.object({ scope: name, n: scope.head().n, ANTHROPIC_BASE_URL: urls.anthropic, OPENAI_BASE_URL: urls.openai });
  out.line(`export ANTHROPIC_BASE_URL=${urls.anthropic}`);
  out.line(`export OPENAI_BASE_URL=${urls.openai}`);
  out.warn(`shepherd: ${name} records what is sent there, until Ctrl-C. Whoever knows an address can use your keys.`);
}
