/** Goes on with a run that is paused, or that has stopped. */
import { release } from "../../agent/operations.ts";
import { operation } from "../define.ts";
import { goOn } from "../going.ts";

export const resume = operation({
  name: "resume",
  right: "resume",
  brief:
    "Goes on with the run: ends a pause, or starts its worker again from where the run stands, in a process of its own. With an instruction its agent is told that first.",
  properties: {
    instruction: { type: "string", description: "What to tell its agent; not for a code body or a command." },
  },
  optional: ["instruction"],
  act: async ({ store, name }, { instruction }, doing) => {
    const released = await release(store, name, instruction, doing);
    if (!released) await goOn(store, name, instruction === undefined ? {} : { instruction });
    return { run: name, released };
  },
  tell: ({ released }) => (released ? "It goes on from where it was paused." : "It goes on by itself."),
});
