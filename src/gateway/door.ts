/**
 * A door: HTTP on a socket of the file system or on a port, for who may come in. What is not a whole, plain, authenticated request gets a
 * sentence, and does nothing.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isIP, type Socket } from "node:net";
import type { Json } from "../trace/ports.ts";
import { makeWhole, TooMuch } from "./bodies.ts";

/** What who comes in must know. */
export interface Token {
  /** The file that holds it. */
  path: string;
  /** Whether a header `Authorization` has it. */
  isIn(header: string | undefined): boolean;
}

export interface DoorOptions {
  /** What must be known; null where the mode of the socket says who may connect. */
  token: Token | null;
  /** The name by which it may be asked for, beside those of this machine. */
  host: string | null;
  /** Answers a request of somebody who may come in. Throws `Refusal` for what it does not answer. */
  answer: (request: IncomingMessage, response: ServerResponse, body: Body) => Promise<void>;
}

/** Runs `work` with the JSON that the body of the request is. Throws `Refusal` where that is none, `TooMuch` where it is too large. */
export type Body = <T>(work: (value: Json) => Promise<T>) => Promise<T>;

/** Bytes of a request, and of all that are in hand. */
const LARGEST = 8 << 20;
const ROOM = 64 << 20;
/** So long a request may take to come, its head and all of it, in ms. */
const HEAD = 10_000;
const WHOLE = 30_000;
/** So many connections at once: each takes a file of this process. */
const CONNECTIONS = 1024;
/** What is refused is still read for so long, so that who sends it comes to hear why, in ms. */
const PATIENCE = 1000;

/** Thrown for a request that is not answered, with its status and a sentence. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export function openDoor(options: DoorOptions): Server {
  const whole = makeWhole(LARGEST, ROOM);
  const server = createServer({ connectionsCheckingInterval: 1000 }, (request, response) => {
    response.on("error", () => {});
    const body: Body = (work) => {
      if (!/^application\/json *(;|$)/i.test(request.headers["content-type"] ?? ""))
        throw new Refusal(415, "The body of a request is JSON: its content-type is application/json.");
      return whole(request, (bytes) => work(parse(bytes)));
    };
    comeIn(request, options)
      .then(() => options.answer(request, response, body))
      .catch(async (error: unknown) => {
        if (response.headersSent) return void response.destroy();
        const { status, message } =
          error instanceof Refusal || error instanceof TooMuch
            ? error
            : new Refusal(500, "The request could not be answered.");
        await readOn(request);
        const headers = { "content-type": "application/json", connection: "close" };
        response.writeHead(status, headers).end(`${JSON.stringify({ error: message })}\n`);
      });
  });
  server.headersTimeout = HEAD;
  server.requestTimeout = WHOLE;
  server.maxConnections = CONNECTIONS;
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    const [status, why] =
      error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? ["408 Request Timeout", "The request did not come in time."]
        : error.code === "HPE_HEADER_OVERFLOW"
          ? ["431 Request Header Fields Too Large", "The head of the request is too large."]
          : ["400 Bad Request", "That is no HTTP request."];
    const body = `${JSON.stringify({ error: why })}\n`;
    // Behind an answer that has begun nothing more can be said.
    if (socket.writable && socket.bytesWritten === 0)
      socket.end(
        `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
      );
    else socket.destroy();
  });
  return server;
}

/** Throws `Refusal` where who asks may not come in. */
async function comeIn({ headers }: IncomingMessage, { token, host }: DoorOptions): Promise<void> {
  if (headers.origin !== undefined || headers["sec-fetch-site"] !== undefined)
    throw new Refusal(403, "Pages of a browser get no answer here.");
  if (!token) return;
  if (!isNamed(headers.host, host))
    throw new Refusal(403, "The request is for another host: ask by 127.0.0.1 or localhost.");
  if (!token.isIn(headers.authorization))
    throw new Refusal(401, `The header Authorization must be "Bearer TOKEN", with what is in ${token.path}.`);
}

/** Whether a header `Host` names this machine, or what it was told to listen on. A page whose name was made to lead here has its own name there. */
function isNamed(header: string | undefined, told: string | null): boolean {
  const name = /^(\[[^\]]+\]|[^:]+)(:\d+)?$/
    .exec(header ?? "")?.[1]
    ?.replace(/^\[|\]$/g, "")
    .toLowerCase();
  if (name === undefined) return false;
  if (name === "localhost" || name === "127.0.0.1" || name === "::1") return true;
  // Who is reached from elsewhere has addresses that it does not know; an address is no name that could be made to lead here.
  return told !== null && (name === told.toLowerCase() || isIP(name) !== 0);
}

function parse(bytes: Buffer): Json {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as Json;
  } catch {
    throw new Refusal(400, "The body is no JSON.");
  }
}

const readOn = (request: IncomingMessage): Promise<void> =>
  new Promise((resolve) => {
    if (request.complete || request.destroyed) return resolve();
    const timer = setTimeout(resolve, PATIENCE);
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    request.on("end", done).on("close", done).on("error", done).resume();
  });

/** A signal that aborts when nobody waits for the answer any more. */
export function goneOf(response: ServerResponse): AbortSignal {
  const gone = new AbortController();
  response.on("close", () => {
    if (!response.writableFinished)
      gone.abort(new DOMException("Who asked for it does not wait any more.", "AbortError"));
  });
  return gone.signal;
}

/** Writes a part of an answer. Resolves when there is room for more. */
export async function sendPart(response: ServerResponse, part: string): Promise<void> {
  if (response.destroyed || response.write(part)) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
  });
}
