/** Decides by rules: the first that has something to say about a worker, unless that was just done. */
import { checkDecision } from "../decision.ts";
import { acted } from "../memory.ts";
import { type Decided, type Look, type Policy, REST } from "../policy.ts";
import type { Rule } from "../rule.ts";
import { rulesOf } from "../rules/index.ts";
import { isAtWork } from "../view.ts";

export const rulesPolicy = (rules: readonly Rule[] = rulesOf()): Policy => ({
  name: "rules",
  decide: async (look) => applyRules(rules, look),
});

export function applyRules(rules: readonly Rule[], { views, granted, memory }: Look): Decided {
  const decided: Decided = { decisions: [], refused: [] };
  for (const view of views) {
    if (!isAtWork(view)) continue;
    for (const rule of rules) {
      const judged = rule(view, views, memory);
      if (!judged || acted(memory, judged.worker, judged.cause).ago <= REST) continue;
      const { cause, ...raw } = judged;
      const checked = checkDecision(raw, views, granted);
      if ("decision" in checked) {
        decided.decisions.push({ ...checked.decision, cause });
        break;
      }
      // Another rule may have something that is granted.
      decided.refused.push({ worker: view.name, action: raw.action, why: checked.why });
    }
  }
  return decided;
}
