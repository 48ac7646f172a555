/** What is no model call (lists of models, counts of tokens, …) goes to the provider and back as it is, and is not recorded. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { beginAs, gone } from "./client.ts";
import { type Keys, putKey } from "./credentials.ts";
import { framingOf, headersFor, type Send, type Upstream } from "./upstream.ts";

export interface PassOn {
  upstream: Upstream;
  /** Behind the upstream's base. */
  path: string;
  send: Send;
  keys: Keys;
  signal: AbortSignal;
}

export async function passOn(
  request: IncomingMessage,
  response: ServerResponse,
  { upstream, path, send, keys, signal }: PassOn,
): Promise<void> {
  const left = gone(request, response);
  const headers = headersFor(request.headers);
  const { to } = await putKey(headers, upstream, keys);
  const framing = framingOf(request.headers);
  Object.assign(headers, framing);
  const method = request.method ?? "GET";
  const asksOnly = (method === "GET" || method === "HEAD") && Object.keys(framing).length === 0;
  const body = asksOnly ? null : request;
  const answer = await send(to, { method, path, headers, body, signal: AbortSignal.any([left, signal]) });
  beginAs(response, answer);
  answer.on("error", () => response.destroy());
  answer.pipe(response);
}
