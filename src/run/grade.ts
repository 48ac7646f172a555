/** Grading: what a command says of a step, in a copy of it that is thrown away. */
import { randomBytes } from "node:crypto";
import type { EmbeddedStore } from "../trace/store.ts";
import { type CommandResult, performCommand } from "./command.ts";
import { type DrivenOptions, withDriven } from "./driven.ts";
import { outputOf } from "./output.ts";
import { removeScratch, scratchOf } from "./scratch.ts";

export interface Graded extends Omit<CommandResult, "n"> {
  /** What it wrote, as a step would have it. */
  output: Buffer;
}

/**
 * Runs a command on the files of step `n` of a run, and lets go of all that it did: the run, its log and the names of its forks are as before. It is
 * written down before it acts, as each command is, in a log that is gone at return.
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
  // Many may be made at once: a name of its own spares each the search for one that is free.
  const suffix = `${randomBytes(2).toString("hex")}-grade`;
  const scratch = await scratchOf(store, run, n, { suffix, grants: {} });
  try {
    return await withDriven(store, scratch.name, options, async (scope) => {
      const { code, signal, ending, n } = await performCommand(scope, argv, options.signal, { at });
      return { code, signal, ending, output: await outputOf(scope, n) };
    });
  } finally {
    await removeScratch(store, scratch);
  }
}
