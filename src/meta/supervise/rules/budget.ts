/** A budget that is nearly spent. That it is not overspent, others see to. */
import { acted } from "../memory.ts";
import type { Rule } from "../rule.ts";

export interface BudgetShares {
  /** From this share on it is told, once for each kind. */
  tell: number;
  /** From this share on it is paused, so that somebody may give it more. */
  pause: number;
}

export const BUDGET: BudgetShares = { tell: 0.85, pause: 1 };

const NAMES = { tokens: "tokens", usd: "money", calls: "model calls", ms: "time" } as const;

export const budget =
  ({ tell, pause }: BudgetShares = BUDGET): Rule =>
  (view, _all, memory) => {
    for (const kind of Object.keys(NAMES) as (keyof typeof NAMES)[]) {
      const most = view.budget[kind];
      if (most === undefined || !(most > 0)) continue;
      const share = view.spent[kind] / most;
      const base = { worker: view.name };
      if (share >= pause && view.state === "running") {
        const cause = `budget:${kind}:pause`;
        if (acted(memory, view.name, cause).times > 0) continue;
        return { ...base, cause, action: "pause", reason: `Its budget of ${NAMES[kind]} is spent.` };
      }
      const cause = `budget:${kind}`;
      if (share < tell || acted(memory, view.name, cause).times > 0) continue;
      return {
        ...base,
        cause,
        action: "inject",
        reason: `Its budget of ${NAMES[kind]} is nearly spent.`,
        guidance: `About ${Math.max(0, Math.round(100 * (1 - share)))} percent of your ${NAMES[kind]} is left. Finish what is most important, make sure that it works, and stop.`,
      };
    }
    return null;
  };
