/** `shepherd replay`: compute all commits of a run anew. */
import { isIndexDamaged, loadSnapshot } from "../../scope/index.ts";
import type { ScopeRef } from "../../scope/registry.ts";
import { replayLog } from "../../scope/replay.ts";
import type { ExitCode } from "../errors.ts";
import { lacks } from "../partial.ts";
import { chooseRun } from "../select.ts";
import type { Context, Flags, Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "compute all commits of a run anew, and compare",
  usage: "[RUN]",
  most: 1,
  options: {
    drive: {
      type: "boolean",
      help: "drive the coding agent itself once more, with the answers on record and without a network, and tell what goes otherwise",
    },
  },
  details:
    "A fold over the log: no model is asked and no tool runs. Reads every object that the log names and checks it against its hash. With --drive the agent " +
    "works again, from the run's beginning, in a scope that is thrown away.",
  agents: true,
  run: async (context, flags, args) => {
    const { out } = context;
    const store = await context.store();
    const run = await chooseRun(context, args[0]);
    if (flags.drive) return driveOnce(context, flags, run);
    const done = await replayLog(store, run.log, { signal: context.signal });
    const indexed = await loadSnapshot(store, run.log);
    for (const [i, step] of indexed?.snapshot.steps.entries() ?? [])
      if (step.sealed && done.sealed[i]?.sealed?.id !== step.sealed.id)
        done.wrong.push(`Step ${step.n} was indexed with another commit; delete the store's folder \`cache\`.`);
    if (isIndexDamaged(store, run.log))
      done.wrong.push("The index of the log is damaged, and not used; delete the store's folder `cache`.");
    const { steps, commits, objects, wrong } = done;
    out.object({ scope: run.name, steps, commits, objects, head: done.head.id, wrong });
    out.say(`${run.name}: ${steps} steps, ${commits} commits computed anew, ${objects} objects checked.`);
    for (const sentence of wrong) out.say(`  ${sentence}`);
    if (wrong.length > 0) out.say("`shepherd fsck` tells more.");
    return wrong.length > 0 ? 4 : undefined;
  },
};

/** Of so many files of one step it is told how they are otherwise. */
const MOST = 20;

async function driveOnce(context: Context, flags: Flags, run: ScopeRef): Promise<ExitCode> {
  const { out, signal } = context;
  const { driveAgain } = await import("../driving.ts");
  const store = await context.store();
  const { ending, steps, served, divergences } = await driveAgain(
    { store, out, signal, lacks: lacks(context, flags) },
    run,
  );
  out.object({ scope: run.name, drive: true, ending, steps, served, divergences });
  const how = divergences.length === 0 ? "all went as it had" : `${divergences.length} went otherwise`;
  out.say(`${run.name}: driven again over ${steps} steps, ${served} answers from the record: ${how}.`);
  const files = new Map<number | null, number>();
  for (const [at, { n, kind, what }] of divergences.entries()) {
    const where = n === null ? "behind" : `step ${n}`;
    const count = kind === "files" ? (files.get(n) ?? 0) + 1 : 0;
    if (count > 0) files.set(n, count);
    if (count <= MOST) out.say(`  ${where}: ${what}`);
    const next = divergences[at + 1];
    if (count > MOST && (next?.kind !== "files" || next.n !== n))
      out.say(
        `  ${where}: ${count - MOST} more ${count === MOST + 1 ? "file is" : "files are"} otherwise: --json lists all.`,
      );
  }
  return divergences.length === 0 ? 0 : 1;
}
