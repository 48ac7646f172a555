/** What is done to a run from outside, by the operations that the command line has, whoever drives it. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type Actor, asParams, witnessBy } from "../run/actor.ts";
import { ask, connect, NoOwner } from "../run/connect.ts";
import { cannot } from "../run/control.ts";
import { discardRun } from "../run/discard.ts";
import { checkExpected, type Expected } from "../run/expect.ts";
import { hasLanded, landRun } from "../run/land.ts";
import { landsLive, stateOf } from "../run/lifecycle.ts";
import { type Left, operate as operateOn, type Params } from "../run/operate.ts";
import { freshMain } from "../run/placing.ts";
import { socketPath } from "../run/socket.ts";
import { taskOf } from "../run/start.ts";
import type { Take } from "../scope/merge.ts";
import { workspacePath } from "../scope/registry.ts";
import { type Replay, replayLog } from "../scope/replay.ts";
import { importOf } from "../trace/bundle/imported.ts";
import type { Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { quotePath } from "../world/paths.ts";
import { Conflict, Invalid, publicError } from "./errors.ts";
import { askingGate, type Decide, type Handle } from "./handle.ts";
import type { Gate, Merged, Reverted } from "./run.ts";
import { settleModels } from "./settle.ts";
import { withStore } from "./stores.ts";
import { undoing } from "./undoing.ts";
import { observeIn, refOf, viewIn } from "./watching.ts";

/** How something is done to a run. */
export interface Doing {
  by: Actor;
  /** The step that it was decided on: where that is not the newest any more, nothing is done, and `Conflict` is thrown. */
  expect?: Expected | undefined;
  /** Takes back what has not begun. */
  signal?: AbortSignal | undefined;
  /** The same for each attempt. */
  key?: string | undefined;
}

/** Works on the store of a run. Its errors are those of the family. */
export async function on<T>(handle: Handle, work: (store: EmbeddedStore, name: string) => Promise<T>): Promise<T> {
  const name = await handle.named;
  try {
    return await withStore(handle.directory, (store) => work(store, name));
  } catch (error) {
    throw publicError(error, name);
  }
}

const operate = (
  store: EmbeddedStore,
  name: string,
  operation: string,
  params: Params,
  { by, expect, signal }: Doing,
): Promise<Json> =>
  operateOn(
    store,
    name,
    operation,
    { ...params, ...asParams(by), ...(expect !== undefined && { expect }) },
    { settle: settleModels, compensate: undoing(store), signal },
  );

/** Throws a sentence where a run is of a kind with which that cannot be done. */
async function mustTake(store: EmbeddedStore, name: string, what: Parameters<typeof cannot>[1]): Promise<void> {
  const why = cannot(await taskOf(store, name), what, name);
  if (why !== null) throw new Invalid(why, { run: name });
}

export async function injectInto(store: EmbeddedStore, name: string, text: string, doing: Doing): Promise<void> {
  if (text.trim() === "") throw new Invalid("There is nothing to tell.", { run: name });
  await mustTake(store, name, "inject");
  await operate(store, name, "inject", { id: doing.key?.slice(0, 32) ?? randomUUID(), text }, doing);
}

export async function revertRun(
  store: EmbeddedStore,
  name: string,
  { n, acknowledge = false }: { n: number; acknowledge?: boolean },
  doing: Doing,
): Promise<Reverted> {
  if (!Number.isSafeInteger(n) || n < 0) throw new Invalid(`${n} is no number of a step.`, { run: name });
  const done = (await operate(store, name, "revert", { n, acknowledge }, doing)) as unknown as {
    n: number;
    outside: Left[];
  };
  const view = await viewIn(store, name);
  // A run that lands as it goes takes the directory with it.
  if (landsLive(view) && (await hasLanded(store, await workspacePath(store, view.log), view)))
    await landRun(store, name, { partly: true });
  return { n: done.n, outside: done.outside };
}

