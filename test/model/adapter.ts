/**
 * Does to the runtime what a command does to the model, by the functions that the command line is made of: scopes, operations on runs, landing,
 * recovery, retention. What the model says of the worker (which call is whose, what a message holds) is taken from the model; what becomes of it
 * is the runtime's.
 */
import { discardRun } from "../../src/run/discard.ts";
import { freshMain, landRun, recoverLandings, undoLanding } from "../../src/run/land.ts";
import { recover, settleOperations } from "../../src/run/recover.ts";
import { expire } from "../../src/run/retention.ts";
import { beginRun, createRun, placeRun, type Task } from "../../src/run/start.ts";
import type { Performed } from "../../src/scope/effect.ts";
import { followers } from "../../src/scope/followers.ts";
import { forkScope } from "../../src/scope/fork.ts";
import { mergeScope, syncScope, type Take } from "../../src/scope/merge.ts";
import { listOperations, type Operation } from "../../src/scope/operations.ts";
import { NameError, NO_GRANTS, workspaceOf } from "../../src/scope/registry.ts";
import { replayLog } from "../../src/scope/replay.ts";
import { type Compensate, revertScope, Unacknowledged } from "../../src/scope/revert.ts";
import { Busy, type LiveScope, record } from "../../src/scope/scope.ts";
import { putBytes } from "../../src/scope/thread.ts";
import { discardScope, undoDiscard, undoInScope } from "../../src/scope/undo.ts";
import { readLog, readScope, StepError, sealedStep, type View } from "../../src/scope/view.ts";
import { encodeJson, target } from "../../src/trace/bytes.ts";
import { forget } from "../../src/trace/forget.ts";
import { gc } from "../../src/trace/gc.ts";
import type { Link } from "../../src/trace/ports.ts";
import { Fenced } from "../../src/trace/writer.ts";
import {
  blocksOf,
  containerOf,
  current,
  isAllowed,
  isCall,
  isContainer,
  operations,
  pending,
  traceOf,
} from "./query.ts";
import { type Call, comes, quiet, type Wanted } from "./runtime/calls.ts";
import { blockOf, contentId, itemOf, outputOf, treeOf } from "./runtime/contents.ts";
import { begin, type Driven, openReal, type Real, settleFiles } from "./runtime/real.ts";
import { type Step, stepAt, type Trace } from "./seal.ts";
import type {
  Accepted,
  Call as Asked,
  Command,
  Done,
  Item,
  Name,
  Of,
  Output,
  Refusal,
  Reply,
  System,
} from "./types.ts";
import { same } from "./value.ts";

export { openReal, type Real };

/** Thrown where the runtime does something that no reply stands for. */
export class Unlike extends Error {}

/** What the command is to come to: systems and reply of the model. */
export interface Wish {
  readonly before: System;
  readonly after: System;
  readonly reply: Reply;
}

type Handler<C> = (real: Real, command: C, wish: Wish) => Promise<Reply | undefined>;

const refused = (reason: Refusal): Reply => ({ refused: reason });
const done = (what: Done, more: Partial<Accepted> = {}): Reply => ({ ok: what, ...more });

function must<T>(value: T | undefined | null | false, what: string): T {
  if (value === undefined || value === null || value === false) throw new Unlike(what);
  return value;
}
const drivenOf = (real: Real, name: Name): Driven => must(real.driven.get(name), `nobody drives ${name}`);

// ---- the worker ---------------------------------------------------------------------------------------------------------

const store = (live: LiveScope, value: unknown): Promise<Link> => putBytes(live.store, encodeJson(value));
const said = async (
  live: LiveScope,
  thread: string,
  items: readonly Item[],
): Promise<NonNullable<Performed["threads"]>> => {
  const append: Link[] = [];
  for (const item of items) append.push(await store(live, itemOf(item)));
  return { [thread]: { append } };
};

