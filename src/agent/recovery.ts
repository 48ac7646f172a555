/** What becomes of steps that a crash left, in a run of the built-in agent. */
import type { Recovery } from "../run/recover.ts";
import type { LiveScope } from "../scope/scope.ts";
import type { Step } from "../trace/seal.ts";
import { settleModel } from "./settle.ts";

/** The agent performs again what is in doubt as part of its conversation. */
export const AGENT_RECOVERY: Recovery = {
  model: async (scope, step) => {
    await settleModel(scope, step);
  },
  again: async (scope, step) => {
    // Of what is said only the intent was written: it is told again, or was never said.
    if (["inject", "message", "rewrite", "compact"].includes(step.intent.kind)) await abandon(scope, step);
  },
};

/** Ends a step of which nothing is to come any more. */
export async function abandon(scope: LiveScope, step: Step): Promise<void> {
  await scope.writer.outcome(step.n, { status: "aborted" }, { witness: { at: Date.now() } });
}