/** Begins the conversation of a run anew; with the files of another one, where `from` names it. Gives the number of the step. */
export async function handOver(
  store: EmbeddedStore,
  name: string,
  { guidance, from, at }: { guidance: string; from?: string | undefined; at?: number | undefined },
  doing: Doing,
): Promise<{ n: number; live: boolean }> {
  await mustTake(store, name, "handoff");
  if (from !== undefined) await refOf(store, from);
  const params = { guidance, from: from ?? null, at: at ?? null };
  return (await operate(store, name, "handoff", params, doing)) as unknown as { n: number; live: boolean };
}

export interface MergeOptions {
  take?: Take | undefined;
  /** Whether files land that run code later. */
  yes?: boolean | undefined;
}

/** Into the directory that it was started in. */
export async function landInDirectory(
  store: EmbeddedStore,
  name: string,
  { take, yes = false }: MergeOptions,
  { by, expect, signal }: Doing,
): Promise<Merged> {
  const landed = await landRun(store, name, {
    expect,
    witness: await witnessBy(store, asParams(by)),
    ...(signal && { signal }),
    ...(take && { take }),
    ...(yes && { confirm: async () => true }),
  });
  if (landed.conflicts.length > 0)
    throw bothChanged(
      name,
      landed.conflicts.map(({ path }) => quotePath(path)),
    );
  if (landed.op !== null) await noteIn(store, name, { note: "landed", op: landed.op }, by);
  return {
    status: landed.status === "nothing" ? "nothing" : "done",
    changes: landed.changes.map(({ path, kind }) => ({ path: quotePath(path), kind })),
    held: landed.held.map(({ path, why }) => ({ path: quotePath(path), why })),
  };
}

/** Into another run; without a name into the one that it was forked from. `expect` names the step at which that stands. */
export async function mergeIntoRun(
  store: EmbeddedStore,
  name: string,
  { into, take }: MergeOptions & { into?: string | undefined },
  doing: Doing,
): Promise<Merged> {
  const to = into ?? (await refOf(store, name)).parent;
  if (to === null) throw new Invalid(`${name} is no fork: it can only land in its directory.`, { run: name });
  if (to === name) throw new Invalid(`${name} cannot be merged into itself.`, { run: name });
  await refOf(store, to);
  const merged = (await operate(store, to, "merge", { from: name, take: take ?? null }, doing)) as unknown as {
    status: "done" | "conflict" | "nothing";
    conflicts: Array<{ path: string }>;
  };
  if (merged.status === "conflict")
    throw bothChanged(
      name,
      merged.conflicts.map(({ path }) => path),
    );
  if (merged.status === "done") await noteIn(store, name, { note: "merged", into: to }, doing.by);
  return { status: merged.status, changes: [], held: [] };
}

/** What became of a run's files stands in its own log, too; nobody writes into what came out of a file. */
async function noteIn(
  store: EmbeddedStore,
  name: string,
  facts: { note: string; [key: string]: Json },
  by: Actor,
): Promise<void> {
  const { log } = await refOf(store, name);
  if (!(await importOf(store, log))) await operate(store, name, "note", { n: null, facts }, { by });
}

const bothChanged = (run: string, paths: string[]): Conflict =>
  new Conflict(`Both have changed ${paths.join(", ")}, so ${run} was not merged there.`, {
    run,
    hint: "Say with `take` whose counts.",
  });

export interface Synced {
  /** Number of the step that it made; null where there was nothing to bring. */
  readonly n: number | null;
  readonly status: "done" | "nothing";
}

