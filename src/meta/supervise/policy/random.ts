/** Does anything to anybody, so often: what a policy has to be better than. */
import { type Action, checkDecision } from "../decision.ts";
import type { Policy } from "../policy.ts";
import { isAtWork, type WorkerView } from "../view.ts";
import { draw } from "./draw.ts";

export interface RandomOptions {
  /** Of looks at a worker at which something is done to it. */
  rate: number;
  seed: number;
  /** How often each action is taken, beside the others; one that is not possible then is none. */
  mix: { readonly [action in Action]?: number };
}

const GUIDANCE = "Look again at what you are doing, and go on.";

export const randomPolicy = ({ rate, seed, mix }: RandomOptions): Policy => ({
  name: "random",
  decide: async ({ views, granted, memory }) => {
    const decisions = views.flatMap((view) => {
      if (!isAtWork(view) || draw(seed, view.name, memory.tick, "whether") >= rate) return [];
      const action = chosen(mix, draw(seed, view.name, memory.tick, "what"));
      const checked = action && checkDecision(somehow(view, action), views, granted);
      return checked && "decision" in checked ? [{ ...checked.decision, cause: "random" }] : [];
    });
    return { decisions, refused: [] };
  },
});

function chosen(mix: RandomOptions["mix"], at: number): Action | null {
  const entries = Object.entries(mix) as [Action, number][];
  let left = at * entries.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [action, weight] of entries) if ((left -= weight) < 0) return action;
  return entries.at(-1)?.[0] ?? null;
}

/** The action, with whatever it needs. */
function somehow({ name, pending, steps }: WorkerView, action: Action) {
  const n = action === "revert" ? Math.max(0, steps - 1) : pending[0]?.n;
  return {
    worker: name,
    action,
    reason: "By chance.",
    guidance: GUIDANCE,
    ...(n !== undefined && { n }),
    ...(action === "rewrite" && { input: pending[0]?.input ?? null }),
  };
}
