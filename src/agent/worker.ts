/** Workers that this library does not define: coding agents of the user's, the built-in agent, plain commands. The command `shepherd` drives them. */
import type { Task } from "../run/start.ts";
import { type Agent, type Definition, fromDefinition } from "./agent.ts";
import { Invalid } from "./errors.ts";
import type { Schema } from "./schema.ts";

export interface WorkerOptions {
  /** What `claude` or `codex` call a model, or the model of the built-in agent. */
  readonly model?: string;
}

/** What a worker is, as its definition has it. */
export interface Outside extends WorkerOptions {
  /** `claude`, `codex` or the name of another plugin; `agent`, `command`, `gateway`; `any` for a run of whatever kind. */
  readonly name: string;
}

/** The plugins whose command is not their name. */
const COMMANDS: { [command: string]: string } = { claude: "claude-code" };
const pluginOf = (name: string): string => (Object.hasOwn(COMMANDS, name) ? COMMANDS[name]! : name);

/** Those that take the words of a command. */
export const takesWords = (name: string): boolean => name === "command" || name === "gateway";

const MEMBERS = { task: "text", argv: "a list of words" } as const;

/** Takes an object with one member. */
function given(member: keyof typeof MEMBERS): Schema {
  const fits = (value: unknown): boolean =>
    member === "task"
      ? typeof value === "string" && value.trim() !== ""
      : Array.isArray(value) && value.length > 0 && value.every((word) => typeof word === "string");
  return {
    "~standard": {
      version: 1,
      vendor: "shepherd",
      validate: (value) => {
        const of = typeof value === "object" && value !== null ? (value as { [name: string]: unknown })[member] : null;
        if (fits(of)) return { value: { [member]: of } };
        return { issues: [{ message: `must be {${member}}, with ${MEMBERS[member]}` }] };
      },
    },
  };
}

/**
 * A worker that is no agent of a program: `claude`, `codex` or another plugin, with a task; `agent`, the built-in one, which takes a `model`;
 * `command`, with the words of a command; `gateway`, the same, for one that asks models: it is behind the gateway, which records that. Their runs are
 * driven by the command `shepherd`, in a process of its own that goes on when this one ends; what they say last, or what the command printed, is their
 * result. `any` stands for a run of whatever kind: `worker("any").run(name)`.
 */
export function worker(name: "command" | "gateway"): Agent<{ argv: readonly string[] }, string, Record<never, never>>;
export function worker(name: "any"): Agent<never, unknown, Record<never, never>>;
export function worker(name: string, options?: WorkerOptions): Agent<{ task: string }, string, Record<never, never>>;
export function worker(name: string, { model }: WorkerOptions = {}): unknown {
  const outside = checkedWorker(name, model);
  const definition: Definition = {
    name,
    input: name === "any" ? null : given(takesWords(name) ? "argv" : "task"),
    output: null,
    effects: {},
    outside,
  };
  return fromDefinition(definition);
}

/** A worker by the words for it. Throws `Invalid`. */
export function checkedWorker(name: string, model?: string): Outside {
  if (!/^[a-z][a-z0-9-]{0,31}$/.test(name))
    throw new Invalid(`${JSON.stringify(name)} is no worker: there are claude, codex, agent, command and gateway.`);
  if (name === "agent" && model === undefined)
    throw new Invalid('The built-in agent needs a model: worker("agent", { model: "haiku" }).');
  if (model !== undefined && (takesWords(name) || name === "any"))
    throw new Invalid(`${name} asks no model by itself: leave \`model\` out.`);
  return { name, ...(model !== undefined && { model }) };
}

/** What a new run of a worker is to do. @param session under which a coding agent keeps its conversation */
export function taskFor({ name, model }: Outside, input: unknown, session: string): Task {
  if (name === "any") throw new Invalid("Which worker? `any` only stands for runs that exist.");
  if (takesWords(name)) {
    const { argv } = input as { argv: string[] };
    return { worker: name as "command" | "gateway", text: argv.join(" "), argv };
  }
  const { task: text } = input as { task: string };
  if (name === "agent") return { worker: "agent", text, ...(model !== undefined && { model }) };
  const args = model === undefined ? [] : ["--model", model];
  return { worker: "plugin", text, plugin: { name: pluginOf(name), args, session } };
}

/** Whether a run is one of such a worker. */
export function isOf({ name }: Outside, { worker: kind, plugin, agent }: Task): boolean {
  if (name === "any") return true;
  if (name === "command") return kind === "command" || kind === "gateway";
  if (name === "gateway") return kind === "gateway";
  if (name === "agent") return kind === "agent" && agent === undefined;
  return plugin !== undefined && (plugin.name === name || plugin.name === pluginOf(name));
}

/** What a run is a run of, in words. */
export const kindOf = ({ worker: kind, plugin, agent }: Task): string =>
  agent?.name ?? Object.keys(COMMANDS).find((command) => COMMANDS[command] === plugin?.name) ?? plugin?.name ?? kind;
