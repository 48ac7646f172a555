/** The policy that a plan names. */
import type { Mind } from "../../meta/supervise/mind.ts";
import type { Plan } from "../../meta/supervise/plan.ts";
import { NOTHING_SPENT } from "../../meta/supervise/standing.ts";
import type { EmbeddedStore } from "../../trace/store.ts";

export async function mindOf(_store: EmbeddedStore, _plan: Plan): Promise<Mind> {
  return {
    enter: () => {},
    judge: null,
    decide: async () => ({ decisions: [], refused: [], shown: 0, spent: NOTHING_SPENT }),
    settle: (every) => Math.min(every, 500),
  };
}
