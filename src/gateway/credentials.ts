/**
 * The user's keys. They are read from the environment of the host for each request, stand in the headers that leave for the provider, and
 * nowhere else: no frame, object, line or error has them.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { Provider } from "./protocol.ts";

/** What a client sends that has no key of its own, and means the user's. */
export const DUMMY = "shepherd";

/** Headers by which a client shows who it is. */
export const SECRET_HEADERS: readonly string[] = ["authorization", "x-api-key", "proxy-authorization", "cookie"];

/** Anthropic takes a token of a login only beside this. */
const OAUTH_BETA = "oauth-2025-04-20";

type Headers = { [name: string]: string | string[] | undefined };

const isDummy = (value: string | string[] | undefined): boolean =>
  typeof value === "string" && value.replace(/^bearer\s+/i, "").trim() === DUMMY;

/** Whether the client leaves it to the gateway to say who asks. */
export const asksForKey = (headers: IncomingHttpHeaders): boolean =>
  isDummy(headers.authorization) || isDummy(headers["x-api-key"]);

/** The headers that say who asks, from the environment; null if it has no key for the provider. */
export function ownKey(provider: Provider, env: NodeJS.ProcessEnv, headers: IncomingHttpHeaders): Headers | null {
  if (provider === "openai") return env.OPENAI_API_KEY ? { authorization: `Bearer ${env.OPENAI_API_KEY}` } : null;
  if (env.ANTHROPIC_API_KEY) return { "x-api-key": env.ANTHROPIC_API_KEY };
  if (env.ANTHROPIC_AUTH_TOKEN) return { authorization: `Bearer ${env.ANTHROPIC_AUTH_TOKEN}` };
  if (!env.CLAUDE_CODE_OAUTH_TOKEN) return null;
  const beta = String(headers["anthropic-beta"] ?? "");
  return {
    authorization: `Bearer ${env.CLAUDE_CODE_OAUTH_TOKEN}`,
    "anthropic-beta": beta.includes(OAUTH_BETA) ? beta : [beta, OAUTH_BETA].filter(Boolean).join(","),
  };
}

/** All that must not be written down of a request and of the environment. */
export function secretsOf(headers: Headers, env: NodeJS.ProcessEnv): string[] {
  const found = new Set<string>();
  const add = (value: string | undefined): void => {
    const bare = value?.replace(/^(bearer|basic)\s+/i, "").trim();
    if (bare && bare !== DUMMY && bare.length >= 6) found.add(bare);
  };
  for (const name of SECRET_HEADERS) for (const value of [headers[name]].flat()) add(value);
  for (const name of ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "OPENAI_API_KEY"])
    add(env[name]);
  return [...found].sort((a, b) => b.length - a.length);
}

/** A text that is to be written down, without them: a provider may repeat what it was sent. */
export const without = (text: string, secrets: readonly string[]): string =>
  secrets.reduce((left, secret) => left.replaceAll(secret, "[credential]"), text);
