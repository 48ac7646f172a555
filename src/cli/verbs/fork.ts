/** `shepherd fork`: new scopes that start at a step. */

import { readFileSync } from "node:fs";
import { forkScope } from "../../scope/fork.ts";
import { leftAt } from "../../scope/left.ts";
import { findScope, grantsOf, workspacePath } from "../../scope/registry.ts";
import { endOfTurn, rewriteResult } from "../../scope/rewrite.ts";
import { servicesOf } from "../../scope/services.ts";
import { readLog } from "../../scope/view.ts";
import type { State } from "../../trace/ports.ts";
import type { Step } from "../../trace/seal.ts";
import { Exit } from "../errors.ts";
import { checkLimits, LIMIT_OPTIONS, limitsOf } from "../limits.ts";
import { operate } from "../operate.ts";
import { PARTIAL, tellForgotten } from "../partial.ts";
import { below, chooseRun, chooseStep, numberedStep } from "../select.ts";
import { SERVICE_OPTION, servicesFor, shownCommands, someCommands } from "../services.ts";
import { count, text, type Verb } from "../verb.ts";
import { counted, named } from "../words.ts";

export const verb: Verb = {
  brief: "new scopes that start at a step",
  usage: "[RUN] STEP [-k K] [--intent | --result TEXT]",
  options: {
    count: { type: "string", short: "k", value: "K", help: "how many (1)" },
    intent: { type: "boolean", help: "before the step instead of after it: its call is open in the new scope" },
    result: {
      type: "string",
      empty: true,
      value: "TEXT",
      help: "tell the model, in the new scope, that this came of the call that STEP is; - reads it from standard input",
    },
    scope: { type: "string", value: "NAME", help: "name of the new scope" },
    ...LIMIT_OPTIONS,
    ...SERVICE_OPTION,
    ...PARTIAL,
    "dry-run": { type: "boolean", help: "only say what would be done" },
  },
  details:
    "Conversation and files of the new scopes are those of that one commit. Nothing that follows in one is seen in another.",
  examples: ["shepherd fork 6", "shepherd fork fix-login 6 -k 3", 'shepherd fork 8 --result "2 passed"'],
  run: async (context, flags, args) => {
    const { out } = context;
    const k = count(flags, "count", 1, 10_000) ?? 1;
    const name = text(flags, "scope");
    if (name && k > 1) throw new Exit(2, "--scope names one scope: leave it out, or -k.");
    const store = await context.store();
    let run: string;
    let n: number;
    let state: State | null = null;
    let call: Step | null = null;
    const told = text(flags, "result");
    const limits = limitsOf(flags);
    if (told !== undefined && flags.intent)
      throw new Exit(2, "--result is about what came of a call, and --intent is before it: leave one of them out.");
    if (flags.intent) {
      // A step that has only been asked for has no commit, so it goes by its number.
      const numbered = numberedStep(args);
      if (!numbered) throw new Exit(2, "--intent takes the number of a step: `shepherd fork [RUN] STEP --intent`");
      run = (await chooseRun(context, numbered.of)).name;
      n = numbered.n;
    } else {
      const chosen = await chooseStep(context, args, "shepherd fork [RUN] STEP");
      run = chosen.run.name;
      n = chosen.revision.step.n;
      state = chosen.revision.sealed.state;
      if (told !== undefined) {
        call = chosen.revision.step;
        n = (await endOfTurn(store, chosen.revision)).n;
      }
    }
    if (flags["dry-run"]) {
      out.object({ fork: run, n, count: k, dryRun: true });
      out.say(`Would make ${counted(k, "scope")} from step ${n} of ${run}.`);
      return undefined;
    }
    const parent = (await findScope(store, run))!;
    if (limits) checkLimits(run, (await grantsOf(store, parent.log)).limits, limits);
    const at = below(await workspacePath(store, parent.log), context.cwd);
    const services = await servicesFor(store, flags, at, parent);
    const words = told === "-" && out.attached ? readFileSync(0, "utf8") : told;
    let rewrite: number | null = null;
    const made = await forkScope(store, run, n, {
      count: k,
      ...(call && {
        begin: async (scope) => {
          rewrite = await rewriteResult(scope, call!, words!);
        },
      }),
      atIntent: flags.intent === true,
      ...(name && { name }),
      ...(limits && { grants: { limits } }),
      services,
      note: async (facts) => {
        await operate(context, run, "note", { n: null, facts: { ...facts } });
      },
    });
    // All of them are the same.
    const started = (await servicesOf(store, made[0]!.log)).map((each) => each.name);
    const left = shownCommands(await leftAt(store, await readLog(store, made[0]!.log, made[0])));
    for (const ref of made) {
      out.object({ scope: ref.name, parent: run, n, ...(rewrite !== null && { rewrite }), services: started, left });
      const about = rewrite === null ? "" : `; its step ${rewrite} tells otherwise what came of step ${call!.n}`;
      out.say(`${ref.name}  from step ${n} of ${run}${about}`);
    }
    if (left.length > 0) out.say(`  ran in the background then, and does not there: ${someCommands(left)}`);
    if (started.length > 0) out.say(`  its services are started when something runs there: ${named(started)}`);
    return state ? tellForgotten(context, flags, state) : undefined;
  },
};
