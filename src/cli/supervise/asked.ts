/** What `shepherd supervise` is asked for, as the plan of a supervisor. */
import { randomUUID } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { resolve } from "node:path";
import type { Plan, PolicyPlan } from "../../meta/supervise/plan.ts";
import type { Wanted } from "../../meta/supervise/workers.ts";
import { PLUGINS, pluginFor } from "../../plugins/plugins.ts";
import { typedText } from "../../run/command.ts";
import type { Task } from "../../run/start.ts";
import { findScope, isName } from "../../scope/registry.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { Exit } from "../errors.ts";
import { durationOf } from "../limits.ts";
import { checkedModel, withModel } from "../model.ts";
import { isBlank } from "../task.ts";
import { type Context, choice, count, type Flags, text } from "../verb.ts";

const POLICIES = ["none", "random", "rules", "model"] as const;
const GUARDS = ["allow", "deny", "wait"] as const;

/** So many workers are supervised at once. */
const MOST = 1000;
/** Looks this often at most and at least, in ms. */
const EVERY = { least: 100, most: 3_600_000, usual: 5000 };

/** A task as a line of a file has it. */
interface Line {
  name?: string;
  task: string;
  paths: string[];
  model?: string;
  agent?: string;
}

/** Throws `Exit` with a sentence where the words ask for nothing that can be supervised. */
export async function planOf(
  context: Context,
  store: EmbeddedStore,
  flags: Flags,
  args: string[],
  at: string | undefined,
): Promise<Plan> {
  const policy = policyOf(context, flags);
  const lines = linesOf(context, flags, args);
  const runs = await runsOf(store, text(flags, "runs"));
  if (lines.length + runs.length === 0)
    throw new Exit(
      2,
      'What is to be done? `shepherd supervise --agent claude "TASK" "TASK"`, --tasks FILE, or --runs RUN,RUN.',
    );
  if (lines.length + runs.length > MOST) throw new Exit(2, `At most ${MOST} workers are supervised at once.`);
  const names = lines.flatMap(({ name }) => (name === undefined ? [] : [name]));
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw new Exit(2, `Two tasks have the name ${twice}: give each its own.`);
  const workers = lines.map((line): Wanted => {
    const { name, paths } = line;
    const task = { ...taskOf(context, flags, line), ...(at && { at }) };
    return { ...(name !== undefined && { name }), task, paths };
  });
  const every = text(flags, "every") === undefined ? EVERY.usual : durationOf(text(flags, "every")!, "--every");
  if (every < EVERY.least || every > EVERY.most) throw new Exit(2, "--every takes a time from 100ms to 1h.");
  const stands = policy.name === "rules" || policy.name === "model";
  const guard = choice(flags, "guard", GUARDS) ?? (stands ? "wait" : null);
  if (guard !== null && !stands)
    throw new Exit(2, `The policy ${policy.name} stands before no call: leave --guard out.`);
  return {
    workers,
    runs,
    policy,
    check: text(flags, "check") ?? null,
    at: at ?? null,
    every,
    guard,
    budget: budgetOf(flags) ?? null,
  };
}

export function budgetOf(flags: Flags): number | undefined {
  const word = text(flags, "budget");
  if (word === undefined) return undefined;
  const usd = Number(word);
  if (!/^\d*\.?\d+$/.test(word) || !(usd > 0))
    throw new Exit(2, `--budget takes US dollars, as 2.50, not ${JSON.stringify(word)}.`);
  return usd;
}

function policyOf(context: Context, flags: Flags): PolicyPlan {
  const model = text(flags, "model");
  const name = choice(flags, "policy", POLICIES) ?? (model === undefined ? "rules" : "model");
  if ((name === "model") !== (model !== undefined))
    throw new Exit(
      2,
      name === "model"
        ? "Which model decides? Add --model MODEL, as --model haiku."
        : `--model is the one that decides, with --policy model: leave it out, or name that of the workers with --worker-model.`,
    );
  const seed = count(flags, "seed");
  if (seed !== undefined && name !== "random") throw new Exit(2, "--seed is for --policy random: leave it out.");
  return {
    name,
    ...(model !== undefined && { model: checkedModel(context, model) }),
    ...(name === "random" && { seed: seed ?? Math.floor(Math.random() * 2 ** 31) }),
  };
}

