/** Begins the conversation of a run anew, on its own files or on those of another run. */
import { Denied } from "../../agent/errors.ts";
import { handOver } from "../../agent/operations.ts";
import { operation, STEP } from "../define.ts";

export const handoff = operation({
  name: "handoff",
  right: "handoff",
  brief:
    "Lets the run go on with a fresh conversation: your guidance, then its task. Its files stay; with `from` they become those of another run at a step. For an agent whose conversation leads nowhere any more, while its files, or those of another one, are worth to go on with.",
  properties: {
    guidance: { type: "string", description: "What it is told first: what is there, what was tried, what to do now." },
    from: { type: "string", description: "Name of the run whose files it goes on with." },
    at: { ...STEP, description: "The step of that run; its newest one without it." },
  },
  optional: ["from", "at"],
  act: async ({ store, name }, { guidance, from, at }, doing) => {
    if (from !== undefined && from !== name && !(await doing.may?.(from, "observe")))
      throw new Denied(`${from} is no run that you may see.`, { run: name });
    const { n, live } = await handOver(store, name, { guidance: guidance!, from, at }, doing);
    return { run: name, n, live };
  },
  tell: ({ n, live }) =>
    live
      ? `It begins anew with that, as step ${n}, and goes on.`
      : `Its conversation begins anew with that, as step ${n}. It is not at work: resume goes on with it.`,
});
