/** `--model`, and what a run goes on with: the agent that it was started with, and another model of that agent's if one is named. */
import { homedir } from "node:os";
import { resolve } from "node:path";
import { openModel } from "../agent/models.ts";
import { userTable } from "../agent/table.ts";
import { pluginFor, pluginNamed } from "../plugins/plugins.ts";
import type { Task } from "../run/start.ts";
import { storeDirectory } from "./context.ts";
import { Exit } from "./errors.ts";
import type { Context } from "./verb.ts";

/** What a task's coding agent is called on the command line. */
export const agentOf = ({ plugin }: Task): string | null =>
  plugin ? (pluginNamed(plugin.name)?.command ?? plugin.name) : null;

/** The name of a model as a run keeps it, wherever it is resumed from. Throws where there is no such model. */
export function checkedModel({ cwd }: Pick<Context, "cwd">, named: string): string {
  if (pluginFor(named))
    throw new Exit(2, `${named} is an agent and no model: leave --model out, as in \`shepherd run ${named} "TASK"\`.`);
  const file = /^script:(.+)$/s.exec(named)?.[1];
  const model = file ? `script:${resolve(cwd, file.replace(/^~(?=\/)/, homedir()))}` : named;
  openModel(model, { table: userTable(storeDirectory()) });
  return model;
}

/** The model that `--model` names for a run that goes on. Throws where that run has none of that name. */
export function modelFor(
  context: Pick<Context, "cwd">,
  run: string,
  task: Task,
  named: string | undefined,
): string | undefined {
  if (named === undefined) {
    // What it goes on with must be there, too.
    if (task.worker === "agent" && !task.agent && !task.model)
      throw new Exit(
        2,
        `${run} came out of a file, whose word for a model is not taken: add --model MODEL, as --model haiku.`,
      );
    if (task.worker === "agent" && task.model) openModel(task.model, { table: userTable(storeDirectory()) });
    return undefined;
  }
  const agent = agentOf(task);
  if (task.worker === "command")
    throw new Exit(2, `${run} is a run of a command, which asks no model by itself: leave --model out.`);
  if (!agent) return checkedModel(context, named);
  if (/^script:/.test(named))
    throw new Exit(2, `${run} is a run of ${agent}, which has no model ${named}: name one of ${agent}'s, or none.`);
  return named;
}

/** A task with another model than it was started with. */
export const withModel = (task: Task, model: string): Task =>
  task.plugin ? { ...task, plugin: { ...task.plugin, args: ["--model", model] } } : { ...task, model };

/** Throws for a run of programs that the user starts. */
export function requireDriven(run: string, { worker, argv, agent }: Task): void {
  if (agent)
    throw new Exit(
      2,
      agent.module === undefined
        ? `${run} is a run of the agent ${agent.name} of a program, which goes on with it: ${agent.name}.resume(${JSON.stringify(run)}).`
        : `${run} is a run of the agent ${agent.name} of ${agent.module}: only \`shepherd resume ${run}\` goes on with it.`,
    );
  if (worker === "gateway" && !argv)
    throw new Exit(2, `${run} records programs of yours: \`shepherd gateway --scope ${run}\` goes on with it.`);
}

/** Throws where another agent is asked for than that which a run was started with, or where nothing could be told to it. */
export function requireSame(run: string, started: Task, asked: Task): void {
  requireDriven(run, started);
  if (started.worker === "gateway")
    throw new Exit(
      2,
      `${run} is a run of a command, which takes no task: \`shepherd fork\` the step, then \`shepherd resume\` that.`,
    );
  if (started.worker === "command")
    throw new Exit(
      2,
      `${run} is a run of a command, which takes no task: \`shepherd fork\` the step, then \`shepherd exec\` a command in that.`,
    );
  const word = agentOf(asked);
  if (!word || word === agentOf(started)) return;
  const what = agentOf(started) ?? started.model;
  throw new Exit(2, `${run} is a run of ${what}, and goes on with that: leave \`${word}\` out.`);
}
