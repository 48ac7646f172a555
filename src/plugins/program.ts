/** The program of an agent on this machine, and its version. */
import { execFile } from "node:child_process";
import { realpathSync } from "node:fs";
import { promisify } from "node:util";
import { findProgram } from "../scope/exec/tools.ts";
import type { Detected, Problem } from "./plugin.ts";

/** @param tested versions whose hooks, conversations and requests were tried: see test/agents */
export async function detectProgram(command: string, tested: readonly string[]): Promise<Detected | null> {
  const found = findProgram(command);
  if (!found) return null;
  const { stdout } = await promisify(execFile)(found, ["--version"], { timeout: 30_000 });
  const version = /\d+\.\d+\.\d+\S*/.exec(stdout)?.[0] ?? "unknown";
  return { program: realpathSync(found), version, support: tested.includes(version) ? "exact" : "untested" };
}

export const untested = (name: string, { version, support }: Detected, tested: readonly string[]): Problem[] =>
  support === "exact"
    ? []
    : [
        {
          severity: "warning",
          what: `${name} ${version} was not tested with this Shepherd (${tested.join(", ")} was): steps may be less exact.`,
        },
      ];
