/** `shepherd discard`: give runs up. */
import { discardRun } from "../../run/discard.ts";
import { tellOutside } from "../../run/operate.ts";
import { ownedSince } from "../../scope/owned.ts";
import type { ScopeRef } from "../../scope/registry.ts";
import { readScope } from "../../scope/view.ts";
import { tellLeft } from "../operate.ts";
import { me } from "../owner.ts";
import { chooseRun } from "../select.ts";
import { newestOperation, orByItsProgram } from "../takeback.ts";
import type { Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "give a run up",
  usage: "[RUN…]",
  options: { "dry-run": { type: "boolean", help: "only say what would be done" } },
  details:
    "Leaves no mark on what it was forked from. `shepherd undo` brings it back until retention takes it (30 days).",
  run: async (context, flags, args) => {
    const { out } = context;
    // All are looked at before the first is discarded.
    const runs = new Map<string, ScopeRef>();
    for (const name of args.length > 0 ? args : [undefined]) {
      const run = await chooseRun(context, name, { destructive: true });
      runs.set(run.name, run);
    }
    for (const run of runs.values()) {
      if (flags["dry-run"]) {
        out.object({ scope: run.name, dryRun: true });
        out.say(`Would discard ${run.name}.`);
        continue;
      }
      const store = await context.store();
      const done = await orByItsProgram(
        context,
        run,
        () => discardRun(store, run.name, { by: { who: me() } }),
        async (known) => {
          await known.discard();
          const outside = await ownedSince(store, await readScope(store, run.name), -1);
          return { op: await newestOperation(store, run, "discard"), outside: outside.map(tellOutside) };
        },
      );
      out.object({ scope: run.name, op: done.op, outside: done.outside });
      out.say(`Discarded ${run.name}. \`shepherd undo\` brings it back.`);
      for (const effect of done.outside) out.say(`  ${tellLeft(effect)}`);
    }
    return undefined;
  },
};
