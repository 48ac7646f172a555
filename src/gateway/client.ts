/** What the gateway says to its clients. */
import { type IncomingMessage, type ServerResponse, validateHeaderValue } from "node:http";
import { headersBack } from "./upstream.ts";

/** Begins an answer as it came. Throws before anything is said where it cannot be said again: a server may send what Node takes, and does not send. */
export function beginAs(response: ServerResponse, answer: IncomingMessage): void {
  const { statusCode = 0, statusMessage = "" } = answer;
  const headers = headersBack(answer);
  try {
    for (const value of [statusMessage, ...headers]) validateHeaderValue("an answer", value);
    response.writeHead(statusCode, statusMessage, headers);
  } catch {
    answer.destroy();
    throw new Error("its answer is no HTTP");
  }
}
