/** `shepherd gc`: free what nothing needs any more. */

import { expire } from "../../run/retention.ts";
import { followers } from "../../scope/followers.ts";
import { gc } from "../../trace/gc.ts";
import { keepReserve, useReserve } from "../../trace/reserve.ts";
import { count, type Verb } from "../verb.ts";
import { counted, sizeText } from "../words.ts";

export const verb: Verb = {
  brief: "free what nothing needs any more",
  usage: "[--dry-run] [--work]",
  most: 0,
  options: {
    "dry-run": { type: "boolean", help: "only say what would be freed" },
    work: { type: "boolean", help: "the files of runs at rest too; they are made anew when needed" },
    seconds: { type: "string", value: "N", help: "begin no further pack after this time" },
  },
  details:
    "Keeps what any run, operation or process can reach. Operations can be undone and discarded runs brought back for 30 days. Safe beside running agents.",
  run: async (context, flags) => {
    const { out, signal } = context;
    const store = await context.store();
    const dryRun = flags["dry-run"] === true;
    const seconds = count(flags, "seconds", 1);
    if (!dryRun && (await useReserve(store)))
      out.warn("shepherd: The disk is full: what was kept back for that in the store is used now.");
    const expired = await expire(store, { dryRun, allWork: flags.work === true });
    const progress = out.progress();
    const report = await gc(store, {
      followers,
      dryRun,
      signal,
      ...(seconds !== undefined && { maxMs: seconds * 1000 }),
      onProgress: ({ phase, done, total, pids }) =>
        progress.at(pids?.length ? `waiting for process ${pids.join(", ")}` : `${phase}: ${done} of ${total}`),
    }).finally(() => progress.done());
    if (!dryRun) await keepReserve(store);
    const { logs, freed, left, stopped } = report;
    out.object({
      dryRun,
      freed,
      left,
      stopped,
      logs: { kept: logs.kept, removed: logs.removed.length },
      operations: expired.operations,
      scopes: expired.scopes,
      work: expired.work.length,
    });
    const verb = dryRun ? "Would free" : "Freed";
    out.say(
      `${verb} ${sizeText(freed)}; ${counted(logs.removed.length, "log")}, ${counted(expired.operations, "operation")} and ${counted(expired.work.length, "work directory", "work directories")} ${dryRun ? "would go" : "went"}.`,
    );
    if (left > 0) out.say(`${sizeText(left)} more are not worth copying yet.`);
    if (stopped) out.say(stopped);
    return undefined;
  },
};
