/** A `shepherd serve` of a user's, and requests to it. */
import { request } from "node:http";
import type { Json } from "../../src/trace/ports.ts";
import { type Running, type Typed, type User, until } from "./user.ts";

export interface Answer {
  status: number;
  /** Lines of its body. */
  lines: Array<{ [key: string]: Json }>;
}

export interface Server {
  running: Running;
  socket: string;
  url: string | null;
  token: string | null;
  /** Lines of an answer over the socket. */
  ask(route: string, body: object): Promise<Answer["lines"]>;
  /** The one object of an answer that ends with exit code `code`. */
  does<T = { [key: string]: Json }>(route: string, body: object, code?: number): Promise<T>;
}

export interface Sent {
  method?: string;
  headers?: { [name: string]: string };
  body?: string | Buffer;
}

/** Sends a request as it is said. */
export const send = (where: { socketPath: string } | { port: number }, path: string, sent: Sent = {}) =>
  new Promise<Answer>((resolve, reject) => {
    const { method = "POST", headers = { "content-type": "application/json" }, body = "{}" } = sent;
    const asked = request({ host: "127.0.0.1", ...where, path, method, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      response.on("end", () => {
        const lines = text.split("\n").filter(Boolean);
        resolve({ status: response.statusCode!, lines: lines.map((line) => JSON.parse(line)) });
      });
      response.on("error", reject);
    });
    asked.on("error", reject);
    asked.end(body);
  });

export async function startServer(user: User, args: string[] = [], typed: Typed = {}): Promise<Server> {
  const running = user.start(["serve", "--json", ...args], typed);
  await until(
    () => running.out.includes("\n"),
    () => running.err,
  );
  const { socket, url, token } = JSON.parse(running.out.split("\n")[0]!);
  const ask = async (route: string, body: object): Promise<Answer["lines"]> =>
    (await send({ socketPath: socket }, `/v1/${route}`, { body: JSON.stringify({ cwd: user.project, ...body }) }))
      .lines;
  return {
    ...{ running, socket, url, token, ask },
    does: async (route, body, code = 0) => {
      const lines = await ask(route, body);
      if (lines.at(-1)?.exit !== code) throw new Error(`${route}: ${JSON.stringify(lines)}`);
      return lines.find((line) => "object" in line)?.object as never;
    },
  };
}
