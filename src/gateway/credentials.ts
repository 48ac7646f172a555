/**
 * The user's keys and logins. They are read on the host for each request, stand in the headers that leave for the provider, and nowhere else: no
 * frame, object, line or error has them.
 */
import type { IncomingHttpHeaders } from "node:http";
import { claudeToken, type Exclusive } from "./login/claude.ts";
import { codexLogin } from "./login/codex.ts";
import type { Provider } from "./protocol.ts";
import type { Upstream } from "./upstream.ts";

/** What a client sends that has no key of its own, and means the user's. */
export const DUMMY = "shepherd";

/** Headers by which a client shows who it is. */
const SECRET_HEADERS: readonly string[] = ["authorization", "x-api-key", "proxy-authorization", "cookie"];

/** Anthropic takes a token of a login only beside this. */
const OAUTH_BETA = "oauth-2025-04-20";

type Headers = { [name: string]: string | string[] | undefined };

const isDummy = (value: string | string[] | undefined): boolean =>
  typeof value === "string" && value.replace(/^bearer\s+/i, "").trim() === DUMMY;

/** Whether the client leaves it to the gateway to say who asks. */
export const asksForKey = (headers: IncomingHttpHeaders): boolean =>
  isDummy(headers.authorization) || isDummy(headers["x-api-key"]);

/** Where keys come from. */
export interface Keys {
  env: NodeJS.ProcessEnv;
  exclusive: Exclusive;
}

/** What says who asks. */
export interface Key {
  headers: Headers;
  /** Where it is taken, if that is elsewhere. */
  base?: URL | undefined;
  /** Another one, for one that the provider has not taken; null if there is none. */
  renew?: () => Promise<Key | null>;
}

const bearer = (token: string): Headers => ({ authorization: `Bearer ${token}` });

/** A token of a login is taken only together with the name of that. */
function oauth(token: string, headers: IncomingHttpHeaders): Headers {
  const beta = String(headers["anthropic-beta"] ?? "");
  const named = beta.includes(OAUTH_BETA) ? beta : [beta, OAUTH_BETA].filter(Boolean).join(",");
  return { ...bearer(token), "anthropic-beta": named };
}

/** A key of the user's, from the environment. */
function fromEnv(provider: Provider, env: NodeJS.ProcessEnv, headers: IncomingHttpHeaders): Headers | null {
  if (provider === "openai") return env.OPENAI_API_KEY ? bearer(env.OPENAI_API_KEY) : null;
  if (env.ANTHROPIC_API_KEY) return { "x-api-key": env.ANTHROPIC_API_KEY };
  if (env.ANTHROPIC_AUTH_TOKEN) return bearer(env.ANTHROPIC_AUTH_TOKEN);
  return env.CLAUDE_CODE_OAUTH_TOKEN ? oauth(env.CLAUDE_CODE_OAUTH_TOKEN, headers) : null;
}

/**
 * The user's key for a request: from the environment, else of the login of the provider's own agent; null if there is none. A login is only for
 * the provider itself, and not for what the user has put in its place.
 */
export async function ownKey(
  { provider, own }: Upstream,
  { env, exclusive }: Keys,
  headers: IncomingHttpHeaders,
): Promise<Key | null> {
  const given = fromEnv(provider, env, headers);
  if (given) return { headers: given };
  if (!own) return null;
  if (provider === "openai") {
    const login = codexLogin(env);
    return login && { headers: { ...bearer(login.token), ...login.headers }, base: login.base };
  }
  const token = await claudeToken({ env, exclusive });
  if (!token) return null;
  const renew = async (): Promise<Key | null> => {
    const other = await claudeToken({ env, exclusive, refused: token });
    return other ? { headers: oauth(other, headers) } : null;
  };
  return { headers: oauth(token, headers), renew };
}

/**
 * Puts the user's key into the headers of a request that leaves it to the gateway, and gives it, with where it is taken; null where the client
 * has one of its own, or there is none.
 */
export async function putKey(
  headers: IncomingHttpHeaders,
  upstream: Upstream,
  keys: Keys,
): Promise<{ key: Key | null; to: Upstream }> {
  if (!asksForKey(headers)) return { key: null, to: upstream };
  const key = await ownKey(upstream, keys, headers);
  delete headers.authorization;
  delete headers["x-api-key"];
  Object.assign(headers, key?.headers);
  return { key, to: key?.base ? { ...upstream, base: key.base } : upstream };
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
