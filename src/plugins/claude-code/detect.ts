/** Which Claude Code there is on this machine. */
import { hasClaudeLogin } from "../../gateway/login/claude.ts";
import { upstreamOf } from "../../gateway/upstream.ts";
import type { Detected, Problem } from "../plugin.ts";
import { detectProgram, untested } from "../program.ts";

export const TESTED: readonly string[] = ["2.1.329"];

export const detect = (): Promise<Detected | null> => detectProgram("claude", TESTED);

const KEYS = ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"];

export function problems(env: NodeJS.ProcessEnv, detected: Detected): Problem[] {
  const found: Problem[] = [];
  // What the user has put in the provider's place may need no key.
  if (isProvider(env) && !KEYS.some((name) => env[name]) && !hasClaudeLogin(env))
    found.push({ severity: "error", what: noLogin() });
  return [...found, ...untested("Claude Code", detected, TESTED)];
}

/** Whether requests go to the provider itself. What is no address is told elsewhere. */
function isProvider(env: NodeJS.ProcessEnv): boolean {
  try {
    return upstreamOf("anthropic", env).own;
  } catch {
    return false;
  }
}

const noLogin = (): string =>
  process.platform === "darwin"
    ? "Shepherd does not read the keychain, where Claude Code keeps its login here: put what `claude setup-token` prints into CLAUDE_CODE_OAUTH_TOKEN, or set ANTHROPIC_API_KEY."
    : "Claude Code has no login: start `claude` and log in, or set ANTHROPIC_API_KEY.";
