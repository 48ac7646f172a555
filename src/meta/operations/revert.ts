/** Sets a run back. */
import { revertRun } from "../../agent/operations.ts";
import { operation, STEP } from "../define.ts";

export const revert = operation({
  name: "revert",
  right: "revert",
  brief:
    "Sets the files and the conversation of the run back to a step. A run at work goes on from there. Nothing is lost: it is a step, and can be undone.",
  properties: {
    n: { ...STEP, description: "Number of the step." },
    acknowledge: { type: "boolean", description: "Whether effects may be passed that cannot be taken back." },
  },
  optional: ["acknowledge"],
  act: async ({ store, name }, { n, acknowledge = false }, doing) => {
    const done = await revertRun(store, name, { n: n!, acknowledge }, doing);
    return { run: name, to: n!, n: done.n, outside: done.outside };
  },
  tell: ({ to, n, outside }) => {
    const left = outside.map(
      (each) => ` Step ${each.n} (${each.tier}) ${each.compensated ? "was taken back" : "stands"}.`,
    );
    return `It is back at step ${to}, as step ${n}.${left.join("")}`;
  },
});
