/** Driving runs from the command line: what `run` and `resume` have in common. */
import { runAgent } from "../agent/loop.ts";
import { openModel } from "../agent/models.ts";
import { resumeAgent } from "../agent/resume.ts";
import { settleModel } from "../agent/settle.ts";
import { commandWorker } from "../run/command.ts";
import { drive, type Worker } from "../run/drive.ts";
import type { Said } from "../run/inject.ts";
import { freshMain } from "../run/land.ts";
import { type Ending, landsLive, noteLand } from "../run/lifecycle.ts";
import type { Main } from "../run/main.ts";
import { InDoubt, type Recovery, recover } from "../run/recover.ts";
import { beginRun, firstSession, placeRun, type Task } from "../run/start.ts";
import { type FilesOptions, openFilesOf } from "../scope/files.ts";
import { workspacePath } from "../scope/registry.ts";
import type { AttachOptions, LiveScope } from "../scope/scope.ts";
import { getBytes } from "../scope/thread.ts";
import { findStep, readScope } from "../scope/view.ts";
import type { Carry, Link, Session } from "../trace/ports.ts";
import type { Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import type { Coding } from "./coding.ts";
import { Exit, explain } from "./errors.ts";
import { type FollowLive, followLive, type Land } from "./landing.ts";
import { agentOf, requireDriven, withModel } from "./model.ts";
import { noticesOf } from "./notices.ts";
import type { Output, Progress } from "./output.ts";
import type { Lacks } from "./partial.ts";
import { retriesOf } from "./retries.ts";
import { formatRow, rowOf } from "./rows.ts";

export interface Launch {
  store: EmbeddedStore;
  out: Output;
  signal: AbortSignal;
  /** Shows rows with the scope's name, since several run at once. */
  several: boolean;
  land: Land;
  /** Hears of what was forgotten. */
  lacks: Lacks;
}

/** Opens the files of a scope that is to be driven. */
export const filesFor =
  (
    { store, signal, lacks }: Pick<Launch, "store" | "signal" | "lacks">,
    progress: Progress,
    agent?: FilesOptions["agent"],
  ) =>
  ({ ref, parent, grants }: Parameters<NonNullable<AttachOptions["files"]>>[0]) =>
    openFilesOf(store, ref, {
      parent,
      grants,
      agent,
      signal,
      onProgress: (text) => progress.at(text),
      onForgotten: lacks.tell,
    });

/** Tells each step as it is sealed. */
export function tellSteps(
  { store, out, several }: Pick<Launch, "store" | "out" | "several">,
  scope: LiveScope,
): { done(): Promise<void> } {
  let last: Promise<void> = Promise.resolve();
  const notice = noticesOf(out, scope.ref.name);
  const retry = retriesOf(out, scope);
  const unwatch = scope.writer.watch((frame, sealed) => {
    notice(frame);
    // What cannot be read is told when the step ends.
    retry(frame).catch(() => {});
    for (const step of sealed)
      last = last.then(async () => {
        const row = await rowOf(store, scope.ref.name, step, true);
        out.object(row);
        out.line(
          several
            ? `${scope.ref.name.padEnd(16)} ${formatRow(row, { ...out, width: out.width - 17 })}`
            : formatRow(row, out),
        );
      });
  });
  return {
    done: async () => {
      unwatch();
      await last;
    },
  };
}

/** Tells who works with an agent on the terminal what it may do there, before it has the terminal. */
function tellSession({ out, land }: Launch, task: Task, directory: string): void {
  const lands =
    land === "live"
      ? `what it changes comes into ${directory} as it goes, and \`shepherd revert\` takes it back`
      : `${directory} stays as it is`;
  out.warn(`shepherd: ${agentOf(task)} asks for no permissions here, since it works on files of its own: ${lands}.`);
}

/** What a worker stopped on. */
interface Failure {
  error: string | null;
  /** Whether it was the host or the store, and not the work. */
  unfit: boolean;
}

/** Once a run has begun, what the disk or the host refuses ends it as an error of its work does: it is told how it stands, and what goes on with it. */
function failedBy(failure: Failure, error: unknown, begun: boolean): Ending {
  const { code, message } = explain(error);
  if (!begun || code !== 4) throw error;
  failure.error = message;
  failure.unfit = true;
  return "error";
}

export interface Outcome extends Failure {
  name: string;
  /** What to type to go on with it, where that is not `resume`. */
  again?: string;
  ending: Ending;
  /** What is to become of the files now: a run that lands live, and met a conflict, asks. */
  land: Land;
}

/** Starts a new run: its step 0 stands on main as it is now. The model is asked while main is still being read; tools wait for it. */
export async function startRun(launch: Launch, name: string, task: Task, main: Promise<Main>): Promise<Outcome> {
  const progress = launch.out.progress();
  const going: Going = { resumed: false };
  const failure: Failure = { error: null, unfit: false };
  let steps: { done(): Promise<void> } | null = null;
  let begun = false;
  let { land } = launch;
  const coding = await codingFor(launch, task);
  const ending = await drive(launch.store, name, {
    signal: launch.signal,
    files: filesFor(launch, progress, coding?.agent),
    worker: workerFor(launch, task, failure, going, coding),
    prepared: async (scope) => {
      if (coding?.interactive) tellSession(launch, task, await workspacePath(launch.store, scope.ref.log));
      else steps = tellSteps(launch, scope);
      going.live = await followLive(launch, scope);
      await coding?.prepare(scope);
      const n = await beginRun(scope, task);
      begun = true;
      const ticket = scope.lock.request("exclusive");
      const place = async (): Promise<void> => {
        try {
          await placeOn(scope, n, task, await main, await carryFor(launch.store, scope, coding));
        } finally {
          progress.done();
          ticket.release();
        }
      };
      const placed = place();
      placed.catch(() => {});
      going.start = { session: await firstSession(scope, task), placed };
    },
    ended: async () => {
      land = (await going.live?.end()) ?? land;
      await steps?.done();
    },
  })
    .catch((error: unknown) => failedBy(failure, error, begun))
    .finally(async () => {
      progress.done();
      await coding?.close();
    });
  return { name, ending, land, ...failure };
}

const codingFor = async ({ store, out }: Launch, task: Task): Promise<Coding | null> =>
  task.worker === "plugin" ? (await import("./coding.ts")).openCoding(store, out, task) : null;

const carryFor = async (store: EmbeddedStore, scope: LiveScope, coding: Coding | null): Promise<Carry> =>
  coding ? coding.carry(await workspacePath(store, scope.ref.log)) : {};

async function placeOn(scope: LiveScope, n: number, task: Task, main: Main, carry: Carry): Promise<void> {
  await placeRun(scope, n, main, task, carry);
  const head = scope.head();
  await scope.files!.restore(head.state!.roots.workspace, head.carry, main.sources);
}

export interface ResumeOptions {
  instruction?: string;
  open?: "perform" | "drop";
  model?: string;
}

/** Goes on with a run: settles what a crash left in doubt, then works from its head. */
export async function resumeRun(launch: Launch, name: string, options: ResumeOptions = {}): Promise<Outcome> {
  const { store } = launch;
  const started = await taskOf(store, name);
  requireDriven(name, started);
  const task = options.model ? withModel(started, options.model) : started;
  const { fold, log } = await readScope(store, name);
  // Stopped before its first step was written.
  if (!fold.header.origin && !fold.steps.has(0))
    return startRun(launch, name, task, freshMain(store, await workspacePath(store, log), { signal: launch.signal }));
  const failure: Failure = { error: null, unfit: false };
  const going: Going = { resumed: true, ...options };
  const progress = launch.out.progress();
  let steps: { done(): Promise<void> } | null = null;
  let begun = false;
  let { land } = launch;
  const coding = await codingFor(launch, task);
  const ending = await drive(store, name, {
    signal: launch.signal,
    files: filesFor(launch, progress, coding?.agent),
    worker: workerFor(launch, task, failure, going, coding),
    prepared: async (scope) => {
      begun = true;
      if (coding?.interactive) tellSession(launch, task, await workspacePath(launch.store, scope.ref.log));
      else steps = tellSteps(launch, scope);
      await coding?.prepare(scope);
      const first = scope.writer.fold.steps.get(0);
      // Stopped while main was still being read: it starts on main as it is now.
      if (first?.intent.kind === "run" && !first.outcome)
        await placeOn(
          scope,
          0,
          task,
          await freshMain(store, await workspacePath(store, scope.ref.log), { signal: launch.signal }),
          await carryFor(store, scope, coding),
        );
      const doubts = await recover(scope, task.worker === "agent" ? AGENT : COMMAND);
      progress.done();
      if (doubts.length > 0) throw new InDoubt(name, doubts);
      if (launch.land !== "live" && landsLive(scope.writer)) await noteLand(scope.writer, "ask");
      going.live = await followLive(launch, scope);
    },
    ended: async () => {
      land = (await going.live?.end()) ?? land;
      await steps?.done();
    },
  })
    .catch((error: unknown) => failedBy(failure, error, begun))
    .finally(async () => {
      progress.done();
      await coding?.close();
    });
  return { name, ending, land, ...failure };
}

/** The agent performs again what is in doubt as part of its conversation; a command is started anew. */
const AGENT: Recovery = {
  model: async (scope, step) => {
    await settleModel(scope, step);
  },
  again: async (scope, step) => {
    // Of what is said only the intent was written: it is told again, or was never said.
    if (["inject", "message", "rewrite"].includes(step.intent.kind)) await abort(scope, step);
  },
};
const COMMAND: Recovery = {
  model: async () => {},
  again: abort,
};

async function abort(scope: LiveScope, step: Step): Promise<void> {
  await scope.writer.outcome(step.n, { status: "aborted" }, { witness: { at: Date.now() } });
}

/** The task of a run, from its step 0 or from that of the scope it was forked from. */
export async function taskOf(store: EmbeddedStore, name: string): Promise<Task> {
  const view = await readScope(store, name);
  const found = await findStep(store, view, 0);
  const what = found?.step.intent.kind === "run" ? found.step.intent.what : view.fold.header.meta.task;
  if (typeof what !== "string")
    throw new Exit(2, `${name} was not started by \`shepherd run\`, so there is nothing to go on with.`);
  return JSON.parse((await getBytes(store, what as Link)).toString()) as Task;
}

interface Going extends ResumeOptions {
  resumed: boolean;
  /** For a new run: its conversation, and when it stands on main. */
  start?: { session: Session; placed: Promise<void> };
  live?: FollowLive;
}

function workerFor(launch: Launch, task: Task, failure: Failure, going: Going, coding: Coding | null): Worker {
  const { out } = launch;
  if (task.worker === "command") {
    const quiet = out.json || launch.several;
    const worker = commandWorker(task.argv ?? [], {
      at: task.at,
      interactive: !quiet && out.terminal && process.stdin.isTTY === true,
      // Through a pipe it is the command's; several cannot share it.
      ownStdin: !launch.several && process.stdin.isTTY !== true,
      onOutput: (chunk, stream) => {
        if (!quiet) process[stream].write(chunk);
      },
    });
    return {
      ...worker,
      work: async (...args) => {
        await going.start?.placed;
        return worker.work(...args);
      },
    };
  }
  if (coding) {
    const typed = coding.interactive ? null : task.text;
    const prompt = going.resumed ? (going.instruction ?? null) : typed;
    let worker: Worker | null = null;
    return {
      name: coding.name,
      hears: true,
      work: async (scope, ...args) => {
        await going.start?.placed;
        worker ??= coding.worker(await workspacePath(launch.store, scope.ref.log), prompt);
        return worker.work(scope, ...args);
      },
    };
  }
  if (!task.model) throw new Exit(2, "Which model? Add --model script:FILE.");
  const model = openModel(task.model);
  let first = true;
  return {
    name: "agent",
    hears: true,
    work: async (scope, signal, restarted, control) => {
      const fresh = first && !going.resumed && !restarted;
      const inbox = async (ending: boolean): Promise<Said[]> => {
        if (!ending || control.inbox.waiting().length > 0) await control.unpaused(signal).catch(() => {});
        if (signal.aborted) return [];
        // Where it is done, nothing is to be told of what lands.
        const live = ending ? [] : (going.live?.inbox() ?? []);
        return [...live.map((text) => ({ text })), ...(await control.inbox.read())];
      };
      const options = { model, signal, at: task.at, inbox };
      const end = fresh
        ? await runAgent(scope, { ...options, ...(going.start && { start: going.start }) })
        : await resumeAgent(scope, {
            ...options,
            ...(first && going.instruction !== undefined && { instruction: going.instruction }),
            ...(first && going.open && { open: going.open }),
          });
      first = false;
      if (end.error) {
        const { code, message } = explain(end.error);
        failure.error = message;
        failure.unfit = code === 4;
      }
      return end.stopped === "limit" ? "failed" : end.stopped;
    },
  };
}
