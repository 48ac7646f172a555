/** Clients over HTTP: each message is a POST to one address, and what is said to it is the body of the answer, as the protocol's "streamable HTTP" has it. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { REVISIONS } from "../../agent/mcp/rpc.ts";
import { type Body, goneOf, openDoor, Refusal, sendPart, type Token } from "../../gateway/door.ts";
import { isMembers } from "../../gateway/protocol.ts";
import type { Json } from "../../trace/ports.ts";
import type { Session } from "./session.ts";

export interface McpDoorOptions {
  token: Token | null;
  /** The id of a session, which nobody else can guess. */
  newId: () => string;
  newSession: () => Session;
}

export interface McpDoor {
  server: Server;
  /** Takes back what is not begun, and waits for the rest and for its answers. */
  close(): Promise<void>;
}

export const PATH = "/mcp";
/** So many sessions at once; one more ends the one that was silent for longest. */
const MOST = 64;

export function openMcpDoor({ token, newId, newSession }: McpDoorOptions): McpDoor {
  /** The one that was used last is the last. */
  const sessions = new Map<string, Session>();
  const open = new Set<Promise<void>>();

  const sessionOf = (id: string | undefined): Session => {
    if (id === undefined) throw new Refusal(400, 'The header Mcp-Session-Id is missing: "initialize" gives it.');
    const session = sessions.get(id);
    if (!session) throw new Refusal(404, "There is no such session (any more).");
    sessions.delete(id);
    sessions.set(id, session);
    return session;
  };

  const makeRoom = (): void => {
    if (sessions.size < MOST) return;
    const idle = [...sessions].find(([, { busy }]) => busy === 0);
    if (!idle) throw new Refusal(503, "Too many clients are at work here: try again.");
    sessions.delete(idle[0]);
  };

  const begin = (message: Json, response: ServerResponse): Session => {
    const session = newSession();
    // One that is refused begins nothing.
    if (!isMembers(message) || !isMembers(message.params) || typeof message.params.protocolVersion !== "string")
      return session;
    makeRoom();
    const id = newId();
    sessions.set(id, session);
    response.setHeader("mcp-session-id", id);
    return session;
  };

  const post = async (request: IncomingMessage, response: ServerResponse, body: Body): Promise<void> => {
    const { headers } = request;
    const version = headers["mcp-protocol-version"];
    if (version !== undefined && !REVISIONS.some((each) => each === version))
      throw new Refusal(400, `The header MCP-Protocol-Version names no revision that is spoken here.`);
    const message = await body(async (value) => value);
    const gone = goneOf(response);
    const begins = isMembers(message) && message.method === "initialize" && headers["mcp-session-id"] === undefined;
    const session = begins ? begin(message, response) : sessionOf(headers["mcp-session-id"] as string | undefined);
    const streams = isCall(message) && /text\/event-stream|\*\/\*/.test(headers.accept ?? "*/*");
    const event = (said: Json): Promise<void> =>
      sendPart(response, `event: message\ndata: ${JSON.stringify(said)}\n\n`);
    response.setHeader("cache-control", "no-store");
    // The head is sent before the answer is known: it may take long.
    if (streams) response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    const notify = (said: Json): void => {
      if (streams) void event(said);
    };
    const said = await session.hear(message, notify, gone);
    if (streams) {
      if (said !== null) await event(said);
      response.end();
    } else if (said === null) response.writeHead(202).end();
    else response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(said));
  };

  const answer = async (request: IncomingMessage, response: ServerResponse, body: Body): Promise<void> => {
    const { method, url = "", headers } = request;
    if (url !== PATH) throw new Refusal(404, `There is no such address: ${PATH} is the one.`);
    if (method === "DELETE") {
      const session = sessionOf(headers["mcp-session-id"] as string | undefined);
      sessions.delete(headers["mcp-session-id"] as string);
      await session.close();
      response.writeHead(204).end();
      return;
    }
    response.setHeader("allow", "POST, DELETE");
    if (method !== "POST") throw new Refusal(405, "Messages are sent by POST; nothing is said that was not asked.");
    response.removeHeader("allow");
    await post(request, response, body);
  };

  return {
    server: openDoor({
      token,
      host: null,
      answer: (request, response, body) => {
        const answered = answer(request, response, body);
        open.add(answered);
        const forget = (): void => void open.delete(answered);
        answered.then(forget, forget);
        return answered;
      },
    }),
    close: async () => {
      await Promise.all([...sessions.values()].map((session) => session.close()));
      await Promise.allSettled([...open]);
    },
  };
}

/** Whether an answer may take long, and be told of before. */
const isCall = (message: Json): boolean =>
  Array.isArray(message) ? message.some(isCall) : isMembers(message) && message.method === "tools/call";