/** How a call ends: its output, and its answer in the thread if a message asked for it. */
async function result(live: LiveScope, s: Step, status: Performed["status"], output: Output): Promise<Performed> {
  const { thread, of } = s.intent.facts;
  return {
    status,
    result: await putBytes(live.store, outputOf(output)),
    ...(thread !== undefined &&
      of !== undefined && { threads: await said(live, thread, [{ role: "result", of, status, output }]) }),
  };
}

/** How a message ends; null stands for one that said nothing. */
async function message(live: LiveScope, s: Step, status: "done" | "cut" | "failed" | "aborted"): Promise<Performed> {
  const blocks = blocksOf(s);
  if (status !== "done" && blocks.length === 0) return { status: status === "cut" ? "failed" : status };
  const thread = s.intent.facts.thread as string;
  return {
    status: status === "done" ? "done" : "cut",
    threads: await said(live, thread, [{ role: "assistant", blocks }]),
  };
}

const links = (turn: number | undefined, inside: number | undefined) => ({
  ...(turn !== undefined && { turn }),
  ...(inside !== undefined && { inside }),
});

/** The effect of a call; without `of`, one that the container's own code makes. */
async function callEffect(
  live: LiveScope,
  asked: Asked,
  place: { thread?: string; of?: number; turn?: number; inside?: number },
): Promise<Wanted> {
  const { thread, of, turn, inside } = place;
  const block = blockOf({ call: asked }, of ?? 0);
  const container = asked.mode === "container";
  return {
    intent: {
      kind: "tool",
      tier: asked.tier,
      ...(thread !== undefined && { thread }),
      // A call without an object of its own is known by its facts.
      ...(of === undefined ? { asks: `${asked.tool} ${asked.mode}` } : { what: await store(live, block) }),
      ...(container && { container: true }),
    },
    name: asked.tool,
    lock: asked.mode === "container" ? "none" : asked.mode,
    ...links(turn, inside),
    refuse: async () => ({
      status: "denied",
      result: await putBytes(live.store, outputOf("denied")),
      ...(thread !== undefined &&
        of !== undefined && {
          threads: await said(live, thread, [{ role: "result", of, status: "denied", output: "denied" }]),
        }),
    }),
  };
}
const effectOf = (live: LiveScope, s: Step): Promise<Wanted> => {
  const { thread, of, call } = s.intent.facts;
  const { turn, inside } = s.intent.links;
  return callEffect(live, call as Asked, {
    ...(thread !== undefined && { thread }),
    ...(of !== undefined && { of }),
    ...links(turn, inside),
  });
};

const modelEffect = async (live: LiveScope, thread: string, inside: number | undefined): Promise<Wanted> => ({
  intent: {
    kind: "model",
    tier: "repeatable",
    thread,
    what: await store(live, live.head().state?.threads[thread]?.items ?? null),
  },
  name: "model",
  lock: "none",
  ...links(undefined, inside),
  refuse: async () => ({ status: "denied" }),
});

/** Begins a call of the thread's newest message. */
async function beginCall(driven: Driven, t: Trace, thread: string, of: number): Promise<Call> {
  const { live, calls } = driven;
  const { turn, calls: asked } = current(t, thread);
  const inside = containerOf(t, thread) ?? undefined;
  const effect = await callEffect(live, must(asked[of], "no such call"), { thread, of, ...links(turn, inside) });
  return calls.start(live, effect);
}

const callOf = (driven: Driven, n: number): Call => must(driven.calls.all.get(n), `step ${n} has not begun`);

async function runs(call: Call): Promise<void> {
  if (!(await comes(call.runs))) throw new Unlike(`step ${call.n} does not come to run`);
}

