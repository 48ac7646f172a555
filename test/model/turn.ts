/** What a worker does: model calls, tool calls under the lock, effects, containers, messages. */
import { effectOf, isCompensated } from "./effects.ts";
import { mayLock, passedGate } from "./lock.ts";
import {
  act,
  flush,
  intent,
  liveOf,
  need,
  note,
  outcome,
  part,
  pendingStep,
  setLive,
  type Tx,
  tr,
  worker,
} from "./machine.ts";
import {
  attempt,
  blocksOf,
  containerOf,
  current,
  grantsOf,
  isAllowed,
  isCall,
  isContainer,
  isPending,
  openInside,
  pending,
  pendingModel,
  rank,
  tierOf,
  unanswered,
  unsealed,
} from "./query.ts";
import { modeOf, type Step, stepAt, type Trace } from "./seal.ts";
import type { Links, Name, Of, Outcome, Reply, Threads } from "./types.ts";
import { digest } from "./value.ts";

const inside = (container: number | undefined): Links => (container === undefined ? {} : { inside: container });

/** "synced … at the end of a turn" */
function rest(tx: Tx, name: Name): void {
  if (unsealed(tr(tx, name)).length === 0) flush(tx, name);
}

/** The request goes out: "every intent is written before its action; synced before an action that is not reversible". */
export function send(tx: Tx, name: Name, n: number): void {
  flush(tx, name);
  const e = effectOf(tr(tx, name), stepAt(tr(tx, name), n) as Step);
  act(tx, { does: "act", scope: name, n, attempt: e.attempt, tier: e.tier, key: e.key });
}

export function ask(tx: Tx, { scope, thread }: Of<"ask">): Reply {
  const t = worker(tx, scope);
  const container = containerOf(t, thread);
  need(container !== null, "thread");
  need(grantsOf(t).includes("ask"), "grant");
  need(!pendingModel(t, thread), "busy");
  // Results enter the thread at their seal: a request made before would put its answer in front of them.
  need(!unanswered(t, thread), "open-calls");
  const what = digest(t.state.threads[thread] ?? []);
  const n = intent(tx, scope, { kind: "model", tier: "repeatable", thread, what }, inside(container));
  send(tx, scope, n);
  return { ok: "ok", n };
}

export function block(tx: Tx, { scope, thread, block }: Of<"block">): Reply {
  const model = pendingModel(worker(tx, scope), thread);
  need(model, "no-model");
  part(tx, scope, model.n, { block });
  return { ok: "ok", n: model.n };
}

/** "A model call … later ends as `cut` with the blocks it has, and its calls count." */
export function cut(tx: Tx, name: Name, s: Step, otherwise: "failed" | "aborted"): "cut" | "ok" {
  const blocks = blocksOf(s);
  if (blocks.length === 0) outcome(tx, name, s.n, { status: otherwise });
  else outcome(tx, name, s.n, { status: "cut", append: said(s) });
  return blocks.length === 0 ? "ok" : "cut";
}
export const said = (s: Step): Threads => ({
  [s.intent.facts.thread as string]: [{ role: "assistant", blocks: blocksOf(s) }],
});

export function answer(tx: Tx, { scope, thread, fail }: Of<"answer">): Reply {
  const model = pendingModel(worker(tx, scope), thread);
  need(model, "no-model");
  let ok: "ok" | "cut" = "ok";
  if (fail) ok = cut(tx, scope, model, "failed");
  else outcome(tx, scope, model.n, { status: "done", append: said(model) });
  rest(tx, scope);
  return { ok, n: model.n };
}

function begin(tx: Tx, name: Name, thread: string, of: number): number {
  const t = tr(tx, name);
  const { turn, calls } = current(t, thread);
  const call = calls[of];
  need(call, "no-call");
  const links = { ...inside(containerOf(t, thread) ?? undefined), ...(turn === undefined ? {} : { turn }) };
  return intent(tx, name, { kind: "tool", tier: call.tier, thread, call, of }, links);
}

export function call(tx: Tx, { scope, thread, of }: Of<"call">): Reply {
  const t = worker(tx, scope);
  need(containerOf(t, thread) !== null, "thread");
  const { open } = current(t, thread);
  need(open.includes(of), "no-call");
  // "tool calls of one turn are numbered in block order"
  need(open[0] === of, "order");
  return { ok: "ok", n: begin(tx, scope, thread, of) };
}

