/** `shepherd supervise`: several workers under a supervisor, merged and checked. */
import { LANDS_ONCE } from "../landing.ts";
import { choice, type Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "several workers under a supervisor, merged and checked",
  usage: '"TASK"… | --tasks FILE | --runs RUNS | -- COMMAND…',
  goesOn: true,
  command: true,
  agents: true,
  options: {
    agent: { type: "string", value: "AGENT", help: "who does the tasks: claude or codex" },
    "worker-model": {
      type: "string",
      value: "MODEL",
      help: "the model of that agent; without --agent the built-in agent works with it",
    },
    tasks: {
      type: "string",
      value: "FILE",
      help: 'tasks, one a line, or as {"name", "task", "paths", "model", "agent"}',
    },
    runs: { type: "string", value: "RUNS", help: "runs that are there already, as a,b" },
    policy: { type: "string", value: "POLICY", help: "who decides: rules (the default), model, none or random" },
    model: { type: "string", short: "m", value: "MODEL", help: "the model that decides, with --policy model" },
    seed: { type: "string", value: "N", help: "what --policy random draws from" },
    guard: {
      type: "string",
      value: "WHAT",
      help: "allow, deny or wait (the default): what becomes of calls while no supervisor is there",
    },
    every: { type: "string", value: "TIME", help: "look at least this often, as 5s (the default)" },
    budget: { type: "string", value: "USD", help: "stop once all together, the policy too, have cost this much" },
    check: { type: "string", value: "CMD", help: "a command that must pass on the merged work" },
    land: { type: "string", value: "HOW", help: "ask, auto or never: when the merged work comes into your directory" },
    report: { type: "string", value: "DIR", help: "write report.md and report.html there" },
    scope: { type: "string", value: "NAME", help: "name of the supervisor's run" },
    resume: { type: "boolean", help: "go on with a supervisor that stopped, RUN or the newest one" },
  },
  details:
    "Each task is a run of its own, and all begin with the same files. The supervisor looks at them at each step, and decides: it tells a worker something, begins its conversation " +
    "anew, sets it back, or pauses it; a call that destroys something does not pass. It never merges or lands by itself: that is done at the end, as --check and --land say. " +
    "What conflicts, or makes the check fail, is handed back to one worker, twice at most. Killed, it goes on with `shepherd resume`.",
  examples: [
    'shepherd supervise --agent claude --check "npm test" "add a login" "fix #7"',
    "shepherd supervise --worker-model haiku --tasks tasks.jsonl --report report",
    "shepherd supervise --resume",
  ],
  run: async (context, flags, args) => {
    const { superviseNew, superviseOn } = await import("../supervise/drive.ts");
    const land = choice(flags, "land", LANDS_ONCE);
    return flags.resume ? superviseOn(context, flags, args, land) : superviseNew(context, flags, args, land);
  },
};