/** Ends a step that did not come to run. */
async function without(driven: Driven, s: Step, status: "denied" | "not-run" | "aborted", output: Output) {
  await driven.calls.all.get(s.n)?.stop();
  driven.asked.delete(s.n);
  driven.behind.delete(s.n);
  const { live } = driven;
  const { result: what, threads } = await result(live, s, status, output);
  await live.writer.outcome(s.n, {
    status,
    ...(what && { result: what }),
    ...(threads && { threads }),
    ...(status === "denied" && { by: "gate" }),
  });
}

/** The worker is stopped: what is pending ends, what is inside before what is around it. */
async function stop(driven: Driven, sys: System): Promise<void> {
  const { live, name, calls } = driven;
  const t = traceOf(sys, name);
  const all = pending(t);
  const holders = sys.scopes[name]?.live?.holders ?? [];
  // At one blow, so that none of those that wait gets the lock from one that is stopped before it.
  for (const s of all) if (isCall(s) && !isContainer(s) && !holders.includes(s.n)) await calls.all.get(s.n)?.stop();
  for (const s of [...all.filter((s) => !isContainer(s)), ...all.filter(isContainer).toReversed()]) {
    const call = driven.calls.all.get(s.n);
    if (!isCall(s)) await callOf(driven, s.n).end(await message(live, s, "aborted"));
    else if (call && (isContainer(s) || holders.includes(s.n)))
      await call.end(await withTier(call, await result(live, s, "aborted", "aborted")));
    else await without(driven, s, "aborted", "aborted");
  }
  driven.asked.clear();
  driven.behind.clear();
}

const withTier = async (call: Call, performed: Performed): Promise<Performed> =>
  call.tier ? { ...performed, tier: call.tier } : performed;

// ---- effects outside ----------------------------------------------------------------------------------------------------

function did(real: Real, what: "act" | "compensate", name: Name, n: number, key: string): void {
  const step = `${name}:${n}`;
  real.deeds.push(`${what} ${step}`);
  if ((real.keys.get(step) ?? key) !== key) throw new Unlike(`${step} has another key than before`);
  if ((real.keys.get(key) ?? step) !== step) throw new Unlike(`${step} has the key of ${real.keys.get(key)}`);
  real.keys.set(step, key).set(key, step);
}

async function nameOf(real: Real, log: string): Promise<Name> {
  return String((await real.store.logs.header(log))?.meta.name);
}

const compensator =
  (real: Real): Compensate =>
  async ({ step, key, log }) =>
    did(real, "compensate", await nameOf(real, log), step.n, key);

// ---- operations ---------------------------------------------------------------------------------------------------------

/** Operations of a scope that took place and have not expired, oldest first. */
export async function operationsIn(real: Real, name: Name): Promise<Operation[]> {
  const { id } = workspaceOf(real.user);
  return (await listOperations(real.store, id)).filter(
    ({ scope, state }) => scope === name && (state === "done" || state === "undone"),
  );
}

/** The operation of the runtime that is the model's `at`-th in a scope. */
async function operationAt(real: Real, sys: System, name: Name, at: number | undefined): Promise<Operation | Reply> {
  const all = await operationsIn(real, name);
  if (at === undefined)
    return all.findLast(({ kind, state }) => kind !== "undo" && state === "done") ?? refused("nothing");
  const ops = operations(traceOf(sys, name));
  if (!ops[at]) return refused("no-op");
  const operation = all[all.length - ops.length + at];
  if (!operation) return refused("expired");
  return operation.state === "undone" ? refused("undone") : operation;
}

/** Reads what a scope was or is, whoever drives it. */
export async function viewOf(real: Real, name: Name): Promise<View> {
  if (name !== "main") return readScope(real.store, name);
  return readLog(real.store, await logOfMain(real));
}
export async function logOfMain(real: Real): Promise<string> {
  const ref = await real.store.refs.get(`main/${workspaceOf(real.user).id}`);
  return (JSON.parse(must(ref, "main has no log").value) as { log: string }).log;
}

const stepError = (error: unknown): Reply => {
  if (!(error instanceof StepError)) throw error;
  return refused(/is not finished|waits for/.test(error.message) ? "unsealed" : "no-step");
};

