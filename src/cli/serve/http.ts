/** The door of `shepherd serve`: each route is a POST with an object, and is answered with lines. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { type Body, goneOf, openDoor, Refusal, sendPart, type Token } from "../../gateway/door.ts";
import type { Json } from "../../trace/ports.ts";
import type { Send } from "./answer.ts";

/** A request as it was understood. */
export interface Asked {
  route: string;
  body: { [key: string]: Json };
  /** Aborts when nobody waits for the answer any more. */
  gone: AbortSignal;
}

export interface RoutesOptions {
  token: Token | null;
  host: string | null;
  routes: ReadonlySet<string>;
  answer: (asked: Asked, send: Send) => Promise<void>;
}

export const openRoutes = ({ token, host, ...options }: RoutesOptions): Server =>
  openDoor({ token, host, answer: (request, response, body) => handle(request, response, body, options) });

async function handle(
  { method, url = "" }: IncomingMessage,
  response: ServerResponse,
  body: Body,
  { routes, answer }: Pick<RoutesOptions, "routes" | "answer">,
): Promise<void> {
  const route = /^\/v1\/([a-z]+)$/.exec(url)?.[1];
  if (!route || !routes.has(route))
    throw new Refusal(404, `There is no such address: /v1/ and one of ${[...routes].sort().join(", ")}.`);
  if (method !== "POST") throw new Refusal(405, "Requests are sent by POST.");
  const asked = await body(async (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new Refusal(400, "The body is not a JSON object.");
    return value;
  });
  const gone = goneOf(response);
  response.writeHead(200, { "content-type": "application/x-ndjson", "cache-control": "no-store", connection: "close" });
  await answer({ route, body: asked, gone }, (line) => sendPart(response, `${JSON.stringify(line)}\n`));
  response.end();
}
