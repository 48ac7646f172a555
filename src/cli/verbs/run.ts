/** `shepherd run`: an agent or a command in a scope of its own. */
import { existsSync, lstatSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { freshMain } from "../../run/placing.ts";
import { createRun, type Task } from "../../run/start.ts";
import { detect } from "../../scope/exec/abilities.ts";
import { forkScope } from "../../scope/fork.ts";
import {
  checkName,
  findScope,
  type Grants,
  grantsOf as grantsOfLog,
  type RootGrant,
  type ScopeRef,
  workspacePath,
} from "../../scope/registry.ts";
import { explainQuota, requireRoom } from "../../trace/quota.ts";
import { keepReserve } from "../../trace/reserve.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { quotePath } from "../../world/paths.ts";
import type { Skipped } from "../../world/walk.ts";
import { AGENT_BUDGET, agentBudgetOf } from "../budget.ts";
import { tellEnd } from "../end.ts";
import { Exit, type ExitCode } from "../errors.ts";
import { exactStep, NEAREST } from "../exact.ts";
import { checkGuards, GUARD_OPTION, guardsOf } from "../guards.ts";
import { LAND_HELP, LANDS, type Land, landOf } from "../landing.ts";
import { type Launch, type Outcome, resumeRun, startRun, taskOf } from "../launch.ts";
import { checkLimits, LIMIT_OPTIONS, limitsOf, tellUnheld } from "../limits.ts";
import { modelFor, requireSame } from "../model.ts";
import { checkNoMore, networkOf } from "../network.ts";
import { operate } from "../operate.ts";
import type { Output } from "../output.ts";
import { lacks } from "../partial.ts";
import { below, chooseStep, findWorkspace } from "../select.ts";
import { SERVICE_OPTION, servicesFor } from "../services.ts";
import { askedTask } from "../task.ts";
import { type Context, choice, count, type Flags, list, text, type Verb } from "../verb.ts";

/** So many runs go on side by side. */
const MOST = 100;

export const verb: Verb = {
  brief: "run Claude Code, Codex or any command on files of its own",
  usage: '[claude|codex] [--model M] "TASK" | FILE#AGENT | -- COMMAND…',
  goesOn: true,
  command: true,
  options: {
    model: {
      type: "string",
      short: "m",
      value: "MODEL",
      help: "what claude or codex call it; without either the built-in agent works with it: haiku, gpt-5.1, http://HOST/v1#NAME, script:FILE",
    },
    mcp: {
      type: "string",
      multiple: true,
      value: "FILE",
      help: "servers of tools for the built-in agent, as other agents have them",
    },
    input: { type: "string", value: "JSON", help: "what an agent that FILE exports is given" },
    allow: {
      type: "string",
      multiple: true,
      value: "EFFECT",
      help: "an effect of that agent that needs no question",
    },
    count: { type: "string", short: "k", value: "K", help: "K runs side by side, 100 at most" },
    from: { type: "string", value: "STEP", help: "go on from this step, in a fork of its run" },
    land: { type: "string", value: "HOW", help: LAND_HELP },
    scope: { type: "string", value: "NAME", help: "name of the run" },
    "read-only": {
      type: "string",
      multiple: true,
      value: "PATH",
      help: "a path in the directory that the run cannot write",
    },
    write: { type: "string", multiple: true, value: "PATH", help: "a path outside that it can write" },
    root: {
      type: "string",
      value: "IMAGE",
      help: "an imported image, or a directory, that it sees instead of the machine",
    },
    at: { type: "string", value: "PATH", help: "where in the image it sees this directory; at its own path without" },
    network: {
      type: "string",
      value: "HOW",
      help: "what a coding agent can reach: gateway, proxy (the default) or host",
    },
    "allow-host": {
      type: "string",
      multiple: true,
      value: "HOST",
      help: "a name that it may connect to besides: NAME, NAME:PORT or *.NAME",
    },
    ...GUARD_OPTION,
    ...AGENT_BUDGET,
    ...LIMIT_OPTIONS,
    ...SERVICE_OPTION,
    ...NEAREST,
    partial: {
      type: "boolean",
      help: "exit with the work's code although the state of --from lacks files whose bytes were forgotten",
    },
  },
  details:
    "The run works on files of its own, seen at the same path; yours are not touched. Each model call, tool call and edit becomes a step. " +
    "At the end, on a terminal, you are asked whether to land what changed; through a pipe, beside another run, with -k and where CI is set it " +
    "stays in the run (`shepherd merge` lands it). --land live lands each step as it is done, and brings in before each call what you change.",
  examples: [
    'shepherd run claude "fix the login bug"',
    'shepherd run codex --land auto "fix the login bug"',
    "shepherd run -- npm test",
    'shepherd run -k 3 --from 6 "now add rate limiting"',
    "shepherd run --root debian -- apt-get install -y jq",
    'shepherd run --model haiku "fix the login bug"',
    'shepherd run ./agents.mjs#implement --input \'{"feature": "login"}\'',
  ],
  agents: true,
  run: async (context, flags, args) => {
    const { out, signal } = context;
    const { namesModule, runProgram } = await import("../program.ts");
    if (!context.rest && namesModule(args[0])) return runProgram(context, flags, args);
    const only = ["input", "allow"].find((flag) => flags[flag] !== undefined);
    if (only) throw new Exit(2, `--${only} is for an agent that a file exports: \`shepherd run ./FILE.mjs#AGENT\`.`);
    const store = await context.store();
    const quota = await requireRoom(store);
    await keepReserve(store);
    if (quota.state === "warn") out.warn(`shepherd: ${explainQuota(quota)}`);
    const k = count(flags, "count", 1, MOST) ?? 1;
    const task = askedTask(context, flags, args);
    if (flags.nearest && !flags.from)
      throw new Exit(2, "--nearest goes with --from STEP: it looks for a step near that.");
    // Before anything is made for a run that cannot begin.
    const image = await (await import("../image.ts")).rootAsked(context, flags, task);
    if (task.worker === "plugin" && !flags.from) await (await import("../coding.ts")).requireProgram(out, task);
    const { id } = await findWorkspace(store, context.cwd);
    const asked = await landOf(context, choice(flags, "land", LANDS), { workspace: id, count: k });
    // Who works with an agent in their directory sees what it does there.
    const live = task.plugin?.interactive === true && flags.land === undefined && asked === "ask";
    const land: Land = live ? "live" : asked;
    const launch: Launch = { store, out, signal, several: k > 1, land, lacks: lacks(context, flags) };
    const outcomes = text(flags, "from")
      ? await fromStep(context, launch, flags, task, k)
      : await fresh(context, launch, flags, task, k, image);
    return told(launch, outcomes);
  },
};

/** What the flags grant of files and network. Throws where that cannot be held. */
async function grantsOf(context: Context, flags: Flags, workspace: string, task: Task): Promise<Grants> {
  const limits = limitsOf(flags, task);
  const guards = guardsOf(flags, task);
  await tellUnheld(context, limits);
  return {
    ...(await pathsOf(context, flags, workspace)),
    ...(await networkOf(flags, task)),
    ...(limits && { limits }),
    ...(guards && { guards }),
  };
}

async function pathsOf({ cwd }: Context, flags: Flags, workspace: string): Promise<Grants> {
  const readOnly = list(flags, "read-only").map((path) => resolve(cwd, path));
  const writable = list(flags, "write").map((path) => resolve(cwd, path));
  for (const path of readOnly) {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!path.startsWith(`${workspace}/`) || !stat || stat.isSymbolicLink())
      throw new Exit(2, `--read-only takes a file or directory in ${workspace}, not ${path}.`);
  }
  for (const path of writable)
    if (!existsSync(path)) throw new Exit(2, `--write takes a path that is there, and ${path} is not.`);
  // What it leads to now is granted, and not what it may lead to later.
  const granted = writable.map((path) => realpathSync(path));
  const { samePath, why } = readOnly.length > 0 ? await detect() : { samePath: true };
  if (!samePath) throw new Exit(4, `--read-only cannot be held on this machine. ${why}`);
  return { readOnly, writable: granted };
}

