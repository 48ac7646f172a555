/** The gateway and one of its clients. */
import { type IncomingMessage, type ServerResponse, validateHeaderValue } from "node:http";
import { type Answer, headersBack } from "./upstream.ts";

/**
 * Begins an answer as it came. Throws before anything is said where it cannot be said again: a server may send what Node takes, and does not send.
 * @param last whether to ask again cannot help; what the server says of that itself counts
 */
export function beginAs(response: ServerResponse, answer: Answer, last = false): void {
  const { statusCode = 0, statusMessage = "" } = answer;
  const headers = headersBack(answer);
  if (last && !answer.headers["x-should-retry"]) headers.push("x-should-retry", "false");
  try {
    for (const value of [statusMessage, ...headers]) validateHeaderValue("an answer", value);
    response.writeHead(statusCode, statusMessage, headers);
  } catch {
    answer.destroy();
    throw new Error("its answer is no HTTP");
  }
}

/** Aborts when a client goes away before it has its whole answer. Of requests that wait behind another on a connection only that itself tells. */
export function gone({ socket }: IncomingMessage, response: ServerResponse): AbortSignal {
  const left = new AbortController();
  const close = (): void => {
    socket.off("close", close);
    if (!response.writableFinished) left.abort(new Error("The client went away."));
  };
  // As many as the client sends at once.
  socket.setMaxListeners(0);
  socket.on("close", close);
  response.on("close", close);
  if (socket.destroyed) close();
  return left.signal;
}
