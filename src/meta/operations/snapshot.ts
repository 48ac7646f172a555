/** How a run stands, in little. */
import { operation } from "../define.ts";
import { QUOTED } from "../quote.ts";
import { look, tellSnapshot } from "../snapshot.ts";

export const snapshot = operation({
  name: "snapshot",
  right: "observe",
  brief:
    "How the run stands, in little: its task, how far it is, what went wrong last, which files it has changed, its newest calls, what it waits for. To read what it did step by step, observe it.",
  properties: {},
  readOnly: true,
  act: async ({ store, name }) => (await look(store, name)).snapshot,
  tell: (of) => `${QUOTED}\n${tellSnapshot(of)}`,
});
