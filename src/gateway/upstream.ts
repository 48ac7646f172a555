/** The way to a provider: requests leave as they came but for what belongs to a connection, and answers come back as they are. */
import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { Readable } from "node:stream";
import type { Provider } from "./protocol.ts";
import type { Turn } from "./turn.ts";

export interface Upstream {
  provider: Provider;
  base: URL;
  /** Whether it is the provider itself, and not what a user put in its place. */
  own: boolean;
}

const DEFAULTS: { [provider in Provider]: string } = {
  anthropic: "https://api.anthropic.com",
  openai: "https://api.openai.com/v1",
};
/** Which say where requests go, where nobody else does. */
export const VARIABLES: { [provider in Provider]: string } = {
  anthropic: "ANTHROPIC_BASE_URL",
  openai: "OPENAI_BASE_URL",
};

/** Where a provider's requests go: what the user says, what the environment says, the provider itself. Throws a sentence for what is no address. */
export function upstreamOf(provider: Provider, env: NodeJS.ProcessEnv, given?: string): Upstream {
  const text = given ?? (env[VARIABLES[provider]] || DEFAULTS[provider]);
  const base = URL.canParse(text) ? new URL(text) : null;
  if (!base || (base.protocol !== "http:" && base.protocol !== "https:"))
    throw new Error(
      `${given === undefined ? VARIABLES[provider] : "The upstream"} is no address that begins with http:// or https://.`,
    );
  // Left over from a gateway that this one is to replace.
  if (
    given === undefined &&
    base.hostname === "127.0.0.1" &&
    /^\/[\w-]{32}\/(anthropic|openai)\/?$/.test(base.pathname)
  )
    throw new Error(
      `${VARIABLES[provider]} leads to a gateway of Shepherd: unset it, or say with --upstream where requests go.`,
    );
  const bare = ({ href }: URL): string => href.replace(/\/+$/, "");
  return { provider, base, own: bare(base) === bare(new URL(DEFAULTS[provider])) };
}

/** Headers that are about one connection, or that the next one makes anew. */
const HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "host",
  "expect",
  "content-length",
  "http2-settings",
]);

/** Headers of a request but for those of its connection. */
export function endToEnd(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const named = String(headers.connection ?? "")
    .split(",")
    .map((name) => name.trim().toLowerCase());
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP.has(name) && !named.includes(name)));
}

/** Headers as they leave. What is packed could not be read beside, so nothing packed is asked for. */
export const headersFor = (headers: IncomingHttpHeaders): IncomingHttpHeaders => ({
  ...endToEnd(headers),
  "accept-encoding": "identity",
});

/**
 * What says where the body of a request ends; nothing for one without a body. Without it, what a client sends as a body would be read as
 * further requests, which the gateway has not seen, on a connection that others use too.
 */
export function framingOf(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const { "content-length": length, "transfer-encoding": coding } = headers;
  if (coding !== undefined) return { "transfer-encoding": "chunked" };
  return length === undefined ? {} : { "content-length": length };
}

/** Headers of an answer as they are passed on: names and values in turn. */
export function headersBack({ rawHeaders }: Pick<Answer, "rawHeaders">): string[] {
  const kept: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase();
    if (name === "content-length" || !HOP.has(name)) kept.push(rawHeaders[at]!, rawHeaders[at + 1]!);
  }
  return kept;
}

export interface Outgoing {
  method: string;
  /** Behind the base: begins with a slash, with its query. */
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer | Readable | null;
  /** Of a model call that is recorded. */
  turn?: Pick<Turn, "what" | "thread">;
  signal: AbortSignal;
}

/** What comes back for a request, from wherever. */
export type Answer = Readable & Pick<IncomingMessage, "headers" | "rawHeaders" | "statusCode" | "statusMessage">;

/** So much of a provider's words stands in a step. */
export const LONGEST = 10_000;

/** Whether to ask again can help where a provider did not answer. */
export const mayHelp = (status: number, { headers }: Pick<Answer, "headers">): boolean =>
  headers["x-should-retry"] !== "false" && (status >= 500 || [408, 409, 425, 429].includes(status));

export type Send = (to: Upstream, outgoing: Outgoing) => Promise<Answer>;

export interface Sender {
  send: Send;
  close(): void;
}

/** Whether a kept connection broke, which the provider may have closed before it saw the request. */
export const isStale = (error: unknown): boolean => {
  const { stale, code } = error as NodeJS.ErrnoException & { stale?: boolean };
  return stale === true && (code === "ECONNRESET" || code === "EPIPE");
};

/** Connections that are kept and used again. */
export function makeSender(): Sender {
  const agents = { "http:": new HttpAgent({ keepAlive: true }), "https:": new HttpsAgent({ keepAlive: true }) };
  const once: Send = ({ base }, { method, path, headers, body, signal }) =>
    new Promise((resolve, reject) => {
      const secure = base.protocol === "https:";
      const length = Buffer.isBuffer(body) ? { "content-length": String(body.length) } : {};
      const auth = base.username
        ? { auth: `${decodeURIComponent(base.username)}:${decodeURIComponent(base.password)}` }
        : {};
      const outgoing = (secure ? httpsRequest : httpRequest)({
        protocol: base.protocol,
        hostname: base.hostname.replace(/^\[|\]$/g, ""),
        port: base.port || (secure ? 443 : 80),
        method,
        path: base.pathname.replace(/\/+$/, "") + path,
        headers: { ...headers, ...length },
        agent: secure ? agents["https:"] : agents["http:"],
        signal,
        ...auth,
      });
      outgoing.setNoDelay(true);
      outgoing.once("response", resolve);
      outgoing.once("upgrade", (_, socket) => {
        socket.destroy();
        reject(new Error("it changed to another protocol"));
      });
      outgoing.on("error", (error) => reject(Object.assign(error, { stale: outgoing.reusedSocket })));
      if (body === null) outgoing.end();
      else if (Buffer.isBuffer(body)) outgoing.end(body);
      else {
        body.once("error", (error) => outgoing.destroy(error));
        body.pipe(outgoing);
      }
    });
  return {
    send: async (to, outgoing) => {
      for (;;) {
        try {
          return await once(to, outgoing);
        } catch (error) {
          // What only asks can be asked again unseen. A model call cannot: it may have been read, so another one is another attempt.
          if (!isStale(error) || outgoing.body !== null || outgoing.signal.aborted) throw error;
        }
      }
    },
    close: () => {
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}
