/** The file in which Claude Code keeps its login, as it is: JSON, of which the login is one member. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Members } from "../protocol.ts";

export interface Login {
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

/** Where it is; null where there is no telling. */
export function claudeLoginPath(env: NodeJS.ProcessEnv): string | null {
  const directory = env.CLAUDE_CONFIG_DIR || (env.HOME ? join(env.HOME, ".claude") : null);
  return directory && join(directory, ".credentials.json");
}

/** Null where there is no login. */
export function readLogin(path: string): Login | null {
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
    // Or one that is just being written in another way than ours.
    return null;
  }
}
