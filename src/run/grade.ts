/** Grading: what a command says of a step, in a copy of it that is thrown away. */
import { driverOf } from "../scope/driver.ts";
import { findScope } from "../scope/registry.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { type CommandResult, performCommand } from "./command.ts";
import { type DrivenOptions, withDriven } from "./driven.ts";
import { outputOf } from "./output.ts";
import { scratchFork } from "./scratch.ts";

export interface Graded extends Omit<CommandResult, "n"> {
  /** What it wrote, as a step would have it. */
  output: Buffer;
}

/**
 * Runs a command on the files of step `n` of a run, and lets go of all that it did: the run, its log and the names of its forks are as before. It is
 * written down before it acts, as each command is, in a log that nothing names any more at return and that the next collection takes.
 * Throws `StepError` where that step is not sealed.
 * @param at where it starts, relative to the workspace
 */
export async function grade(
  store: EmbeddedStore,
  run: string,
  n: number,
  argv: readonly string[],
  { at, ...options }: DrivenOptions & { at?: string | undefined },
): Promise<Graded> {
  const { name, log } = await scratchFork(store, run, n, { what: "grade" });
  try {
    return await withDriven(store, name, options, async (scope) => {
      const { code, signal, ending, n } = await performCommand(scope, argv, options.signal, { at });
      return { code, signal, ending, output: await outputOf(scope, n) };
    });
  } finally {
    await driverOf(store).dispose(log);
    const scope = await findScope(store, name);
    if (scope) await store.refs.cas(`scope/${name}`, scope.version, null);
  }
}
