/** Driving runs from the command line: what `run` and `resume` have in common. */
import { AGENT_RECOVERY, abandon } from "../agent/recovery.ts";
import { userTable } from "../agent/table.ts";
import { hasBegun, placeOn, startOn } from "../run/begin.ts";
import { drive } from "../run/drive.ts";
import { type Ending, landsLive, noteLand } from "../run/lifecycle.ts";
import type { Main } from "../run/main.ts";
import { freshMain } from "../run/placing.ts";
import { InDoubt, type Recovery, recover } from "../run/recover.ts";
import { standing } from "../run/standing.ts";
import { beginRun, firstSession, type Task, taskOf } from "../run/start.ts";
import { type FilesOptions, openFilesOf } from "../scope/files.ts";
import { carryOfImage } from "../scope/image.ts";
import { workspacePath } from "../scope/registry.ts";
import type { AttachOptions, LiveScope } from "../scope/scope.ts";
import { readScope } from "../scope/view.ts";
import type { Carry, Json } from "../trace/ports.ts";
import { serial } from "../trace/serial.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { type AgentBudget, keepBudget } from "./budget.ts";
import type { Coding } from "./coding.ts";
import { storeDirectory } from "./context.ts";
import { explain } from "./errors.ts";
import { followLive, type Land } from "./landing.ts";
import { agentOf, requireDriven, withModel } from "./model.ts";
import { noticesOf } from "./notices.ts";
import { type Output, type Progress, plain } from "./output.ts";
import type { Lacks } from "./partial.ts";
import { retriesOf } from "./retries.ts";
import { formatRow, rowOf } from "./rows.ts";
import { type Failure, type Going, type ResumeOptions, workerFor } from "./work.ts";

