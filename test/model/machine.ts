/**
 * How a command takes effect: one small effect after the other, each a system of its own in `trail`, so that a crash can be put between
 * any two. A refusal leaves nothing behind.
 */
import { isDiscarded, next, tierOf, traceOf } from "./query.ts";
import { type Step, stepAt, type Trace, trace, traceUpTo } from "./seal.ts";
import type {
  Action,
  Body,
  Intent,
  Lease,
  Links,
  Live,
  Name,
  Note,
  Outcome,
  Part,
  Refusal,
  Reply,
  Scope,
  System,
  Workspace,
} from "./types.ts";
import { digest, same, workspace } from "./value.ts";

export interface Tx {
  sys: System;
  readonly trail: System[];
}

/** Ends the command with a refusal. */
export function need(condition: unknown, reason: Refusal): asserts condition {
  if (!condition) throw { refused: reason } satisfies Reply;
}

export function set(tx: Tx, change: Partial<System>): void {
  tx.sys = { ...tx.sys, ...change };
  tx.trail.push(tx.sys);
}
/** Several effects that no crash comes between. */
export function together(tx: Tx, change: () => void): void {
  const at = tx.trail.length;
  change();
  tx.trail.splice(at, tx.trail.length - at, tx.sys);
}
export const setScope = (tx: Tx, name: Name, change: Partial<Scope>): void =>
  set(tx, { scopes: { ...tx.sys.scopes, [name]: { ...(tx.sys.scopes[name] as Scope), ...change } } });
export const setLive = (tx: Tx, name: Name, change: Partial<Live>): void =>
  setScope(tx, name, { live: { ...liveOf(tx, name), ...change } });

export const tr = (tx: Tx, name: Name): Trace => traceOf(tx.sys, name);
export const liveOf = (tx: Tx, name: Name): Live => (tx.sys.scopes[name] as Scope).live as Live;

/** The trace of a scope that has an owner. */
export function alive(tx: Tx, name: Name): Trace {
  const scope = tx.sys.scopes[name];
  need(scope, "no-scope");
  const t = trace(scope.log);
  need(!isDiscarded(t), "discarded");
  need(scope.live, "down");
  return t;
}
export function worker(tx: Tx, name: Name): Trace {
  need(name !== "main", "main");
  return alive(tx, name);
}
/** A step without an outcome; one whose fate the user has not decided is in doubt. */
export function pendingStep(tx: Tx, name: Name, n: number): Step {
  const s = stepAt(worker(tx, name), n);
  need(s, "no-step");
  need(!s.outcome, "settled");
  need(!liveOf(tx, name).asked.includes(n), "in-doubt");
  return s;
}

// ---- the log ------------------------------------------------------------------------------------------------------------

/** Appends one frame as its owner knows the log. False if the frame does not count; the owner has then read the log anew. */
export function append(tx: Tx, name: Name, body: Body): boolean {
  const { log, lease } = tx.sys.scopes[name] as Scope & { lease: Lease };
  const view = traceUpTo(log, lease.seen);
  // "idempotency keys belong to (scope, n), never to a commit, since siblings share commits"
  const key =
    body.phase === "intent" && ["model", "tool"].includes(body.facts.kind)
      ? { key: digest([name, body.n, body.facts]) }
      : {};
  const frame = {
    ...body,
    seq: view.frames.length,
    epoch: lease.epoch,
    prev: view.last,
    witness: { time: tx.sys.time, ...key },
  };
  const after = { ...log, records: [...log.records, frame] };
  setScope(tx, name, { log: after, lease: { ...lease, seen: after.records.length } });
  return trace(after).frames.length > trace(log).frames.length;
}

/** "a writer whose frame does not count appends again" */
export function put(tx: Tx, name: Name, body: Body): void {
  if (!append(tx, name, body)) append(tx, name, body);
}

/** "n is given at the intent, consecutive in a scope, never reused." */
export function intent(tx: Tx, name: Name, facts: Intent, links: Links = {}): number {
  const n = next(tr(tx, name));
  put(tx, name, { phase: "intent", n, facts, links });
  return n;
}
export const part = (tx: Tx, name: Name, n: number, facts: Part): void =>
  put(tx, name, { phase: "part", n, facts, links: {} });
export const note = (tx: Tx, name: Name, n: number | null, facts: Note): void =>
  put(tx, name, { phase: "note", n, facts, links: {} });
export function outcome(tx: Tx, name: Name, n: number, facts: Omit<Outcome, "tier">, links: Links = {}): void {
  const tier = tierOf(stepAt(tr(tx, name), n) as Step);
  put(tx, name, { phase: "outcome", n, facts: { ...facts, tier }, links });
}

/** All of a log is synced: it survives power loss. */
export function flush(tx: Tx, name: Name): void {
  const { log } = tx.sys.scopes[name] as Scope;
  if (log.synced < log.records.length) setScope(tx, name, { log: { ...log, synced: log.records.length } });
}

// ---- the outside --------------------------------------------------------------------------------------------------------

export const act = (tx: Tx, action: Action): void => set(tx, { world: [...tx.sys.world, action] });

/** What of a tree can be brought to where `there` is: all but destroyed contents that are not there already. */
export const visible = (sys: System, tree: Workspace, there: Workspace = {}): Workspace =>
  workspace(Object.entries(tree).filter(([p, c]) => !sys.forgotten.includes(c) || there[p] === c));
export const lacking = (sys: System, tree: Workspace, there: Workspace = {}): string[] => {
  const got = visible(sys, tree, there);
  return Object.keys(tree).filter((p) => !(p in got));
};
/** "a state with a tombstone is restored without it, names what lacks, and exits 3 unless --partial" */
export function lacks(
  tx: Tx,
  partial: boolean | undefined,
  tree: Workspace,
  there?: Workspace,
): { lacks?: readonly string[] } {
  const missing = lacking(tx.sys, tree, there);
  need(partial || missing.length === 0, "forgotten");
  return missing.length ? { lacks: missing } : {};
}

export const idle: Live = { workspace: {}, holders: [], acted: [], asked: [] };

/** A scope's log begins; durable at once, since a ref names it. */
export function create(tx: Tx, header: Scope["log"]["header"], live: Live): void {
  const scope: Scope = {
    log: { header, records: [], synced: 0 },
    epoch: 1,
    lease: { epoch: 1, seen: 0 },
    live,
    stale: null,
  };
  set(tx, { scopes: { ...tx.sys.scopes, [header.scope]: scope }, names: [...tx.sys.names, header.scope] });
}

/** "main is looked at first: a difference is one external step, none is none." */
export function look(tx: Tx): "external" | "ok" {
  const t = alive(tx, "main");
  if (same(t.roots, tx.sys.user)) return "ok";
  const n = intent(tx, "main", { kind: "external", tier: "reversible" });
  observeUser(tx, n);
  flush(tx, "main");
  return "external";
}
export const observeUser = (tx: Tx, n: number): void =>
  outcome(tx, "main", n, { status: "done", state: { workspace: tx.sys.user, threads: {} } });
