/** Other runs that begin with the state of a run at a step. */
import { forksOf } from "../../agent/made.ts";
import { operation, STEP } from "../define.ts";
import { goOn } from "../going.ts";

/** So many at once. */
const MOST = 32;

export const fork = operation({
  name: "fork",
  right: "fork",
  brief:
    "Starts other runs that begin with the state of the run at a step (files and conversation), and go on from there by themselves: to try another way, or several, while this one stays as it is.",
  properties: {
    at: { ...STEP, description: "The step; the newest one without it." },
    intent: {
      type: "boolean",
      description: "Begin before that step instead of behind it: its call is still to be made.",
    },
    count: { type: "integer", minimum: 1, maximum: MOST, description: "How many; one without it." },
    instruction: { type: "string", description: "What to tell their agents." },
    still: { type: "boolean", description: "Only make them: they begin when they are resumed." },
  },
  optional: ["at", "intent", "count", "instruction", "still"],
  act: async ({ store, name }, { at, intent, count = 1, instruction, still = false }, doing) => {
    const runs = await forksOf(store, name, { ...doing, count, at, intent });
    const told = instruction === undefined ? {} : { instruction };
    if (!still) for (const run of runs) await goOn(store, run, told);
    return { run: name, runs, still };
  },
  tell: ({ runs, still }) =>
    `${still ? "Made" : runs.length === 1 ? "It goes on as" : "They go on as"} ${runs.join(", ")}.`,
});