function linesOf({ cwd }: Context, flags: Flags, args: string[]): Line[] {
  const blank = args.find(isBlank);
  if (blank !== undefined) throw new Exit(2, "A task has no words: leave it out.");
  const typed = args.map((task): Line => ({ task, paths: [] }));
  const file = text(flags, "tasks");
  if (file === undefined) return typed;
  if (typed.length > 0) throw new Exit(2, "Tasks stand in --tasks FILE, or behind the verb, and not in both.");
  let content: string;
  try {
    content = readSome(resolve(cwd, file)).toString();
  } catch (error) {
    throw new Exit(
      2,
      `${file} cannot be read (${(error as NodeJS.ErrnoException).code}): --tasks takes a file with a task a line.`,
    );
  }
  if (content.length > LARGEST)
    throw new Exit(2, `${file} has more than ${LARGEST >> 20} MiB: --tasks takes a file with a task a line.`);
  const found: Line[] = [];
  for (const [at, line] of content.split(/\r?\n/).entries())
    if (line.trim() !== "") found.push(lineOf(line, `Line ${at + 1} of ${file}`));
  return found;
}

const KEYS = ["name", "task", "paths", "model", "agent"];

function lineOf(line: string, where: string): Line {
  if (!line.trimStart().startsWith("{")) return { task: line.trim(), paths: [] };
  let value: { [key: string]: unknown };
  try {
    value = JSON.parse(line) as { [key: string]: unknown };
  } catch (error) {
    throw new Exit(2, `${where} is no JSON: ${(error as Error).message}.`);
  }
  const odd = Object.keys(value).find((key) => !KEYS.includes(key));
  if (odd !== undefined)
    throw new Exit(2, `${where} has an unknown member ${JSON.stringify(odd)}: there are ${KEYS.join(", ")}.`);
  const { name, task, paths = [], model, agent } = value;
  if (typeof task !== "string" || task.trim() === "")
    throw new Exit(2, `${where} has no \`task\`: write {"task": "…"}.`);
  if (name !== undefined && (typeof name !== "string" || !isName(name)))
    throw new Exit(2, `${where} has a name that no run can have: use lower-case letters, digits, - and _, at most 48.`);
  if (!Array.isArray(paths) || !paths.every((each) => typeof each === "string" && each !== ""))
    throw new Exit(2, `${where} has \`paths\` that are no list of patterns: write {"paths": ["src/auth/**"]}.`);
  for (const [key, word] of Object.entries({ model, agent }))
    if (word !== undefined && typeof word !== "string") throw new Exit(2, `${where} has a \`${key}\` that is no name.`);
  return {
    task,
    paths: paths as string[],
    ...(name !== undefined && { name }),
    ...(model !== undefined && { model: model as string }),
    ...(agent !== undefined && { agent: agent as string }),
  };
}

/** Who does a task: a command, a coding agent, or the built-in one. */
function taskOf(context: Context, flags: Flags, line: Line): Task {
  const { rest } = context;
  const agent = line.agent ?? text(flags, "agent");
  const model = line.model ?? text(flags, "worker-model");
  if (rest !== null) {
    if (agent !== undefined || model !== undefined || rest.length === 0)
      throw new Exit(
        2,
        "Behind `--` stands a command that does each task: then there is neither --agent nor --worker-model.",
      );
    const argv = rest.some((word) => word.includes("{}"))
      ? rest.map((word) => word.replaceAll("{}", line.task))
      : [...rest, line.task];
    return { worker: "command", text: typedText(argv), argv };
  }
  if (agent !== undefined) {
    const plugin = pluginFor(agent);
    if (!plugin)
      throw new Exit(
        2,
        `There is no agent ${JSON.stringify(agent)}: there are ${PLUGINS.map(({ command }) => command).join(" and ")}.`,
      );
    const asked: Task = {
      worker: "plugin",
      text: line.task,
      plugin: { name: plugin.name, args: [], session: randomUUID() },
    };
    return model === undefined ? asked : withModel(asked, model);
  }
  if (model === undefined)
    throw new Exit(
      2,
      "Who is to do that? Add --agent claude or --agent codex, --worker-model MODEL for the built-in agent, or `-- COMMAND`.",
    );
  return { worker: "agent", text: line.task, model: checkedModel(context, model) };
}

async function runsOf(store: EmbeddedStore, word: string | undefined): Promise<Plan["runs"]> {
  const names = word === undefined ? [] : word.split(",").map((name) => name.trim());
  for (const name of names) {
    const scope = await findScope(store, name);
    if (!scope || scope.discarded !== null)
      throw new Exit(2, `There is no run ${JSON.stringify(name)}: \`shepherd status\` lists them.`);
  }
  return [...new Set(names)].map((name) => ({ name, paths: [] }));
}

/** So many bytes of a file of tasks are read. */
const LARGEST = 1 << 20;

/** The beginning of a file, which may be a device that never ends: one byte more than it may have. */
function readSome(path: string): Buffer {
  const fd = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(LARGEST + 1);
    let length = 0;
    for (let got = -1; got !== 0 && length < bytes.length; length += got)
      got = readSync(fd, bytes, length, bytes.length - length, null);
    return bytes.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}
