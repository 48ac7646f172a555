/** `shepherd gateway`: the model calls of any program as the steps of a run. */
import { PORT } from "../../plugins/worker.ts";
import { typedText } from "../../run/command.ts";
import { createRun, type Task } from "../../run/start.ts";
import { detect } from "../../scope/exec/abilities.ts";
import type { SandboxSpec } from "../../scope/exec/spec.ts";
import type { Limits } from "../../scope/limits.ts";
import { checkName, findScope, grantsOf, NO_GRANTS } from "../../scope/registry.ts";
import type { Link } from "../../trace/ports.ts";
import { explainQuota, requireRoom } from "../../trace/quota.ts";
import { keepReserve } from "../../trace/reserve.ts";
import { Exit } from "../errors.ts";
import { BUDGET, howOf } from "../gateway.ts";
import { LANDS_ONCE, type Land, landOf } from "../landing.ts";
import { type Launch, taskOf } from "../launch.ts";
import { checkLimits, LIMIT_OPTIONS, limitsOf, tellUnheld } from "../limits.ts";
import { lacks, PARTIAL } from "../partial.ts";
import { record } from "../recording.ts";
import { below, findWorkspace } from "../select.ts";
import { SERVICE_OPTION, servicesFor } from "../services.ts";
import { type Context, choice, type Flags, text, type Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "record the model calls of any program",
  usage: "[--scope NAME] [--budget USD] [-- COMMAND…]",
  goesOn: true,
  most: 0,
  command: true,
  options: {
    scope: { type: "string", value: "NAME", help: "name of the run; goes on with one of that name" },
    ...BUDGET,
    upstream: {
      type: "string",
      multiple: true,
      value: "URL",
      help: "where requests go: anthropic=URL or openai=URL; else ANTHROPIC_BASE_URL and OPENAI_BASE_URL, else the provider",
    },
    prices: { type: "string", value: "FILE", help: "prices of models, in dollars for a million tokens" },
    ...PARTIAL,
    ...LIMIT_OPTIONS,
    ...SERVICE_OPTION,
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
    const how = howOf(context, flags);
    const workspace = await findWorkspace(store, cwd);
    const network = await networkOf(context, flags);
    const land = await landOfCommand(context, flags, workspace.id);
    const at = below(workspace.path, cwd);
    const task: Task = {
      worker: "gateway",
      text: rest ? typedText(rest) : "gateway",
      ...(rest && { argv: rest, ...(at && { at }) }),
    };
    if (!rest && flags.service !== undefined)
      throw new Exit(2, "--service is for a command: without one nothing runs on files of the run.");
    const limits = limitsOf(flags);
    if (!rest && limits)
      throw new Exit(2, `--${Object.keys(limits)[0]} is for a command: without one nothing runs in a run of its own.`);
    const about = { limits, services: await servicesFor(store, flags, at) };
    const name = await nameOf(context, text(flags, "scope"), task, about);
    await tellUnheld(context, limits);
    const launch: Launch = { store, out, signal, several: false, land, lacks: lacks(context, flags) };
    return record(launch, { name, task, command: rest && { argv: rest, at }, how, network, limits, drive: false });
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
async function nameOf(
  { store: open, cwd }: Context,
  given: string | undefined,
  task: Task,
  { limits, services }: { limits: Limits | undefined; services: Link | undefined },
): Promise<string> {
  const store = await open();
  const known = given === undefined ? null : await findScope(store, checkName(given));
  if (!known) {
    const workspace = await findWorkspace(store, cwd);
    const named = { ...(given !== undefined && { name: given }), meta: { ...(services && { services }) } };
    return (await createRun(store, { task, workspace, grants: { ...NO_GRANTS, ...(limits && { limits }) }, ...named }))
      .name;
  }
  checkLimits(known.name, (await grantsOf(store, known.log)).limits, limits);
  if (services !== undefined)
    throw new Exit(
      2,
      `${known.name} has the services that it began with: \`shepherd fork --service\` changes them in a fork.`,
    );
  if ((await taskOf(store, known.name)).worker !== "gateway")
    throw new Exit(2, `${known.name} is a run of another kind: choose another name with --scope.`);
  return known.name;
}
