/** `shepherd diff`: what changed in the files between two steps, or between a run and the user's directory; where two runs part. */

import { maskedLines } from "../../meta/mask.ts";
import { previewLanding } from "../../run/land.ts";
import { textsOf } from "../../scope/changes.ts";
import { findScope, type ScopeRef } from "../../scope/registry.ts";
import { isStepNumber } from "../../scope/revision.ts";
import { before, readLog } from "../../scope/view.ts";
import { target } from "../../trace/bytes.ts";
import type { Hash } from "../../trace/ports.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { diffTrees } from "../../world/diff.ts";
import { hunks } from "../../world/hunks.ts";
import { pace } from "../../world/pace.ts";
import { quotePath } from "../../world/paths.ts";
import { Exit } from "../errors.ts";
import { plain } from "../output.ts";
import { chooseRun, chooseStep } from "../select.ts";
import type { Context, Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "what changed in the files",
  usage: "[RUN] [STEP [STEP]] | RUN RUN",
  options: { stat: { type: "boolean", help: "only the paths" } },
  details:
    "Without a step: from your directory to the newest step of the run, which is what `merge` would bring. With one step: what that step " +
    "changed. With two: from the first to the second. With two runs: first where they part, in what they were asked, said and did, then the files of their newest steps.",
  examples: [
    "shepherd diff",
    "shepherd diff 6",
    "shepherd diff fix-login@2 fix-login@6",
    "shepherd diff fix-login fix-login.1",
  ],
  run: async (context, flags, args) => {
    const { out } = context;
    const { from, to, store, runs } = await sides(context, args);
    if (runs) {
      const { tellTwoRuns } = await import("../tworuns.ts");
      await tellTwoRuns(store, out, runs);
    }
    // Else nothing is printed and no Ctrl-C is heard until all of it is done.
    const { due, rest } = pace({ signal: context.signal });
    for await (const change of diffTrees(store.objects, from, to)) {
      if (due()) await rest();
      const path = quotePath(change.path) || ".";
      const mode = (side: "before" | "after"): string | null => change[side]?.mode.toString(8) ?? null;
      const id = (side: "before" | "after"): string | null =>
        change[side]?.type === "d" ? null : (change[side]?.id ?? null);
      out.object({
        path,
        kind: change.kind,
        before: { mode: mode("before"), id: id("before") },
        after: { mode: mode("after"), id: id("after") },
      });
      if (out.json) continue;
      if (flags.stat) {
        out.line(`${change.kind.padEnd(8)} ${path}`);
        continue;
      }
      out.line(
        out.style(
          "bold",
          `${change.kind} ${path}${change.kind === "mode" ? ` ${mode("before")} -> ${mode("after")}` : ""}`,
        ),
      );
      if (change.before?.type === "d" || change.after?.type === "d" || change.kind === "mode") continue;
      const texts = await textsOf(store, change);
      if (!texts) {
        out.line("  (binary, too large to show, or forgotten)");
        continue;
      }
      for (const hunk of hunks(texts.before, texts.after)) {
        out.line(out.style("cyan", `@@ -${hunk.oldStart},${hunk.oldLines} +${hunk.newStart},${hunk.newLines} @@`));
        const shown = maskedLines(hunk.lines.map(({ bytes }) => bytes.toString().replace(/\r?\n$/, "")));
        for (const [at, { sign }] of hunk.lines.entries()) {
          const line = plain(shown[at]!);
          out.line(
            sign === "+" ? out.style("green", `+${line}`) : sign === "-" ? out.style("red", `-${line}`) : ` ${line}`,
          );
        }
      }
    }
    return undefined;
  },
};

interface Sides {
  from: Hash | null;
  to: Hash;
  /** Where they are read. */
  store: EmbeddedStore;
  /** Where runs were named, and no steps of theirs. */
  runs?: readonly [ScopeRef, ScopeRef];
}

async function sides(context: Context, args: string[]): Promise<Sides> {
  const store = await context.store();
  const isRun = async (word: string): Promise<boolean> => word !== "" && (await findScope(store, word)) !== null;
  const looksLikeRun = args.length > 0 && (await isRun(args[0]!));
  const [first = "", second = ""] = args;
  const named = isStepNumber(second) ? "" : second.split("@")[0]!;
  // Two runs are two steps: of one that has no number its newest.
  if (looksLikeRun && args.length === 2 && named !== first && (await isRun(named))) {
    const both = await sides(context, [`${first}@`, second === named ? `${second}@` : second]);
    if (second !== named) return both;
    return { ...both, runs: [(await findScope(store, first))!, (await findScope(store, second))!] };
  }
  if (args.length === 0 || (args.length === 1 && looksLikeRun)) {
    const run = await chooseRun(context, args[0]);
    const progress = context.out.progress();
    const { conflicts, ...both } = await previewLanding(store, run.name, {
      signal: context.signal,
      onProgress: (at) => progress.at(at),
    }).finally(() => progress.done());
    for (const { path, why } of conflicts)
      context.out.warn(`shepherd: ${quotePath(path)}: you and ${run.name} changed the same place (${why}).`);
    return both;
  }
  const steps = looksLikeRun ? args.slice(1) : args;
  const inRun = (word: string): string[] => (looksLikeRun && !word.includes("@") ? [args[0]!, word] : [word]);
  if (steps.length > 2) throw new Exit(2, "At most two steps: `shepherd diff [RUN] [STEP [STEP]]`");
  const { revision: one } = await chooseStep(context, inRun(steps[0]!), "shepherd diff [RUN] STEP [STEP]");
  const tree = target(one.sealed.state.roots.workspace);
  if (steps[1] !== undefined) {
    const { revision: other } = await chooseStep(context, inRun(steps[1]), "shepherd diff [RUN] STEP [STEP]");
    return { from: tree, to: target(other.sealed.state.roots.workspace), store };
  }
  const { fold } = await readLog(store, one.log);
  const was = before(fold, fold.steps.get(one.step.n)!);
  return { from: was.state ? target(was.state.roots.workspace) : null, to: tree, store };
}
