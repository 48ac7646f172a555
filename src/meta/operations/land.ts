/** Brings the files of a run into the user's directory. */
import { landInDirectory } from "../../agent/operations.ts";
import { operation } from "../define.ts";
import { cut } from "../quote.ts";
import { sideOf, TAKE } from "../sides.ts";

/** So many paths are named. */
const MOST = 20;

export const land = operation({
  name: "land",
  right: "land",
  brief:
    "Brings the files of the run into the user's directory that it was started in. What the user changed meanwhile is kept and merged. Files that run code later (hooks, CI, package scripts) wait for the user.",
  properties: { take: TAKE },
  optional: ["take"],
  act: async ({ store, name }, { take }, doing) => {
    const { status, changes, held } = await landInDirectory(store, name, { take: sideOf(take) }, doing);
    return {
      run: name,
      status,
      changes: changes.map((each) => ({ ...each })),
      held: held.map((each) => ({ ...each })),
    };
  },
  tell: ({ status, changes, held }) => {
    if (status === "nothing") return "There was nothing to land.";
    const names = (of: ReadonlyArray<{ path: string }>): string =>
      `${of
        .slice(0, MOST)
        .map(({ path }) => cut(path, 200))
        .join(", ")}${of.length > MOST ? ` and ${of.length - MOST} more` : ""}`;
    const waits = held.length > 0 ? ` Not landed, since they wait for the user: ${names(held)}.` : "";
    return `Landed ${changes.length} paths: ${names(changes)}.${waits}`;
  },
});
