/** `shepherd revert`: conversation and files back at a step. */

import type { Json } from "../../trace/ports.ts";
import { operate } from "../operate.ts";
import { PARTIAL, tellForgotten } from "../partial.ts";
import { chooseStep } from "../select.ts";
import type { Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "conversation and files back at a step",
  usage: "[RUN] STEP [--acknowledge]",
  options: {
    acknowledge: { type: "boolean", help: "go on although effects are passed that cannot be taken back" },
    ...PARTIAL,
    "dry-run": { type: "boolean", help: "only say what would be done" },
  },
  details:
    "Adds a step whose state is that of STEP: every file of the run's scope, byte for byte, and the conversation. What came since stays in " +
    "the log; `shepherd undo` goes back to it. Your own directory is not touched.",
  examples: ["shepherd revert 6", "shepherd revert fix-login 6", "shepherd undo"],
  run: async (context, flags, args) => {
    const { out } = context;
    const store = await context.store();
    const { run, revision } = await chooseStep(context, args, "shepherd revert [RUN] STEP", { destructive: true });
    const { n } = revision.step;
    if (flags["dry-run"]) {
      out.object({ scope: run.name, to: n, commit: revision.sealed.id, dryRun: true });
      out.line(`Would set ${run.name} back to step ${n} (${revision.sealed.id.slice(0, 7)}).`);
      return undefined;
    }
    const done = (await operate(store, run.name, "revert", {
      n,
      acknowledge: flags.acknowledge === true,
    })) as unknown as { n: number; op: number; outside: Array<{ n: number; tier: string; compensated: boolean }> };
    out.object({ scope: run.name, ...(done as unknown as { [key: string]: Json }), to: n });
    out.line(`${run.name} is back at step ${n}: files and conversation, as step ${done.n}.`);
    for (const effect of done.outside)
      out.line(
        `  step ${effect.n} (${effect.tier}) ${effect.tier === "compensable" ? "was taken back" : "stands: it cannot be taken back"}`,
      );
    out.line(`\`shepherd resume ${run.name}\` goes on from there; \`shepherd undo\` takes the revert back.`);
    return tellForgotten(context, flags, revision.sealed.state);
  },
};
