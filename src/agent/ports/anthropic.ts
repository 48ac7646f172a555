/** A request as Anthropic Messages has it. */
import { createHash } from "node:crypto";
import type { Block, Item } from "../../scope/thread.ts";
import type { Json } from "../../trace/ports.ts";
import type { ModelRequest } from "../model.ts";
import { type Body, inputOf, isBlank, ordered } from "./body.ts";

export const API = "anthropic-messages";

/** Up to here the provider may keep what it read, for the requests that go on from it. */
const KEEP = { cache_control: { type: "ephemeral" } };

export function anthropicBody({ model, system, tools, messages, params }: ModelRequest): Body {
  const { api: _, ...more } = params ?? { api: API };
  return {
    model,
    ...more,
    ...(!isBlank(system) && { system: [{ type: "text", text: system, ...KEEP }] }),
    ...(tools.length > 0 && {
      tools: tools.map(({ name, description, input }) => ({ name, description, input_schema: input as Json })),
    }),
    messages: kept(turns(messages)),
    stream: true,
  };
}

interface Turn {
  role: "user" | "assistant";
  content: Body[];
}

/** Messages in turns; results come first in theirs, as the provider wants it. */
function turns(items: readonly Item[]): Turn[] {
  const made: Turn[] = [];
  for (const item of items) {
    const role = item.role === "assistant" ? "assistant" : "user";
    const content = item.role === "result" ? [resultOf(item)] : item.content.flatMap(blockOf);
    // The provider takes no empty message.
    if (content.length === 0) continue;
    const last = made.at(-1);
    if (last?.role !== role) made.push({ role, content });
    else if (item.role === "result") {
      const end = last.content.findLastIndex(({ type }) => type === "tool_result");
      last.content.splice(end + 1, 0, ...content);
    } else last.content.push(...content);
  }
  return made;
}

/** Marks the end of the conversation, and where that of the request before this one was: it looks back from a mark over a few blocks alone. */
function kept(made: Turn[]): Json[] {
  const asked = made.findLastIndex(({ role }) => role === "assistant");
  for (const at of new Set([asked - 1, made.length - 1])) {
    const { role, content } = made[at] ?? { content: [] };
    if (role === "user") content[content.length - 1] = { ...content.at(-1)!, ...KEEP };
  }
  return made as unknown as Json[];
}

const ORDER = ["type", "id", "name", "input", "text", "thinking", "signature", "data"];

function blockOf(block: Block): Body[] {
  if (block.type === "text") return isBlank(block.text) ? [] : [{ type: "text", text: block.text }];
  if (block.type === "call") return [{ type: "tool_use", id: idOf(block.id), name: block.name, input: inputOf(block) }];
  // What another provider knows says nothing to this one.
  return block.api === API ? [ordered(block.value, ORDER)] : [];
}

function resultOf({ call, status, content }: Extract<Item, { role: "result" }>): Body {
  const said = content.flatMap(blockOf);
  return {
    type: "tool_result",
    tool_use_id: idOf(call),
    ...(said.length > 0 && { content: said }),
    ...(status !== "done" && { is_error: true }),
  };
}

/** The provider takes no others; one that another model has made gets a name of its own that it takes. */
const idOf = (id: string): string =>
  /^[\w-]{1,64}$/.test(id) ? id : `call_${createHash("sha256").update(id).digest("hex").slice(0, 24)}`;
