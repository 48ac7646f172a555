/** Anthropic Messages. */
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
  parseMembers,
  rest,
  type Said,
  type Stop,
  type Usage,
} from "./protocol.ts";

const API = "anthropic-messages";

/** Where a client lets the provider cache moves from request to request, and says nothing. */
const uncached = (value: Json): Json => {
  if (Array.isArray(value)) return value.map(uncached);
  if (!isMembers(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([name]) => name !== "cache_control"));
};

export function blockOf(given: Json): Block {
  const value = uncached(given) as Members;
  if (value?.type === "text" && typeof value.text === "string") {
    const extra = rest(value, "type", "text");
    return { type: "text", text: value.text, ...(extra && { extra }) };
  }
  if (value?.type === "tool_use" && typeof value.id === "string" && typeof value.name === "string") {
    const extra = rest(value, "type", "id", "name", "input");
    return { type: "call", id: value.id, name: value.name, input: value.input ?? {}, ...(extra && { extra }) };
  }
  return { type: "native", api: API, value: isMembers(value) ? value : { value: value ?? null } };
}

const blocksOf = (content: Json | undefined): Block[] => {
  if (typeof content === "string") return [{ type: "text", text: content }];
  return Array.isArray(content) ? content.map(blockOf) : [];
};

function resultOf(value: Members): Item {
  const extra = rest(value, "type", "tool_use_id", "content", "is_error", "cache_control");
  return {
    role: "result",
    call: value.tool_use_id as string,
    status: value.is_error === true ? "failed" : "done",
    content: blocksOf(value.content),
    ...(extra && { extra }),
  };
}

function itemsOf(message: Json): Item[] {
  if (!isMembers(message)) throw new Error("A message is no object.");
  const { role, content } = message;
  if (role !== "user")
    return [{ role: role === "assistant" || role === "system" ? role : "user", content: blocksOf(content) }];
  const items: Item[] = [];
  for (const part of Array.isArray(content) ? content : [content ?? ""]) {
    if (isMembers(part) && part.type === "tool_result" && typeof part.tool_use_id === "string")
      items.push(resultOf(part));
    else {
      const last = items.at(-1);
      const blocks = typeof part === "string" ? blocksOf(part) : [blockOf(part)];
      if (last?.role === "user") last.content.push(...blocks);
      else items.push({ role: "user", content: blocks });
    }
  }
  return items;
}

function canonical(body: Members): Canonical {
  const { model, messages, system = null, tools = null, stream: _, cache_control: __, ...params } = body;
  if (typeof model !== "string" || !Array.isArray(messages)) throw new Error("It has no model or no messages.");
  return {
    api: API,
    model: plain(model) as string,
    system: plain(typeof system === "string" ? [{ type: "text", text: system }] : uncached(system)),
    tools: plain(uncached(tools)),
    params: plain(params) as Members,
    messages: joined(messages.flatMap(itemsOf).map((item) => plain(item) as unknown as Item)),
  };
}

const STOPS: { [reason: string]: Stop } = {
  end_turn: "end",
  stop_sequence: "end",
  tool_use: "calls",
  max_tokens: "length",
  model_context_window_exceeded: "length",
  refusal: "refused",
  pause_turn: "pause",
};

const stopOf = (reason: unknown): Stop => (typeof reason === "string" ? (STOPS[reason] ?? "other") : "other");

function usageOf(usage: Members): Usage {
  const hour = isMembers(usage.cache_creation) ? countOf(usage.cache_creation.ephemeral_1h_input_tokens) : 0;
  return {
    input: countOf(usage.input_tokens),
    output: countOf(usage.output_tokens),
    cacheRead: countOf(usage.cache_read_input_tokens),
    cacheWrite: countOf(usage.cache_creation_input_tokens),
    ...(hour > 0 && { cacheWriteHour: hour }),
  };
}

const wordsOf = (error: Json | undefined): string =>
  isMembers(error) ? `${error.type ?? "error"}: ${error.message ?? ""}` : "The provider broke the answer off.";

/** Puts a delta to the block that grows. */
function grow(block: Members, delta: Members): void {
  const add = (name: string, more: unknown): void => {
    if (typeof more === "string") block[name] = `${typeof block[name] === "string" ? block[name] : ""}${more}`;
  };
  if (delta.type === "text_delta") add("text", delta.text);
  else if (delta.type === "thinking_delta") add("thinking", delta.thinking);
  else if (delta.type === "signature_delta") add("signature", delta.signature);
  else if (delta.type === "input_json_delta") add("input_json", delta.partial_json);
  else if (delta.type === "citations_delta")
    block.citations = [...(Array.isArray(block.citations) ? block.citations : []), delta.citation ?? null];
  else block.deltas = [...(Array.isArray(block.deltas) ? block.deltas : []), delta];
}

function finished({ input_json, ...block }: Members): Block {
  if (typeof input_json === "string" && input_json !== "")
    try {
      block.input = JSON.parse(input_json) as Json;
    } catch {
      block.input = input_json;
    }
  return plain(blockOf(block)) as unknown as Block;
}

function stream(): AnswerReader {
  const open = new Map<unknown, Members>();
  let usage: Members | null = null;
  let begun = false;
  let stop: Stop = "other";
  let id: string | null = null;
  const read = (event: Members, said: Said | undefined): Heard | null => {
    switch (event.type) {
      case "message_start": {
        const message = isMembers(event.message) ? event.message : {};
        if (isMembers(message.usage)) usage = message.usage;
        if (typeof message.id === "string") id = message.id;
        return null;
      }
      case "content_block_start":
        begun = true;
        if (isMembers(event.content_block)) open.set(event.index, { ...event.content_block });
        return null;
      case "content_block_delta": {
        const block = open.get(event.index);
        if (block && isMembers(event.delta)) grow(block, event.delta);
        if (block && isMembers(event.delta) && typeof event.delta.text === "string") said?.(event.delta.text);
        return null;
      }
      case "content_block_stop": {
        const block = open.get(event.index);
        open.delete(event.index);
        return block ? { blocks: [finished(block)] } : null;
      }
      case "message_delta":
        if (isMembers(event.delta)) stop = stopOf(event.delta.stop_reason);
        if (isMembers(event.usage)) usage = { ...usage, ...rest(event.usage) };
        return null;
      case "message_stop":
        return { blocks: [], end: { stop, usage: usage && usageOf(usage) } };
      case "error":
        return { blocks: [], end: { stop, usage: usage && usageOf(usage), error: wordsOf(event.error) } };
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
      return usage && usageOf(usage);
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
      const message = parseMembers(data);
      if (message?.type !== "message" || !Array.isArray(message.content)) return null;
      if (typeof message.id === "string") id = message.id;
      const end: End = {
        stop: stopOf(message.stop_reason),
        usage: isMembers(message.usage) ? usageOf(message.usage) : null,
      };
      return { blocks: message.content.map((each) => plain(blockOf(each)) as unknown as Block), end };
    },
  };
}

export const anthropicMessages: Protocol = { api: API, provider: "anthropic", canonical, stream, whole };
