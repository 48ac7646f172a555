/** What can be asked for: the verbs as they are, and what only a process that lives long can do. */
import { type CommandResult, performCommand } from "../../run/command.ts";
import { framesToTheEnd } from "../../run/follow.ts";
import { grade } from "../../run/grade.ts";
import { stateOf } from "../../run/lifecycle.ts";
import { outputOf } from "../../run/output.ts";
import { openShell } from "../../run/shell.ts";
import { type ScopeRef, workspacePath } from "../../scope/registry.ts";
import type { LiveScope } from "../../scope/scope.ts";
import { findStep, readLog } from "../../scope/view.ts";
import { frameHash } from "../../trace/logs.ts";
import { startFold } from "../../trace/seal.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { Exit, type ExitCode } from "../errors.ts";
import { settleModels } from "../operate.ts";
import { rowOf } from "../rows.ts";
import { below, chooseRun, chooseStep } from "../select.ts";
import type { Context, Verb } from "../verb.ts";
import { endOf, type Line, outputTo, type Send } from "./answer.ts";
import { type Body, directoryIn, numberIn, only, textIn, textsIn, wordsIn } from "./body.ts";
import type { Holds } from "./holds.ts";
import type { Jobs } from "./jobs.ts";

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
  replay: () => import("../verbs/replay.ts"),
  fork: () => import("../verbs/fork.ts"),
  revert: () => import("../verbs/revert.ts"),
  merge: () => import("../verbs/merge.ts"),
  sync: () => import("../verbs/sync.ts"),
  undo: () => import("../verbs/undo.ts"),
  discard: () => import("../verbs/discard.ts"),
  inject: () => import("../verbs/inject.ts"),
  pause: () => import("../verbs/pause.ts"),
};

/** Verbs that drive a run. */
const DRIVING: { [name: string]: () => Promise<{ verb: Verb }> } = {
  run: () => import("../verbs/run.ts"),
  resume: () => import("../verbs/resume.ts"),
};

/** What all requests share. */
export interface Serving {
  store: EmbeddedStore;
  /** Where the server was started. */
  cwd: string;
  /** Aborts when the server ends. */
  signal: AbortSignal;
  holds: Holds;
  jobs: Jobs;
  during: <T>(work: () => Promise<T>) => Promise<T>;
}

/** A request that is being answered. */
interface Request {
  body: Body;
  send: Send;
  /** Aborts when nobody waits for the answer, or the server ends. */
  signal: AbortSignal;
}

/** Answers a request with lines, and gives the last. */
type Route = (serving: Serving, request: Request) => Promise<ExitCode | undefined | Line[]>;

const contextOf = ({ store }: Serving, { send, signal }: Request, cwd: string, rest: string[] | null): Context => ({
  out: outputTo(send),
  cwd,
  rest,
  signal,
  store: async () => store,
  // Each request is told by itself.
  apart: async () => (work) => work(),
  close: async () => {},
});

