/** Which Claude Code there is on this machine. */
import { execFile } from "node:child_process";
import { realpathSync } from "node:fs";
import { promisify } from "node:util";
import { hasClaudeLogin } from "../../gateway/login/claude.ts";
import { upstreamOf } from "../../gateway/upstream.ts";
import { findProgram } from "../../scope/exec/tools.ts";
import type { Detected, Problem } from "../plugin.ts";

/** Versions whose hooks, conversations and requests were tried: see test/agents. */
export const TESTED: readonly string[] = ["2.1.329"];

export async function detect(): Promise<Detected | null> {
  const found = findProgram("claude");
  if (!found) return null;
  const { stdout } = await promisify(execFile)(found, ["--version"], { timeout: 30_000 });
  const version = /\d+\.\d+\.\d+\S*/.exec(stdout)?.[0] ?? "unknown";
  return { program: realpathSync(found), version, support: TESTED.includes(version) ? "exact" : "untested" };
}

const KEYS = ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"];

export function problems(env: NodeJS.ProcessEnv, { version, support }: Detected): Problem[] {
  const found: Problem[] = [];
  // What the user has put in the provider's place may need no key.
  if (isProvider(env) && !KEYS.some((name) => env[name]) && !hasClaudeLogin(env))
    found.push({ severity: "error", what: noLogin() });
  if (support === "untested")
    found.push({
      severity: "warning",
      what: `Claude Code ${version} was not tested with this Shepherd (${TESTED.join(", ")} was): steps may be less exact.`,
    });
  return found;
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
