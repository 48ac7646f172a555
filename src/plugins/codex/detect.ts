/** Which Codex there is on this machine, and what keeps a run of it from being what it should be. */
import { execFile } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { findProgram } from "../../scope/exec/tools.ts";
import type { Detected, Problem } from "../plugin.ts";
import { configPlace, providerOf } from "./config.ts";

/** Versions whose hooks, conversations and requests were tried: see test/agents. */
export const TESTED: readonly string[] = ["0.169.0"];

export async function detect(): Promise<Detected | null> {
  const found = findProgram("codex");
  if (!found) return null;
  const { stdout } = await promisify(execFile)(found, ["--version"], { timeout: 30_000 });
  const version = /\d+\.\d+\.\d+\S*/.exec(stdout)?.[0] ?? "unknown";
  return { program: realpathSync(found), version, support: TESTED.includes(version) ? "exact" : "untested" };
}

export function problems(env: NodeJS.ProcessEnv, { version, support }: Detected): Problem[] {
  const found: Problem[] = [];
  const place = configPlace(env);
  if (!env.OPENAI_API_KEY && !env.OPENAI_BASE_URL && !existsSync(join(place.path, "auth.json")))
    found.push({
      severity: "error",
      what: "Codex has no login: start `codex` and log in, or set OPENAI_API_KEY.",
    });
  const provider = providerOf(place);
  if (provider !== null && provider !== "openai")
    found.push({
      severity: "warning",
      what: `Your configuration names the model provider ${provider}; a run asks ${env.OPENAI_BASE_URL ? "the one in OPENAI_BASE_URL" : "OpenAI"} instead. Set OPENAI_BASE_URL and OPENAI_API_KEY to those of ${provider}, if that is meant.`,
    });
  if (support === "untested")
    found.push({
      severity: "warning",
      what: `Codex ${version} was not tested with this Shepherd (${TESTED.join(", ")} was): steps may be less exact.`,
    });
  return found;
}