const typed =
  (name: string, load: () => Promise<{ verb: Verb }>): Route =>
  async (serving, request) => {
    const { verb } = await load();
    const { cwd, args, flags, command } = wordsIn(name, verb, request.body, serving.cwd);
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

/** The run that a request names. */
async function runIn(
  serving: Serving,
  request: Request,
  options?: { destructive: boolean },
): Promise<{ run: ScopeRef; context: Context }> {
  const context = contextOf(serving, request, directoryIn(request.body, serving.cwd), null);
  const name = textIn(request.body, "run");
  if (name === undefined) throw new Exit(2, `Which run? The request names it as "run".`);
  return { run: await chooseRun(context, name, options), context };
}

/** Where a command starts: in the directory that the request names in the workspace, or that of who asks. */
async function placeIn({ store }: Serving, { body }: Request, run: ScopeRef, { cwd }: Context): Promise<string> {
  return textIn(body, "at") ?? below(await workspacePath(store, run.log), cwd);
}

function argvIn(body: Body): string[] {
  const argv = textsIn(body, "command") ?? [];
  if (argv.length === 0) throw new Exit(2, `Which command? The request has it as "command", a list of words.`);
  return argv;
}

const MOST_SECONDS = 2 ** 31 / 1000 - 1;

/** Aborts with the request, or after the seconds that it names. */
function limited({ body, signal }: Request): { signal: AbortSignal; late: () => boolean } {
  const seconds = numberIn(body, "timeout", 0.001);
  if (seconds === undefined) return { signal, late: () => false };
  const late = AbortSignal.timeout(Math.min(seconds, MOST_SECONDS) * 1000);
  return { signal: AbortSignal.any([signal, late]), late: () => late.aborted && !signal.aborted };
}

/** What a step has to say of itself. */
async function stepOf(
  scope: LiveScope,
  { n, code, signal, ending }: CommandResult,
  late: boolean,
): Promise<{ object: object }> {
  const id = scope.writer.fold.steps.get(n)?.sealed?.id ?? null;
  const output = (await outputOf(scope, n)).toString("base64");
  return { object: { scope: scope.ref.name, n, id, code, signal, status: ending, timedOut: late, output } };
}

/** Does something in a held run, as a step. */
async function performed(
  serving: Serving,
  request: Request,
  run: ScopeRef,
  work: (scope: LiveScope, signal: AbortSignal) => Promise<CommandResult>,
): Promise<ExitCode> {
  const done = await serving.holds.perform(run, async (scope, stop) => {
    // The time begins when its turn has come.
    request.signal.throwIfAborted();
    const { signal, late } = limited(request);
    const result = await work(scope, AbortSignal.any([signal, stop]));
    return { line: await stepOf(scope, result, late()), well: result.ending === "done" };
  });
  for (const warning of serving.holds.lacking(run)) await request.send({ warning });
  await request.send(done.line);
  return done.well ? 0 : 1;
}

const step: Route = async (serving, request) => {
  only(request.body, "run", "command", "at", "timeout", "cwd");
  const { run, context } = await runIn(serving, request, { destructive: true });
  const argv = argvIn(request.body);
  const at = await placeIn(serving, request, run, context);
  return performed(serving, request, run, (scope, signal) => performCommand(scope, argv, signal, { at }));
};

const act: Route = async (serving, request) => {
  only(request.body, "run", "text", "timeout", "cwd");
  const { run } = await runIn(serving, request, { destructive: true });
  const text = textIn(request.body, "text") ?? "";
  if (text.trim() === "")
    throw new Exit(2, `Which command? The request has it as "text", as one types it into a shell.`);
  return performed(serving, request, run, async (scope, signal) => {
    const shell = await openShell(scope);
    const { n, code } = await shell.run(text, signal);
    const status = scope.writer.fold.steps.get(n)?.outcome?.status;
    return { n, code, signal: null, ending: status === "done" || status === "aborted" ? status : "failed" };
  });
};

const graded: Route = async (serving, request) => {
  only(request.body, "run", "step", "command", "at", "timeout", "cwd");
  const { run, context } = await runIn(serving, request, { destructive: true });
  const argv = argvIn(request.body);
  const word = textIn(request.body, "step") ?? `${run.name}@`;
  const { revision } = await chooseStep(context, [run.name, word], "grade RUN STEP");
  const { n } = revision.step;
  const at = await placeIn(serving, request, run, context);
  const { signal, late } = limited(request);
  const {
    code,
    signal: by,
    ending,
    output,
  } = await grade(serving.store, run.name, n, argv, {
    ...{ signal, settle: settleModels, at },
    onForgotten: (warning) => void request.send({ warning }),
  });
  const told = { code, signal: by, status: ending, timedOut: late(), output: output.toString("base64") };
  await request.send({ object: { scope: run.name, n, ...told } });
  return ending === "done" ? 0 : 1;
};

/** Own steps of a run in the order in which they were sealed; `cursor` says how many of them were seen. */
const observe: Route = async (serving, request) => {
  only(request.body, "run", "cursor", "follow", "cwd");
  const { store } = serving;
  const { run } = await runIn(serving, request);
  const seen = numberIn(request.body, "cursor", 0) ?? 0;
  const follow = request.body.follow === true;
  const fold = startFold((await store.logs.header(run.log))!);
  const frames = follow ? framesToTheEnd(store, run.log, request.signal) : store.logs.read(run.log);
  let cursor = 0;
  for await (const frame of frames) {
    if (request.signal.aborted) break;
    for (const sealed of fold.push(frame, frameHash(frame)))
      if (++cursor > seen) await request.send({ object: await rowOf(store, run.name, sealed, true), cursor });
  }
  return 0;
};

/** Waits until a run is driven no more, and tells how it ended. */
const wait: Route = async (serving, request) => {
  only(request.body, "run", "cwd");
  const { store, jobs } = serving;
  const { run } = await runIn(serving, request);
  const job = jobs.find(run.name);
  if (job) {
    const gone = new Promise<never>((_, reject) =>
      request.signal.addEventListener("abort", () => reject(request.signal.reason), { once: true }),
    );
    const lines = await Promise.race([job.ended, gone]);
    const last = lines.at(-1)!;
    // One that was stopped before it worked says nothing of itself: its log does.
    if (!("exit" in last) || last.exit !== 1 || lines.some((line) => "object" in line)) return lines;
  }
  const held = serving.holds.has(run);
  if (!held && (await store.leases.holder(`log/${run.log}`)))
    for await (const _frame of framesToTheEnd(store, run.log, request.signal));
  request.signal.throwIfAborted();
  const view = await readLog(store, run.log, run);
  const state = held ? "idle" : (await stateOf(store, view)).state;
  const { id, n } = view.fold.head();
  await request.send({ object: { scope: run.name, ending: state, error: null, head: id, n } });
  return state === "done" || state === "idle" ? 0 : 1;
};

/** Stops what drives a run here, or lets go of it. */
const stop: Route = async (serving, request) => {
  only(request.body, "run", "cwd");
  const { run } = await runIn(serving, request);
  const job = serving.jobs.find(run.name);
  job?.stop();
  await job?.ended;
  await serving.holds.stop(run);
  await request.send({ object: { scope: run.name } });
  return 0;
};

/** One step as a row: the newest where none is named. */
const head: Route = async (serving, request) => {
  only(request.body, "run", "step", "cwd");
  const { run, context } = await runIn(serving, request);
  const word = textIn(request.body, "step") ?? `${run.name}@`;
  const { revision } = await chooseStep(context, [run.name, word], "head RUN STEP");
  const found = await findStep(serving.store, revision.view, revision.step.n);
  await request.send({ object: await rowOf(serving.store, run.name, found!.step, true) });
  return 0;
};

/** Those that may take as long as somebody else likes: they are no operation that a collection waits for. */
const LONG: { [name: string]: Route } = { observe, wait, stop };

const SHORT: { [name: string]: Route } = {
  step,
  act,
  grade: graded,
  head,
  ...Object.fromEntries(Object.entries(VERBS).map(([name, load]) => [name, typed(name, load)])),
  ...Object.fromEntries(Object.entries(DRIVING).map(([name, load]) => [name, driving(name, load)])),
};

export const ROUTES: ReadonlySet<string> = new Set([...Object.keys(LONG), ...Object.keys(SHORT)]);

/** Answers a request: lines, the last of which tells how it ended. */
export async function answer(serving: Serving, name: string, request: Request): Promise<void> {
  let lines: Line[] | null = null;
  const end = await endOf(async () => {
    const work = (): ReturnType<Route> => (LONG[name] ?? SHORT[name]!)(serving, request);
    const done = await (LONG[name] ? work() : serving.during(work));
    if (!Array.isArray(done)) return done;
    lines = done;
    return 0;
  }, request.signal);
  for (const line of lines ?? [end]) await request.send(line);
}
