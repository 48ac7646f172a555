/** A request as OpenAI Responses has it. */
import type { Block, Item } from "../../scope/thread.ts";
import type { Json } from "../../trace/ports.ts";
import type { ModelRequest } from "../model.ts";
import { type Body, isBlank, ordered, textOfInput } from "./body.ts";

export const API = "openai-responses";

export function responsesBody({ model, system, tools, messages, params }: ModelRequest): Body {
  const { api: _, ...more } = params ?? { api: API };
  return {
    model,
    ...more,
    ...(!isBlank(system) && { instructions: system }),
    input: messages.flatMap(itemsOf),
    ...(tools.length > 0 && {
      tools: tools.map(({ name, description, input }) => ({
        type: "function",
        name,
        description,
        parameters: input as Json,
        strict: false,
      })),
    }),
    stream: true,
  };
}

function itemsOf(item: Item): Body[] {
  if (item.role === "assistant") return written(item.content);
  if (item.role === "result")
    return [{ type: "function_call_output", call_id: item.call, output: textIn(item.content) }];
  const content = item.content.flatMap((block): Body[] => {
    if (block.type === "text") return [{ type: "input_text", text: block.text }];
    return block.type === "native" && block.api === API ? [block.value] : [];
  });
  return content.length > 0 ? [{ role: item.role, content }] : [];
}

const textIn = (content: readonly Block[]): string =>
  content.map((block) => (block.type === "text" ? block.text : "")).join("\n");

const ORDER = ["type", "id", "role", "status", "content"];

/** What the model wrote, as it wrote it: texts of one message are one again. */
function written(content: readonly Block[]): Body[] {
  const items: Body[] = [];
  let open: { item: Body; parts: Json[] } | null = null;
  for (const block of content) {
    if (block.type === "text") {
      const { item: about, ...extra } = block.extra ?? {};
      if (!open || about !== undefined) {
        const parts: Json[] = [];
        const item = { type: "message", role: "assistant", ...(about as Body | undefined), content: parts };
        open = { parts, item: ordered(item, ORDER) };
        items.push(open.item);
      }
      open.parts.push({ type: "output_text", text: block.text, annotations: [], ...extra });
      continue;
    }
    open = null;
    if (block.type === "call") {
      const { raw: _, ...extra } = block.extra ?? {};
      const { id, name } = block;
      items.push({ type: "function_call", ...extra, call_id: id, name, arguments: textOfInput(block) });
    } else if (block.api === API) items.push(block.value);
  }
  return items;
}