/** A call made by the container's own code: no message asks for it. */
export function nest(tx: Tx, c: Of<"nest">): Reply {
  const s = pendingStep(tx, c.scope, c.inside);
  need(isContainer(s), "no-call");
  return { ok: "ok", n: intent(tx, c.scope, { kind: "tool", tier: c.call.tier, call: c.call }, inside(c.inside)) };
}

function pendingCall(tx: Tx, name: Name, n: number): Step {
  const s = pendingStep(tx, name, n);
  need(isCall(s), "no-call");
  return s;
}
function locking(tx: Tx, name: Name, n: number): Step {
  const s = pendingCall(tx, name, n);
  need(!isContainer(s), "container");
  return s;
}
function holding(tx: Tx, name: Name, n: number): Step {
  const s = locking(tx, name, n);
  need(liveOf(tx, name).holders.includes(n), "not-holding");
  return s;
}

export function allow(tx: Tx, { scope, n }: Of<"allow">): Reply {
  locking(tx, scope, n);
  need(!isAllowed(tr(tx, scope), n), "nothing");
  note(tx, scope, n, { note: "allowed" });
  return { ok: "ok", n };
}

/** With the answer to the call in its thread, if a message asked for it. */
export const result = (s: Step, facts: Omit<Outcome, "tier" | "append">): Omit<Outcome, "tier"> => {
  const { thread, of } = s.intent.facts;
  if (thread === undefined || of === undefined) return facts;
  return {
    ...facts,
    append: { [thread]: [{ role: "result", of, status: facts.status, output: facts.result ?? null }] },
  };
};

/** The gate refuses, or the CLI answers itself: `not run`. */
export function deny(tx: Tx, { scope, n, as }: Of<"deny">): Reply {
  const s = pendingCall(tx, scope, n);
  need(!liveOf(tx, scope).holders.includes(n), "busy");
  need(openInside(tr(tx, scope), n).length === 0, "inside");
  outcome(tx, scope, n, result(s, { status: as, result: as }));
  rest(tx, scope);
  return { ok: "ok", n };
}

export function lock(tx: Tx, { scope, n }: Of<"lock">): Reply {
  const s = locking(tx, scope, n);
  const live = liveOf(tx, scope);
  need(!live.holders.includes(n), "nothing");
  need(passedGate(tr(tx, scope), s), "gate");
  need(mayLock(tr(tx, scope), live, s), "waiting");
  setLive(tx, scope, { holders: [...live.holders, n] });
  return { ok: "ok", n };
}

