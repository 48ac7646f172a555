/** One scope at work for an agent of the library, and the scopes of agents that it calls. */

import { randomUUID } from "node:crypto";
import { startOn } from "../run/begin.ts";
import type { Control } from "../run/control.ts";
import { drive } from "../run/drive.ts";
import { landRun } from "../run/land.ts";
import { noteFailed, noteLand } from "../run/lifecycle.ts";
import { type Live, landLive } from "../run/live.ts";
import type { Main } from "../run/main.ts";
import { InDoubt as Doubtful, recover } from "../run/recover.ts";
import { standing } from "../run/standing.ts";
import { beginRun, firstSession, putTask, type Task } from "../run/start.ts";
import { type Attempt, around, type Handler } from "../scope/effect.ts";
import { openFilesOf } from "../scope/files.ts";
import { forkScope } from "../scope/fork.ts";
import { mergeBeside } from "../scope/merge.ts";
import { workspacePath } from "../scope/registry.ts";
import { idempotencyKey, type LiveScope, record } from "../scope/scope.ts";
import { putItem } from "../scope/thread.ts";
import { readScope } from "../scope/view.ts";
import type { Json, Session } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { quotePath } from "../world/paths.ts";
import { type Agent, type Definition, definitionOf } from "./agent.ts";
import { runBody } from "./body.ts";
import type { Clock } from "./clock.ts";
import { Cancelled, Conflict, InDoubt, Invalid, publicError } from "./errors.ts";
import { fitInput, outputOf } from "./fit.ts";
import { runInstruction } from "./instruct.ts";
import { actedOn, placeOf } from "./journal.ts";
import { madeBefore } from "./made.ts";
import { modelOf, optionsIn } from "./models.ts";
import { putResult, stopping } from "./performing.ts";
import { AGENT_RECOVERY } from "./recovery.ts";
import { toolsOf } from "./rights.ts";
import type { LiveEvent, Model, ResumeOptions } from "./run.ts";
import { asJson, validated } from "./schema.ts";
import { beginAnew } from "./spawning.ts";
import type { Spending } from "./spending.ts";
import { undoing } from "./undoing.ts";
import { type Outside, taskFor } from "./worker.ts";

export interface Work {
  store: EmbeddedStore;
  definition: Definition;
  task: Task;
  model?: Model | undefined;
  land: "never" | "auto" | "live";
  thread: string;
  /** Shared with all that it calls. */
  budget: Spending;
  signal: AbortSignal;
  clock: Clock;
  emit(event: LiveEvent): void;
  controlled(control: Control): Promise<void>;
  /** Main as it is read, for a run whose first step is not written; null for one that goes on. */
  fresh: Promise<Main> | null;
  /** Gives a run its first outcome that was killed before it had one. */
  place?(scope: LiveScope, n: number): Promise<void>;
  inDoubt?: ResumeOptions["inDoubt"] | undefined;
  instruction?: string | undefined;
  /** Of the scope that it was called in. */
  around?: Handler;
}

/** How far it has come. */
interface Got {
  json: Json | undefined;
  failure: Error | null;
  begins: { session: Session; ready: Promise<void>; placed: Promise<void> } | null;
  live: Live | null;
  /** Whether its agent has not begun yet. */
  first: boolean;
}