async function fresh(
  context: Context,
  launch: Launch,
  flags: Flags,
  task: Task,
  k: number,
  root: RootGrant | null,
): Promise<Outcome[]> {
  const { out, signal, cwd } = context;
  const workspace = await findWorkspace(launch.store, cwd);
  const budget = agentBudgetOf(flags, task);
  const grants = { ...(await grantsOf(context, flags, workspace.path, task)), ...(root && { root }) };
  if (task.worker === "plugin") grants.network ??= "proxy";
  const at = below(workspace.path, cwd);
  if (at && !root?.start) task.at = at;
  const services = await servicesFor(launch.store, flags, at);
  const given = await freeNames(launch.store, text(flags, "scope"), k);
  const progress = out.progress();
  const main = freshMain(launch.store, workspace.path, { signal, onProgress: (at) => progress.at(at) }).finally(() =>
    progress.done(),
  );
  main.then(
    ({ capture }) => tellLeftOut(out, capture.skipped),
    () => {},
  );
  const names: string[] = [];
  for (const name of given)
    names.push(
      (
        await createRun(launch.store, {
          task,
          workspace,
          grants,
          ...(name && { name }),
          meta: { ...(services && { services }) },
        })
      ).name,
    );
  return all(names.map((each) => startRun(launch, each, task, main, budget)));
}

