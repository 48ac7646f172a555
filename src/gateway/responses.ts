/** OpenAI Responses. */
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
  type Usage,
} from "./protocol.ts";

const API = "openai-responses";

const native = (value: Json): Block => ({
  type: "native",
  api: API,
  value: isMembers(value) ? value : { value },
});

const TEXTS: ReadonlySet<unknown> = new Set(["input_text", "output_text", "text"]);

function partOf(value: Json): Block {
  if (!isMembers(value) || !TEXTS.has(value.type) || typeof value.text !== "string") return native(value);
  const extra = rest(value, "type", "text");
  return { type: "text", text: value.text, ...(extra && { extra }) };
}

const partsOf = (content: Json | undefined): Block[] => {
  if (typeof content === "string") return [{ type: "text", text: content }];
  return Array.isArray(content) ? content.map(partOf) : [];
};

/** A call as an item of the answer, or of the conversation; null for what is none. */
function callOf(item: Members): Block | null {
  const { type, call_id: id } = item;
  if (typeof type !== "string" || typeof id !== "string" || !type.endsWith("_call")) return null;
  if (type === "function_call" && typeof item.name === "string" && typeof item.arguments === "string") {
    const { input, raw } = parseInput(item.arguments);
    const extra = { ...rest(item, "type", "call_id", "name", "arguments"), ...(raw !== undefined && { raw }) };
    return { type: "call", id, name: item.name, input, ...(Object.keys(extra).length > 0 && { extra }) };
  }
  if (type === "custom_tool_call" && typeof item.name === "string")
    return {
      type: "call",
      id,
      name: item.name,
      input: item.input ?? "",
      extra: rest(item, "call_id", "name", "input")!,
    };
  const extra = rest(item, "call_id", "action")!;
  return { type: "call", id, name: type.slice(0, -"_call".length), input: item.action ?? {}, extra };
}

/** Blocks of an item that the model wrote. */
function writtenBlocks(item: Members): Block[] {
  if (item.type === "message" || (item.type === undefined && item.role === "assistant")) {
    const blocks = partsOf(item.content);
    const about = rest(item, "type", "role", "content");
    const first = blocks[0];
    if (about && first?.type === "text") first.extra = { ...first.extra, item: about };
    return blocks;
  }
  return [callOf(item) ?? native(item)];
}

function itemOf(item: Json): Item {
  if (!isMembers(item)) throw new Error("An item of the input is no object.");
  const { type, role, call_id } = item;
  if (typeof type === "string" && type.endsWith("_output") && typeof call_id === "string") {
    const extra = rest(item, ...(type === "function_call_output" ? ["type"] : []), "call_id", "output");
    return { role: "result", call: call_id, status: "done", content: partsOf(item.output), ...(extra && { extra }) };
  }
  const said = type === "message" || type === undefined;
  if (role === "user" || role === "system" || role === "developer")
    return { role, content: said ? partsOf(item.content) : [native(item)] };
  return { role: "assistant", content: writtenBlocks(item) };
}

function canonical(body: Members): Canonical {
  const { model, input, instructions = null, tools = null, ...other } = body;
  // How the answer is to be sent, and what a client says of itself: its clock, and names of its own.
  const { stream: _, stream_options: __, client_metadata: ___, ...params } = other;
  if (typeof model !== "string" || (typeof input !== "string" && !Array.isArray(input)))
    throw new Error("It has no model or no input.");
  const items = typeof input === "string" ? [{ role: "user", content: input }] : input;
  return {
    api: API,
    model: plain(model) as string,
    system: plain(instructions),
    tools: plain(tools),
    params: plain(params) as Members,
    messages: joined(items.map((each) => plain(itemOf(each)) as unknown as Item)),
  };
}

export function usageOf(usage: Json | undefined): Usage | null {
  if (!isMembers(usage)) return null;
  const details = isMembers(usage.input_tokens_details) ? usage.input_tokens_details : {};
  const cacheRead = countOf(details.cached_tokens);
  return {
    input: Math.max(0, countOf(usage.input_tokens) - cacheRead),
    output: countOf(usage.output_tokens),
    cacheRead,
    cacheWrite: 0,
  };
}

function endOf(response: Members, called: boolean): End {
  const usage = usageOf(response.usage);
  const why = isMembers(response.incomplete_details) ? response.incomplete_details.reason : undefined;
  if (response.status === "failed" || response.status === "cancelled") {
    const { message, code } = isMembers(response.error) ? response.error : {};
    return { stop: "other", usage, error: `${code ?? "error"}: ${message ?? `the answer was ${response.status}`}` };
  }
  if (response.status === "incomplete") return { stop: why === "content_filter" ? "refused" : "length", usage };
  return { stop: called ? "calls" : "end", usage };
}

const isCall = (block: Block): boolean => block.type === "call";
const settled = (blocks: Block[]): Block[] => plain(blocks) as unknown as Block[];

function stream(): AnswerReader {
  const added = new Map<unknown, Members>();
  const seen = new Set<unknown>();
  let called = false;
  let begun = false;
  let usage: Usage | null = null;
  let id: string | null = null;
  const give = (place: unknown, item: Members): Block[] => {
    if (seen.has(place)) return [];
    seen.add(place);
    const blocks = settled(writtenBlocks(item));
    called ||= blocks.some(isCall);
    return blocks;
  };
  const read = (event: Members, said: Said | undefined): Heard | null => {
    const place = event.output_index;
    switch (event.type) {
      case "response.created":
        if (isMembers(event.response) && typeof event.response.id === "string") id = event.response.id;
        return null;
      case "response.output_item.added":
        begun = true;
        if (isMembers(event.item)) added.set(place, event.item);
        return null;
      case "response.output_text.delta":
        if (typeof event.delta === "string") said?.(event.delta);
        return null;
      // Whoever reads closely may act on these already.
      case "response.function_call_arguments.done":
      case "response.custom_tool_call_input.done": {
        const item = added.get(place);
        if (!item || !callOf({ ...item, arguments: "{}" })) return null;
        const { arguments: words, input } = event;
        const said = typeof words === "string" ? { arguments: words } : { input: input ?? "" };
        return { blocks: give(place, { ...item, ...(item.status !== undefined && { status: "completed" }), ...said }) };
      }
      case "response.output_item.done":
        return isMembers(event.item) ? { blocks: give(place, event.item) } : null;
      case "response.completed":
      case "response.incomplete":
      case "response.failed": {
        const response = isMembers(event.response) ? event.response : {};
        if (typeof response.id === "string") id = response.id;
        const output = Array.isArray(response.output) ? response.output : [];
        // Some servers tell of an item here alone.
        const blocks = output.flatMap((item, at) => (isMembers(item) ? give(at, item) : []));
        const end = endOf(response, called);
        usage = end.usage;
        return { blocks, end };
      }
      case "error":
        return {
          blocks: [],
          end: { stop: "other", usage: null, error: `${event.code ?? "error"}: ${event.message ?? ""}` },
        };
      default:
        return null;
    }
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
      const event = parseMembers(data);
      return event && read(event, said);
    },
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
      const response = parseMembers(data);
      if (!response || !Array.isArray(response.output)) return null;
      if (typeof response.id === "string") id = response.id;
      const blocks = settled(response.output.flatMap((item) => (isMembers(item) ? writtenBlocks(item) : [])));
      return { blocks, end: endOf(response, blocks.some(isCall)) };
    },
  };
}

export const openaiResponses: Protocol = { api: API, provider: "openai", canonical, stream, whole };
