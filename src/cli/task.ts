/** The task that the words of `shepherd run` ask for. */
import { randomUUID } from "node:crypto";
import { resolve } from "node:path";
import { readServers } from "../agent/mcp/config.ts";
import type { Plugin } from "../plugins/plugin.ts";
import { PLUGINS, pluginFor } from "../plugins/plugins.ts";
import { typedText } from "../run/command.ts";
import type { Task } from "../run/start.ts";
import { Exit } from "./errors.ts";
import { checkedModel, withModel } from "./model.ts";
import { type Context, type Flags, list, text } from "./verb.ts";

export const isBlank = (word: string | undefined): boolean => word !== undefined && word.trim() === "";

/** Throws a sentence where the words ask for nothing that can be run. */
export function askedTask(context: Context, flags: Flags, args: string[]): Task {
  if (flags.mcp !== undefined && (context.rest || (args[0] !== undefined && pluginFor(args[0]))))
    throw new Exit(2, "--mcp is for the built-in agent: coding agents have servers of their own.");
  if (context.rest) {
    if (args.length > 0) throw new Exit(2, "A task or a command, not both: leave out what stands before `--`.");
    if (context.rest.length === 0) throw new Exit(2, "Which command? `shepherd run -- COMMAND…`");
    return { worker: "command", text: typedText(context.rest), argv: context.rest };
  }
  const plugin = args[0] === undefined ? undefined : pluginFor(args[0]);
  if (plugin) return agentTask(context, flags, plugin, args.slice(1));
  if (args.length === 0 || (args.length === 1 && isBlank(args[0])))
    throw new Exit(
      2,
      'What is to be done? `shepherd run claude "TASK"`, `shepherd run codex "TASK"`, or `shepherd run -- COMMAND…`.',
    );
  // What has a space was one word in quotes: the one before it was to be an agent.
  if (args.length === 2 && /\s/.test(args[1]!.trim()) && !/\s/.test(args[0]!))
    throw new Exit(
      2,
      `There is no agent ${JSON.stringify(args[0])}: there are ${PLUGINS.map(({ command }) => command).join(" and ")}.`,
    );
  if (args.length > 1)
    throw new Exit(
      2,
      `One task, in quotes: \`shepherd run ${flags.model || flags.from ? "" : "claude "}"${args.join(" ")}"\`.`,
    );
  const named = text(flags, "model");
  if (!named && !flags.from)
    throw new Exit(
      2,
      `Who is to do that? \`shepherd run claude "TASK"\`, \`shepherd run codex "TASK"\`, or the built-in agent with a model: --model haiku.`,
    );
  // What goes on from a step has the agent of that run, and so its models.
  const model = named && !flags.from && checkedModel(context, named);
  const mcp = mcpFiles(context, flags);
  return { worker: "agent", text: args[0]!, ...(model && { model }), ...(mcp && { mcp }) };
}

/** Files that name servers of tools, as they are found from everywhere. Throws where one of them does not fit. */
function mcpFiles({ cwd }: Context, flags: Flags): string[] | undefined {
  const files = list(flags, "mcp").map((file) => resolve(cwd, file));
  if (files.length === 0) return undefined;
  if (flags.from) throw new Exit(2, "--mcp is for a new run: what goes on from a step has the servers of that run.");
  readServers(files);
  return files;
}

function agentTask({ out }: Context, flags: Flags, plugin: Plugin, [task, ...more]: string[]): Task {
  const able = plugin.interactive === true && !flags.count && !flags.from;
  const interactive = able && task === undefined && out.terminal && process.stdin.isTTY === true;
  if (isBlank(task) || (task === undefined && !interactive))
    throw new Exit(
      2,
      `What is ${plugin.command} to do? \`shepherd run ${plugin.command} "TASK"\`; ${plugin.interactive ? "without a task it is for a terminal" : "it cannot be run without one yet"}.`,
    );
  if (more.length > 0)
    throw new Exit(2, `One task, in quotes: \`shepherd run ${plugin.command} "${[task, ...more].join(" ")}"\`.`);
  const model = text(flags, "model");
  const driven = { name: plugin.name, args: [], session: randomUUID(), ...(interactive && { interactive }) };
  const asked: Task = { worker: "plugin", text: task ?? plugin.command, plugin: driven };
  return model === undefined ? asked : withModel(asked, model);
}
