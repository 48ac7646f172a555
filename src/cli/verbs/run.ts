/** `shepherd run`: an agent or a command in a scope of its own. */
import { resolve } from "node:path";
import { freshMain } from "../../run/land.ts";
import { createRun, type Task } from "../../run/start.ts";
import { forkScope } from "../../scope/fork.ts";
import { explainQuota, requireRoom } from "../../trace/quota.ts";
import { Exit, type ExitCode } from "../errors.ts";
import { type Land, type Launch, landOf, type Outcome, resumeRun, startRun, tellEnd } from "../launch.ts";
import { operate } from "../operate.ts";
import { chooseStep, findWorkspace } from "../select.ts";
import { type Context, count, type Flags, list, text, type Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "run an agent or a command in a scope of its own",
  usage: '[--model M] "TASK" | -- COMMAND…',
  options: {
    model: { type: "string", short: "m", value: "MODEL", help: "the agent's model: script:FILE" },
    count: { type: "string", short: "k", value: "K", help: "K runs side by side" },
    from: { type: "string", value: "STEP", help: "go on from this step, in a fork of its run" },
    land: { type: "string", value: "HOW", help: "ask, auto or never: what comes into your directory at the end" },
    scope: { type: "string", value: "NAME", help: "name of the run" },
    "read-only": {
      type: "string",
      multiple: true,
      value: "PATH",
      help: "a path in the directory that the run cannot write",
    },
    write: { type: "string", multiple: true, value: "PATH", help: "a path outside that it can write" },
  },
  details:
    "The run works on files of its own, seen at the same path; yours are not touched. Each model call, tool call and edit becomes a step. " +
    "At the end, on a terminal, you are asked whether to land what changed; through a pipe it stays in the run (`shepherd merge` lands it).",
  examples: [
    'shepherd run --model script:turns.jsonl "fix the login bug"',
    "shepherd run -- npm test",
    'shepherd run -k 3 --from 6 --model script:more.jsonl "now add rate limiting"',
  ],
  run: async (context, flags, args) => {
    const { out, signal } = context;
    const store = await context.store();
    const quota = await requireRoom(store);
    if (quota.state === "warn") out.warn(`shepherd: ${explainQuota(quota)}`);
    const k = count(flags, "count", 1) ?? 1;
    const task = taskOf(context, flags, args);
    const launch: Launch = { store, out, signal, several: k > 1 };
    const land = landOf(text(flags, "land"), k === 1 && out.terminal && process.stdin.isTTY ? "ask" : "never");
    if (land === "live") throw new Exit(2, "--land live is for interactive runs: use ask, auto or never.");
    const outcomes = text(flags, "from")
      ? await fromStep(context, launch, flags, task, k)
      : await fresh(context, launch, flags, task, k);
    return told(launch, outcomes, land);
  },
};

function taskOf(context: Context, flags: Flags, args: string[]): Task {
  if (context.rest) {
    if (args.length > 0) throw new Exit(2, "A task or a command, not both: leave out what stands before `--`.");
    if (context.rest.length === 0) throw new Exit(2, "Which command? shepherd run -- COMMAND…");
    return { worker: "command", text: context.rest.join(" "), argv: context.rest };
  }
  if (args.length === 0)
    throw new Exit(2, 'What is to be done? shepherd run --model MODEL "TASK", or shepherd run -- COMMAND…');
  if (args.length > 1) throw new Exit(2, `One task, in quotes: shepherd run "${args.join(" ")}"`);
  const named = text(flags, "model");
  if (!named && !flags.from)
    throw new Exit(2, "Which model? Add --model script:FILE, or run a command: shepherd run -- COMMAND…");
  const file = named && /^script:(.+)$/s.exec(named)?.[1];
  const model = file ? `script:${resolve(context.cwd, file)}` : named;
  return { worker: "agent", text: args[0]!, ...(model && { model }) };
}

async function fresh(context: Context, launch: Launch, flags: Flags, task: Task, k: number): Promise<Outcome[]> {
  const { out, signal, cwd } = context;
  const workspace = await findWorkspace(launch.store, cwd);
  const grants = {
    readOnly: list(flags, "read-only").map((path) => resolve(cwd, path)),
    writable: list(flags, "write").map((path) => resolve(cwd, path)),
  };
  const progress = out.progress();
  const main = freshMain(launch.store, workspace.path, { signal, onProgress: (at) => progress.at(at) }).finally(() =>
    progress.done(),
  );
  main.catch(() => {});
  const names: string[] = [];
  const name = text(flags, "scope");
  for (let i = 1; i <= k; i++)
    names.push(
      (
        await createRun(launch.store, {
          task,
          workspace,
          grants,
          ...(name && { name: i === 1 ? name : `${name}-${i}` }),
        })
      ).name,
    );
  return Promise.all(names.map((each) => startRun(launch, each, task, main)));
}

async function fromStep(context: Context, launch: Launch, flags: Flags, task: Task, k: number): Promise<Outcome[]> {
  const { store } = launch;
  if (task.worker === "command")
    throw new Exit(
      2,
      "--from goes on with a conversation; to run a command at a step: shepherd fork STEP, then shepherd exec.",
    );
  const { run, revision } = await chooseStep(context, [text(flags, "from")!], "shepherd run --from STEP");
  const name = text(flags, "scope");
  const made = await forkScope(store, run.name, revision.step.n, {
    count: k,
    ...(name && { name }),
    note: async (facts) => {
      await operate(store, run.name, "note", { n: null, facts: { ...facts } });
    },
  });
  const options = { instruction: task.text, ...(task.model && { model: task.model }) };
  return Promise.all(made.map((ref) => resumeRun(launch, ref.name, options)));
}

export async function told(launch: Launch, outcomes: Outcome[], land: Land): Promise<ExitCode> {
  let worst: ExitCode = 0;
  for (const outcome of outcomes) {
    const code = await tellEnd(launch, outcome, land);
    if (code > worst) worst = code;
  }
  return worst;
}
