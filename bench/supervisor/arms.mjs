// Who supervises: nobody, chance, rules, rules that are made worse.
import { use } from "../lib.mjs";

const { draw } = await use("meta/supervise/policy/draw.js");
const { randomPolicy } = await use("meta/supervise/policy/random.js");
const { applyRules } = await use("meta/supervise/policy/rules.js");
const { rulesOf } = await use("meta/supervise/rules/index.js");
const { checkDecision } = await use("meta/supervise/decision.js");

import { meant } from "./play.mjs";

const RULES = rulesOf();

export const none = () => ({ decide: () => ({ decisions: [] }) });
export const rules = () => ({ decide: (look) => applyRules(RULES, look) });

/** As often as rules, and each action as often as they take it, but whenever and to whomever. */
export const chance = (rate, mix) => (pair) => randomPolicy({ rate, mix, seed: pair.seed * 1000 + pair.k });

/** What a wrong decision is. */
const WRONG = { inject: 0.4, handoff: 0.3, deny: 0.2, discard: 0.1 };

/** Rules that overlook a fault with `p`, for as long as it lasts, and act on who is on its way with `q` at a look. */
export const noisy = (p, q) => (pair) => ({
  decide: (look) => {
    const { decisions } = applyRules(RULES, look);
    const kept = decisions.filter((each) => {
      const fault = meant(each, look.truth.get(each.worker));
      return !fault || draw(pair.seed, pair.k, each.worker, fault.id, "overlooks") >= p;
    });
    for (const view of look.views) {
      const isHealthy = look.truth.get(view.name).length === 0 && view.state === "running";
      if (!isHealthy || kept.some(({ worker }) => worker === view.name)) continue;
      if (draw(pair.seed, pair.k, view.name, look.memory.tick, "errs") >= q) continue;
      let left = draw(pair.seed, pair.k, view.name, look.memory.tick, "how");
      const action = Object.keys(WRONG).find((each) => (left -= WRONG[each]) < 0) ?? "inject";
      const raw = {
        worker: view.name,
        action,
        n: view.pending[0]?.n,
        reason: "By mistake.",
        guidance: "Look again at what you are doing.",
      };
      const checked = checkDecision(raw, look.views, look.granted);
      if (checked.decision) kept.push({ ...checked.decision, cause: "mistake" });
    }
    return { decisions: kept };
  },
});
