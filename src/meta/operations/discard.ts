/** Gives a run up. */
import { discard as discardRun } from "../../agent/operations.ts";
import { operation } from "../define.ts";

export const discard = operation({
  name: "discard",
  right: "discard",
  brief:
    "Gives the run up: stops it, and takes back what it did outside where that can be. It can be brought back by the user.",
  properties: {},
  act: async ({ store, name }, _input, doing) => {
    await discardRun(store, name, doing);
    return { run: name };
  },
  tell: () => "It is discarded.",
});
