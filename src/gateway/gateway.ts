/**
 * The recording model gateway: a server on this machine that passes requests on to providers, and writes each model call into a scope. What
 * it is given to record into may change (an operation stops a run for a moment); clients wait meanwhile, and find it at the same address.
 */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Server as NetServer, Socket } from "node:net";
import type { LiveScope } from "../scope/scope.ts";
import { anthropicMessages } from "./anthropic.ts";
import { makeWhole, TooMuch } from "./bodies.ts";
import { openaiChat } from "./chat.ts";
import { gone } from "./client.ts";
import type { Keys } from "./credentials.ts";
import { forward, isForOthers, tunnel } from "./egress/proxy.ts";
import { exchange, refuse } from "./exchange.ts";
import { type Limiter, makeLimiter } from "./limiter.ts";
import type { Exclusive } from "./login/claude.ts";
import { passOn } from "./passon.ts";
import { PRICES, type Prices } from "./prices.ts";
import type { Members, Protocol, Provider } from "./protocol.ts";
import { openaiResponses } from "./responses.ts";
import { behind, isPlain, route, versioned } from "./route.ts";
import { type Around, openSession, type Session } from "./session.ts";
import { makeSender, type Sender, type Upstream } from "./upstream.ts";

export interface GatewayOptions {
  upstreams: { [provider in Provider]: Upstream };
  limiter?: Limiter;
  prices?: Prices;
  /** Where keys and logins are read from, at each request. */
  env?: NodeJS.ProcessEnv;
  /** How a login is renewed by one of all processes; by default only by one of this one. */
  exclusive?: Exclusive;
  /** How requests leave; by default to the upstreams. */
  sender?: Sender;
}

/** Addresses that programs are told. */
export interface Urls {
  anthropic: string;
  openai: string;
  /** Where hooks of a program ask before a call, and tell behind it. */
  hook: string;
}

export interface Gateway {
  /** On this machine. They have a secret in them: who knows it can use the user's keys. */
  readonly urls: Urls;
  /**
   * Serves what connects to a server in the network of a sandbox, too. Nobody else can reach that, so there the addresses are the same in each
   * sandbox: they stand in what an agent tells a model. There it is the HTTP proxy of the sandbox as well (`Around.egress`).
   */
  accept(server: NetServer, port: number): Urls;
  /** Records into a scope until `signal` aborts; then all that was under way has its outcome. */
  serve(scope: LiveScope, signal: AbortSignal, around?: Around): Promise<void>;
  close(): Promise<void>;
}

/** What is recorded; everything else is passed on as it is. Some servers take any case for the same. */
const RECORDED: ReadonlyArray<{ provider: Provider; path: RegExp; protocol: Protocol }> = [
  { provider: "anthropic", path: /^\/v1\/messages\/?$/i, protocol: anthropicMessages },
  { provider: "openai", path: /^(\/v1)?\/responses\/?$/i, protocol: openaiResponses },
  { provider: "openai", path: /^(\/v1)?\/chat\/completions\/?$/i, protocol: openaiChat },
];

const READING: ReadonlySet<string> = new Set(["GET", "HEAD"]);

/** So many connections at once from one sandbox, which is far more than any agent needs: each takes a file of this process. */
const MOST = 512;

const NOT_PLAIN =
  "Shepherd passes on paths as they are: without //, \\, ;, . and .. as names, and letters, digits, slashes and control characters written with %.";

