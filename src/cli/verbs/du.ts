/** `shepherd du`: who uses how much of the store. */

import { followers } from "../../scope/followers.ts";
import { listScopes, workspacePath } from "../../scope/registry.ts";
import { du } from "../../trace/du.ts";
import { checkQuota } from "../../trace/quota.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { plain } from "../output.ts";
import type { Verb } from "../verb.ts";
import { sizeText } from "../words.ts";

/** Of which directory it is the main, where the store can say. */
const mainOf = async (store: EmbeddedStore, log: string): Promise<string> =>
  workspacePath(store, log).then(
    (path) => `(main of ${plain(path)})`,
    () => "(main)",
  );

export const verb: Verb = {
  brief: "who uses how much of the store",
  usage: "",
  most: 0,
  details: "`own` is what only that run needs, and what discarding it would free in the end.",
  run: async (context) => {
    const { out, signal } = context;
    const store = await context.store();
    const progress = out.progress();
    const report = await du(store, {
      followers,
      signal,
      onProgress: ({ done, total }) => progress.at(`looking at logs: ${done} of ${total}`),
    }).finally(() => progress.done());
    const names = new Map((await listScopes(store)).map((scope) => [scope.log, scope.name]));
    if (report.logs.length > 0) out.line(`${"own".padStart(9)} ${"shared".padStart(9)} ${"log".padStart(9)}  run`);
    for (const { log, frames, own, shared, objects } of report.logs) {
      const scope = names.get(log) ?? "(main)";
      const shown = names.get(log) ?? (await mainOf(store, log));
      out.object({ scope, log, own, shared, frames, objects });
      out.line(
        `${sizeText(own).padStart(9)} ${sizeText(shared).padStart(9)} ${sizeText(frames).padStart(9)}  ${shown}`,
      );
    }
    const quota = await checkQuota(store);
    const caches = report.caches.reduce((sum, { bytes }) => sum + bytes, 0);
    out.object({
      total: report.total,
      packs: report.packs,
      unreached: report.unreached,
      derived: report.derived,
      caches,
      limit: Number.isFinite(quota.limit) ? quota.limit : null,
    });
    out.say(
      `${sizeText(report.total)} in all: ${sizeText(report.packs)} content (${sizeText(report.unreached)} of it unreached), ${sizeText(report.derived + caches)} caches.`,
    );
    out.say(`The limit is ${sizeText(quota.limit)} (SHEPHERD_QUOTA), ${sizeText(quota.free)} are free on the disk.`);
    return undefined;
  },
};
