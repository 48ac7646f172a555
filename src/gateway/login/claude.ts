/**
 * The user's login of Claude Code: a file that it writes and reads, so what is changed there must be as it would change it. Its shape, the locks
 * and the request for a new token are those of 2.1.329.
 */
import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, realpathSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { takeLock } from "./lockdir.ts";

/** What is done under a name is done by one process at a time. */
export type Exclusive = <T>(name: string, work: () => Promise<T>) => Promise<T>;

type Members = { [name: string]: unknown };

interface Login {
  /** All of the file. */
  file: Members;
  /** Its part that is the login. */
  oauth: Members;
  token: string;
  /** By which a new token comes; null for a login that just ends. */
  renewal: string | null;
  /** ms since the epoch. */
  expires: number;
}

const TOKEN_URL = "https://platform.claude.com/v1/oauth/token";
/** As which the login was made: the same for all installations. */
const CLIENT = "9d1c250a-e61b-44d9-88ed-5944d1962f5e";
/** So long before its end a token is renewed, in ms. */
const EARLY = 300_000;
const PATIENCE = 30_000;
/** How often somebody who waits for a renewal looks, in ms. */
const LOOK = 100;

/** Where the login is; null where there is no telling. */
export function claudeLoginPath(env: NodeJS.ProcessEnv): string | null {
  const directory = env.CLAUDE_CONFIG_DIR || (env.HOME ? join(env.HOME, ".claude") : null);
  return directory && join(directory, ".credentials.json");
}

function read(path: string): Login | null {
  try {
    const file = JSON.parse(readFileSync(path, "utf8")) as Members;
    const oauth = file.claudeAiOauth as Members | undefined;
    if (typeof oauth?.accessToken !== "string" || oauth.accessToken === "") return null;
    const { accessToken: token, refreshToken, expiresAt } = oauth;
    return {
      file,
      oauth,
      token,
      renewal: typeof refreshToken === "string" && refreshToken !== "" ? refreshToken : null,
      expires: typeof expiresAt === "number" ? expiresAt : Number.POSITIVE_INFINITY,
    };
  } catch {
    // No login, or one that is just being written in another way than ours.
    return null;
  }
}

/** Whether there is a login that can be used, now or once it is renewed. */
export function hasClaudeLogin(env: NodeJS.ProcessEnv): boolean {
  const path = claudeLoginPath(env);
  const login = path && read(path);
  return Boolean(login && (login.renewal || login.expires > Date.now()));
}

/** Renewals of this process, by file. */
const running = new Map<string, Promise<void>>();
/** What got no new token, and until when it is not tried again, in ms since the epoch. */
const failed = new Map<string, number>();

export interface TokenOptions {
  env: NodeJS.ProcessEnv;
  exclusive: Exclusive;
  /** A token that the provider did not take, though it should be good. */
  refused?: string;
}

/**
 * The token to ask with, renewed if it is due; null without a login. Where it cannot be renewed it is given as it is: then the provider says
 * what is wrong. With `refused`: null if there is no other.
 */
export async function claudeToken({ env, exclusive, refused }: TokenOptions): Promise<string | null> {
  const path = claudeLoginPath(env);
  if (!path) return null;
  const due = ({ token, expires }: Login): boolean => (refused ? token === refused : expires - Date.now() < EARLY);
  const login = read(path);
  if (login && due(login) && login.renewal && (failed.get(login.renewal) ?? 0) < Date.now()) {
    const under =
      running.get(path) ?? exclusive("login/claude", () => renew(path, env, due)).finally(() => running.delete(path));
    running.set(path, under);
    await under.catch(() => {});
  }
  const now = read(path);
  return now && now.token !== refused ? now.token : null;
}

/** Gets a new token and writes it down, unless somebody else has. */
async function renew(path: string, env: NodeJS.ProcessEnv, due: (login: Login) => boolean): Promise<void> {
  const release = await locked(path, due);
  if (!release) return;
  try {
    const login = read(path);
    if (!login?.renewal || !due(login)) return;
    // A new one that could not be written down would be lost, and the old one with it.
    const target = realpathSync(path);
    const made = `${target}.${process.pid}.${randomBytes(4).toString("hex")}`;
    const fd = openSync(made, "wx", 0o600);
    try {
      const answer = await ask(login, env);
      const now = read(path);
      // Who has logged in anew meanwhile keeps that.
      if (now && now.renewal !== login.renewal) return;
      writeSync(fd, JSON.stringify({ ...(now ?? login).file, claudeAiOauth: { ...(now ?? login).oauth, ...answer } }));
      fsyncSync(fd);
      renameSync(made, target);
    } catch (error) {
      failed.set(login.renewal, Date.now() + PATIENCE);
      throw error;
    } finally {
      closeSync(fd);
      rmSync(made, { force: true });
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