/** Drives a scope until its agent is done. Gives the result, as it is written down and as its schema makes it; throws what kept it from one. */
export async function driveScope(name: string, work: Work): Promise<{ json: Json; value: unknown }> {
  const { store, definition, signal, thread } = work;
  const got: Got = { json: undefined, failure: null, begins: null, live: null, first: true };
  const ending = await drive(store, name, {
    signal,
    handlers: work.around ? [work.around] : [work.budget.handler],
    guarded: work.around === undefined,
    compensate: undoing(store),
    files: ({ ref, ...about }) => openFilesOf(store, ref, { ...about, signal }),
    prepared: async (scope) => {
      scope.writer.watch((frame) => {
        if (frame.phase === "outcome" && scope.writer.fold.steps.get(frame.n)?.intent.kind === "model")
          if (frame.facts.status !== "denied") work.budget.add(frame.facts, frame.witness ?? {});
      });
      if (work.fresh) got.begins = await beginOn(scope, work.task, work.fresh);
      else await goesOn(scope, work);
      if (work.land === "live") got.live = await landsLive(scope);
    },
    worker: {
      name: definition.name,
      hears: definition.body === undefined,
      work: async (scope, stop, restarted, control) => {
        got.json = undefined;
        got.failure = null;
        const fresh = got.first && !restarted;
        got.first = false;
        const start = fresh ? got.begins : null;
        await work.controlled(control);
        try {
          // A model is asked while its files are still being read; servers of tools are programs, which run where these are.
          if (definition.body) await got.begins?.placed;
          else if (definition.mcp) await got.begins?.ready;
          const input = await fitInput(definition, work.task.agent!.input);
          const rights = await toolsOf(input);
          if (definition.body)
            got.json = await runBody(scope, {
              definition,
              input,
              thread,
              signal: stop,
              clock: work.clock,
              call: (agent, given, attempt) => callAgent(scope, work, agent, given, attempt),
            });
          else {
            const model = modelOf(
              work.model ?? definition.model ?? work.task.model,
              definition.name,
              optionsIn(scope.store),
            );
            got.json = await runInstruction(scope, {
              definition,
              model,
              thread,
              rights,
              signal: stop,
              control,
              start,
              onEvent: (event) => work.emit({ ...event, run: name }),
              instruction: fresh ? work.instruction : undefined,
              inbox: () => got.live?.inbox() ?? [],
            });
          }
          return "done";
        } catch (error) {
          if (stop.aborted) return "aborted";
          const failure = work.budget.over ?? publicError(error, name);
          got.failure = failure;
          if (failure instanceof InDoubt || failure instanceof Cancelled) return "aborted";
          await noteFailed(scope, failure.name, failure.message);
          return "failed";
        }
      },
    },
    ended: async (scope) => {
      if (got.live && !(await got.live.end())) await noteLand(scope.writer, "ask");
    },
  })
    .catch((error: unknown) => {
      throw stopping(publicError(error, name));
    })
    .finally(() => got.live?.close());
  const { json, failure } = got;
  if (failure) throw failure;
  if (signal.aborted) throw signal.reason;
  if (ending === "aborted" || json === undefined) throw new Cancelled(`${name} was stopped.`, { run: name });
  const value = await outputOf(definition, json, name);
  if (work.land === "auto") await land(store, name);
  return { json, value };
}

/** The first step of a run: it comes to stand on main while its model is asked already. */
async function beginOn(scope: LiveScope, task: Task, main: Promise<Main>) {
  const n = await beginRun(scope, task);
  const directory = await workspacePath(scope.store, scope.ref.log);
  scope.handlers.unshift(standing(scope, directory, (text) => process.emitWarning(text)));
  const ticket = scope.lock.request("exclusive");
  const start = startOn(scope, n, task, main, {});
  start.ready.then(ticket.release, ticket.release);
  return { session: await firstSession(scope, task), ...start };
}

/** Settles what was left, and asks about what may have acted. */
async function goesOn(scope: LiveScope, { place, inDoubt, definition }: Work): Promise<void> {
  const { writer, ref, store } = scope;
  const first = writer.fold.steps.get(0);
  if (place && first?.intent.kind === "run" && !first.outcome) await place(scope, 0);
  const doubts = await recover(scope, AGENT_RECOVERY);
  const open: typeof doubts = [];
  for (const doubt of doubts) {
    const step = writer.fold.steps.get(doubt.n)!;
    const found = await placeOf(store, step);
    const { name = "", input: asked = null } = found?.call ?? {};
    const input = await actedOn(store, ref.log, step, asked as Json);
    const key = idempotencyKey(ref.log, step);
    const verdict = found && inDoubt ? await inDoubt({ ...doubt, name, input, key }) : "leave";
    if (verdict === "leave") open.push(doubt);
    else if (verdict !== "perform") {
      const output = asJson(verdict.output, `The output of ${name}`);
      const effect = definition.effects[name];
      const checked = effect ? await validated(effect.output, output) : { value: output };
      if ("wrong" in checked)
        throw new Invalid(`The output of ${name} does not fit: ${checked.wrong}.`, { run: ref.name, step: doubt.n });
      await writer.outcome(doubt.n, { ...(await putResult(scope, output)) }, { witness: { at: Date.now() } });
    }
  }
  if (open.length > 0) throw new Doubtful(ref.name, open);
}

async function landsLive(scope: LiveScope): Promise<Live> {
  const directory = await workspacePath(scope.store, scope.ref.log);
  const live = landLive(scope, directory, { onStop: (why) => process.emitWarning(why) });
  scope.handlers.unshift(live.handler);
  await noteLand(scope.writer, "live");
  return live;
}

