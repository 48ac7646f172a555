/** `shepherd observe`: a run as it goes, with what is under way. */

import { framesToTheEnd } from "../../run/follow.ts";
import { frameHash } from "../../trace/logs.ts";
import { type Step, startFold } from "../../trace/seal.ts";
import { formatRow, rowOf } from "../rows.ts";
import { chooseRun } from "../select.ts";
import { count, type Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "a run as it goes, with what is under way",
  usage: "[RUN] [--follow] [--from N]",
  most: 1,
  options: {
    follow: { type: "boolean", short: "f", help: "go on until the run ends" },
    from: { type: "string", value: "N", help: "only steps from number N on" },
  },
  details:
    "The run's own steps, oldest first, each when it is sealed, then what is under way, with the status `intent`. With --follow each step comes twice: " +
    "when it begins, and when it is sealed; `log --follow` shows the second alone. Whoever watches, also one that does not read, holds nobody up.",
  examples: ["shepherd observe fix --follow", "shepherd observe --follow --json | jq 'select(.status == \"intent\")'"],
  run: async (context, flags, args) => {
    const { out, signal } = context;
    const from = count(flags, "from") ?? 0;
    const run = await chooseRun(context, args[0]);
    const store = await context.store();
    const live = async (): Promise<boolean> => (await store.leases.holder(`log/${run.log}`)) !== null;
    const show = async (step: Step, driven: boolean): Promise<void> => {
      if (step.n < from) return;
      const row = await rowOf(store, run.name, step, driven);
      out.object(row);
      out.line(formatRow(row, out));
    };
    const fold = startFold((await store.logs.header(run.log))!);
    // What is written already is shown as it stands.
    const { seq: end } = await store.logs.end(run.log);
    const showPending = async (): Promise<void> => {
      const driven = await live();
      for (const step of fold.pending()) await show(step, driven);
    };
    const frames = flags.follow ? framesToTheEnd(store, run.log, signal) : store.logs.read(run.log);
    for await (const frame of frames) {
      const sealed = fold.push(frame, frameHash(frame));
      if (frame.phase === "intent" && frame.seq >= end) await show(fold.steps.get(frame.n)!, true);
      for (const step of sealed) await show(step, true);
      if (frame.seq !== end - 1) continue;
      await showPending();
      if (!flags.follow) break;
    }
    return undefined;
  },
};
