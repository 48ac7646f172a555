/** `shepherd cat`: a file as it was at a step. */
import { readContent } from "../../world/content.ts";
import { quotePath } from "../../world/paths.ts";
import { readTree } from "../../world/tree.ts";
import { Exit } from "../errors.ts";
import { chooseStep, entryAt } from "../select.ts";
import type { Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "a file as it was at a step",
  usage: "[RUN] STEP PATH",
  details: "Prints the bytes as they are. A directory is listed.",
  examples: ["shepherd cat 6 src/login.js", "shepherd cat fix-login@ package.json"],
  run: async (context, _flags, args) => {
    const { out } = context;
    const path = args.at(-1);
    if (args.length < 2 || path === undefined)
      throw new Exit(2, "Which file of which step? `shepherd cat [RUN] STEP PATH`");
    const store = await context.store();
    const { run, revision } = await chooseStep(context, args.slice(0, -1), "shepherd cat [RUN] STEP PATH");
    const bytes = Buffer.from(path);
    const entry = await entryAt(store, revision, path);
    if (!entry)
      throw new Exit(
        2,
        `There was no ${quotePath(bytes)} at step ${revision.step.n} of ${run.name}: \`shepherd cat ${run.name} ${revision.step.n} .\` lists what there was.`,
      );
    if (entry.type === "d") {
      for (const each of (await readTree(store.objects, entry.id)).entries) {
        out.object({ name: quotePath(each.name), type: each.type, mode: each.mode.toString(8), id: each.id });
        out.line(`${quotePath(each.name)}${each.type === "d" ? "/" : each.type === "l" ? "@" : ""}`);
      }
      return undefined;
    }
    out.object({ path: quotePath(bytes), type: entry.type, mode: entry.mode.toString(8), id: entry.id });
    if (!out.bytes) return undefined;
    const parts =
      entry.type === "l"
        ? [(await store.objects.get(entry.id))!, Buffer.from("\n")]
        : readContent(store.objects, entry.type, entry.id);
    for await (const part of parts) await out.bytes(part);
    return undefined;
  },
};
