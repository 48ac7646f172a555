/** Stops a run. */
import { stopRun } from "../../agent/operations.ts";
import { refOf } from "../../agent/watching.ts";
import { operation } from "../define.ts";

export const cancel = operation({
  name: "cancel",
  right: "cancel",
  brief: "Stops the run, and waits until it stands. What it did stays, and it can be resumed.",
  properties: { reason: { type: "string", description: "Why it is stopped." } },
  act: async ({ store, name }, { reason }, doing) => {
    const stood = (await store.leases.holder(`log/${(await refOf(store, name)).log}`)) === null;
    await stopRun(store, name, reason!, doing);
    return { run: name, stood };
  },
  tell: ({ stood }) => (stood ? "It was not at work." : "It is stopped."),
});
