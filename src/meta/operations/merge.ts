/** Brings the files of a run into another one. */
import { Denied } from "../../agent/errors.ts";
import { mergeIntoRun } from "../../agent/operations.ts";
import { refOf } from "../../agent/watching.ts";
import { operation } from "../define.ts";
import { sideOf, TAKE } from "../sides.ts";

export const merge = operation({
  name: "merge",
  right: "merge",
  brief:
    "Brings the files of the run into the run that it was forked from, or into another one that you hold. What changed there meanwhile is kept and merged.",
  properties: {
    into: { type: "string", description: "Name of that run; the one that it was forked from without it." },
    take: TAKE,
  },
  optional: ["into", "take"],
  act: async ({ store, name }, { into, take }, doing) => {
    const to = into ?? (await refOf(store, name)).parent ?? undefined;
    if (to !== undefined && !(await doing.may?.(to, "merge")))
      throw new Denied(`${to} is no run that you hold.`, { run: name });
    const { status } = await mergeIntoRun(store, name, { into: to, take: sideOf(take) }, doing);
    return { run: name, into: to ?? null, status };
  },
  tell: ({ into, status }) => (status === "nothing" ? "There was nothing to merge." : `Merged into ${into}.`),
});
