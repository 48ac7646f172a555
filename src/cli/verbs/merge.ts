/** `shepherd merge`: a run's files into the user's directory, or into another run. */
import { landRun } from "../../run/land.ts";
import { quotePath } from "../../world/paths.ts";
import { confirmOnTerminal } from "../ask.ts";
import { Exit } from "../errors.ts";
import { operate } from "../operate.ts";
import { chooseRun } from "../select.ts";
import { text, type Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "a run's files into your directory, or into its parent",
  usage: "[RUN] [--into RUN]",
  options: {
    into: { type: "string", value: "RUN", help: "merge into this run instead of your directory" },
    yes: { type: "boolean", short: "y", help: "land files that run code later without asking" },
    "dry-run": { type: "boolean", help: "only say what would be changed" },
  },
  details:
    "Your directory is looked at first; what you changed meanwhile is kept and merged. Where both changed the same lines nothing is written, " +
    "the conflict is recorded, and the exit code is 3. `shepherd undo` takes a merge back.",
  run: async (context, flags, args) => {
    const { out } = context;
    const store = await context.store();
    const run = await chooseRun(context, args[0], { destructive: true });
    const into = text(flags, "into");
    if (into !== undefined) {
      if (into === run.name) throw new Exit(2, "A run cannot be merged into itself.");
      await chooseRun(context, into);
      if (flags["dry-run"]) {
        out.line(`Would merge ${run.name} into ${into}.`);
        return undefined;
      }
      const merged = (await operate(store, into, "merge", { from: run.name })) as unknown as MergedJson;
      out.object({ from: run.name, into, ...merged });
      if (merged.status === "nothing") out.line(`${into} has all of ${run.name} already.`);
      if (merged.status === "done")
        out.line(
          `Merged ${run.name} into ${into} as step ${merged.n}${merged.adopted ? "; it goes on with that conversation" : ""}.`,
        );
      if (merged.status !== "conflict") return undefined;
      out.line(`${run.name} and ${into} changed the same places; ${into} is left as it was (step ${merged.n}):`);
      for (const { path, why } of merged.conflicts) out.line(`  ${quotePath(Buffer.from(path, "latin1"))}: ${why}`);
      return 3;
    }
    const progress = out.progress();
    const landed = await landRun(store, context.cwd, run.name, {
      signal: context.signal,
      dryRun: flags["dry-run"] === true,
      onProgress: (at) => progress.at(at),
      confirm: flags.yes ? async () => true : confirmOnTerminal(out),
    }).finally(() => progress.done());
    out.object({
      from: run.name,
      status: landed.status,
      op: landed.op,
      changes: landed.changes.map(({ path, kind }) => ({ path: quotePath(path), kind })),
      held: landed.held.map(({ path, why }) => ({ path: quotePath(path), why })),
      conflicts: landed.conflicts.map(({ path, why }) => ({ path: quotePath(path), why })),
    });
    const paths = landed.changes.length === 1 ? "1 path" : `${landed.changes.length} paths`;
    if (landed.status === "nothing") out.line(`Your directory has all of ${run.name} already.`);
    else if (flags["dry-run"]) out.line(`Would change ${paths} in ${landed.directory}:`);
    else if (landed.status === "done")
      out.line(`Landed ${run.name}: ${paths} in ${landed.directory}. \`shepherd undo\` takes it back.`);
    else out.line(`${run.name} and your directory changed the same places; those are left as you have them:`);
    if (flags["dry-run"])
      for (const { path, kind } of landed.changes) out.line(`  ${kind.padEnd(8)} ${quotePath(path)}`);
    for (const { path, why } of landed.conflicts) out.line(`  ${quotePath(path)}: ${why}`);
    for (const { path, why } of landed.held)
      out.line(`  not landed: ${quotePath(path)} (${why}); \`shepherd merge ${run.name} --yes\` lands it`);
    return landed.conflicts.length > 0 || landed.held.length > 0 ? 3 : undefined;
  },
};

interface MergedJson {
  n: number | null;
  op: number | null;
  status: "done" | "conflict" | "nothing";
  adopted: boolean;
  conflicts: Array<{ path: string; why: string }>;
}
