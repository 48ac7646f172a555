/** `shepherd sync`: the user's newer files into a run. */

import { freshMain } from "../../run/placing.ts";
import { workspacePath } from "../../scope/registry.ts";
import { operate } from "../operate.ts";
import { chooseRun } from "../select.ts";
import type { Verb } from "../verb.ts";
import { orBoth, takeOf, tellResolved } from "./merge.ts";

export const verb: Verb = {
  brief: "your newer files into a run",
  usage: "[RUN]",
  most: 1,
  options: {
    take: {
      type: "string",
      value: "SIDE",
      help: "where both changed a place: ours (the run's), theirs (yours), or both, where they go together",
    },
    "dry-run": { type: "boolean", help: "only say what would be done" },
  },
  details:
    "Merges what changed in your directory since the run started into its files. The conversation is not changed.",
  run: async (context, flags, args) => {
    const { out } = context;
    const take = takeOf(flags);
    const store = await context.store();
    const run = await chooseRun(context, args[0], { destructive: true });
    const progress = out.progress();
    const main = await freshMain(store, await workspacePath(store, run.log), {
      signal: context.signal,
      onProgress: (at) => progress.at(at),
    }).finally(() => progress.done());
    if (flags["dry-run"]) {
      out.object({ scope: run.name, from: main.head.id, dryRun: true });
      out.say(`Would merge ${main.workspace.path} (${main.head.id.slice(0, 7)}) into ${run.name}.`);
      return undefined;
    }
    const synced = (await operate(context, run.name, "sync", {
      id: main.head.id,
      tree: main.tree,
      name: "main",
      log: main.log,
      take: take ?? null,
    })) as unknown as {
      n: number | null;
      status: "done" | "conflict" | "nothing";
      conflicts: Array<{ path: string; why: string }>;
      resolved: Array<{ path: string; how: string[] }>;
    };
    out.object({ scope: run.name, ...synced });
    if (synced.status === "nothing") out.say(`${run.name} has taken in all that you changed already.`);
    if (synced.status === "done") out.say(`Synced your files into ${run.name} as step ${synced.n}.`);
    tellResolved(out, synced.resolved);
    if (synced.status !== "conflict") return undefined;
    out.say(`You and ${run.name} changed the same places; its files are left as they were (step ${synced.n}):`);
    for (const { path, why } of synced.conflicts) out.say(`  ${path}: ${why}`);
    out.say(
      `\`--take theirs\` takes yours, \`--take ours\` keeps those of ${run.name}${orBoth(take, synced.conflicts)}.`,
    );
    return 3;
  },
};
