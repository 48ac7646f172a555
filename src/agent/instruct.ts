/** An agent with an instruction at work: the built-in loop, and the check of what it answers. */
import type { Control } from "../run/control.ts";
import type { Said } from "../run/inject.ts";
import type { LiveScope } from "../scope/scope.ts";
import { type Item, itemsOf, textOf } from "../scope/thread.ts";
import type { Json, Session } from "../trace/ports.ts";
import type { Definition } from "./agent.ts";
import { Cancelled, Failed, Invalid } from "./errors.ts";
import type { AgentEvent } from "./events.ts";
import { type AgentEnd, runAgent } from "./loop.ts";
import { withServers } from "./mcp/client.ts";
import { readServers } from "./mcp/config.ts";
import { say } from "./message.ts";
import type { ModelPort } from "./model.ts";
import { resumeAgent } from "./resume.ts";
import { validated } from "./schema.ts";
import { BUILTIN } from "./tools/builtin.ts";
import type { Tool } from "./tools/tool.ts";

export interface InstructOptions {
  definition: Definition;
  model: ModelPort;
  thread: string;
  /** The rights of the runs that it was given. */
  rights: readonly Tool[];
  signal: AbortSignal;
  control: Control;
  onEvent: (event: AgentEvent) => void;
  /** For a run that begins: see `AgentOptions`. */
  start?: { session: Session; placed: Promise<void> } | null;
  /** What it is told to go on with. */
  instruction?: string | undefined;
  /** What a live landing has to tell. */
  inbox?: (() => string[]) | undefined;
}

/** So often an answer that does not fit goes back. */
const MOST = 3;
const REFUSAL = "Your answer does not have the form that is needed: ";

/** Works until the answer fits. Gives it as plain data: what the schema is given. */
export const runInstruction = (scope: LiveScope, options: InstructOptions): Promise<Json> =>
  withServers(scope, readServers(options.definition.mcp ?? []), options.signal, (given) =>
    untilItFits(scope, options, given),
  );

async function untilItFits(scope: LiveScope, options: InstructOptions, given: readonly Tool[]): Promise<Json> {
  const { definition, model, thread, rights, signal, control, onEvent, start } = options;
  const { store, ref } = scope;
  const inbox = async (ending: boolean): Promise<Said[]> => {
    if (!ending || control.inbox.waiting().length > 0) await control.unpaused(signal).catch(() => {});
    if (signal.aborted) return [];
    const landed = ending ? [] : (options.inbox?.() ?? []);
    return [...landed.map((text) => ({ text })), ...(await control.inbox.read())];
  };
  const loop = {
    model,
    thread,
    signal,
    inbox,
    onEvent,
    tools: [...rights, ...(definition.tools ?? (rights.length > 0 ? [] : BUILTIN)), ...given],
    ...(definition.system !== undefined && { system: definition.system }),
  };
  let end: AgentEnd = start
    ? await runAgent(scope, { ...loop, start })
    : await resumeAgent(scope, {
        ...loop,
        ...(options.instruction !== undefined && { instruction: options.instruction }),
      });
  for (;;) {
    if (end.stopped === "aborted") throw new Cancelled("The run is stopped.", { run: ref.name, cause: signal.reason });
    if (end.stopped !== "done")
      throw new Failed(end.error?.message ?? "The agent stopped.", { run: ref.name, cause: end.error });
    const items = await itemsOf(store, scope.head().state?.threads[thread]);
    const answer = await answerOf(definition, items);
    if ("value" in answer) return answer.value;
    if (items.filter(isRefusal).length >= MOST)
      throw new Invalid(`The answer of ${definition.name} does not fit: ${answer.wrong}.`, {
        run: ref.name,
        hint: `It was told so ${MOST} times.`,
      });
    await say(scope, thread, `${REFUSAL}${answer.wrong}. Answer again, with that and nothing else.`);
    end = await resumeAgent(scope, loop);
  }
}

const isRefusal = (item: Item): boolean => item.role === "user" && textOf(item).startsWith(REFUSAL);

/** What the last message of a conversation answers, as plain data, or what is wrong with it. */
export async function answerOf(
  { output }: Pick<Definition, "output">,
  items: readonly Item[],
): Promise<{ value: Json } | { wrong: string }> {
  const last = items.findLast((item) => item.role === "assistant");
  const text = last ? textOf(last, "") : "";
  if (!output) return { value: text };
  const json = jsonIn(text);
  const checked = json === undefined ? { wrong: "it is no JSON" } : await validated(output, json);
  if ("value" in checked) return { value: json! };
  return "value" in (await validated(output, text)) ? { value: text } : checked;
}

/** JSON that is all of a text, or all of the only block of code in it. */
function jsonIn(text: string): Json | undefined {
  const fenced = [...text.matchAll(/```(?:json)?\s*\n([\s\S]*?)\n\s*```/g)];
  for (const each of [text, ...(fenced.length === 1 ? [fenced[0]![1]!] : [])]) {
    try {
      return JSON.parse(each) as Json;
    } catch {
      // The next.
    }
  }
  return undefined;
}