export { taskOf } from "../run/start.ts";

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
  ({ ref, ...about }: Parameters<NonNullable<AttachOptions["files"]>>[0]) =>
    openFilesOf(store, ref, {
      ...about,
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
  const inOrder = serial();
  let failed: Promise<void> | null = null;
  const notice = noticesOf(out, scope.ref.name);
  const retry = retriesOf(out, scope);
  const unwatch = scope.writer.watch((frame, sealed) => {
    notice(frame);
    // What cannot be read is told when the step ends.
    retry(frame).catch(() => {});
    for (const step of sealed) {
      const told = inOrder(async () => {
        const row = await rowOf(store, scope.ref.name, step, true);
        out.object(row);
        out.line(
          several
            ? `${scope.ref.name.padEnd(16)} ${formatRow(row, { ...out, width: out.width - 17 })}`
            : formatRow(row, out),
        );
      });
      // A row that cannot be made is told when the run ends, and does not end the process before.
      told.catch(() => {
        failed ??= told;
      });
    }
  });
  return {
    done: async () => {
      unwatch();
      await inOrder(async () => {});
      await failed;
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
  ending: Ending;
  /** What is to become of the files now: a run that lands live, and met a conflict, asks. */
  land: Land;
  /** What an agent of a program returned. */
  result?: Json;
}

/** Drives a run: `prepare` comes before its work, and behind what tells the user of it. */
async function driveRun(
  launch: Launch,
  name: string,
  task: Task,
  going: Going,
  prepare: (scope: LiveScope, about: { coding: Coding | null; progress: Progress }) => Promise<void>,
): Promise<Outcome> {
  const { store, signal } = launch;
  const progress = launch.out.progress();
  const failure: Failure = { error: null, unfit: false };
  let driven: LiveScope | null = null;
  let steps: { done(): Promise<void> } | null = null;
  let { land } = launch;
  const coding = await codingFor(launch, task);
  const ending = await drive(store, name, {
    signal,
    files: filesFor(launch, progress, coding?.agent),
    worker: workerFor(launch, task, failure, going, coding),
    prepared: async (scope) => {
      driven = scope;
      if (task.worker === "agent" && task.model)
        going.held = await keepBudget(scope, going.budget, task.model, userTable(storeDirectory()));
      if (coding?.interactive) tellSession(launch, task, await workspacePath(store, scope.ref.log));
      else steps = tellSteps(launch, scope);
      await coding?.prepare(scope);
      await prepare(scope, { coding, progress });
    },
    ended: async () => {
      land = (await going.live?.end()) ?? land;
      await steps?.done();
    },
  })
    .catch((error: unknown) => failedBy(failure, error, driven !== null && hasBegun(driven.writer.fold)))
    .finally(async () => {
      progress.done();
      // A run that broke off before it began to end: what it did is told before why, and nothing goes on behind it.
      await going.live?.close();
      await steps?.done().catch(() => {});
      await coding?.close();
    });
  return { name, ending, land, ...failure };
}

/** Starts a new run: its step 0 stands on main as it is now. The model is asked while main is still being read; tools wait for it. */
export async function startRun(
  launch: Launch,
  name: string,
  task: Task,
  main: Promise<Main>,
  budget?: AgentBudget,
): Promise<Outcome> {
  // Nobody waits for it yet, and nobody ever does where the run cannot begin.
  main.catch(() => {});
  const going: Going = { resumed: false, ...(budget && { budget }) };
  return driveRun(launch, name, task, going, async (scope, { coding, progress }) => {
    going.live = await followLive(launch, scope);
    const n = await beginRun(scope, task);
    if (launch.land !== "live")
      scope.handlers.unshift(
        standing(scope, await workspacePath(launch.store, scope.ref.log), (text) =>
          launch.out.warn(`shepherd: ${plain(text)}.`),
        ),
      );
    const ticket = scope.lock.request("exclusive");
    const carry = await carryFor(launch.store, scope, coding);
    const start = await startOn(scope, n, task, main, carry);
    start.ready.then(ticket.release, ticket.release);
    start.placed.then(progress.done, progress.done);
    going.start = { session: await firstSession(scope, task), ...start };
  });
}

const codingFor = async ({ store, out }: Launch, task: Task): Promise<Coding | null> =>
  task.worker === "plugin" ? (await import("./coding.ts")).openCoding(store, out, task) : null;

const carryFor = async (store: EmbeddedStore, scope: LiveScope, coding: Coding | null): Promise<Carry> => ({
  ...(coding && (await coding.carry(await workspacePath(store, scope.ref.log)))),
  ...(scope.grants.root && carryOfImage(scope.grants.root)),
});

/** Goes on with a run: settles what a crash left in doubt, then works from its head. */
export async function resumeRun(launch: Launch, name: string, options: ResumeOptions = {}): Promise<Outcome> {
  const { store } = launch;
  const started = await taskOf(store, name);
  requireDriven(name, started);
  const task = options.model ? withModel(started, options.model) : started;
  const { fold, log } = await readScope(store, name);
  if (!hasBegun(fold))
    return startRun(
      launch,
      name,
      task,
      freshMain(store, await workspacePath(store, log), { signal: launch.signal }),
      options.budget,
    );
  const going: Going = { resumed: true, ...options };
  return driveRun(launch, name, task, going, async (scope, { coding, progress }) => {
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
    const doubts = await recover(scope, task.worker === "agent" ? AGENT_RECOVERY : COMMAND);
    progress.done();
    if (doubts.length > 0) throw new InDoubt(name, doubts);
    await giveConfig(store, scope, coding);
    if (launch.land !== "live" && landsLive(scope.writer)) await noteLand(scope.writer, "ask");
    going.live = await followLive(launch, scope);
  });
}

/** A scope that was forked from a run of another kind has nothing of its agent's configuration yet. */
async function giveConfig(store: EmbeddedStore, scope: LiveScope, coding: Coding | null): Promise<void> {
  const { state, carry } = scope.head();
  if (!coding || !state || carry.config) return;
  const given = await coding.carry(await workspacePath(store, scope.ref.log));
  await scope.files?.restore(state.roots.workspace, { ...carry, ...given });
}

const COMMAND: Recovery = {
  model: async () => {},
  again: abandon,
};