/** Names what the run is without. */
function tellLeftOut(out: Output, skipped: readonly Skipped[]): void {
  const told = skipped.filter(({ why }) => why !== "excluded").map(({ path, why }) => `${quotePath(path)} (${why})`);
  if (told.length === 0) return;
  const more = told.length > 3 ? ` and ${told.length - 3} more (\`shepherd init\` lists them)` : "";
  out.warn(`shepherd: Left out: ${told.slice(0, 3).join(", ")}${more}.`);
}

/** Names of K runs; undefined where none is given. Throws before anything is made, if one is taken or malformed. */
async function freeNames(
  store: EmbeddedStore,
  given: string | undefined,
  k: number,
): Promise<Array<string | undefined>> {
  const names = Array.from({ length: k }, (_, i) => (given && i > 0 ? `${given}-${i + 1}` : given));
  for (const name of names)
    if (name && (await findScope(store, checkName(name))))
      throw new Exit(2, `There is a run ${name} already: choose another name with --scope.`);
  return names;
}

/** Waits for all, also where one fails: they work on the same store. */
async function all<T>(work: ReadonlyArray<Promise<T>>): Promise<T[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

async function fromStep(context: Context, launch: Launch, flags: Flags, task: Task, k: number): Promise<Outcome[]> {
  const { store } = launch;
  if (task.worker === "command")
    throw new Exit(
      2,
      "--from goes on with a conversation; to run a command at a step: shepherd fork STEP, then shepherd exec.",
    );
  const { run, revision } = await chooseStep(context, [text(flags, "from")!], "shepherd run --from STEP");
  const started = await taskOf(store, run.name);
  requireSame(run.name, started, task);
  const model = modelFor(context, run.name, started, text(flags, "model"));
  const budget = agentBudgetOf(flags, started);
  const { n } = await exactStep(store, run, revision, flags);
  // Before anything is made for a run that cannot go on.
  if (started.worker === "plugin") await (await import("../coding.ts")).requireProgram(launch.out, started);
  const asked = await grantsOf(context, flags, await workspacePath(store, run.log), started);
  const parent = await grantsOfLog(store, run.log);
  checkNoMore(run.name, parent, asked);
  checkLimits(run.name, parent.limits, asked.limits);
  checkGuards(run.name, parent.guards, asked.guards);
  const { readOnly, writable, network, hosts, limits, guards } = asked;
  const grants = {
    readOnly,
    ...(writable.length > 0 && { writable }),
    ...(network && { network }),
    ...(hosts && { hosts }),
    ...(limits && { limits }),
    ...(guards && { guards }),
  };
  const at = below(await workspacePath(store, run.log), context.cwd);
  const services = await servicesFor(store, flags, at, run);
  const names = await freeNames(store, text(flags, "scope"), k);
  const made: ScopeRef[] = [];
  for (const name of names)
    made.push(
      ...(await forkScope(store, run.name, n, {
        grants,
        services,
        ...(name && { name }),
        note: async (facts) => {
          await operate(context, run.name, "note", { n: null, facts: { ...facts } });
        },
      })),
    );
  const options = { instruction: task.text, ...(model && { model }), ...(budget && { budget }) };
  return all(made.map((ref) => resumeRun(launch, ref.name, options)));
}

export async function told(launch: Launch, outcomes: Outcome[]): Promise<ExitCode> {
  let worst: ExitCode = 0;
  for (const outcome of outcomes) {
    const code = await tellEnd(launch, outcome);
    if (code > worst) worst = code;
  }
  return launch.lacks.code(worst);
}