/** The user saves a file while a landing is under way: after it looked, before it acts. */
function racing(real: Real, race: Of<"merge">["race"]): Real["store"] {
  if (!race) return real.store;
  let saved = false;
  const sync = async (): Promise<void> => {
    if (!saved) real.save(race);
    saved = true;
    await real.store.objects.sync();
  };
  return { ...real.store, objects: { ...real.store.objects, sync } };
}

const confirm = async (): Promise<boolean> => true;

async function mergeInto(
  real: Real,
  scope: Name,
  into: Name,
  options: { take?: Take; race?: Of<"merge">["race"] } = {},
): Promise<Reply> {
  const { take, race } = options;
  if (into === "main") {
    const landed = await landRun(racing(real, race), scope, { confirm, ...(take && { take }) });
    if (landed.status === "nothing") return refused("nothing");
    return done(landed.status === "conflict" ? "conflict" : "landed");
  }
  await freshMain(real.store, real.user);
  const parent = drivenOf(real, into);
  const merged = await mergeScope(parent.live, await readScope(real.store, scope), take);
  if (merged.status === "nothing") return refused("nothing");
  if (merged.status === "conflict") return done("conflict", { n: merged.n as number });
  return done(merged.adopted ? "adopted" : "merged", { n: merged.n as number });
}

async function syncFrom(real: Real, scope: Name, from: Name, take?: Take): Promise<Reply> {
  const main = await freshMain(real.store, real.user);
  const { live } = drivenOf(real, scope);
  let source = { id: main.head.id, tree: main.tree, name: "main", log: main.log };
  if (from !== "main") {
    const { log, fold } = await readScope(real.store, from);
    const { id, state } = fold.head();
    source = { id: id!, tree: target(state!.roots.workspace), name: from, log };
  }
  const synced = await syncScope(live, source, take);
  if (synced.status === "nothing") return refused("nothing");
  return done(synced.status === "conflict" ? "conflict" : "ok", { n: synced.n as number });
}

// ---- failures -----------------------------------------------------------------------------------------------------------

/** Goes on as the owner of a scope whose last one died: the files as at its head, what is in doubt as its tier says. */
async function goOn(real: Real, driven: Driven, { before, after }: Wish): Promise<Reply> {
  const { live, calls, name } = driven;
  await begin(driven);
  const asked = after.scopes[name]?.live?.asked ?? [];
  const behind = (s: Step): boolean =>
    asked.some((n) => n < s.n && stepAt(t, n)?.intent.links.turn === s.intent.links.turn) &&
    s.intent.links.turn !== undefined;
  const t = traceOf(after, name);
  const was = (n: number): Step => must(stepAt(traceOf(before, name), n) ?? stepAt(t, n), `no step ${n}`);
  const again = async (n: number): Promise<void> => {
    const attempt = live.writer.fold.steps.get(n)!.attempts;
    await live.writer.part(n, { part: "aborted", attempt });
    await live.writer.part(n, { part: "attempt", attempt: attempt + 1 });
  };
  const doubts = await recover(live, {
    model: async (_, { n }) => {
      const s = was(n);
      if (blocksOf(s).length === 0) return;
      const { status, threads } = await message(live, s, "cut");
      await live.writer.outcome(n, { status, ...(threads && { threads }) });
    },
    again: async (_, { n }) => {
      const s = was(n);
      await again(n);
      if (!isCall(s))
        await runs(
          await calls.start(live, await modelEffect(live, s.intent.facts.thread as string, s.intent.links.inside), n),
        );
      else if (behind(s)) driven.behind.add(n);
      else await calls.start(live, await effectOf(live, s), n);
    },
    compensate: compensator(real),
  });
  await quiet();
  for (const { n } of doubts) driven.asked.add(n);
  real.driven.set(name, driven);
  return done(doubts.length > 0 ? "asked" : "ok");
}

