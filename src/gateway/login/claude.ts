/** The token of the user's login of Claude Code, read at each request, and renewed once for all who need it. */
import { claudeLoginPath, type Login, readLogin } from "./file.ts";
import { renewLogin } from "./renew.ts";

/** What is done under a name is done by one process at a time. */
export type Exclusive = <T>(name: string, work: () => Promise<T>) => Promise<T>;

/** So long before its end a token is renewed, in ms. */
const EARLY = 300_000;
/** After a renewal that failed the next is not tried before, in ms. */
const PAUSE = 30_000;

/** Whether there is a login that can be used, now or once it is renewed. */
export function hasClaudeLogin(env: NodeJS.ProcessEnv): boolean {
  const path = claudeLoginPath(env);
  const login = path && readLogin(path);
  return Boolean(login && (login.renewal || login.expires > Date.now()));
}

/** Renewals of this process, by file. */
const running = new Map<string, Promise<void>>();
/** By what failed to renew: until when it is not tried again, in ms since the epoch. */
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
  const login = readLogin(path);
  const { renewal } = login ?? {};
  if (login && renewal && due(login) && (failed.get(renewal) ?? 0) < Date.now()) {
    const renew = async (): Promise<void> => {
      try {
        await exclusive("login/claude", () => renewLogin(path, env, due));
      } catch {
        failed.set(renewal, Date.now() + PAUSE);
      } finally {
        running.delete(path);
      }
    };
    const under = running.get(path) ?? renew();
    running.set(path, under);
    await under;
  }
  const now = readLogin(path);
  return now && now.token !== refused ? now.token : null;
}
