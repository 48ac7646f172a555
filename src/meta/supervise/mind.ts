/** The policy of a plan as its driver needs it: asked once a look, and, of calls before they act, at once by the rules about intents. */
import { homedir } from "node:os";
import { openModel, optionsIn } from "../../agent/models.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { ACTIONS, type Action, type Granted } from "./decision.ts";
import type { Asked, Judged } from "./gates.ts";
import { EMPTY, type Memory } from "./memory.ts";
import type { PolicyPlan, Taken } from "./plan.ts";
import { modelPolicy } from "./policy/model.ts";
import { nonePolicy } from "./policy/none.ts";
import { randomPolicy } from "./policy/random.ts";
import { applyRules, rulesPolicy } from "./policy/rules.ts";
import type { Policy } from "./policy.ts";
import type { Rule } from "./rule.ts";
import { DESTRUCTIVE, destructive } from "./rules/destructive.ts";
import { wrongFiles } from "./rules/wrong-files.ts";
import { NOTHING_SPENT, type Spent } from "./standing.ts";
import type { WorkerView } from "./view.ts";

export interface Said {
  decisions: Array<Omit<Taken, "seq">>;
  /** Why what was said besides is no decision. */
  refused: string[];
  spent: Spent;
}

export const NOTHING_SAID: Said = { decisions: [], refused: [], spent: NOTHING_SPENT };

export interface Mind {
  /** Whether a model is asked. */
  readonly asks: boolean;
  /** Judges a call before it acts, by its worker as that stands then; null where it stands before none. */
  readonly judge: ((asked: Asked, view: WorkerView) => Judged) | null;
  /** Asked once a look, about all of them. */
  decide(views: readonly WorkerView[], memory: Memory, signal: AbortSignal): Promise<Said>;
  /** How long it is waited for more behind the first news, in ms. */
  settle(every: number): number;
}

/** What a supervisor may do to its workers. What waits is judged at once, and by nobody else. */
const MAY: ReadonlySet<Action> = new Set(ACTIONS.filter((action) => action !== "deny" && action !== "rewrite"));
const MAY_STOP: ReadonlySet<Action> = new Set(["deny", "rewrite"]);

/** Of looks at a worker at which `random` does something, and what. */
const RANDOM = { rate: 0.05, mix: { inject: 6, handoff: 2, discard: 1, revert: 1 } };

/** Longer than this nobody waits for more, in ms. */
const LONGEST = 500;

/** Throws where there is no such model. */
export function mindOf(store: EmbeddedStore, plan: PolicyPlan): Mind {
  const policy = policyOf(store, plan);
  const asks = plan.name === "model";
  const stands = plan.name === "rules" || asks;
  const rules: Rule[] = [destructive({ ...DESTRUCTIVE, home: homedir() }), wrongFiles()];
  return {
    asks,
    judge: stands ? (asked, view) => judged(rules, view, asked) : null,
    decide: async (views, memory, signal) => {
      const granted: Granted = new Map(views.map(({ name }) => [name, MAY]));
      const { decisions, refused, usage, usd } = await policy.decide({ views, granted, memory }, signal);
      const tokens = Object.values(usage ?? {}).reduce((sum, each) => sum + each, 0);
      return {
        decisions: decisions.map(({ cause, ...decision }) => ({ decision, cause })) as Said["decisions"],
        refused: refused.map(({ worker, action, why }) =>
          [worker, action, why].filter((each) => each !== null).join(": "),
        ),
        spent: usage ? { calls: 1, tokens, usd: usd ?? 0 } : NOTHING_SPENT,
      };
    },
    // A model is asked no more often than it looks without news.
    settle: (every) => (asks ? every : Math.min(LONGEST, every / 10)),
  };
}

function policyOf(store: EmbeddedStore, { name, model, seed = 0 }: PolicyPlan): Policy {
  if (name === "model") return modelPolicy({ port: openModel(model!, optionsIn(store)) });
  if (name === "rules") return rulesPolicy();
  return name === "random" ? randomPolicy({ ...RANDOM, seed }) : nonePolicy;
}

/** What the rules about intents say of one call. */
function judged(rules: readonly Rule[], seen: WorkerView, { run, n, tool, input }: Asked): Judged {
  const view: WorkerView = { ...seen, pending: [{ n, tool, input }] };
  const granted: Granted = new Map([[run, MAY_STOP]]);
  const [found] = applyRules(rules, { views: [view], granted, memory: EMPTY }).decisions;
  if (found?.action === "deny")
    return { kind: "deny", reason: [found.reason, found.guidance].filter(Boolean).join(" ") };
  if (found?.action === "rewrite") return { kind: "rewrite", input: found.input, reason: found.reason };
  return { kind: "allow" };
}
