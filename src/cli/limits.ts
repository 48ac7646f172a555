/** The options by which the processes of a run get limits. */
import type { Task } from "../run/start.ts";
import { holdingHere, unheld } from "../scope/exec/limit.ts";
import { LIMITS, type Limits } from "../scope/limits.ts";
import { grantsOf, type ScopeRef } from "../scope/registry.ts";
import { parseSize } from "../trace/quota.ts";
import { Exit } from "./errors.ts";
import { type Context, count, type Flags, type Option, text } from "./verb.ts";

export const LIMIT_OPTIONS: { [name: string]: Option } = {
  memory: { type: "string", value: "SIZE", help: "what all its processes may have together, as 2GB" },
  processes: { type: "string", value: "N", help: "how many it may have at once, with their threads" },
  time: { type: "string", value: "DURATION", help: "what one command may take, as 90s or 5m" },
  disk: { type: "string", value: "SIZE", help: "by how much its files may grow while it is driven, as 2GB" },
};

/** Less is no room for a shell. */
const LEAST_SIZE = 10_000_000;
const LEAST_PROCESSES = 10;
const LONGEST_MS = 2 ** 31 - 1;
const UNITS: { [unit: string]: number } = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Throws a sentence where one cannot be meant. */
export function limitsOf(flags: Flags, task?: Task): Limits | undefined {
  const limits: Limits = {};
  for (const each of ["memory", "disk"] as const) {
    const size = text(flags, each);
    if (size === undefined) continue;
    const bytes = parseSize(size, `--${each} `);
    if (bytes === Number.POSITIVE_INFINITY || bytes < LEAST_SIZE)
      throw new Exit(2, `--${each} takes a size from 10MB on, as 2GB, not ${JSON.stringify(size)}.`);
    limits[each] = bytes;
  }
  const processes = count(flags, "processes", LEAST_PROCESSES);
  if (processes !== undefined) limits.processes = processes;
  const time = text(flags, "time");
  if (time !== undefined) {
    limits.time = durationOf(time, "--time");
    if (task?.worker === "plugin")
      throw new Exit(2, "--time is for commands of the built-in agent and of yours: a coding agent ends its own.");
  }
  return Object.keys(limits).length > 0 ? limits : undefined;
}

/** A duration in ms. Throws a sentence for what is none. */
export function durationOf(time: string, option: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(time) ?? [];
  const ms = Math.round(Number(amount) * (UNITS[unit ?? ""] ?? Number.NaN));
  if (ms >= 1 && ms <= LONGEST_MS) return ms;
  throw new Exit(2, `${option} takes a duration as 90s, 5m or 2h, not ${JSON.stringify(time)}.`);
}

/** Says which of these limits are not held here as they are asked for. */
export async function tellUnheld({ out }: Pick<Context, "out">, limits: Limits | undefined): Promise<void> {
  if (limits) for (const each of unheld(limits, await holdingHere(limits))) out.warn(`shepherd: ${each}`);
}

/** What the flags say of something that is done in a run. Throws where that is more than the run has. */
export async function limitsFor(context: Context, flags: Flags, run: ScopeRef): Promise<Limits | undefined> {
  const limits = limitsOf(flags);
  checkLimits(run.name, (await grantsOf(await context.store(), run.log)).limits, limits);
  await tellUnheld(context, limits);
  return limits;
}

/** Throws where what goes on from a run asks for more than that has. */
export function checkLimits(name: string, parent: Limits = {}, asked: Limits = {}): void {
  for (const each of LIMITS)
    if ((asked[each] ?? 0) > (parent[each] ?? Number.POSITIVE_INFINITY))
      throw new Exit(3, `${name} has a lower --${each}, so what goes on from it has no more.`);
}
