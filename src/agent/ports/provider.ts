/** The port of a model behind a provider, or a server that speaks as one does. */
import { anthropicMessages } from "../../gateway/anthropic.ts";
import { CallError, callProvider, type Line } from "../../gateway/call.ts";
import { openaiChat } from "../../gateway/chat.ts";
import { costOf, type Price } from "../../gateway/prices.ts";
import type { Usage as Counts, Protocol } from "../../gateway/protocol.ts";
import { openaiResponses } from "../../gateway/responses.ts";
import { behind } from "../../gateway/route.ts";
import type { Upstream } from "../../gateway/upstream.ts";
import type { Json } from "../../trace/ports.ts";
import { type About, ModelError, type ModelEvent, type ModelPort, type ModelRequest, type Params } from "../model.ts";
import { anthropicBody } from "./anthropic.ts";
import { type Body, withText } from "./body.ts";
import { chatBody } from "./chat.ts";
import { responsesBody } from "./responses.ts";

export type Api = Protocol["api"];

interface Speech {
  protocol: Protocol;
  path: string;
  body(request: ModelRequest): Body;
  headers: { [name: string]: string };
}

const SPEECH: { [api in Api]: Speech } = {
  "anthropic-messages": {
    protocol: anthropicMessages,
    path: "/v1/messages",
    body: anthropicBody,
    headers: { "anthropic-version": "2023-06-01" },
  },
  "openai-responses": { protocol: openaiResponses, path: "/v1/responses", body: responsesBody, headers: {} },
  "openai-chat": { protocol: openaiChat, path: "/v1/chat/completions", body: chatBody, headers: {} },
};

export const APIS = Object.keys(SPEECH) as Api[];

export interface Served {
  /** As its provider calls it. */
  model: string;
  params: Params & { api: Api };
  context: number | undefined;
  price: Price | null;
  upstream: Upstream;
  /** What says who asks. They leave, and stand nowhere else. */
  key: { [name: string]: string };
}

/** The bytes of a request as they leave. */
export const bodyOf = (request: ModelRequest): Buffer =>
  Buffer.from(JSON.stringify(SPEECH[request.params!.api as Api].body(request)));

export function providerPort({ model, params, context, price, upstream, key }: Served, line: Line): ModelPort {
  const { protocol, path, headers } = SPEECH[params.api];
  const about = (usage: Counts | null | undefined): About => ({
    ...(usage && { usage: { ...usage } }),
    ...(usage && price && { cost: costOf(price, usage) }),
  });

  async function* call(request: ModelRequest, signal: AbortSignal): AsyncGenerator<ModelEvent> {
    const own = { protocol, upstream, path: behind(upstream, path), body: bodyOf(request) };
    const said = { ...headers, ...key, "content-type": "application/json", "user-agent": "shepherd" };
    const sent = { ...said, accept: "text/event-stream", "accept-encoding": "identity" };
    try {
      for await (const event of callProvider(line, { ...own, headers: sent }, signal)) {
        if (event.type === "said") yield { type: "delta", text: event.text };
        else if (event.type === "block")
          yield { type: "block", block: event.block.type === "call" ? withText(event.block) : event.block };
        else {
          const { stop, usage, tokens } = event.end;
          const { raw, measured } = event;
          const told = { ...about(usage), raw, ...measured, ...(tokens && { tokens: tokens as unknown as Json }) };
          yield { type: "end", stop, usage: {}, ...told };
        }
      }
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      const { message, mayHelp, about: known } = error;
      const told = { ...about(known.usage), ...(known.raw && { raw: known.raw }) };
      throw new ModelError(message, mayHelp, known.retryAfterMs, told);
    }
  }
  return { name: model, params, context, call };
}
