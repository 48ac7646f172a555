/** The gateway as an HTTP proxy: CONNECT, and plain requests that name their place in full. */
import { request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { authorityOf, type Place, placeOf } from "../../scope/network.ts";
import { beginAs, gone } from "../client.ts";
import { endToEnd, framingOf } from "../upstream.ts";
import type { Egress } from "./egress.ts";
import { Unreachable } from "./reach.ts";
import { join } from "./tunnel.ts";

/** What is said of a request that names no place. */
const MALFORMED = "Shepherd passes on CONNECT HOST:PORT, and requests for http://HOST/…; this is neither.";

/** Whether a request is meant for another server than this one. */
export const isForOthers = ({ url = "" }: IncomingMessage): boolean => /^[a-z][a-z0-9+.-]*:\/\//i.test(url);

/** Answers CONNECT on a socket that nobody else reads or writes. Does not reject. */
export async function tunnel(
  request: IncomingMessage,
  socket: Socket,
  head: Buffer,
  egress: Egress | undefined,
): Promise<void> {
  const left = new AbortController();
  socket.once("close", () => left.abort(new Error("The client went away.")));
  // The server that accepted it may have made it to end as soon as its client has said all.
  socket.allowHalfOpen = true;
  try {
    const place = placeOf(request.url ?? "");
    if (!place) return answer(socket, 400, MALFORMED);
    if (!egress) return answer(socket, 403, "This run has no way out through Shepherd.");
    let joined = false;
    await egress
      .to(place, left.signal, async ({ socket: outside, entry, signal }) => {
        joined = true;
        socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
        if (head.length > 0) socket.unshift(head);
        await join(socket, outside, entry.used, signal);
      })
      .catch((error: Error) => {
        if (joined || !(error instanceof Unreachable)) throw error;
        answer(socket, error.status, error.message, place);
      });
  } catch {
    socket.destroy();
  }
}

/** How long a client that was refused is waited for, in ms of silence. */
const PATIENCE = 5000;

const PHRASES: { [status: number]: string } = {
  400: "Bad Request",
  403: "Forbidden by Shepherd",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** What is answered with a sentence. */
function said(sentence: string): { body: Buffer; headers: { [name: string]: string } } {
  const body = Buffer.from(`${sentence}\n`);
  const length = String(body.length);
  const headers = { "content-type": "text/plain; charset=utf-8", "content-length": length, connection: "close" };
  return { body, headers };
}

/** Says why not. Many clients show nothing but the first line, so what is refused is in that too. */
function answer(socket: Socket, status: number, sentence: string, place?: Place): void {
  const { body, headers } = said(sentence);
  const phrase = `${PHRASES[status]}${status === 403 && place ? `: ${authorityOf(place)}` : ""}`;
  const head = [`HTTP/1.1 ${status} ${phrase}`, ...Object.entries(headers).map((each) => each.join(": "))];
  socket.end(Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), body]));
  // What the client still sends, or never ends, must not keep it open.
  socket.resume();
  socket.setTimeout(PATIENCE, () => socket.destroy());
}

/** Passes on a plain request, over a connection of its own. Rejects where no answer came. */
export async function forward(request: IncomingMessage, response: ServerResponse, egress: Egress): Promise<void> {
  const url = URL.canParse(request.url ?? "") ? new URL(request.url!) : null;
  const place = url?.protocol === "http:" ? placeOf(url.host, 80) : null;
  if (!url || !place) return say(response, 400, MALFORMED);
  const left = gone(request, response);
  const framing = framingOf(request.headers);
  try {
    await egress.to(place, left, ({ socket, entry, signal }) => {
      entry.used();
      return new Promise((resolve, reject) => {
        const outgoing = httpRequest({
          method: request.method,
          path: `${url.pathname}${url.search}`,
          headers: { ...endToEnd(request.headers), ...framing, host: url.host, connection: "close" },
          createConnection: () => socket,
          signal,
        });
        // A client that does not read what has come keeps all else from telling.
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        outgoing.on("error", reject);
        outgoing.on("upgrade", () => reject(new Error("it changed to another protocol")));
        outgoing.on("response", (answered) => {
          answered.on("error", reject);
          try {
            beginAs(response, answered);
          } catch (error) {
            return void reject(error);
          }
          response.on("close", resolve);
          answered.pipe(response);
        });
        request.on("error", reject);
        if (Object.keys(framing).length > 0) request.pipe(outgoing);
        else outgoing.end();
      });
    });
  } catch (error) {
    if (response.headersSent || left.aborted) return void response.destroy();
    if (error instanceof Unreachable) return say(response, error.status, error.message);
    say(response, 502, `${authorityOf(place)} gave no answer that can be passed on.`);
  }
}

function say(response: ServerResponse, status: number, sentence: string): void {
  const { body, headers } = said(sentence);
  response.writeHead(status, PHRASES[status], headers);
  response.end(body);
}