// ---- commands -----------------------------------------------------------------------------------------------------------

const handlers: { readonly [K in Command["do"]]?: Handler<Of<K>> } = {
  ask: async (real, { scope, thread }, { before }) => {
    const { live, calls } = drivenOf(real, scope);
    const inside = containerOf(traceOf(before, scope), thread) ?? undefined;
    const call = await calls.start(live, await modelEffect(live, thread, inside));
    await runs(call);
    return done("ok", { n: call.n });
  },
  block: async (real, { scope, thread, block }, { before, reply }) => {
    const { live } = drivenOf(real, scope);
    const { n } = reply as Accepted;
    const of = current(traceOf(before, scope), thread).calls.length;
    const what = await store(live, blockOf(block, of));
    await live.writer.part(n!, { part: "block", what, ...(block.call && { call: true }) });
    return done("ok", { n: n! });
  },
  answer: async (real, { scope, thread, fail }, { before, reply }) => {
    const driven = drivenOf(real, scope);
    const n = (reply as Accepted).n!;
    const s = stepAt(traceOf(before, scope), n)!;
    if (s.intent.facts.thread !== thread) throw new Unlike("another thread");
    const settled = await callOf(driven, n).end(await message(driven.live, s, fail ? "failed" : "done"));
    return done(settled.outcome.status === "cut" ? "cut" : "ok", { n });
  },
  call: async (real, { scope, thread, of }, { before }) => {
    const { n } = await beginCall(drivenOf(real, scope), traceOf(before, scope), thread, of);
    await quiet();
    return done("ok", { n });
  },
  nest: async (real, { scope, inside, call }) => {
    const { live, calls } = drivenOf(real, scope);
    const { n } = await calls.start(live, await callEffect(live, call, { inside }));
    await quiet();
    return done("ok", { n });
  },
  allow: async (real, { scope, n }, { before }) => {
    const { calls } = drivenOf(real, scope);
    const s = stepAt(traceOf(before, scope), n)!;
    // The runtime writes its consent down when the call begins.
    if (s.intent.facts.tier === "irreversible") calls.decide(n, { kind: "allow" });
    await quiet();
    return done("ok", { n });
  },
  deny: async (real, { scope, n, as }, { before }) => {
    const driven = drivenOf(real, scope);
    const s = stepAt(traceOf(before, scope), n)!;
    const { live, calls } = driven;
    const atGate =
      as === "denied" &&
      s.intent.facts.tier === "irreversible" &&
      !isAllowed(traceOf(before, scope), n) &&
      calls.all.has(n);
    if (atGate) {
      calls.decide(n, { kind: "deny", reason: "the user said no" });
      must(await comes(() => live.writer.fold.steps.get(n)!.outcome !== null), `${n} was not refused`);
      calls.all.delete(n);
    } else await without(driven, s, as, as);
    await quiet();
    return done("ok", { n });
  },
  lock: async (real, { scope, n }, { reply }) => {
    const driven = drivenOf(real, scope);
    const call = driven.calls.all.get(n);
    if ("ok" in reply) {
      await runs(must(call, `step ${n} has not begun`));
      return done("ok", { n });
    }
    await quiet();
    return call?.runs() ? done("ok", { n }) : reply;
  },
  write: async (real, { scope, n, edit }) => {
    drivenOf(real, scope).files.edit(edit);
    return done("ok", { n });
  },
  act: async (real, { scope, n, tier }) => {
    const call = callOf(drivenOf(real, scope), n);
    did(real, "act", scope, n, call.key());
    call.tier = tier;
    return done("ok", { n });
  },
  end: async (real, { scope, n, status, output }, { before }) => {
    const driven = drivenOf(real, scope);
    const call = callOf(driven, n);
    const s = stepAt(traceOf(before, scope), n)!;
    await call.end(await withTier(call, await result(driven.live, s, status, output)));
    await quiet();
    return done("ok", { n });
  },
  message: async (real, { scope, text }, { before }) => {
    const driven = drivenOf(real, scope);
    await dropOpen(driven, traceOf(before, scope), "main");
    return done("ok", { n: await say(driven, "message", text) });
  },
  inject: async (real, { scope, text }) => done("ok", { n: await say(drivenOf(real, scope), "inject", text) }),
  resume: async (real, { scope, thread }, { before, reply }) => {
    const driven = drivenOf(real, scope);
    const t = traceOf(before, scope);
    if ((reply as Accepted).ok === "dropped") {
      await dropOpen(driven, t, thread);
      return done("dropped");
    }
    for (const of of current(t, thread).open) await beginCall(driven, t, thread, of);
    await quiet();
    return done("performed");
  },
  decide: async (real, { scope, n, as }, { before }) => {
    const driven = drivenOf(real, scope);
    const { live, calls } = driven;
    const s = stepAt(traceOf(before, scope), n)!;
    driven.asked.delete(n);
    if (as === "again") {
      const { attempts } = live.writer.fold.steps.get(n)!;
      await live.writer.part(n, { part: "aborted", attempt: attempts });
      await live.writer.part(n, { part: "attempt", attempt: attempts + 1 });
      calls.decide(n, { kind: "allow" });
      await calls.start(live, await effectOf(live, s), n);
    } else if (as === "drop") await without(driven, s, "aborted", "dropped");
    else {
      const { status, result: output, threads } = await result(live, s, "done", "happened");
      await live.writer.outcome(n, {
        status,
        ...(output && { result: output }),
        ...(threads && { threads }),
        happened: true,
      });
    }
    await quiet();
    // What only waited for the user's word on this one begins now.
    for (const m of [...driven.behind].sort((a, b) => a - b)) {
      const waits = stepAt(traceOf(before, scope), m)!;
      const { turn } = waits.intent.links;
      if ([...driven.asked].some((o) => o < m && live.writer.fold.steps.get(o)!.links.turn === turn)) continue;
      driven.behind.delete(m);
      await calls.start(live, await effectOf(live, waits), m);
    }
    await quiet();
    return done("ok", { n });
  },

  run: async (real, { scope, task: number }, { reply }) => {
    const task: Task = { worker: "agent", text: JSON.stringify(number) };
    const create = (workspace: { path: string; id: string }) =>
      createRun(real.store, { task, workspace, name: scope, grants: NO_GRANTS });
    if ("refused" in reply) {
      try {
        await create(workspaceOf(real.user));
      } catch (error) {
        if (error instanceof NameError) return refused("exists");
        throw error;
      }
      throw new Unlike(`${scope} was made a second time`);
    }
    const main = await freshMain(real.store, real.user);
    await create(main.workspace);
    const driven = await real.take(scope);
    await begin(driven);
    const n = await beginRun(driven.live, task);
    await placeRun(driven.live, n, main, task);
    await settleFiles(driven);
    real.driven.set(scope, driven);
    return done("ok", { n });
  },
  fork: async (real, { scope, n, at, k }) => {
    const { live } = drivenOf(real, scope);
    try {
      const made = await forkScope(real.store, scope, n, {
        count: k,
        atIntent: at === "intent",
        note: (facts) => live.writer.note(null, { ...facts }),
      });
      for (const { name } of made) {
        const driven = await real.take(name);
        await begin(driven);
        await settleFiles(driven);
        real.driven.set(name, driven);
      }
      return done("ok", { scopes: made.map(({ name }) => name) });
    } catch (error) {
      return stepError(error);
    }
  },
  revert: async (real, { scope, n, acknowledge }, { before, reply }) => {
    const driven = drivenOf(real, scope);
    if ("ok" in reply) await stop(driven, before);
    try {
      const reverted = await revertScope(driven.live, n, {
        acknowledge: acknowledge === true,
        compensate: compensator(real),
      });
      return done("ok", { n: reverted.n });
    } catch (error) {
      if (error instanceof Unacknowledged) return refused("irreversible");
      return stepError(error);
    }
  },
  merge: (real, { scope, race }, { before }) =>
    mergeInto(real, scope, traceOf(before, scope).header.parent as Name, race ? { race } : {}),
  sync: (real, { scope }, { before }) => syncFrom(real, scope, traceOf(before, scope).header.parent as Name),
  resolve: async (real, { scope, n, choices }, { before }) => {
    const s = stepAt(traceOf(before, scope), n)!;
    const { conflict = {} } = s.outcome!.facts;
    const take: Take = Object.entries(conflict).every(([path, { ours }]) => same(choices[path] ?? null, ours ?? null))
      ? "ours"
      : "theirs";
    if (s.intent.facts.kind === "sync")
      return syncFrom(real, scope, traceOf(before, scope).header.parent as Name, take).then(asResolve);
    return mergeInto(real, s.intent.links.child!.scope, scope, { take }).then(asResolve);
  },
  undo: async (real, { scope, op, race }, { before }) => {
    const operation = await operationAt(real, before, scope, op);
    if ("refused" in operation || "ok" in operation) return operation;
    const workspace = workspaceOf(real.user);
    if (operation.kind === "discard") {
      await undoDiscard(real.store, operation);
      const driven = await real.take(scope);
      await begin(driven);
      await settleFiles(driven);
      real.driven.set(scope, driven);
      return done("restored");
    }
    if (scope === "main") {
      const undone = await undoLanding(racing(real, race), workspace, operation, { confirm });
      return done(undone.status === "conflict" ? "conflict" : "ok");
    }
    await freshMain(real.store, real.user);
    const driven = drivenOf(real, scope);
    await stop(driven, before);
    const undone = await undoInScope(driven.live, operation);
    return done(undone.status === "conflict" ? "conflict" : "ok", { n: undone.n as number });
  },
  discard: async (real, { scope }, { before, reply }) => {
    if ("refused" in reply) {
      try {
        await discardScope(real.store, scope);
      } catch (error) {
        if (error instanceof NameError) return reply;
        throw error;
      }
      throw new Unlike(`${scope} was discarded twice`);
    }
    const driven = drivenOf(real, scope);
    await stop(driven, before);
    await real.release(driven);
    real.driven.delete(scope);
    await discardRun(real.store, scope, compensator(real));
    return done("ok");
  },

  status: async (real) => done((await freshMain(real.store, real.user)).external === null ? "ok" : "external"),
  observe: async (real, { scope, by }) => {
    await drivenOf(real, scope).live.writer.note(null, { note: "attached", by });
    return done("ok");
  },
  replay: async (real, { scope, n }) => {
    const view = await viewOf(real, scope);
    try {
      const { sealed } = await sealedStep(real.store, view, n);
      const replayed = await replayLog(real.store, view.log);
      const ids = (steps: readonly { sealed: { id: string } | null }[]) => steps.map((s) => s.sealed!.id);
      if (!same(ids(replayed.sealed), ids(view.fold.sealed))) throw new Unlike("a replay came to other commits");
      if (replayed.wrong.length > 0) throw new Unlike(`a replay complains: ${replayed.wrong.join(" ")}`);
      return done("ok", {
        n,
        state: { workspace: await treeOf(real.store, target(sealed.state.roots.workspace)), threads: {} },
      });
    } catch (error) {
      stepError(error);
      return refused("no-step");
    }
  },
  edit: async (real, { edit }) => {
    real.save(edit);
    return done("ok");
  },
  forget: async (real, { content }) => {
    const report = await forget(real.store, [contentId(content)], { reason: "asked" });
    return report.records > 0 ? done("ok") : refused("nothing");
  },
  gc: async (real, { retention }) => {
    await expire(real.store, { retention: retention * 1000 + 500 });
    const report = await gc(real.store, { followers, least: 0.01 });
    if (report.stopped) throw new Unlike(report.stopped);
    return undefined;
  },
  flush: async (real, { scope }) => {
    await real.driven.get(scope)?.live.writer.sync();
    return done("ok");
  },

  kill: async (real, { scopes }) => {
    for (const name of scopes) {
      const driven = real.driven.get(name) ?? real.seized.get(name);
      if (driven) real.kill(driven);
      real.driven.delete(name);
      real.seized.delete(name);
    }
    return done("ok");
  },
  crash: async (real, { keep }) => {
    for (const each of [real.driven, real.seized, real.stale]) each.clear();
    await real.reopen(keep % 3 === 0);
    return done("ok");
  },
  seize: async (real, { scope }) => {
    const old = drivenOf(real, scope);
    real.kill(old);
    real.driven.delete(scope);
    real.seized.set(scope, await real.take(scope));
    real.stale.set(scope, old);
    return done("ok");
  },
  stale: async (real, { scope, n }, { before }) => {
    const old = must(real.stale.get(scope), `${scope} has no other owner`);
    try {
      if (n === null) await old.live.writer.note(null, { note: "attached", by: "stale" });
      else {
        const s = stepAt(traceOf(before, scope), n)!;
        await callOf(old, n).end(await result(old.live, s, "done", null));
      }
      return done("counted");
    } catch (error) {
      if (!(error instanceof Fenced) && !/has a second outcome/.test((error as Error).message)) throw error;
      real.stale.delete(scope);
      return done("fenced");
    }
  },
  recover: async (real, { scope }, wish) => {
    if (scope === "main") {
      await recoverLandings(real.store, real.user);
      await settleOperations(real.store, workspaceOf(real.user).id);
      return done("ok");
    }
    if ("refused" in wish.reply) {
      try {
        await real.release(await real.take(scope));
      } catch (error) {
        if (error instanceof Busy) return refused("up");
        throw error;
      }
      return undefined;
    }
    const driven = real.seized.get(scope) ?? (await real.take(scope));
    real.seized.delete(scope);
    return goOn(real, driven, wish);
  },
};

