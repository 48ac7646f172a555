/** How Claude Code is started in a scope. Tried with 2.1.329. */
import { DUMMY } from "../../gateway/credentials.ts";
import { isRoot } from "../../scope/exec/holder.ts";
import type { Start, Started } from "../plugin.ts";
import { settings } from "./hooks.ts";
import { RESUME } from "./resume.ts";

/**
 * Every worker is started in the same way, the first time too: with its task on standard input (`-p TASK` would change what a tool says of
 * itself, and with it the request). What it may do is the scope's matter, so it asks nobody.
 */
export function start({ program, config, urls, hook, session, args, prompt, resumed, interactive }: Start): Started {
  const words = interactive
    ? []
    : ["-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"];
  const last = interactive && prompt !== null ? [prompt] : [];
  const known = resumed ? ["--resume", session] : ["--session-id", session];
  return {
    argv: [
      program,
      ...words,
      ...known,
      "--settings",
      settings(hook),
      "--dangerously-skip-permissions",
      ...args,
      ...last,
    ],
    env: {
      CLAUDE_CONFIG_DIR: config,
      ANTHROPIC_BASE_URL: urls.anthropic,
      ANTHROPIC_API_KEY: DUMMY,
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      DISABLE_AUTOUPDATER: "1",
      DISABLE_TELEMETRY: "1",
      DISABLE_ERROR_REPORTING: "1",
      // Without it root may not skip the questions.
      ...(prompt === null && !interactive && RESUME),
      ...(isRoot() && { IS_SANDBOX: "1" }),
    },
    input: prompt === null ? "" : userLine(prompt),
    say: userLine,
    over: (line) => read(line)?.type === "result",
    told: (line) => {
      const said = read(line);
      if (said?.type !== "result") return null;
      return typeof said.result === "string" && said.result !== "" ? said.result : null;
    },
  };
}

/** What begins with a slash is put off to the end of its turn, and may be a command of its own that no model hears of. */
export const asMessage = (text: string): string =>
  text.trimStart().startsWith("/") ? `The user says:\n${text}` : text;

const userLine = (content: string): string =>
  `${JSON.stringify({ type: "user", message: { role: "user", content } })}\n`;

function read(line: string): { type?: unknown; result?: unknown } | null {
  if (!line.includes('"type":"result"')) return null;
  try {
    return JSON.parse(line) as { type?: unknown; result?: unknown };
  } catch {
    return null;
  }
}
