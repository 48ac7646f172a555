/** OpenAI Chat Completions, and the many servers that speak it. */
import { plain } from "../scope/plain.ts";
import type { Block, Item } from "../scope/thread.ts";
import type { Json } from "../trace/ports.ts";
import {
  type AnswerReader,
  type Canonical,
  countOf,
  type End,
  type Heard,
  isMembers,
  joined,
  type Members,
  type Protocol,
  parseInput,
  parseMembers,
  rest,
  type Said,
  type Stop,
  type Usage,
} from "./protocol.ts";
import { tokensReader } from "./tokens.ts";

const API = "openai-chat";

const native = (value: Json): Block => ({ type: "native", api: API, value: isMembers(value) ? value : { value } });

function partOf(value: Json): Block {
  if (!isMembers(value) || value.type !== "text" || typeof value.text !== "string") return native(value);
  const extra = rest(value, "type", "text");
  return { type: "text", text: value.text, ...(extra && { extra }) };
}

const partsOf = (content: Json | undefined): Block[] => {
  if (typeof content === "string") return [{ type: "text", text: content }];
  return Array.isArray(content) ? content.map(partOf) : [];
};

function callOf(value: Json): Block {
  if (!isMembers(value) || typeof value.id !== "string") return native(value);
  if (isMembers(value.function) && typeof value.function.name === "string") {
    const { input, raw } = parseInput(String(value.function.arguments ?? ""));
    const extra = { ...rest(value, "type", "id", "index", "function"), ...(raw !== undefined && { raw }) };
    return {
      type: "call",
      id: value.id,
      name: value.function.name,
      input,
      ...(Object.keys(extra).length > 0 && { extra }),
    };
  }
  if (isMembers(value.custom) && typeof value.custom.name === "string")
    return {
      type: "call",
      id: value.id,
      name: value.custom.name,
      input: value.custom.input ?? "",
      extra: { type: "custom" },
    };
  return native(value);
}

/** A message of the assistant: what only its server knows first (its thinking), then what it says, then what it asks for. */
function writtenBlocks(message: Members): Block[] {
  const other = rest(message, "role", "content", "tool_calls");
  return [
    ...(other ? [native(other)] : []),
    ...(message.content === "" ? [] : partsOf(message.content)),
    ...(Array.isArray(message.tool_calls) ? message.tool_calls.map(callOf) : []),
  ];
}

function itemOf(message: Json): Item {
  if (!isMembers(message)) throw new Error("A message is no object.");
  const { role, tool_call_id: call } = message;
  if (role === "assistant") return { role, content: writtenBlocks(message) };
  if (role === "tool" && typeof call === "string") {
    const extra = rest(message, "role", "tool_call_id", "content");
    return { role: "result", call, status: "done", content: partsOf(message.content), ...(extra && { extra }) };
  }
  const content = partsOf(message.content);
  const other = rest(message, "role", "content");
  if (role === "system" || role === "developer" || role === "user")
    return { role, content: other ? [...content, native(other)] : content };
  return { role: "user", content: [native(message)] };
}

function canonical(body: Members): Canonical {
  const { model, messages, tools = null, stream: _, stream_options: __, ...params } = body;
  if (typeof model !== "string" || !Array.isArray(messages)) throw new Error("It has no model or no messages.");
  return {
    api: API,
    model: plain(model) as string,
    system: null,
    tools: plain(tools),
    params: plain(params) as Members,
    messages: joined(messages.map((each) => plain(itemOf(each)) as unknown as Item)),
  };
}

function usageOf(usage: Json | undefined): Usage | null {
  if (!isMembers(usage)) return null;
  const details = isMembers(usage.prompt_tokens_details) ? usage.prompt_tokens_details : {};
  const cacheRead = countOf(details.cached_tokens);
  const input = Math.max(0, countOf(usage.prompt_tokens) - cacheRead);
  return { input, output: countOf(usage.completion_tokens), cacheRead, cacheWrite: 0 };
}

const STOPS: { [reason: string]: Stop } = {
  stop: "end",
  tool_calls: "calls",
  function_call: "calls",
  length: "length",
  content_filter: "refused",
};
const stopOf = (reason: unknown): Stop => (typeof reason === "string" ? (STOPS[reason] ?? "other") : "other");

const settled = (blocks: Block[]): Block[] => plain(blocks) as unknown as Block[];