const asResolve = (reply: Reply): Reply => ("ok" in reply && reply.ok !== "conflict" ? { ...reply, ok: "ok" } : reply);

/** Each open call of a thread is a step that was not run. */
async function dropOpen(driven: Driven, t: Trace, thread: string): Promise<void> {
  const { live } = driven;
  const { turn, calls, open } = current(t, thread);
  const inside = containerOf(t, thread) ?? undefined;
  for (const of of open) {
    const asked = calls[of]!;
    const { intent, lock } = await callEffect(live, asked, { thread, of });
    const facts = { ...intent, ...(lock === "shared" && { shared: true }) };
    const n = await live.writer.intent(facts, { links: links(turn, inside) });
    await live.writer.outcome(n, {
      status: "not-run",
      result: await putBytes(live.store, outputOf("reverted")),
      threads: await said(live, thread, [{ role: "result", of, status: "not-run", output: "reverted" }]),
    });
  }
}

async function say({ live }: Driven, kind: "message" | "inject", text: number): Promise<number> {
  const threads = await said(live, "main", [{ role: "user", text }]);
  const what = threads.main!.append![0]!;
  return (await record(live, { kind, tier: "reversible", thread: "main", what }, { status: "done", threads })).n;
}

/** The runtime's reply to a command; undefined where there is none that could be compared. */
export async function perform(real: Real, command: Command, wish: Wish): Promise<Reply | undefined> {
  real.clock = 1_700_000_000_000 + wish.after.time * 1000;
  const handler = handlers[command.do] as Handler<Command> | undefined;
  return handler ? handler(real, command, wish) : undefined;
}
export const performed = (does: Command["do"]): boolean => handlers[does] !== undefined;
