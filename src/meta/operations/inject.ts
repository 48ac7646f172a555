/** Tells the agent of a run something. */
import { injectInto } from "../../agent/operations.ts";
import { operation } from "../define.ts";

export const inject = operation({
  name: "inject",
  right: "inject",
  brief:
    "Tells the agent of the run something, as its user would. It reads that before its next request; where nobody drives it, when it goes on. Not for a code body or a command.",
  properties: { text: { type: "string", description: "What to tell it." } },
  act: async ({ store, name }, { text }, doing) => {
    await injectInto(store, name, text!, doing);
    return { run: name };
  },
  tell: () => "It is told before its next request.",
});
