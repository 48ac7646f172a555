/** Computes a run anew from its log. */
import { replayRun } from "../../agent/operations.ts";
import { operation } from "../define.ts";
import { quoted } from "../quote.ts";

/** So many of what does not hold are told. */
const MOST = 10;

export const replay = operation({
  name: "replay",
  right: "replay",
  brief:
    "Computes all commits of the run anew from its log, and checks what that names: whether its record is whole. Sends nothing, and runs nothing.",
  properties: {},
  readOnly: true,
  act: async ({ store, name }, _input, doing) => {
    const { steps, commits, objects, head, wrong } = await replayRun(store, name, doing);
    return { run: name, steps, commits, objects, head: head.id, wrong };
  },
  tell: ({ steps, commits, wrong }) =>
    wrong.length === 0
      ? `All ${commits} commits of ${steps} steps are as they were.`
      : `${wrong.length} things do not hold: ${wrong
          .slice(0, MOST)
          .map((each) => quoted(each, 200))
          .join(" ")}`,
});