async function land(store: EmbeddedStore, name: string): Promise<void> {
  const landed = await landRun(store, name);
  if (landed.conflicts.length === 0) return;
  const paths = landed.conflicts.map(({ path }) => quotePath(path)).join(", ");
  throw new Conflict(`${name} is done, and did not land: both have changed ${paths}.`, {
    run: name,
    hint: "merge({ take }) says whose counts.",
  });
}

/** Runs an agent within step `n` of a scope, in a scope of its own, and merges what it did. */
async function callAgent(
  scope: LiveScope,
  work: Work,
  agent: Agent,
  input: Json,
  { n, key, signal }: Attempt,
): Promise<{ value: Json; child: string }> {
  const { store, ref } = scope;
  const definition = definitionOf(agent);
  if (!definition) throw new Invalid("call takes an agent.", { run: ref.name, step: n });
  const fit = await fitInput(definition, input);
  if (definition.outside) return callOutside(scope, work, definition.outside, fit, { n, key, signal });
  const { instruction } = definition;
  const text = String(typeof instruction === "function" ? instruction(fit) : (instruction ?? definition.name));
  const task: Task = {
    worker: "agent",
    text,
    agent: { name: definition.name, input, ...(definition.body && { body: true }) },
  };
  const thread = `${work.thread}.${n}`;
  const child = (await madeBefore(store, ref.name, key)) ?? (await makeChild(scope, definition, task, thread, n, key));
  const { json } = await driveScope(child, {
    store,
    definition,
    task,
    model: definition.model ?? work.model,
    land: "never",
    thread,
    budget: work.budget,
    clock: work.clock,
    signal,
    emit: work.emit,
    controlled: async () => {},
    fresh: null,
    inDoubt: work.inDoubt,
    around: around(scope.handlers, n),
  });
  await mergeIn(scope, child, n, signal);
  return { value: json, child };
}

/** Brings what an agent did that was called into the scope that called it. */
async function mergeIn(scope: LiveScope, child: string, n: number, signal: AbortSignal): Promise<void> {
  const { store, ref } = scope;
  const merged = await mergeBeside(scope, await readScope(store, child), n, signal);
  if (merged.status !== "conflict") return;
  const paths = merged.conflicts.map(({ path }) => quotePath(path)).join(", ");
  throw new Conflict(`${child} and ${ref.name} have both changed ${paths}.`, { run: ref.name, step: n });
}

/** As `callAgent`, for a worker that the command `shepherd` drives. One that an earlier attempt has begun may be at work still. */
async function callOutside(
  scope: LiveScope,
  work: Work,
  outside: Outside,
  input: unknown,
  { n, key, signal }: Pick<Attempt, "n" | "key" | "signal">,
): Promise<{ value: Json; child: string }> {
  const { store, ref } = scope;
  const task = taskFor(outside, input, randomUUID());
  const { driveOutside } = await import("./outside.ts");
  const made = async (): Promise<string> => {
    const [child] = await forkScope(store, ref.name, scope.head().n, {
      ...(task.worker === "plugin" && { grants: { network: scope.grants.network ?? "proxy" } }),
      meta: { task: await putTask(store, task), call: { log: ref.log, n, key } },
      begin: (begun) => beginAnew(begun, task),
      note: async (facts) => scope.writer.note(null, facts),
    });
    return child!.name;
  };
  const child = (await madeBefore(store, ref.name, key)) ?? (await made());
  const value = await driveOutside(store, child, { signal, budget: work.budget, who: ref.name });
  await mergeIn(scope, child, n, signal);
  return { value, child };
}

async function makeChild(
  scope: LiveScope,
  { instruction }: Definition,
  task: Task,
  thread: string,
  n: number,
  key: string,
): Promise<string> {
  const { store, ref } = scope;
  const [child] = await forkScope(store, ref.name, scope.head().n, {
    meta: { task: await putTask(store, task), thread, call: { log: ref.log, n, key } },
    begin: async (begun) => {
      if (instruction === undefined) return;
      const what = await putItem(store, { role: "user", content: [{ type: "text", text: task.text.toWellFormed() }] });
      const outcome = { status: "done" as const, threads: { [thread]: { append: [what] } } };
      await record(begun, { kind: "message", tier: "reversible", thread, what }, outcome);
    },
    note: async (facts) => scope.writer.note(null, facts),
  });
  return child!.name;
}
