/** `shepherd forget`: destroy bytes for good. */

import { forgetAll } from "../../run/forget.ts";
import { followers } from "../../scope/followers.ts";
import { findContaining } from "../../trace/containing.ts";
import type { Hash } from "../../trace/ports.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { readContentIds } from "../../world/content-ids.ts";
import { isTree } from "../../world/tree.ts";
import { askYesNo } from "../ask.ts";
import { Exit, type ExitCode } from "../errors.ts";
import { chooseStep, entryAt } from "../select.ts";
import { text, type Verb } from "../verb.ts";
import { counted } from "../words.ts";

export const verb: Verb = {
  brief: "destroy bytes for good",
  usage: "--containing TEXT | [RUN] STEP PATH | OBJECT…",
  options: {
    containing: { type: "string", value: "TEXT", help: "every object of the store that contains this text" },
    reason: { type: "string", value: "WHY", help: "kept with the tombstone" },
    yes: { type: "boolean", short: "y", help: "do not ask" },
    "dry-run": { type: "boolean", help: "only list what would be destroyed" },
  },
  details:
    "Cannot be undone. Steps and commits keep their ids; a state that needs what was forgotten is restored without it, says so, and exits with 3. " +
    "Your own directory and its .git are not touched: bytes that are there come into the store again with the next run.",
  examples: ["shepherd forget --containing sk-live-1234", "shepherd forget 6 .env"],
  run: async (context, flags, args) => {
    const { out, signal } = context;
    const store = await context.store();
    const ids = new Set<Hash>();
    const needle = text(flags, "containing");
    const progress = out.progress();
    let named: ExitCode | undefined;
    if (needle !== undefined) {
      if (needle.length < 4)
        throw new Exit(2, "--containing takes at least 4 characters, or it would match nearly everything.");
      const inJson = JSON.stringify(needle).slice(1, -1);
      const needles = [...new Set([needle, inJson])].map((each) => Buffer.from(each));
      for await (const id of findContaining(store, needles, {
        followers,
        signal,
        onProgress: ({ done, total }) => progress.at(`searching: ${done} of ${total}`),
      }))
        ids.add(id);
      for (const id of await takeDirectories(store, ids)) {
        named = 3;
        out.warn(
          `shepherd: The name of a file has it. That stays, unless you destroy its directory with all in it: shepherd forget ${id}`,
        );
      }
    } else if (args.length > 0 && args.every((word) => /^[0-9a-f]{64}$/.test(word))) for (const id of args) ids.add(id);
    else {
      if (args.length < 2)
        throw new Exit(
          2,
          "What is to be forgotten? `shepherd forget --containing TEXT`, or `shepherd forget [RUN] STEP PATH`.",
        );
      const { revision } = await chooseStep(context, args.slice(0, -1), "shepherd forget [RUN] STEP PATH");
      const entry = await entryAt(store, revision, args.at(-1)!);
      if (!entry || entry.type === "d")
        throw new Exit(2, `There was no file ${JSON.stringify(args.at(-1))} at step ${revision.step.n}.`);
      for (const id of await readContentIds(store.objects, entry)) ids.add(id);
    }
    progress.done();
    if (ids.size === 0) {
      out.say("Nothing in the store contains that.");
      return named;
    }
    for (const id of ids) out.object({ id, dryRun: flags["dry-run"] === true });
    const what = counted(ids.size, "object");
    if (flags["dry-run"]) {
      out.say(`Would destroy ${what}.`);
      return named;
    }
    if (!flags.yes && !(await askYesNo(out, `Destroy ${what} for good?`)))
      throw new Exit(3, "Nothing was destroyed: add --yes to go on without being asked.");
    const report = await forgetAll(store, [...ids], { reason: text(flags, "reason") ?? "", signal });
    const { forgotten, records, bytes, driven } = report;
    out.object({ forgotten, records, bytes, driven });
    out.say(`Destroyed ${what} (${counted(records, "record")}, ${counted(bytes, "byte")}).`);
    if (driven.length > 0)
      out.warn(
        `shepherd: ${driven.join(", ")} may have it in the files that are worked on: stop it, and forget once more.`,
      );
    return named;
  },
};

/** Takes out the directories. A text can stand in the name of a file, and with its directory the way to all the files in it would go. */
async function takeDirectories(store: EmbeddedStore, ids: Set<Hash>): Promise<Hash[]> {
  const directories: Hash[] = [];
  for (const id of ids) {
    const bytes = await store.objects.get(id).catch(() => null);
    if (bytes && isTree(bytes) && ids.delete(id)) directories.push(id);
  }
  return directories;
}
