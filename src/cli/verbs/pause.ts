/** `shepherd pause`: hold a run back. */
import { chooseLive, connectTo, me, requireControl } from "../owner.ts";
import type { Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "hold a run back",
  usage: "[RUN]",
  most: 1,
  details:
    "What runs ends; no new call begins, and no new request to a model leaves, until `shepherd resume`. The steps of the run are the same as without.",
  run: async (context, _flags, args) => {
    const { out } = context;
    const run = await chooseLive(context, args[0]);
    await requireControl(context, run, "pause");
    const owner = await connectTo(context, run);
    try {
      await owner.request("pause", { by: me() });
    } finally {
      owner.close();
    }
    out.object({ scope: run.name, state: "paused" });
    out.say(`${run.name} is paused: what runs ends, and nothing new begins. \`shepherd resume ${run.name}\` goes on.`);
    return undefined;
  },
};
