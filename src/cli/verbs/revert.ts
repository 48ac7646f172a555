/** `shepherd revert`: conversation and files back at a step. */

import { hasLanded, landRun } from "../../run/land.ts";
import { landsLive } from "../../run/lifecycle.ts";
import type { Left } from "../../run/operate.ts";
import type { Landed } from "../../run/placing.ts";
import { leftAt } from "../../scope/left.ts";
import { findScope, type ScopeRef, workspacePath } from "../../scope/registry.ts";
import { servicesOf } from "../../scope/services.ts";
import { findStep, readLog } from "../../scope/view.ts";
import { quotePath } from "../../world/paths.ts";
import { askYesNo, confirmOnTerminal } from "../ask.ts";
import { Exit } from "../errors.ts";
import { exactStep, NEAREST } from "../exact.ts";
import { LANDS_ONCE, type Land, landedObject } from "../landing.ts";
import { operate, tellLeft } from "../operate.ts";
import { PARTIAL, tellForgotten } from "../partial.ts";
import { chooseStep } from "../select.ts";
import { shownCommands, someCommands } from "../services.ts";
import { newestOperation, orByItsProgram } from "../takeback.ts";
import { type Context, choice, type Verb } from "../verb.ts";
import { counted, named } from "../words.ts";

export const verb: Verb = {
  brief: "conversation and files back at a step",
  usage: "[RUN] STEP [--acknowledge] [--nearest]",
  options: {
    land: {
      type: "string",
      value: "HOW",
      help: "for a run that has landed: ask, auto or never set your directory back too",
    },
    acknowledge: { type: "boolean", help: "go on although effects are passed that cannot be taken back" },
    ...NEAREST,
    ...PARTIAL,
    "dry-run": { type: "boolean", help: "only say what would be done" },
  },
  details:
    "Adds a step whose state is that of STEP: every file of the run's scope, byte for byte, and the conversation. What came since stays in " +
    "the log; `shepherd undo` goes back to it. Where the run has landed, the difference can be landed too: on a terminal you are asked, a run " +
    "that lands live does so. What you changed since stays, and is told where it is in the way.",
  examples: ["shepherd revert 6", "shepherd revert fix-login 6", "shepherd undo"],
  agents: true,
  run: async (context, flags, args) => {
    const { out } = context;
    const [only] = args;
    if (args.length === 1 && (await findScope(await context.store(), only!)))
      throw new Exit(
        2,
        `To which step of ${only}? \`shepherd revert ${only} N\`; \`shepherd log ${only}\` lists them.`,
      );
    const { run, revision } = await chooseStep(context, args, "shepherd revert [RUN] STEP", { destructive: true });
    const { n, sealed } = await exactStep(await context.store(), run, revision, flags);
    const how = choice(flags, "land", LANDS_ONCE);
    if (flags["dry-run"]) {
      out.object({ scope: run.name, to: n, commit: sealed.id, dryRun: true });
      out.say(`Would set ${run.name} back to step ${n} (${sealed.id.slice(0, 7)}).`);
      return undefined;
    }
    const store = await context.store();
    const acknowledge = flags.acknowledge === true;
    const done = await orByItsProgram(
      context,
      run,
      async () => (await operate(context, run.name, "revert", { n, acknowledge })) as unknown as Done,
      async (known) => {
        const back = await known.revert(n, { acknowledge });
        return { ...back, op: await newestOperation(store, run, "revert"), running: [], live: false };
      },
    );
    const ended = shownCommands(done.running);
    const left = shownCommands(
      await leftAt(store, revision.view, (await findStep(store, revision.view, n)) ?? undefined),
    );
    const services = (await servicesOf(store, run.log)).map(({ name }) => name);
    const landed = await landBack(context, run, n, how);
    const { outside } = done;
    out.object({
      ...{ scope: run.name, n: done.n, op: done.op, outside, to: n, landed: landed && landedObject(landed) },
      ...{ ended, left, services },
    });
    out.say(`${run.name} is back at step ${n}: files and conversation, as step ${done.n}.`);
    for (const effect of outside) out.say(`  ${tellLeft(effect)}`);
    if (ended.length > 0) out.say(`  ran in the background, and was ended: ${someCommands(ended)}`);
    if (left.length > 0)
      out.say(`  ran in the background at step ${n}, and is not started again: ${someCommands(left)}`);
    if (services.length > 0)
      out.say(`  its services ${done.live ? "are started again" : "are started when it goes on"}: ${named(services)}`);
    if (landed) {
      const { length } = landed.changes;
      const what = length === 0 ? "Nothing" : counted(length, "path");
      out.say(`${what} in ${landed.directory} ${length > 1 ? "were" : "was"} set back too.`);
      for (const { path, why } of landed.conflicts) out.say(`  left as you have it: ${quotePath(path)} (${why})`);
      for (const { path, why } of landed.held) out.say(`  not set back: ${quotePath(path)} (${why})`);
    }
    const back = landed?.op ? "takes back first that in your directory, then the revert" : "takes the revert back";
    out.say(`\`shepherd resume ${run.name}\` goes on from there; \`shepherd undo\` ${back}.`);
    const lacks = await tellForgotten(context, flags, sealed.state);
    return landed && landed.conflicts.length > 0 ? 3 : lacks;
  },
};

interface Done {
  n: number;
  op: number;
  outside: Left[];
  /** Commands that ran in the background, and were ended. */
  running: string[];
  /** Whether somebody drives it. */
  live: boolean;
}

/** Lands a run that is back at a step, if it had landed before and that is wanted; null if not. */
async function landBack(context: Context, run: ScopeRef, n: number, how: Land | undefined): Promise<Landed | null> {
  const { out, signal } = context;
  const store = await context.store();
  const view = await readLog(store, run.log, run);
  const live = landsLive(view);
  // Its owner lands what it is set back to by itself.
  if (how === "never" || (live && (await store.leases.holder(`log/${run.log}`)))) return null;
  const directory = await workspacePath(store, run.log);
  if (!(await hasLanded(store, directory, view))) return null;
  const question = `${run.name} has landed in ${directory}. Set that back to step ${n} too?`;
  if (how !== "auto" && !(live && how === undefined) && !(await askYesNo(out, question))) return null;
  return landRun(store, run.name, { signal, partly: true, confirm: confirmOnTerminal(out) });
}