/** Starts to listen, on 127.0.0.1 and a port that the system chooses. */
export async function openGateway(given: GatewayOptions): Promise<Gateway> {
  const { upstreams, limiter = makeLimiter(), prices = PRICES, env = process.env } = given;
  const keys: Keys = { env, exclusive: given.exclusive ?? ((_name, work) => work()) };
  const whole = makeWhole();
  const secret = randomBytes(24).toString("base64url");
  const { send, close } = given.sender ?? makeSender();
  const closed = new AbortController();
  // Servers in sandboxes, and connections from there.
  const doors = new WeakSet<NetServer>();
  const inside = new WeakSet<Socket>();
  // Those that the server gave away.
  const tunnels = new Set<Socket>();
  const pending = new Set<Promise<void>>();
  let serving: Serving | null = null;
  let wake = (): void => {};
  let woken = new Promise<void>((resolve) => {
    wake = resolve;
  });

  /** Where to record; waits while there is nothing to record into. */
  const current = async (): Promise<Serving> => {
    while (!serving) await woken;
    return serving;
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    // Who asks a proxy for everything asks it for this server too.
    const here = `http://127.0.0.1:${request.socket.localPort}/`;
    if (request.url?.startsWith(here)) request.url = request.url.slice(here.length - 1);
    if (isForOthers(request)) {
      // For others on this machine it is no proxy: they have the network themselves.
      const egress = inside.has(request.socket) ? (await current()).egress : undefined;
      return egress ? forward(request, response, egress) : void response.writeHead(403).end();
    }
    const found = route(request.url ?? "/", inside.has(request.socket) ? INSIDE : secret);
    if (!found) return void response.writeHead(404).end();
    if (found.service === "hook")
      return whole(request, async (body) => answerHook(request, response, body, await current()));
    const { service: provider } = found;
    const upstream = upstreams[provider];
    const asked = provider === "anthropic" ? versioned(found.path) : found.path;
    const path = behind(upstream, asked);
    // A web socket would pass unread. Who asks for one and is refused asks by HTTP.
    if (request.headers.upgrade)
      return refuse(response, upstream, 426, "invalid_request_error", "Shepherd records HTTP, not web sockets.");
    if (!isPlain(asked)) return refuse(response, upstream, 400, "invalid_request_error", NOT_PLAIN);
    const bare = asked.split("?")[0]!;
    const recorded = RECORDED.find((each) => each.provider === provider && each.path.test(bare));
    if (!recorded || READING.has(request.method ?? ""))
      return passOn(request, response, { upstream, path, send, keys, signal: closed.signal });
    if (request.method !== "POST")
      return refuse(response, upstream, 405, "invalid_request_error", "Shepherd records what is sent by POST.");
    if (!/^\s*(identity\s*)?$/i.test(request.headers["content-encoding"] ?? ""))
      return refuse(response, upstream, 415, "invalid_request_error", "Shepherd does not read packed requests.");
    const record = async (told: Buffer): Promise<void> => {
      const { session, signal, outgoing }: Serving = await current();
      const body = outgoing?.(told) ?? told;
      const { protocol } = recorded;
      const options = { session, protocol, upstream, path, send, limiter, prices, keys, signal };
      const done = exchange(request, response, body, options);
      pending.add(done);
      await done.finally(() => pending.delete(done));
    };
    try {
      await whole(request, record);
    } catch (error) {
      if (!(error instanceof TooMuch)) throw error;
      const { status, message } = error;
      if (status === 413) refuse(response, upstream, status, "request_too_large", message);
      else refuse(response, upstream, status, "overloaded_error", message, false);
    }
  };

  const server = createServer((request, response) => {
    response.on("error", () => {});
    handle(request, response).catch((error: Error) => {
      if (response.headersSent) return void response.destroy();
      response
        .writeHead(502, { "content-type": "text/plain" })
        .end(`Shepherd: no answer (${(error as NodeJS.ErrnoException).code ?? "failed"}).\n`);
    });
  });
  server.on("connect", (request, socket: Socket, head) => {
    // From here on nobody else hears what goes wrong with it.
    socket.on("error", () => {});
    tunnels.add(socket);
    socket.on("close", () => tunnels.delete(socket));
    const serving = inside.has(socket) ? current() : Promise.resolve(null);
    void serving.then((now) => tunnel(request, socket, head, now?.egress));
  });
  // Clients decide how long they wait; a connection that they keep must not close under their next request.
  server.requestTimeout = 0;
  server.keepAliveTimeout = 600_000;
  await listen(server);

  return {
    urls: urlsAt((server.address() as AddressInfo).port, secret),
    accept: (from, port) => {
      // Whoever starts its programs again has the same server.
      if (doors.has(from)) return urlsAt(port, INSIDE);
      doors.add(from);
      from.maxConnections = MOST;
      from.on("connection", (socket) => {
        inside.add(socket);
        server.emit("connection", socket);
      });
      return urlsAt(port, INSIDE);
    },
    serve: async (scope, signal, around) => {
      const session = await openSession(scope, around);
      const stop = new AbortController();
      const both = AbortSignal.any([signal, stop.signal]);
      serving = { session, signal: both, hook: around?.hook, outgoing: around?.outgoing, egress: around?.egress };
      wake();
      woken = new Promise((resolve) => {
        wake = resolve;
      });
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener("abort", () => resolve(), { once: true });
      });
      serving = null;
      stop.abort();
      while (pending.size > 0) await Promise.allSettled([...pending]);
      await session.close();
    },
    close: async () => {
      closed.abort();
      server.closeAllConnections();
      for (const socket of tunnels) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      close();
    },
  };
}

interface Serving {
  session: Session;
  signal: AbortSignal;
  hook: Around["hook"];
  outgoing: Around["outgoing"];
  egress: Around["egress"];
}

/** What stands for the secret in a sandbox. */
const INSIDE = "shepherd";

function urlsAt(port: number, secret: string): Urls {
  const base = `http://127.0.0.1:${port}/${secret}`;
  return { anthropic: `${base}/anthropic`, openai: `${base}/openai`, hook: `${base}/hook` };
}

/** One line of JSON, or a reason to stop; whoever gets none of both, or not the whole of it, must not go on. */
async function answerHook(
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
  { hook, signal }: Serving,
): Promise<void> {
  const left = gone(request, response);
  if (!hook) return void response.writeHead(404).end();
  const answer = await hook(JSON.parse(body.toString()) as Members, AbortSignal.any([signal, left]));
  const [status, text] = "say" in answer ? [200, JSON.stringify(answer.say)] : [403, answer.stop.trim() || NO_REASON];
  const line = Buffer.from(`${text}\n`);
  response.writeHead(status, { "content-length": line.length, connection: "close" });
  response.end(line);
}

/** Without any reason Codex does not stop. */
const NO_REASON = "It was refused.";

const listen = (server: Server): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      server.off("error", reject);
      resolve();
    });
  });
