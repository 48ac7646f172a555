/** Going on with a run: after a crash, an abort, a fork or a revert, with or without a new instruction. */
import type { LiveScope } from "../scope/scope.ts";
import { MAIN } from "../scope/thread.ts";
import { type AgentEnd, type AgentOptions, startRun, toItsEnd } from "./loop.ts";
import { leaveBehind } from "./message.ts";
import { settleModel } from "./settle.ts";
import { waiting, wasReverted } from "./steps.ts";

export interface ResumeOptions extends AgentOptions {
  /** A new message of the user. */
  instruction?: string;
  /**
   * What becomes of open calls. Default: they are performed, but for two cases in which they are answered `not run: reverted`: the thread
   * stands where a revert has put it, or there is a new instruction.
   */
  open?: "perform" | "drop";
}

/**
 * Goes on with a thread, as `runAgent` does. Files that calls in doubt have left behind must be set back before. Where the run is
 * aborted while open calls are performed, the instruction is not recorded.
 */
export const resumeAgent = (scope: LiveScope, options: ResumeOptions): Promise<AgentEnd> =>
  toItsEnd(scope, async () => {
    const { thread = MAIN, instruction } = options;
    const { fold } = scope.writer;
    const run = startRun(scope, options);
    for (const step of waiting(fold, thread, "model")) await settleModel(scope, step);
    const mode = options.open ?? (instruction !== undefined || wasReverted(fold, thread) ? "drop" : "perform");
    if (mode === "perform" && instruction !== undefined) {
      const stopped = await run.performOpen();
      if (stopped) return stopped;
    }
    if (mode === "drop" || instruction !== undefined) await leaveBehind(scope, thread, instruction);
    return run.work();
  });
