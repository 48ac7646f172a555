/** A request as Chat Completions have it, which many servers speak. */
import type { Block, Item } from "../../scope/thread.ts";
import type { Json } from "../../trace/ports.ts";
import type { ModelRequest } from "../model.ts";
import { type Body, isBlank, textOfInput } from "./body.ts";

export const API = "openai-chat";

export function chatBody({ model, system, tools, messages, params }: ModelRequest): Body {
  const { api: _, ...more } = params ?? { api: API };
  return {
    model,
    ...more,
    messages: [...(isBlank(system) ? [] : [{ role: "system", content: system }]), ...messages.flatMap(messagesOf)],
    ...(tools.length > 0 && {
      tools: tools.map(({ name, description, input }) => ({
        type: "function",
        function: { name, description, parameters: input as Json },
      })),
    }),
    stream: true,
    stream_options: { include_usage: true },
  };
}

function messagesOf(item: Item): Body[] {
  const { content } = item;
  if (item.role === "result") return [{ role: "tool", tool_call_id: item.call, content: textIn(content) }];
  if (item.role === "assistant") return written(content);
  const parts = content.flatMap((block): Json[] => {
    if (block.type === "text") return [{ type: "text", text: block.text }];
    return block.type === "native" && block.api === API ? [block.value] : [];
  });
  if (parts.length === 0) return [];
  return [{ role: item.role, content: content.every(({ type }) => type === "text") ? textIn(content) : parts }];
}

const textIn = (content: readonly Block[]): string =>
  content.map((block) => (block.type === "text" ? block.text : "")).join("\n");

function written(content: readonly Block[]): Body[] {
  const text = content.map((block) => (block.type === "text" ? block.text : "")).join("");
  const calls = content.flatMap((block): Json[] =>
    block.type === "call"
      ? [{ id: block.id, type: "function", function: { name: block.name, arguments: textOfInput(block) } }]
      : [],
  );
  // Its thinking, by the names that its server has for that.
  const own = content.flatMap((block) => (block.type === "native" && block.api === API ? [block.value] : []));
  if (text === "" && calls.length === 0 && own.length === 0) return [];
  return [
    {
      role: "assistant",
      content: text === "" ? null : text,
      ...Object.assign({}, ...own),
      ...(calls.length > 0 && { tool_calls: calls }),
    },
  ];
}
