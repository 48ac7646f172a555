/** Holds a run back. */
import { pauseRun } from "../../agent/operations.ts";
import { operation } from "../define.ts";

export const pause = operation({
  name: "pause",
  right: "pause",
  brief:
    "Holds the run back: what runs ends, and nothing new begins until it is resumed. Its work is the same as without. Pause before you decide something that must not be overtaken.",
  properties: {},
  act: async ({ store, name }, _input, doing) => {
    await pauseRun(store, name, doing);
    return { run: name, state: "paused" };
  },
  tell: () => "It is paused: what runs ends, and nothing new begins until it is resumed.",
});
