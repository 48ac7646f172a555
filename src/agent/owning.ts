/** Driving runs of the library: the process that starts one is its owner, as the command line is of its runs. */
import { randomUUID } from "node:crypto";
import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import { hasBegun, placeOn } from "../run/begin.ts";
import type { Main } from "../run/main.ts";
import { freshMain } from "../run/placing.ts";
import { createRun, type Task, taskOf } from "../run/start.ts";
import { findWorkspace } from "../run/workspace.ts";
import { GUARD_DEFAULTS } from "../scope/guards.ts";
import { checkName, findScope, type Grants, workspacePath } from "../scope/registry.ts";
import { Busy } from "../scope/scope.ts";
import { MAIN } from "../scope/thread.ts";
import { readScope } from "../scope/view.ts";
import type { Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import type { Definition } from "./agent.ts";
import { machineClock } from "./clock.ts";
import { driveScope, type Work } from "./driving.ts";
import { Conflict, Invalid, OverBudget, publicError } from "./errors.ts";
import { fitInput } from "./fit.ts";
import { checkGateName, type Drive, type Handle } from "./handle.ts";
import { forksOf } from "./made.ts";
import { readyRuns } from "./rights.ts";
import type { DriveOptions, ForkOptions, GrantOptions, Holder, Model, ResumeOptions, StartOptions } from "./run.ts";
import { asJson } from "./schema.ts";
import { type Spawning, spawnRun } from "./spawning.ts";
import { spending, spentBefore } from "./spending.ts";
import { useStore } from "./stores.ts";
import { threadOf } from "./thread.ts";
import { isOf, kindOf, taskFor as outsideTask } from "./worker.ts";

/** Starts a run, drives it to its end, and gives its result. */
export async function startRun(
  drive: Drive,
  definition: Definition,
  input: unknown,
  options: StartOptions,
): Promise<unknown> {
  const held = await useStore(options.store);
  const { store } = held;
  try {
    await readyRuns(input);
    const given = asJson(input, `The input of ${definition.name}`);
    drive.signal.throwIfAborted();
    const workspace = await findWorkspace(store, resolve(options.in ?? "."));
    if (options.name !== undefined) await requireFree(store, options.name);
    const task = await taskFor(definition, given, options);
    const guards = guardsOf(options.guards);
    const grants = {
      ...grantsOf(options.grants, workspace.path),
      ...(task.worker === "plugin" && { network: "proxy" as const }),
      ...(guards && { guards }),
    };
    const { name } = await createRun(store, {
      task,
      workspace,
      grants,
      ...(options.name ? { name: options.name } : task.agent && { like: definition.name }),
    });
    drive.named(name);
    // It begins with the model that its task names.
    if (definition.outside) return await followOutside(drive, store, name, { ...options, model: undefined });
    const main = freshMain(store, workspace.path, { signal: drive.signal });
    main.catch(() => {});
    return await withBudget(drive, store, name, options, (budget) => {
      return driveScope(name, { ...workOf(drive, store, definition, options), budget, task, fresh: main });
    });
  } finally {
    await held.close();
  }
}

/** What a run of an agent is to do. Throws `Invalid` for an input that does not fit. */
async function taskFor(
  definition: Definition,
  given: Json,
  { model, module }: Pick<StartOptions, "model" | "module">,
): Promise<Task> {
  const { outside, body, name } = definition;
  if (outside) {
    await fitInput(definition, given);
    const asked = model === undefined ? outside : { ...outside, model: textModel(model) };
    return outsideTask(asked, given, randomUUID());
  }
  return {
    worker: "agent",
    text: await taskText(definition, given),
    ...(typeof model === "string" && { model }),
    agent: { name, input: given, ...(body && { body: true }), ...(module !== undefined && { module }) },
  };
}

/** Makes a run of an agent that is started from another one, and gives its name. */
export async function spawnOf(
  store: EmbeddedStore,
  beside: string,
  definition: Definition,
  input: unknown,
  spawning: Spawning,
): Promise<string> {
  await readyRuns(input);
  const given = asJson(input, `The input of ${definition.name}`);
  return spawnRun(store, beside, await taskFor(definition, given, {}), spawning);
}

/** Drives a run of a worker of which the command `shepherd` is the driver. */
async function followOutside(
  drive: Drive,
  store: EmbeddedStore,
  name: string,
  { model, ...options }: Omit<ResumeOptions, "model"> & { model?: Model | undefined },
): Promise<unknown> {
  const { driveOutside, controlOf } = await import("./outside.ts");
  const { stopRun } = await import("./operations.ts");
  const { log } = await readScope(store, name);
  const methods = controlOf(store, log);
  const cancelling = (said: { [key: string]: Json }, reason: string): Promise<void> =>
    stopRun(store, name, reason, { by: { who: String(said.by), right: "cancel" } });
  return withBudget(drive, store, name, options, async (budget) => ({
    value: await driveOutside(store, name, {
      signal: drive.signal,
      budget,
      who: "the program",
      instruction: options.instruction,
      model: model === undefined ? undefined : textModel(model),
      ...(options.land && { land: options.land }),
      begun: () => void drive.controlled({ methods, cancelling }),
    }),
  }));
}

/** Another process knows a model by its name alone. */
function textModel(model: Model): string {
  if (typeof model === "string") return model;
  throw new Invalid("A worker that `shepherd` drives takes the name of a model, and no port or function.");
}

/** Goes on with a run, and gives its result. */
export async function resumeRun(
  drive: Drive,
  definition: Definition,
  name: string,
  options: ResumeOptions,
): Promise<unknown> {
  const held = await useStore(options.store);
  const { store } = held;
  try {
    const task = await requireOf(store, definition, name);
    if (definition.outside) await requireAtRest(store, name);
    drive.named(name);
    return await goOn(drive, store, definition, name, task, options);
  } finally {
    await held.close();
  }
}

/** Makes forks of a run, and gives their names. An effect that makes them finds those that it had made when it is attempted again. */
export async function makeForks(
  { definition, named, directory }: Handle,
  count: number,
  { store: place, ...options }: ForkOptions,
  { who, key }: Holder,
): Promise<string[]> {
  const held = await useStore(place ?? directory);
  const { store } = held;
  try {
    const parent = await named;
    await requireOf(store, definition, parent);
    const { why, ...asked } = options;
    return await forksOf(store, parent, {
      ...asked,
      count,
      by: { who, right: "fork", ...(why !== undefined && { why }) },
      key,
    });
  } catch (error) {
    throw publicError(error, null);
  } finally {
    await held.close();
  }
}

/** Drives a fork, and gives its result. */
export async function forkRun(
  drive: Drive,
  { definition, directory }: Handle,
  options: ForkOptions,
  made: Promise<string>,
): Promise<unknown> {
  const name = await made;
  const held = await useStore(options.store ?? directory);
  const { store } = held;
  try {
    const task = await requireOf(store, definition, name);
    drive.named(name);
    // A body that is run again goes on with a fork that was told already.
    const { fold } = await readScope(store, name);
    const told = [...fold.steps.values()].some(({ intent }) => intent.kind === "message");
    const { instruction: _, ...rest } = options;
    return await goOn(drive, store, definition, name, task, told ? rest : options);
  } finally {
    await held.close();
  }
}

async function goOn(
  drive: Drive,
  store: EmbeddedStore,
  definition: Definition,
  name: string,
  task: Task,
  options: ResumeOptions,
): Promise<unknown> {
  if (definition.outside) return followOutside(drive, store, name, options);
  if (definition.body && options.instruction !== undefined)
    throw new Invalid(`${definition.name} is a code body, which is told nothing: leave the instruction out.`, {
      run: name,
    });
  const { fold, log } = await readScope(store, name);
  const main = async (): Promise<Main> => freshMain(store, await workspacePath(store, log), { signal: drive.signal });
  const thread = threadOf(fold.header.meta);
  return withBudget(drive, store, name, options, (budget) =>
    driveScope(name, {
      ...workOf(drive, store, definition, options),
      budget,
      task,
      thread,
      fresh: hasBegun(fold) ? null : main(),
      place: async (scope, n) => placeOn(scope, n, task, await main(), {}),
      inDoubt: options.inDoubt,
      instruction: options.instruction,
    }),
  );
}

const workOf = (
  drive: Drive,
  store: EmbeddedStore,
  definition: Definition,
  { land = "never", model, clock = machineClock }: DriveOptions,
): Omit<Work, "budget" | "task" | "fresh"> => ({
  store,
  definition,
  model,
  land,
  clock,
  thread: MAIN,
  signal: drive.signal,
  emit: drive.emit,
  controlled: drive.controlled,
});

/** Runs `work` under the limits of a run, which stop all that it calls. */
async function withBudget(
  drive: Drive,
  store: EmbeddedStore,
  name: string,
  { budget = {} }: DriveOptions,
  work: (budget: Work["budget"]) => Promise<{ value: unknown }>,
): Promise<unknown> {
  const { log } = await readScope(store, name);
  const keeper = spending(budget, await spentBefore(store, log), name);
  const late = (): void => {
    keeper.over = new OverBudget(`The time of ${budget.ms} ms is over.`, {
      run: name,
      hint: "Resumed with more, it goes on.",
    });
    drive.stop(keeper.over);
  };
  const timer = budget.ms === undefined ? undefined : setTimeout(late, budget.ms);
  try {
    return (await work(keeper)).value;
  } finally {
    clearTimeout(timer);
  }
}

/** What a run is to do, in words: its first message. Throws `Invalid` for an input that does not fit. */
async function taskText(definition: Definition, given: Json): Promise<string> {
  const input = await fitInput(definition, given);
  const { instruction } = definition;
  const text = typeof instruction === "function" ? instruction(input) : instruction;
  if (text !== undefined) return String(text);
  const told = given === null ? "" : ` ${JSON.stringify(given)}`;
  return `${definition.name}${told.length > 500 ? `${told.slice(0, 500)}…` : told}`;
}

async function requireFree(store: EmbeddedStore, name: string): Promise<void> {
  if (await findScope(store, checkName(name)))
    throw new Conflict(`There is a run ${name} already.`, { run: name, hint: "resume goes on with it." });
}

/** The task of a run of this agent. Throws `Invalid` for a run of another one, or none. */
async function requireOf(store: EmbeddedStore, definition: Definition, name: string): Promise<Task> {
  const task = await taskOf(store, name);
  if (definition.outside) {
    if (isOf(definition.outside, task)) return task;
    throw new Invalid(`${name} is a run of ${kindOf(task)}, and not of ${definition.name}.`, { run: name });
  }
  if (task.agent?.name !== definition.name)
    throw new Invalid(
      `${name} is ${task.agent ? `a run of the agent ${task.agent.name}` : "no run of an agent of a program"}, and not of ${definition.name}.`,
      { run: name },
    );
  return task;
}

/** Throws where somebody drives a run: two would be at work on it. */
async function requireAtRest(store: EmbeddedStore, name: string): Promise<void> {
  const { log } = await readScope(store, name);
  const owner = await store.leases.holder(`log/${log}`);
  if (owner) throw new Busy(name, owner.pid);
}

/** Throws `Invalid` for what declares no gate. */
function guardsOf(guards: StartOptions["guards"]): Grants["guards"] {
  for (const [name, holds] of Object.entries(guards ?? {})) {
    checkGateName(name);
    if (!GUARD_DEFAULTS.includes(holds))
      throw new Invalid(`The gate ${name} is declared by "allow", "deny" or "wait", not ${JSON.stringify(holds)}.`);
  }
  return guards && { ...guards };
}

function grantsOf({ allow, readOnly = [], writable = [] }: GrantOptions = {}, workspace: string): Grants {
  return {
    readOnly: readOnly.map((path) => resolve(workspace, path)),
    // What it leads to now is granted, and not what it may lead to later.
    writable: writable.map((path) => realpathSync(path)),
    ...(allow && { allow: [...allow].sort() }),
  };
}