export function write(tx: Tx, { scope, n, edit }: Of<"write">): Reply {
  const s = holding(tx, scope, n);
  need(s.intent.facts.call?.mode === "exclusive", "shared");
  need(grantsOf(tr(tx, scope)).includes("write"), "grant");
  setLive(tx, scope, { workspace: editedLive(tx, scope, edit) });
  return { ok: "ok", n };
}
const editedLive = (tx: Tx, name: Name, [path, content]: readonly [string, number | null]) => {
  const files = new Map(Object.entries(liveOf(tx, name).workspace));
  if (content === null) files.delete(path);
  else files.set(path, content);
  return Object.fromEntries([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
};

/** A call reaches the outside. What is more than declared is observed before its first byte: "its gate is the connection". */
export function doAct(tx: Tx, { scope, n, tier }: Of<"act">): Reply {
  const s = holding(tx, scope, n);
  const t = tr(tx, scope);
  need(grantsOf(t).includes("act"), "grant");
  need(tier !== "compensable" || s.intent.facts.tier === "compensable", "no-undo");
  need(tier !== "irreversible" || isAllowed(t, n), "gate");
  need(!liveOf(tx, scope).acted.includes(n), "acted");
  if (rank(tier) > rank(tierOf(s))) part(tx, scope, n, { observed: tier });
  send(tx, scope, n);
  setLive(tx, scope, { acted: [...liveOf(tx, scope).acted, n] });
  return { ok: "ok", n };
}

/** "Capture and outcome are written before the lock is given back, so each step has one file delta." */
function settle(tx: Tx, name: Name, s: Step, facts: Omit<Outcome, "tier" | "append">): void {
  const { holders, workspace } = liveOf(tx, name);
  const held = holders.includes(s.n);
  // One that only reads, and is stopped, has nothing of the files: it has no place in the order of the lock.
  const stopped = held && modeOf(s) === "shared" && facts.status === "aborted";
  const more = stopped ? { stopped: true as const } : held ? { workspace } : {};
  outcome(tx, name, s.n, result(s, { ...facts, ...more }));
  if (held) setLive(tx, name, { holders: holders.filter((h) => h !== s.n) });
}

export function end(tx: Tx, { scope, n, status, output }: Of<"end">): Reply {
  const s = pendingCall(tx, scope, n);
  if (isContainer(s)) need(openInside(tr(tx, scope), n).length === 0, "inside");
  else holding(tx, scope, n);
  settle(tx, scope, s, { status, result: output });
  rest(tx, scope);
  return { ok: "ok", n };
}

/** The worker is stopped: what is pending ends, what is inside before what is around it, and every step gets its seal. */
export function stop(tx: Tx, name: Name): void {
  need(liveOf(tx, name).asked.length === 0, "in-doubt");
  const all = pending(tr(tx, name));
  const containers = all.filter(isContainer).toReversed();
  for (const s of [...all.filter((s) => !isContainer(s)), ...containers]) {
    if (isCall(s)) settle(tx, name, s, { status: "aborted", result: "aborted" });
    else cut(tx, name, s, "aborted");
  }
}

/** The user decides a call in doubt. */
export function decide(tx: Tx, { scope, n, as }: Of<"decide">): Reply {
  const t = worker(tx, scope);
  const s = stepAt(t, n);
  need(s, "no-step");
  const live = liveOf(tx, scope);
  need(live.asked.includes(n), isPending(s) ? "nothing" : "settled");
  if (as === "happened") {
    need(!isCompensated(tx.sys, effectOf(t, s)), "compensated");
    outcome(tx, scope, n, result(s, { status: "done", result: "happened", happened: true }));
  } else if (as === "drop")
    outcome(tx, scope, n, result(s, { status: "aborted", result: "dropped", happened: "perhaps" }));
  else part(tx, scope, n, { attempt: attempt(s) + 1 });
  setLive(tx, scope, { asked: live.asked.filter((a) => a !== n) });
  rest(tx, scope);
  return { ok: "ok", n };
}

// ---- open calls and new instructions ------------------------------------------------------------------------------------

/** Each open call of a thread is a step that was not run. */
function drop(tx: Tx, name: Name, thread: string): void {
  for (const of of current(tr(tx, name), thread).open) {
    const n = begin(tx, name, thread, of);
    outcome(tx, name, n, result(stepAt(tr(tx, name), n) as Step, { status: "not-run", result: "reverted" }));
  }
}

/** Whether the newest message of a thread is there by a revert or an undo, not since said anew. */
function reverted(t: Trace, thread: string): boolean {
  const last = t.sealed.findLast(
    ({ commit: { kind, intent } }) =>
      ["revert", "undo"].includes(kind) || (kind === "model" && intent.thread === thread),
  );
  return last !== undefined && last.commit.kind !== "model";
}

/**
 * "Open calls are performed at resume after a crash and by a fork or replay that changes nothing; after a revert … each is answered
 * `not run: reverted` (`--open perform | drop` overrides)."
 */
export function resume(tx: Tx, { scope, thread, open }: Of<"resume">): Reply {
  const t = worker(tx, scope);
  need(containerOf(t, thread) !== null, "thread");
  need(!pendingModel(t, thread), "busy");
  need(current(t, thread).open.length > 0, "nothing");
  if ((open ?? (reverted(t, thread) ? "drop" : "perform")) === "drop") {
    drop(tx, scope, thread);
    return { ok: "dropped" };
  }
  for (const of of current(t, thread).open) begin(tx, scope, thread, of);
  return { ok: "performed" };
}

/** "whenever a new instruction is given, each [open call] is answered `not run`" */
export function message(tx: Tx, { scope, text }: Of<"message">): Reply {
  const t = worker(tx, scope);
  need(!pendingModel(t, "main") && unsealed(t).every((s) => s.intent.facts.thread !== "main"), "busy");
  drop(tx, scope, "main");
  return say(tx, scope, "message", text);
}
/** Guidance for the next request of the worker; what it is doing goes on. */
export function inject(tx: Tx, { scope, text }: Of<"inject">): Reply {
  worker(tx, scope);
  return say(tx, scope, "inject", text);
}
function say(tx: Tx, name: Name, kind: "message" | "inject", text: number): Reply {
  const n = intent(tx, name, { kind, tier: "reversible", thread: "main", what: text });
  hear(tx, name, n);
  return { ok: "ok", n };
}
/** The outcome of a run, a message or an inject: the user's words enter the thread. */
export function hear(tx: Tx, name: Name, n: number): void {
  const text = stepAt(tr(tx, name), n)?.intent.facts.what as number;
  outcome(tx, name, n, { status: "done", append: { main: [{ role: "user", text }] } });
}
