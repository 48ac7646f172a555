/** `shepherd handoff`: a fresh conversation on the files of a run, or of another one. */
import { cannot } from "../../run/control.ts";
import { findScope } from "../../scope/registry.ts";
import { Exit } from "../errors.ts";
import { taskOf } from "../launch.ts";
import { operate } from "../operate.ts";
import { chooseRun, chooseStep } from "../select.ts";
import { text, type Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "a fresh conversation on the files of a run",
  usage: '[RUN] ["GUIDANCE"] [--from STEP]',
  most: 2,
  options: {
    from: { type: "string", value: "STEP", help: "go on with the files of this step, of another run or of its own" },
    "dry-run": { type: "boolean", help: "only say what would be done" },
  },
  details:
    "Adds a step behind which the agent begins anew: it is told GUIDANCE, then the task of the run, and knows nothing of what was said before. Files " +
    "stay as they are, or become those of STEP. Where the run is at work, its agent is stopped and started again.",
  examples: [
    'shepherd handoff fix "make the tests pass, leave the parser alone"',
    "shepherd handoff fix --from other@12",
  ],
  agents: true,
  run: async (context, flags, args) => {
    const { out } = context;
    const store = await context.store();
    const isRun = args.length > 0 && (await findScope(store, args[0]!)) !== null;
    const words = isRun ? args.slice(1) : args;
    if (words.length > 1)
      throw new Exit(2, `There is no run ${JSON.stringify(args[0])}: \`shepherd status\` lists them.`);
    const guidance = words[0] ?? "";
    const run = await chooseRun(context, isRun ? args[0] : undefined, { destructive: true });
    const why = cannot(await taskOf(store, run.name), "handoff", run.name);
    if (why !== null) throw new Exit(3, why);
    const word = text(flags, "from");
    const leader = word === undefined ? null : await chooseStep(context, [word], "shepherd handoff [RUN] --from STEP");
    const from = leader && { scope: leader.run.name, n: leader.revision.step.n };
    const whose = from ? `the files of step ${from.n} of ${from.scope}` : "its files as they are";
    if (flags["dry-run"]) {
      out.object({ scope: run.name, from, dryRun: true });
      out.say(`Would let the agent of ${run.name} begin anew, on ${whose}.`);
      return undefined;
    }
    const done = (await operate(context, run.name, "handoff", {
      guidance,
      ...(from && { from: from.scope, at: from.n }),
    })) as unknown as { n: number; op: number; live: boolean };
    out.object({ scope: run.name, n: done.n, op: done.op, from, live: done.live });
    out.say(`The agent of ${run.name} begins anew, on ${whose}, as step ${done.n}.`);
    const next = done.live ? "" : `\`shepherd resume ${run.name}\` goes on from there; `;
    out.say(`${next}\`shepherd undo\` takes the handoff back.`);
    return undefined;
  },
};
