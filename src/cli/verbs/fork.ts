/** `shepherd fork`: new scopes that start at a step. */

import { forkScope } from "../../scope/fork.ts";
import { isStepNumber } from "../../scope/revision.ts";
import type { State } from "../../trace/ports.ts";
import { Exit } from "../errors.ts";
import { operate } from "../operate.ts";
import { PARTIAL, tellForgotten } from "../partial.ts";
import { chooseRun, chooseStep } from "../select.ts";
import { count, text, type Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "new scopes that start at a step",
  usage: "[RUN] STEP [-k K] [--intent]",
  options: {
    count: { type: "string", short: "k", value: "K", help: "how many (1)" },
    intent: { type: "boolean", help: "before the step instead of after it: its call is open in the new scope" },
    scope: { type: "string", value: "NAME", help: "name of the new scope" },
    ...PARTIAL,
    "dry-run": { type: "boolean", help: "only say what would be done" },
  },
  details:
    "Conversation and files of the new scopes are those of that one commit. Nothing that follows in one is seen in another.",
  examples: ["shepherd fork 6", "shepherd fork fix-login 6 -k 3"],
  run: async (context, flags, args) => {
    const { out } = context;
    const k = count(flags, "count", 1, 10_000) ?? 1;
    const name = text(flags, "scope");
    if (name && k > 1) throw new Exit(2, "--scope names one scope: leave it out, or -k.");
    const store = await context.store();
    let run: string;
    let n: number;
    let state: State | null = null;
    if (flags.intent) {
      const word = args.at(-1);
      if (!word || !isStepNumber(word))
        throw new Exit(2, "--intent takes the number of a step: `shepherd fork [RUN] STEP --intent`");
      run = (await chooseRun(context, args.length === 2 ? args[0] : undefined)).name;
      n = Number(word);
    } else {
      const chosen = await chooseStep(context, args, "shepherd fork [RUN] STEP");
      run = chosen.run.name;
      n = chosen.revision.step.n;
      state = chosen.revision.sealed.state;
    }
    if (flags["dry-run"]) {
      out.object({ fork: run, n, count: k, dryRun: true });
      out.say(`Would make ${k} scope${k === 1 ? "" : "s"} from step ${n} of ${run}.`);
      return undefined;
    }
    const made = await forkScope(store, run, n, {
      count: k,
      atIntent: flags.intent === true,
      ...(name && { name }),
      note: async (facts) => {
        await operate(context, run, "note", { n: null, facts: { ...facts } });
      },
    });
    for (const ref of made) {
      out.object({ scope: ref.name, parent: run, n });
      out.say(`${ref.name}  from step ${n} of ${run}`);
    }
    return state ? tellForgotten(context, flags, state) : undefined;
  },
};
