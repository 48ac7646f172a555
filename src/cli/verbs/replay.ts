/** `shepherd replay`: compute all commits of a run anew. */
import { loadSnapshot } from "../../scope/index.ts";
import { replayLog } from "../../scope/replay.ts";
import { chooseRun } from "../select.ts";
import type { Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "compute all commits of a run anew, and compare",
  usage: "[RUN]",
  most: 1,
  details:
    "A fold over the log: no model is asked and no tool runs. Reads every object that the log names and checks it against its hash.",
  run: async (context, _flags, args) => {
    const { out } = context;
    const store = await context.store();
    const run = await chooseRun(context, args[0]);
    const done = await replayLog(store, run.log, { signal: context.signal });
    const indexed = await loadSnapshot(store, run.log);
    for (const [i, step] of indexed?.snapshot.steps.entries() ?? [])
      if (step.sealed && done.sealed[i]?.sealed?.id !== step.sealed.id)
        done.wrong.push(`Step ${step.n} was indexed with another commit; delete the store's folder \`cache\`.`);
    const { steps, commits, objects, wrong } = done;
    out.object({ scope: run.name, steps, commits, objects, calls: 0, head: done.head.id, wrong });
    out.say(`${run.name}: ${steps} steps, ${commits} commits computed anew, ${objects} objects checked, 0 calls.`);
    for (const sentence of wrong) out.say(`  ${sentence}`);
    if (wrong.length > 0) out.say("`shepherd fsck` tells more.");
    return wrong.length > 0 ? 4 : undefined;
  },
};
