/** Which Claude Code there is on this machine. */
import { execFile } from "node:child_process";
import { realpathSync } from "node:fs";
import { promisify } from "node:util";
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

export function problems(_env: NodeJS.ProcessEnv, { version, support }: Detected): Problem[] {
  const found: Problem[] = [];
  if (support === "untested")
    found.push({
      severity: "warning",
      what: `Claude Code ${version} was not tested with this Shepherd (${TESTED.join(", ")} was): steps may be less exact.`,
    });
  return found;
}
