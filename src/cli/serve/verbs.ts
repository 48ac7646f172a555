/** The verbs that can be asked for, as they are. */
import { Exit } from "../errors.ts";
import { chooseRun } from "../select.ts";
import type { Verb } from "../verb.ts";
import { wordsIn } from "./body.ts";
import type { Jobs } from "./jobs.ts";
import { contextOf, type Route } from "./request.ts";

/** Verbs that do one thing and end. */
const VERBS: { [name: string]: () => Promise<{ verb: Verb }> } = {
  status: () => import("../verbs/status.ts"),
  log: () => import("../verbs/log.ts"),
  show: () => import("../verbs/show.ts"),
  diff: () => import("../verbs/diff.ts"),
  cat: () => import("../verbs/cat.ts"),
  checkout: () => import("../verbs/checkout.ts"),
  blame: () => import("../verbs/blame.ts"),
  bisect: () => import("../verbs/bisect.ts"),
  cost: () => import("../verbs/cost.ts"),
  grep: () => import("../verbs/grep.ts"),
  tag: () => import("../verbs/tag.ts"),
  export: () => import("../verbs/export.ts"),
  import: () => import("../verbs/import.ts"),
  replay: () => import("../verbs/replay.ts"),
  fork: () => import("../verbs/fork.ts"),
  revert: () => import("../verbs/revert.ts"),
  merge: () => import("../verbs/merge.ts"),
  sync: () => import("../verbs/sync.ts"),
  undo: () => import("../verbs/undo.ts"),
  discard: () => import("../verbs/discard.ts"),
  handoff: () => import("../verbs/handoff.ts"),
  inject: () => import("../verbs/inject.ts"),
  pause: () => import("../verbs/pause.ts"),
};

/** Verbs that drive a run. */
const DRIVING: { [name: string]: () => Promise<{ verb: Verb }> } = {
  run: () => import("../verbs/run.ts"),
  resume: () => import("../verbs/resume.ts"),
};

const typed =
  (name: string, load: () => Promise<{ verb: Verb }>): Route =>
  async (serving, request) => {
    const { verb } = await load();
    const { cwd, args, flags, command } = wordsIn(name, verb, request.body, serving.cwd);
    if ((name === "export" && flags.output === "-") || (name === "import" && args[0] === "-"))
      throw new Exit(2, "Standard input and output are not those of who asks: name a file.");
    return verb.run(contextOf(serving, request, cwd, command), flags, args);
  };

const driving =
  (name: string, load: () => Promise<{ verb: Verb }>): Route =>
  async (serving, request) => {
    const { store, jobs } = serving;
    const { verb } = await load();
    const { cwd, args, flags, command } = wordsIn(name, verb, request.body, serving.cwd);
    if (flags.count !== undefined) throw new Exit(2, "One run at a time: leave --count out, and ask again for each.");
    let named: Parameters<Jobs["begin"]>[1];
    if (name === "resume") {
      const { log, name } = await chooseRun(contextOf(serving, request, cwd, null), args[0], { destructive: true });
      const begun = async (over: AbortSignal): Promise<void> => {
        while (!over.aborted && !(await store.leases.holder(`log/${log}`)))
          await new Promise((resolve) => setTimeout(resolve, 5));
      };
      named = { name, begun };
    }
    const begun = await jobs.begin(
      (out, signal) => verb.run({ ...contextOf(serving, request, cwd, command), out, signal }, flags, args),
      named,
    );
    if (Array.isArray(begun)) return begun;
    await request.send({ object: begun });
    return 0;
  };

export const VERB_ROUTES: { [name: string]: Route } = Object.fromEntries([
  ...Object.entries(VERBS).map(([name, load]) => [name, typed(name, load)]),
  ...Object.entries(DRIVING).map(([name, load]) => [name, driving(name, load)]),
]);
