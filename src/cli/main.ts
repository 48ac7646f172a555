#!/usr/bin/env node
/** The command `shepherd`: finds the verb, and loads only that. */
import { Exit, explain } from "./errors.ts";
import { makeOutput } from "./output.ts";
import { type Context, helpOf, parseVerb, type Verb } from "./verb.ts";

const VERBS: { [name: string]: { brief: string; load: () => Promise<{ verb: Verb }> } } = {
  init: { brief: "make this directory known, and read its files once", load: () => import("./verbs/init.ts") },
  run: { brief: "run Claude Code, Codex or any command on files of its own", load: () => import("./verbs/run.ts") },
  resume: { brief: "go on with a run that stopped or is paused", load: () => import("./verbs/resume.ts") },
  status: { brief: "runs of this directory, and how they stand", load: () => import("./verbs/status.ts") },
  log: { brief: "what a run did, newest first", load: () => import("./verbs/log.ts") },
  show: { brief: "one step in full", load: () => import("./verbs/show.ts") },
  blame: { brief: "which step wrote a line, and what asked for it", load: () => import("./verbs/blame.ts") },
  bisect: { brief: "the first step at which a command fails", load: () => import("./verbs/bisect.ts") },
  grep: { brief: "search what runs were told, did and said", load: () => import("./verbs/grep.ts") },
  diff: { brief: "what changed in the files", load: () => import("./verbs/diff.ts") },
  cat: { brief: "a file as it was at a step", load: () => import("./verbs/cat.ts") },
  checkout: { brief: "all files of a step into a directory", load: () => import("./verbs/checkout.ts") },
  revert: { brief: "conversation and files back at a step", load: () => import("./verbs/revert.ts") },
  fork: { brief: "new scopes that start at a step", load: () => import("./verbs/fork.ts") },
  merge: { brief: "a run's files into your directory, or into its parent", load: () => import("./verbs/merge.ts") },
  sync: { brief: "your newer files into a run", load: () => import("./verbs/sync.ts") },
  undo: { brief: "take back the last revert, merge, sync, landing or discard", load: () => import("./verbs/undo.ts") },
  tag: { brief: "names for steps, and @green: where the check passed", load: () => import("./verbs/tag.ts") },
  discard: { brief: "give a run up", load: () => import("./verbs/discard.ts") },
  observe: { brief: "a run as it goes, with what is under way", load: () => import("./verbs/observe.ts") },
  inject: { brief: "tell the agent of a run something", load: () => import("./verbs/inject.ts") },
  gate: { brief: "be asked before each call of a run", load: () => import("./verbs/gate.ts") },
  pause: { brief: "hold a run back", load: () => import("./verbs/pause.ts") },
  handoff: { brief: "a fresh conversation on the files of a run", load: () => import("./verbs/handoff.ts") },
  port: { brief: "reach a server that listens in a run", load: () => import("./verbs/port.ts") },
  service: { brief: "the services of a run, and what they wrote", load: () => import("./verbs/service.ts") },
  shell: { brief: "a shell in a scope, each command a step", load: () => import("./verbs/shell.ts") },
  exec: { brief: "one command in a scope, as a step", load: () => import("./verbs/exec.ts") },
  supervise: {
    brief: "several workers under a supervisor, merged and checked",
    load: () => import("./verbs/supervise.ts"),
  },
  serve: { brief: "runs for programs: start, step, fork, grade over HTTP", load: () => import("./verbs/serve.ts") },
  mcp: { brief: "runs for other agents, over the Model Context Protocol", load: () => import("./verbs/mcp.ts") },
  gateway: { brief: "record the model calls of any program", load: () => import("./verbs/gateway.ts") },
  replay: { brief: "compute all commits of a run anew, and compare", load: () => import("./verbs/replay.ts") },
  export: { brief: "a run as one file", load: () => import("./verbs/export.ts") },
  import: { brief: "a run out of such a file", load: () => import("./verbs/import.ts") },
  image: { brief: "root file systems for runs, without Docker", load: () => import("./verbs/image.ts") },
  plugin: { brief: "the coding agents that can be run", load: () => import("./verbs/plugin.ts") },
  doctor: { brief: "what this machine allows, and what would help", load: () => import("./verbs/doctor.ts") },
  fsck: { brief: "check the store", load: () => import("./verbs/fsck.ts") },
  gc: { brief: "free what nothing needs any more", load: () => import("./verbs/gc.ts") },
  cost: { brief: "tokens and money, by run and by model", load: () => import("./verbs/cost.ts") },
  du: { brief: "who uses how much of the store", load: () => import("./verbs/du.ts") },
  uninstall: { brief: "remove the store, and with it every run", load: () => import("./verbs/uninstall.ts") },
  forget: { brief: "destroy bytes for good", load: () => import("./verbs/forget.ts") },
};

