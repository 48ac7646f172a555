/** `shepherd resume`: go on with a run that stopped, or that is paused. */
import { MODULE as SUPERVISOR } from "../../meta/supervise/plan.ts";
import { landsLive } from "../../run/lifecycle.ts";
import { checkOurs } from "../../scope/foreign.ts";
import { findScope, isName } from "../../scope/registry.ts";
import { readLog } from "../../scope/view.ts";
import { AGENT_BUDGET, agentBudgetOf } from "../budget.ts";
import { Exit } from "../errors.ts";
import { driveCommand } from "../goon.ts";
import { LAND_HELP, LANDS, LANDS_ONCE, landOf } from "../landing.ts";
import { type Launch, resumeRun, taskOf } from "../launch.ts";
import { modelFor } from "../model.ts";
import { lacks, PARTIAL } from "../partial.ts";
import { chooseToGoOn, releasePaused } from "../release.ts";
import { isBlank } from "../task.ts";
import { choice, text, type Verb } from "../verb.ts";
import { told } from "./run.ts";

export const verb: Verb = {
  brief: "go on with a run that stopped or is paused",
  usage: '[RUN] ["INSTRUCTION"]',
  goesOn: true,
  options: {
    model: { type: "string", short: "m", value: "MODEL", help: "another model than before" },
    open: {
      type: "string",
      value: "HOW",
      help: "perform or drop calls that have no result yet (after a revert: drop)",
    },
    land: { type: "string", value: "HOW", help: LAND_HELP },
    ...AGENT_BUDGET,
    ...PARTIAL,
  },
  details:
    "What a crash left in doubt is settled first: what can be taken back is done again, what cannot is asked about. A run that is paused goes on where it " +
    "is driven, and is told the instruction before.",
  agents: true,
  run: async (context, flags, args) => {
    const { out, signal } = context;
    const store = await context.store();
    const isRun = args.length > 0 && (await findScope(store, args[0]!)) !== null;
    const words = isRun ? args.slice(1) : args;
    if (words.some(isBlank))
      throw new Exit(2, 'What is the agent to be told? Without an instruction it goes on as it was: leave `""` out.');
    if (!isRun) requireNoName(words);
    const run = await chooseToGoOn(context, isRun ? args[0] : undefined);
    await checkOurs(store, run);
    if (words.length > 1)
      throw new Exit(2, `One instruction, in quotes: \`shepherd resume ${run.name} "${words.join(" ")}"\`.`);
    const open = choice(flags, "open", ["perform", "drop"]);
    if (await releasePaused(context, run, flags, words[0])) return undefined;
    const started = await taskOf(store, run.name);
    const supervise = started.agent?.module === SUPERVISOR && (await import("../supervise/drive.ts"));
    if (supervise) {
      const odd = Object.keys(flags).find(
        (flag) => flags[flag] !== undefined && !["land", "json", "budget"].includes(flag),
      );
      if (odd || words.length > 0)
        throw new Exit(
          2,
          `${run.name} is a run of a supervisor, which goes on as it was started: leave ${odd ? `--${odd}` : "the instruction"} out.`,
        );
      return supervise.goOn(context, { budget: flags.budget }, run, choice(flags, "land", LANDS_ONCE));
    }
    if (started.agent?.module !== undefined)
      return (await import("../program.ts")).resumeProgram(context, flags, run, started, words[0]);
    const isCommand = started.worker === "command" || (started.worker === "gateway" && started.argv !== undefined);
    if (isCommand && words[0] !== undefined)
      throw new Exit(
        2,
        `${run.name} is a run of a command, which is told nothing: \`shepherd resume ${run.name}\` starts it anew.`,
      );
    if (flags["max-time"] !== undefined && started.worker === "gateway")
      throw new Exit(2, "--max-time is for the built-in agent: leave it out.");
    if (started.worker === "gateway") return driveCommand(context, flags, run, started);
    const budget = agentBudgetOf(flags, started);
    const model = modelFor(context, run.name, started, text(flags, "model"));
    const land = await landOf(context, choice(flags, "land", LANDS), {
      workspace: run.workspace,
      count: 1,
      run: run.name,
      live: landsLive(await readLog(store, run.log)),
    });
    const launch: Launch = { store, out, signal, several: false, land, lacks: lacks(context, flags) };
    const outcome = await resumeRun(launch, run.name, {
      ...(words[0] !== undefined && { instruction: words[0] }),
      ...(open && { open }),
      ...(model && { model }),
      ...(budget && { budget }),
    });
    return told(launch, [outcome]);
  },
};

/** Throws where a name that was mistyped would be taken for an instruction. */
function requireNoName([name, ...words]: string[]): void {
  if (name === undefined || words.length > 1 || !isName(name)) return;
  const otherwise =
    words.length === 0 ? `; to tell that to the agent, name the run too: \`shepherd resume RUN "${name}"\`` : "";
  throw new Exit(2, `There is no run ${JSON.stringify(name)}: \`shepherd status\` lists them${otherwise}.`);
}
