/** Brings the user's newer files into a run. */
import { syncRun } from "../../agent/operations.ts";
import { operation } from "../define.ts";
import { sideOf, TAKE } from "../sides.ts";

export const sync = operation({
  name: "sync",
  right: "sync",
  brief: "Brings into the run what changed in its directory since it began. Its conversation stays, and it goes on.",
  properties: { take: TAKE },
  optional: ["take"],
  act: async ({ store, name }, { take }, doing) => ({
    run: name,
    ...(await syncRun(store, name, { take: sideOf(take) }, doing)),
  }),
  tell: ({ n, status }) => (status === "nothing" ? "It has all of that already." : `Synced, as step ${n}.`),
});
