/** The user's login of Codex: a key of the platform, or a token of ChatGPT, which is taken elsewhere. Codex itself renews that; here it is only read. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Where tokens of ChatGPT are taken. */
const CHATGPT = "https://chatgpt.com/backend-api/codex";

export interface CodexLogin {
  token: string;
  /** Headers that go with it. */
  headers: { [name: string]: string };
  /** Where it is taken; the platform without it. */
  base?: URL;
}

/** Null without a login. */
export function codexLogin(env: NodeJS.ProcessEnv): CodexLogin | null {
  const directory = env.CODEX_HOME || (env.HOME ? join(env.HOME, ".codex") : null);
  if (!directory) return null;
  try {
    const file = JSON.parse(readFileSync(join(directory, "auth.json"), "utf8")) as {
      OPENAI_API_KEY?: unknown;
      tokens?: { access_token?: unknown; account_id?: unknown } | null;
    };
    const { OPENAI_API_KEY: key, tokens } = file;
    if (typeof key === "string" && key !== "") return { token: key, headers: {} };
    const { access_token: token, account_id: account } = tokens ?? {};
    if (typeof token !== "string" || token === "") return null;
    const headers: CodexLogin["headers"] = typeof account === "string" ? { "chatgpt-account-id": account } : {};
    return { token, headers, base: new URL(CHATGPT) };
  } catch {
    // No login, or one that is just being written.
    return null;
  }
}