/** What changed in the directory of a run since it began comes into it. */
export async function syncRun(
  store: EmbeddedStore,
  name: string,
  { take }: Pick<MergeOptions, "take">,
  doing: Doing,
): Promise<Synced> {
  const { log } = await refOf(store, name);
  const main = await freshMain(store, await workspacePath(store, log), doing.signal ? { signal: doing.signal } : {});
  const from = { id: main.head.id, tree: main.tree, name: "main", log: main.log, take: take ?? null };
  const { n, status, conflicts } = (await operate(store, name, "sync", from, doing)) as unknown as {
    n: number | null;
    status: "done" | "conflict" | "nothing";
    conflicts: Array<{ path: string }>;
  };
  if (status !== "conflict") return { n, status };
  const paths = conflicts.map(({ path }) => path).join(", ");
  throw new Conflict(`${name} and its directory have both changed ${paths}; its files are as they were.`, {
    run: name,
    step: n,
    hint: "Say with `take` whose counts.",
  });
}

export async function discard(store: EmbeddedStore, name: string, doing: Doing): Promise<void> {
  const { by, expect } = doing;
  await stopRun(store, name, "discarded", doing);
  await discardRun(store, name, { compensate: undoing(store), by, expect });
}

/** So often it is tried again while somebody holds a run and does not listen (yet), each time after some ms. */
const TRIES = 60;
const PAUSE = 50;

/** Asks whoever drives a run; false where nobody does. */
async function askOwner(store: EmbeddedStore, name: string, method: string, params: Params): Promise<Json | false> {
  const { log } = await refOf(store, name);
  for (let tries = 0; ; tries++) {
    try {
      return await ask(socketPath(store, log), method, params);
    } catch (error) {
      if (!(error instanceof NoOwner)) throw error;
      if (!(await store.leases.holder(`log/${log}`))) return false;
      if (tries >= TRIES) throw error;
      await sleep(PAUSE);
    }
  }
}

const saidIn = ({ by, expect }: Doing): Params => ({ ...asParams(by), ...(expect !== undefined && { expect }) });

/** Stops a run, and waits until it has ended. What it did stays. */
export async function stopRun(store: EmbeddedStore, name: string, reason: string, doing: Doing): Promise<void> {
  const said = saidIn(doing);
  const asked = await askOwner(store, name, "cancel", { ...said, why: doing.by.why ?? reason, reason });
  if (asked === false) return;
  for await (const _ of observeIn(store, await refOf(store, name), { filter: () => false }));
}

/** Lets nothing new begin in a run, until it is released. Does nothing where nobody drives it. */
export async function pauseRun(store: EmbeddedStore, name: string, doing: Doing): Promise<void> {
  await mustTake(store, name, "pause");
  if ((await askOwner(store, name, "pause", saidIn(doing))) === false)
    throw new Conflict(`${name} is not at work, so there is nothing to hold back.`, { run: name });
}

/** Ends a pause, once its agent is told something, if it is to be. Whether there was one. */
export async function release(
  store: EmbeddedStore,
  name: string,
  instruction: string | undefined,
  doing: Doing,
): Promise<boolean> {
  const view = await viewIn(store, name);
  if (doing.expect !== undefined && view.ref) checkExpected({ ref: view.ref, fold: view.fold }, doing.expect);
  if ((await stateOf(store, view)).state !== "paused") return false;
  if (instruction !== undefined) await injectInto(store, name, instruction, doing);
  return (await askOwner(store, name, "resume", saidIn(doing))) === true;
}

/** Computes all commits of a run anew: nothing is sent, and nothing runs. */
export const replayRun = async (store: EmbeddedStore, name: string, { signal }: Partial<Doing>): Promise<Replay> =>
  replayLog(store, (await refOf(store, name)).log, signal ? { signal } : {});

/** Asks `decide` before the calls of a run that another process drives. Resolves when it is asked. */
export const gateElsewhere = (
  handle: Handle,
  decide: Decide,
  as: string | undefined,
  closed: AbortSignal,
): Promise<{ known: Awaited<Gate["attached"]>; ended: Promise<void> }> =>
  on(handle, async (store, name) => {
    const owner = await connect(socketPath(store, (await refOf(store, name)).log), closed);
    const { attached, ended } = askingGate(owner.request, decide, as);
    void ended.then(owner.close);
    return { known: await attached, ended };
  });
