/** A tool call as an effect of the scope. */
import type { Effect, Performed } from "../scope/effect.ts";
import { plain } from "../scope/plain.ts";
import type { LiveScope } from "../scope/scope.ts";
import { type Call, type Item, putBytes, putItem } from "../scope/thread.ts";
import type { Json } from "../trace/ports.ts";
import { putBlock, shellOf } from "./steps.ts";
import { clip } from "./tools/clip.ts";
import {
  checkInput,
  type Fitting,
  type Input,
  type InputSchema,
  type Tool,
  type ToolContext,
  type ToolResult,
} from "./tools/tool.ts";

export interface CallOptions {
  thread: string;
  tools: readonly Tool[];
  /** Number of the model step whose message asks for the call. */
  turn?: number;
  /** Where the thread's shell starts, relative to the workspace. */
  at?: string | undefined;
}

/** The effect of a call. Whatever is wrong with the call itself becomes a result for the model. */
export async function callEffect(scope: LiveScope, call: Call, options: CallOptions): Promise<Effect> {
  const { thread, turn } = options;
  const tool = options.tools.find(({ name }) => name === call.name);
  const what = await putBlock(scope, call);

  const answer = async (
    status: Performed["status"],
    result: Pick<ToolResult, "text" | "more" | "shell">,
  ): Promise<NonNullable<Performed["threads"]>> => {
    const text = clip(result.text.toWellFormed(), result.more);
    const item: Item = { role: "result", call: call.id, status, content: [{ type: "text", text }] };
    return { [thread]: { append: [await putItem(scope.store, item)], ...(result.shell && { shell: result.shell }) } };
  };

  return {
    // An unknown tool takes the lock like a reading one, so that its result keeps its place among those of its turn.
    intent: { kind: "tool", tier: tool?.tier ?? "reversible", thread, what },
    lock: tool?.lock ?? "shared",
    name: call.name,
    input: call.input as Json,
    ...(turn !== undefined && { turn }),
    run: async ({ key, input, signal }) => {
      const started = performance.now();
      const result = await perform(scope, tool, call, input, options, { key, signal });
      return {
        status: result.status,
        threads: await answer(result.status, result),
        result: await putBytes(scope.store, result.output ?? Buffer.from(result.text)),
        ...(result.facts && { facts: result.facts }),
        witness: { ms: Math.round(performance.now() - started) },
      };
    },
    refused: async (reason) => {
      const text = `not allowed: ${reason}`;
      return {
        status: "denied",
        threads: await answer("denied", { text }),
        result: await putBytes(scope.store, Buffer.from(text)),
      };
    },
  };
}

async function perform(
  scope: LiveScope,
  tool: Tool | undefined,
  call: Call,
  input: Json,
  { thread, tools, at }: CallOptions,
  attempt: Pick<ToolContext, "key" | "signal">,
): Promise<ToolResult> {
  if (!tool) {
    const names = tools.map(({ name }) => name).join(", ");
    return {
      status: "failed",
      text: `There is no tool ${JSON.stringify(call.name)}; ${names ? `there are ${names}` : "there are none"}.`,
    };
  }
  // A handler may have put another input in place of the model's.
  const given = plain(input);
  const checked = tool.check
    ? await tool.check(given)
    : fitting(checkInput({ ...tool, input: tool.input as InputSchema }, given));
  if (typeof checked === "string") return { status: "failed", text: checked };
  const { files, store } = scope;
  const sandbox = () => {
    if (!files) throw new Error(`${scope.ref.name} has no files here, so no tool can be run in it.`);
    return files.sandbox();
  };
  return tool.run(checked.input as Input, {
    store,
    run: scope.ref.name,
    sandbox,
    shell: shellOf(scope.writer.fold, thread),
    home: files?.path ?? "/",
    at,
    ...attempt,
  });
}

const fitting = (checked: Input | string): Fitting | string =>
  typeof checked === "string" ? checked : { input: checked };