/** Puts a piece of a message to what is there: texts grow, all else is set. */
function grow(into: Members, piece: Members): void {
  for (const [name, value] of Object.entries(piece)) {
    const was = into[name];
    if (typeof value === "string" && typeof was === "string" && !FIXED.has(name)) into[name] = was + value;
    else if (isMembers(value) && isMembers(was)) grow(was, value);
    else if (Array.isArray(value) && Array.isArray(was)) into[name] = [...was, ...value];
    else if (value !== null) into[name] = isMembers(value) ? { ...value } : value;
  }
}
const FIXED: ReadonlySet<string> = new Set(["id", "type", "role", "name"]);

/** One choice as it grows. What came before a call is whole when the call begins; a call, when the next begins; all, at its end. */
function choiceReader(): { take(delta: Members, ended: boolean): Block[]; called: boolean } {
  let message: Members = {};
  let call: Members | null = null;
  let at: unknown;
  const self = { called: false, take };
  const close = (): Block[] => {
    const blocks = writtenBlocks(call ? { ...message, tool_calls: [call] } : message);
    message = {};
    call = null;
    return blocks;
  };
  function take({ tool_calls, role: _, ...delta }: Members, ended: boolean): Block[] {
    const blocks: Block[] = [];
    grow(message, delta);
    for (const piece of Array.isArray(tool_calls) ? tool_calls : []) {
      if (!isMembers(piece)) continue;
      const { index, ...more } = piece;
      if (call === null || (index !== undefined && index !== at)) {
        blocks.push(...close());
        call = {};
        at = index;
        self.called = true;
      }
      grow(call, more);
    }
    if (ended) blocks.push(...close());
    return settled(blocks);
  }
  return self;
}

function stream(): AnswerReader {
  const first = choiceReader();
  const others: Members[] = [];
  let usage: Usage | null = null;
  let stop: Stop | null = null;
  let begun = false;
  let id: string | null = null;
  const tokens = tokensReader();
  const end = (): End => ({
    stop: stop === "end" && first.called ? "calls" : (stop ?? "other"),
    usage,
    tokens: tokens.found(),
  });
  const close = (): Heard | null =>
    stop === null ? null : { blocks: settled(others.filter(Boolean).map(native)), end: end() };
  const read = (chunk: Members, said: Said | undefined): Heard | null => {
    if (isMembers(chunk.error))
      return {
        blocks: [],
        end: { stop: "other", usage, error: `${chunk.error.message ?? "The provider broke the answer off."}` },
      };
    if (typeof chunk.id === "string") id = chunk.id;
    usage = usageOf(chunk.usage) ?? usage;
    const blocks: Block[] = [];
    for (const choice of Array.isArray(chunk.choices) ? chunk.choices : []) {
      if (!isMembers(choice)) continue;
      const place = countOf(choice.index);
      if (place > 0) {
        const { delta = {}, index: _, ...about } = choice;
        others[place] ??= { index: place };
        grow(others[place], { ...about, message: delta });
        continue;
      }
      begun = true;
      tokens.take(chunk, choice);
      const ended = typeof choice.finish_reason === "string";
      if (ended) stop = stopOf(choice.finish_reason);
      const delta = isMembers(choice.delta) ? choice.delta : {};
      if (typeof delta.content === "string") said?.(delta.content);
      blocks.push(...first.take(delta, ended));
    }
    return blocks.length > 0 ? { blocks } : null;
  };
  return {
    get id() {
      return id;
    },
    get begun() {
      return begun;
    },
    get usage() {
      return usage;
    },
    take: (data, said) => {
      if (data.trim() === "[DONE]") return close();
      const chunk = parseMembers(data);
      return chunk && read(chunk, said);
    },
    close,
  };
}

function whole(): AnswerReader {
  let id: string | null = null;
  return {
    get id() {
      return id;
    },
    begun: false,
    usage: null,
    take: (data) => {
      const answer = parseMembers(data);
      const [first, ...others] = Array.isArray(answer?.choices) ? answer.choices : [];
      if (!answer || !isMembers(first) || !isMembers(first.message)) return null;
      if (typeof answer.id === "string") id = answer.id;
      const blocks = settled([...writtenBlocks(first.message), ...others.map(native)]);
      const stop = stopOf(first.finish_reason);
      const called = blocks.some((block) => block.type === "call");
      const tokens = tokensReader();
      tokens.take(answer, first);
      const usage = usageOf(answer.usage);
      return { blocks, end: { stop: stop === "end" && called ? "calls" : stop, usage, tokens: tokens.found() } };
    },
  };
}

export const openaiChat: Protocol = { api: API, provider: "openai", canonical, stream, whole };
