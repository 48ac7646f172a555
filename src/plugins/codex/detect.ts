/** Which Codex there is on this machine, and what keeps a run of it from being what it should be. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Detected, Problem } from "../plugin.ts";
import { detectProgram, untested } from "../program.ts";
import { configPlace, providerOf } from "./config.ts";

export const TESTED: readonly string[] = ["0.169.0"];

export const detect = (): Promise<Detected | null> => detectProgram("codex", TESTED);

export function problems(env: NodeJS.ProcessEnv, detected: Detected): Problem[] {
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
  return [...found, ...untested("Codex", detected, TESTED)];
}
