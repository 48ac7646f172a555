/**
 * Renewing the login of Claude Code as it does itself: the request, the locks and what is written are those of 2.1.329, so that it goes on with
 * what it finds.
 */
import { realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Members } from "../protocol.ts";
import { type Login, readLogin as read } from "./file.ts";
import { takeLock } from "./lockdir.ts";
import { reserve } from "./reserve.ts";

const TOKEN_URL = "https://platform.claude.com/v1/oauth/token";
/** As which the login was made: the same for all installations. */
const CLIENT = "9d1c250a-e61b-44d9-88ed-5944d1962f5e";
const PATIENCE = 30_000;
/** How often somebody who waits for another program's renewal looks, in ms. */
const LOOK = 100;

/** Gets a new token and writes it down, unless somebody else has. Rejects where there is none to be had. */
export async function renewLogin(path: string, env: NodeJS.ProcessEnv, due: (login: Login) => boolean): Promise<void> {
  const release = await locked(path, due);
  if (!release) return;
  try {
    const login = read(path);
    if (!login?.renewal || !due(login)) return;
    // A new one that could not be written down would be lost, and the old one with it.
    const place = reserve(path);
    try {
      const answer = await ask(login, env);
      const now = read(path);
      // Who has logged in anew meanwhile keeps that.
      if (now && now.renewal !== login.renewal) return;
      const { file, oauth } = now ?? login;
      place.replace(JSON.stringify({ ...file, claudeAiOauth: { ...oauth, ...answer } }));
    } finally {
      place.close();
    }
  } finally {
    release();
  }
}

/** Takes the locks that Claude Code takes to renew; null once it need not be done any more, or they cannot be had for long. */
async function locked(path: string, due: (login: Login) => boolean): Promise<(() => void) | null> {
  const directory = dirname(path);
  for (const end = Date.now() + 3 * PATIENCE; Date.now() < end; ) {
    const login = read(path);
    if (!login || !due(login)) return null;
    const first = takeLock(join(directory, ".oauth_refresh.lock"));
    const second = first && takeOlder(`${realpathSync(directory)}.lock`);
    if (first && second)
      return () => {
        second();
        first();
      };
    first?.();
    await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
  return null;
}

/** That of older versions, beside the directory: where it cannot be made they could not make it either. */
function takeOlder(path: string): (() => void) | null {
  try {
    return takeLock(path);
  } catch {
    return () => {};
  }
}

/** What of the login changes. Throws without a word of what was sent or said: it is all secret. */
async function ask({ oauth, renewal }: Login, env: NodeJS.ProcessEnv): Promise<Members> {
  const scopes = Array.isArray(oauth.scopes) && oauth.scopes.length > 0 ? { scope: oauth.scopes.join(" ") } : {};
  const client = typeof oauth.clientId === "string" ? oauth.clientId : CLIENT;
  const answer = await fetch(tokenUrl(env), {
    method: "POST",
    headers: { "content-type": "application/json", "user-agent": "shepherd" },
    body: JSON.stringify({ grant_type: "refresh_token", refresh_token: renewal, client_id: client, ...scopes }),
    redirect: "error",
    signal: AbortSignal.timeout(PATIENCE),
  }).catch(() => null);
  const said = (await answer?.json().catch(() => null)) as Members | null | undefined;
  const { access_token, refresh_token, expires_in, refresh_token_expires_in, scope } = said ?? {};
  if (!answer?.ok || typeof access_token !== "string" || access_token === "" || typeof expires_in !== "number")
    throw new Error("The login of Claude Code was not renewed.");
  return {
    accessToken: access_token,
    ...(typeof refresh_token === "string" && refresh_token !== "" && { refreshToken: refresh_token }),
    expiresAt: Date.now() + expires_in * 1000,
    ...(typeof refresh_token_expires_in === "number" && {
      refreshTokenExpiresAt: Date.now() + refresh_token_expires_in * 1000,
    }),
    ...(typeof scope === "string" && scope !== "" && { scopes: scope.split(" ").filter(Boolean) }),
  };
}

/** For tests another address; in the clear only on this machine. */
function tokenUrl({ SHEPHERD_ANTHROPIC_TOKEN_URL: given }: NodeJS.ProcessEnv): string {
  if (!given) return TOKEN_URL;
  const { protocol, hostname } = new URL(given);
  if (protocol !== "https:" && hostname !== "127.0.0.1")
    throw new Error("SHEPHERD_ANTHROPIC_TOKEN_URL is no address that begins with https://.");
  return given;
}