function help(): string {
  const width = Math.max(...Object.keys(VERBS).map((name) => name.length));
  return [
    "shepherd: runs of agents as values: log, revert, fork, merge, undo",
    "",
    '  shepherd run claude "fix the login bug"',
    "  shepherd log",
    "  shepherd revert 6",
    "",
    ...Object.entries(VERBS).map(([name, { brief }]) => `  ${name.padEnd(width)}  ${brief}`),
    "",
    "`shepherd VERB --help` tells more. Exit codes: 0 done, 1 the work failed,",
    "2 bad usage, 3 conflict or refused, 4 store or host unfit.",
  ].join("\n");
}

function unknownVerb(name: string): number {
  process.stderr.write(`shepherd: There is no verb ${JSON.stringify(name)}: \`shepherd --help\` lists them.\n`);
  return 2;
}

/** A HOME that is no path would be another directory wherever one stands: as without one it is that of the user's entry. */
function forgetNoHome(): void {
  if (!process.env.HOME?.startsWith("/")) delete process.env.HOME;
}

async function main(argv: string[]): Promise<number> {
  forgetNoHome();
  const [name, ...words] = argv;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    const entry = name === "help" && words[0] && Object.hasOwn(VERBS, words[0]) ? VERBS[words[0]] : undefined;
    if (name === "help" && words[0] && !entry) return unknownVerb(words[0]);
    process.stdout.write(`${entry ? helpOf(words[0]!, (await entry.load()).verb) : help()}\n`);
    return name === undefined ? 2 : 0;
  }
  if (name === "--version" || name === "-V") {
    const { version } = await import("../version.ts");
    process.stdout.write(`${version}\n`);
    return 0;
  }
  const dashes = words.indexOf("--");
  const behind = dashes < 0 ? null : words.slice(dashes + 1);
  const own = dashes < 0 ? words : words.slice(0, dashes);
  let out = makeOutput(own.includes("--json"));
  const interrupt = new AbortController();
  let context: Context | null = null;
  const { hasStore, makeContext } = await import("./context.ts");
  try {
    const entry = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
    if (name.startsWith("-"))
      throw new Exit(
        2,
        `Which verb? Options stand behind it, as in \`shepherd status --json\`; \`shepherd --help\` lists the verbs.`,
      );
    if (!entry) throw new Exit(2, `There is no verb ${JSON.stringify(name)}: \`shepherd --help\` lists them.`);
    const { verb } = await entry.load();
    if (own.includes("--help") || own.includes("-h")) {
      process.stdout.write(`${helpOf(name, verb)}\n`);
      return 0;
    }
    const { flags, args } = parseVerb(name, verb, verb.command ? own : words);
    out = makeOutput(flags.json === true);
    goesOn = verb.goesOn ?? false;
    onInterrupt(interrupt);
    context = makeContext(out, verb.command ? behind : null, interrupt.signal);
    if (verb.agents) {
      const { loadAdded, ranOutside } = await import("../plugins/added.ts");
      outside = ranOutside;
      // A store that cannot be opened is told of by the verb, if that needs it.
      const store = hasStore() ? await context.store().catch(() => null) : null;
      if (store) await loadAdded(store, out.warn);
    }
    return (await verb.run(context, flags, args)) ?? 0;
  } catch (error) {
    if (interrupt.signal.aborted && (error === interrupt.signal.reason || (error as Error)?.name === "AbortError")) {
      out.warn("shepherd: stopped.");
      return 1;
    }
    const { code, message, hint } = explain(error);
    out.object({ error: message, code });
    out.warn(`shepherd: ${message}`);
    if (hint) out.warn(hint);
    if (process.env.SHEPHERD_DEBUG) out.warn(String((error as Error)?.stack ?? error));
    return code;
  } finally {
    out.flush();
    await context?.close();
  }
}

/** Ctrl-C once stops the work and leaves it sound; twice ends at once. */
function onInterrupt(interrupt: AbortController): void {
  const stop = (signal: NodeJS.Signals): void => {
    if (interrupt.signal.aborted) process.exit(signal === "SIGINT" ? 130 : 143);
    process.stderr.write("\nshepherd: stopping; once more to end at once.\n");
    interrupt.abort(new DOMException("Stopped by the user.", "AbortError"));
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
}

/** Whether what is done matters more than what is shown. */
let goesOn = false;
/** Whether code of plugins from outside has run. */
let outside = (): boolean => false;
/** So long what they have left open may still do something, in ms. */
const PATIENCE = 1000;
/** Whether something that was to be shown is lost, though somebody reads. */
let unshown = false;
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // Whoever reads has seen enough (`shepherd log | head`).
  if (error.code === "EPIPE") {
    if (!goesOn) process.exit(0);
    return;
  }
  if (!unshown) process.stderr.write(`shepherd: What was to be shown could not be written (${error.code}).\n`);
  unshown = true;
  if (!goesOn) process.exit(4);
  // What is done goes on, and the code says at its end that its output is not whole.
  process.exitCode = 4;
});
process.stderr.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") return;
  unshown = true;
  process.exitCode = 4;
});

const code = await main(process.argv.slice(2));
process.exitCode = unshown ? 4 : code;
// A timer or a connection of theirs keeps no command that is done.
if (outside()) setTimeout(() => process.exit(), PATIENCE).unref();
