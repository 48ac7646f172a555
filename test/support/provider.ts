/** Scripted servers that speak the protocols of real providers, event by event. */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Asked {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the client said
  json: any;
}

export type Answer = (asked: Asked, response: ServerResponse, request: IncomingMessage) => Promise<void> | void;

export interface Provider {
  url: string;
  asked: Asked[];
  /** What answers from now on. */
  answer: Answer;
  close(): Promise<void>;
}

export async function startProvider(answer: Answer): Promise<Provider> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks);
      let json: unknown = null;
      try {
        json = JSON.parse(body.toString());
      } catch {}
      const asked = { method: request.method!, url: request.url!, headers: request.headers, body, json };
      provider.asked.push(asked);
      void Promise.resolve(provider.answer(asked, response, request)).catch(() => response.destroy());
    });
    response.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const provider: Provider = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: [],
    answer,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return provider;
}

// biome-ignore lint/suspicious/noExplicitAny: blocks as each provider writes them
export type Wire = any;

const named = (event: Wire): string => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;

const halves = (text: string): string[] => [text.slice(0, text.length >> 1), text.slice(text.length >> 1)];

/** Events of Anthropic Messages for blocks as a client sends them back. */
export function anthropicEvents(
  blocks: Wire[],
  { stop = "", usage = {} as Wire, model = "claude-haiku-4-5", id = "msg_01" } = {},
): string[] {
  const events: Wire[] = [
    {
      type: "message_start",
      message: {
        id,
        type: "message",
        role: "assistant",
        model,
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: {
          input_tokens: 100,
          cache_creation_input_tokens: 20,
          cache_read_input_tokens: 300,
          output_tokens: 1,
          ...usage,
        },
      },
    },
    { type: "ping" },
  ];
  for (const [index, block] of blocks.entries()) {
    const { type } = block;
    const delta = (more: Wire): void => void events.push({ type: "content_block_delta", index, delta: more });
    if (type === "text") {
      events.push({ type: "content_block_start", index, content_block: { type, text: "" } });
      for (const text of halves(block.text)) delta({ type: "text_delta", text });
    } else if (type === "thinking") {
      events.push({ type: "content_block_start", index, content_block: { type, thinking: "", signature: "" } });
      for (const thinking of halves(block.thinking)) delta({ type: "thinking_delta", thinking });
      delta({ type: "signature_delta", signature: block.signature });
    } else if (type === "tool_use" || type === "server_tool_use") {
      events.push({ type: "content_block_start", index, content_block: { ...block, input: {} } });
      for (const partial_json of ["", ...halves(JSON.stringify(block.input))])
        delta({ type: "input_json_delta", partial_json });
    } else events.push({ type: "content_block_start", index, content_block: block });
    events.push({ type: "content_block_stop", index });
  }
  const reason = stop || (blocks.some(({ type }) => type === "tool_use") ? "tool_use" : "end_turn");
  events.push({
    type: "message_delta",
    delta: { stop_reason: reason, stop_sequence: null },
    usage: { output_tokens: 50 },
  });
  events.push({ type: "message_stop" });
  return events.map(named);
}

export const anthropicWhole = (content: Wire[], model = "claude-haiku-4-5"): Wire => ({
  id: "msg_02",
  type: "message",
  role: "assistant",
  model,
  content,
  stop_reason: content.some(({ type }) => type === "tool_use") ? "tool_use" : "end_turn",
  stop_sequence: null,
  usage: { input_tokens: 10, output_tokens: 5 },
});

/** Events of OpenAI Responses for items of the output. */
export function responsesEvents(items: Wire[], id = "resp_1"): string[] {
  const response = (status: string, more: Wire = {}): Wire => ({ id, object: "response", status, output: [], ...more });
  const events: Wire[] = [
    { type: "response.created", response: response("in_progress") },
    { type: "response.in_progress", response: response("in_progress") },
  ];
  for (const [output_index, item] of items.entries()) {
    const item_id = item.id;
    if (item.type === "message") {
      events.push({
        type: "response.output_item.added",
        output_index,
        item: { ...item, status: "in_progress", content: [] },
      });
      for (const [content_index, part] of item.content.entries()) {
        events.push({
          type: "response.content_part.added",
          item_id,
          output_index,
          content_index,
          part: { ...part, text: "" },
        });
        for (const delta of halves(part.text))
          events.push({ type: "response.output_text.delta", item_id, output_index, content_index, delta });
        events.push({ type: "response.output_text.done", item_id, output_index, content_index, text: part.text });
        events.push({ type: "response.content_part.done", item_id, output_index, content_index, part });
      }
    } else if (item.type === "function_call") {
      events.push({
        type: "response.output_item.added",
        output_index,
        item: { ...item, status: "in_progress", arguments: "" },
      });
      for (const delta of halves(item.arguments))
        events.push({ type: "response.function_call_arguments.delta", item_id, output_index, delta });
      events.push({ type: "response.function_call_arguments.done", item_id, output_index, arguments: item.arguments });
    } else events.push({ type: "response.output_item.added", output_index, item });
    events.push({ type: "response.output_item.done", output_index, item });
  }
  const usage = {
    input_tokens: 120,
    input_tokens_details: { cached_tokens: 20 },
    output_tokens: 30,
    output_tokens_details: { reasoning_tokens: 4 },
    total_tokens: 150,
  };
  events.push({ type: "response.completed", response: response("completed", { output: items, usage }) });
  return events.map((event, sequence_number) => named({ ...event, sequence_number }));
}

export const functionCall = (call_id: string, name: string, input: object): Wire => ({
  type: "function_call",
  id: `fc_${call_id}`,
  call_id,
  name,
  arguments: JSON.stringify(input),
  status: "completed",
});
export const outputText = (text: string): Wire => ({
  type: "message",
  id: "msg_1",
  role: "assistant",
  status: "completed",
  content: [{ type: "output_text", text, annotations: [] }],
});

/** Chunks of OpenAI Chat Completions for a message. */
export function chatEvents(message: Wire, { done = true } = {}): string[] {
  const chunk = (delta: Wire, finish_reason: string | null = null, more: Wire = {}): Wire => ({
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "gpt-4o",
    choices: [{ index: 0, delta, logprobs: null, finish_reason }],
    ...more,
  });
  const chunks: Wire[] = [chunk({ role: "assistant", content: "" })];
  if (message.reasoning_content)
    for (const reasoning_content of halves(message.reasoning_content)) chunks.push(chunk({ reasoning_content }));
  if (message.content) for (const content of halves(message.content)) chunks.push(chunk({ content }));
  for (const [
    index,
    {
      id,
      function: { name, arguments: words },
    },
  ] of (message.tool_calls ?? []).entries()) {
    chunks.push(chunk({ tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] }));
    for (const half of halves(words)) chunks.push(chunk({ tool_calls: [{ index, function: { arguments: half } }] }));
  }
  chunks.push(chunk({}, message.tool_calls ? "tool_calls" : "stop"));
  const usage = {
    prompt_tokens: 40,
    completion_tokens: 9,
    total_tokens: 49,
    prompt_tokens_details: { cached_tokens: 8 },
  };
  chunks.push({ ...chunk({}), choices: [], usage });
  return [...chunks.map((each) => `data: ${JSON.stringify(each)}\n\n`), ...(done ? ["data: [DONE]\n\n"] : [])];
}

export const streamed =
  (events: string[]): Answer =>
  async (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "request-id": "req_1" });
    for (const event of events) response.write(event);
    response.end();
  };

export const answered =
  (status: number, body: unknown, headers: { [name: string]: string } = {}): Answer =>
  (_, response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  };
