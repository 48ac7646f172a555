/** `shepherd inject`: tell the agent of a run something. */
import { randomUUID } from "node:crypto";
import { findScope } from "../../scope/registry.ts";
import { Exit } from "../errors.ts";
import { operate } from "../operate.ts";
import { chooseLive, me, requireControl } from "../owner.ts";
import type { Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "tell the agent of a run something",
  usage: '[RUN] "TEXT"',
  most: 2,
  options: { "dry-run": { type: "boolean", help: "only say what would be done" } },
  details:
    "It is a step `inject`, told with the next request to the model and never before. Where nobody drives the run, it is kept, and told when " +
    "`shepherd resume` goes on.",
  examples: ['shepherd inject fix "use zod instead"'],
  run: async (context, flags, args) => {
    const { out } = context;
    const store = await context.store();
    const text = args.at(-1);
    const forgot = args.length === 1 && (await findScope(store, text!)) !== null;
    if (text === undefined || forgot || text.trim() === "")
      throw new Exit(2, 'What is the agent to be told? `shepherd inject [RUN] "TEXT"`');
    const run = await chooseLive(context, args.length > 1 ? args[0] : undefined);
    await requireControl(context, run, "inject");
    if (flags["dry-run"]) {
      out.object({ scope: run.name, dryRun: true });
      out.say(`Would tell ${run.name} that.`);
      return undefined;
    }
    const id = randomUUID();
    await operate(context, run.name, "inject", { id, text, by: me() });
    const live = (await store.leases.holder(`log/${run.log}`)) !== null;
    out.object({ scope: run.name, id, live });
    const when = live ? "with its next request to the model" : `when \`shepherd resume ${run.name}\` goes on`;
    out.say(`${run.name} is told that ${when}.`);
    return undefined;
  },
};
