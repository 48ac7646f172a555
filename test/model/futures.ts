/** Operations on a run: start, fork, revert, discard, undo. */
import { compensate } from "./compensate.ts";
import { type Effect, effects, inheritedPast, isCompensated, ownedPast, owner } from "./effects.ts";
import {
  alive,
  create,
  flush,
  idle,
  intent,
  lacks,
  liveOf,
  look,
  need,
  note,
  setScope,
  type Tx,
  together,
  tr,
  visible,
  worker,
} from "./machine.ts";
import {
  before,
  type Found,
  find,
  found,
  grantsOf,
  isDiscarded,
  isUndone,
  newest,
  type Operation,
  operations,
  positionIn,
  standsDiscarded,
  topOf,
} from "./query.ts";
import { stepAt } from "./seal.ts";
import { finish, perform } from "./together.ts";
import { stop } from "./turn.ts";
import type { Grant, Live, Name, Of, Origin, Reply, Workspace } from "./types.ts";

const named = (all: readonly Effect[]): { listed?: readonly string[] } =>
  all.length ? { listed: [...new Set(all.map((e) => `${e.scope}:${e.n}`))].sort() } : {};
const subset = (some: readonly Grant[], all: readonly Grant[]): boolean => some.every((g) => all.includes(g));
const withFiles = (workspace: Workspace): Live => ({ ...idle, workspace });

// ---- begin --------------------------------------------------------------------------------------------------------------

/** "Step 0 is run, its parent is main's commit of that moment." */
export function run(tx: Tx, { scope, task, grants, partial }: Of<"run">): Reply {
  need(!tx.sys.names.includes(scope), "exists");
  look(tx);
  const main = found(tx.sys, "main", tr(tx, "main").sealed.length - 1);
  need(main, "no-step");
  const lack = lacks(tx, partial, main.step.commit.state.workspace);
  flush(tx, "main");
  const files = withFiles(visible(tx.sys, main.step.commit.state.workspace));
  together(tx, () => {
    // A log without its first step would be nothing: they appear at once.
    create(tx, { scope, parent: "main", origin: originOf(main, -1), grants }, files);
    intent(tx, scope, { kind: "run", tier: "reversible", thread: "main", what: task });
    flush(tx, scope);
  });
  finish(tx, scope, 0);
  flush(tx, scope);
  return { ok: "ok", n: 0, ...lack };
}

const originOf = ({ log, position, step }: Found, top: number): Origin => ({
  log,
  position,
  commit: step.id,
  state: step.commit.state,
  top,
  turns: step.turns,
});

/** "Fork is atomic: sessions and roots are those of one commit; the child shares the prefix." Scopes, and a note in the parent: no step. */
export function fork(tx: Tx, { scope, n, at, k, grants, partial }: Of<"fork">): Reply {
  const t = worker(tx, scope);
  const point =
    at === "intent" ? before(tx.sys, scope, n) : (find(tx.sys, scope, n) ?? (stepAt(t, n) ? "unsealed" : "no-step"));
  need(typeof point !== "string", point as "no-step");
  // "A child has a subset of its parent's grants."
  const given = grants ?? grantsOf(t);
  need(subset(given, grantsOf(t)), "grant");
  const { workspace } = point.step.commit.state;
  const lack = lacks(tx, partial, workspace);
  flush(tx, point.log);
  const origin = originOf(point, topOf(tx.sys, point));
  const taken = tx.sys.names.filter(
    (name) => name.startsWith(`${scope}.`) && !name.slice(scope.length + 1).includes("."),
  ).length;
  const scopes = Array.from({ length: k }, (_, i) => `${scope}.${taken + i + 1}`);
  for (const name of scopes)
    create(tx, { scope: name, parent: scope, origin, grants: given }, withFiles(visible(tx.sys, workspace)));
  note(tx, scope, null, { note: "forked", scopes });
  flush(tx, scope);
  return { ok: "ok", scopes, ...lack };
}

// ---- back ---------------------------------------------------------------------------------------------------------------

const irreversible = (all: readonly Effect[]): Effect[] => all.filter((e) => e.tier === "irreversible");

/** "Revert(n) appends a step whose state is state(n). Notes, grants and spent budgets are not reverted. On a live run it stops the worker." */
export function revert(tx: Tx, { scope, n, acknowledge, partial }: Of<"revert">): Reply {
  const t = worker(tx, scope);
  const at = find(tx.sys, scope, n);
  need(at, stepAt(t, n) ? "unsealed" : "no-step");
  const lack = lacks(tx, partial, at.step.commit.state.workspace, liveOf(tx, scope).workspace);
  stop(tx, scope);
  const past = ownedPast(tx.sys, scope, positionIn(scope, at));
  // "irreversible: listed at revert, which then needs --acknowledge"
  need(acknowledge || irreversible(past).length === 0, "irreversible");
  const step = intent(tx, scope, { kind: "revert", tier: "reversible", what: at.step.id }, { target: n });
  finish(tx, scope, step);
  flush(tx, scope);
  return { ok: "ok", n: step, ...lack, ...named([...irreversible(past), ...inheritedPast(tx.sys, scope, at)]) };
}

/** "discard leaves no mark on the parent". A note in the scope's own log; what it did outside is compensated. */
export function discard(tx: Tx, { scope }: Of<"discard">): Reply {
  worker(tx, scope);
  stop(tx, scope);
  note(tx, scope, null, { note: "discard" });
  flush(tx, scope);
  const past = ownedPast(tx.sys, scope, -1);
  compensate(tx, scope, past);
  leave(tx, scope);
  return { ok: "ok", ...named([...irreversible(past), ...inheritedPast(tx.sys, scope, undefined)]) };
}
export function leave(tx: Tx, name: Name): void {
  flush(tx, name);
  setScope(tx, name, { lease: null, live: null });
}

/** "Undo appends the inverse of an operation: the newest that is neither undone nor an undo; `undo OP` names any." */
export function undo(tx: Tx, { scope, op, race, partial }: Of<"undo">): Reply {
  need(tx.sys.scopes[scope], "no-scope");
  const ops = operations(tr(tx, scope));
  const target = op ?? newest(ops);
  const which = ops[target];
  need(which, op === undefined ? "nothing" : "no-op");
  need(!isUndone(ops, target), "undone");
  need(which.time >= tx.sys.horizon, "expired");
  if (which.n === null) return unmark(tx, scope, target, givesUp(ops, target));
  look(tx);
  const t = alive(tx, scope);
  // "compensations are not undone but named"
  const { undoes } = which;
  const past =
    undoes === undefined
      ? effects(tx.sys).filter((e) => isCompensated(tx.sys, e) && owner(tx.sys, e).scope === scope)
      : [];
  if (scope !== "main") stop(tx, scope);
  const what = t.sealed.find((s) => s.n === which.n)?.id;
  return {
    ...perform(tx, scope, { kind: "undo", tier: "reversible", what }, { target }, partial, race),
    ...named(past),
  };
}
/** Whether an operation without a step gave its scope up, or brought it back. */
const givesUp = (ops: readonly Operation[], at: number): boolean => {
  const undoes = ops[at]?.undoes;
  return undoes === undefined || !givesUp(ops, undoes);
};
/** "discarded scopes can come back until retention takes them"; to take that back is to discard again. */
function unmark(tx: Tx, name: Name, target: number, wasDiscard: boolean): Reply {
  const scope = tx.sys.scopes[name];
  // It comes back if nothing else has given it up since.
  const ops = operations(tr(tx, name));
  const after = [...ops, { kind: "undo", n: null, time: tx.sys.time, undoes: target } as const];
  if (wasDiscard) need(isDiscarded(tr(tx, name)) && !standsDiscarded(after), "nothing");
  if (!wasDiscard) {
    need(isDiscarded(tr(tx, name)) || standsDiscarded(after), "nothing");
    worker(tx, name);
    stop(tx, name);
  } else if (!scope?.lease) {
    const epoch = (scope?.epoch ?? 0) + 1;
    setScope(tx, name, { epoch, lease: { epoch, seen: scope?.log.records.length ?? 0 } });
  }
  note(tx, name, null, { note: "restored", target });
  flush(tx, name);
  if (wasDiscard) setScope(tx, name, { live: withFiles(visible(tx.sys, tr(tx, name).roots)) });
  else {
    compensate(tx, name, ownedPast(tx.sys, name, -1));
    leave(tx, name);
  }
  const taken = effects(tx.sys).filter((e) => e.scope === name && isCompensated(tx.sys, e));
  return { ok: wasDiscard ? "restored" : "ok", ...named(taken) };
}

/** A discard that a crash interrupted goes on with what is not compensated yet. */
export const unfinishedDiscard = (tx: Tx, name: Name): boolean =>
  isDiscarded(tr(tx, name)) &&
  ownedPast(tx.sys, name, -1).some((e) => e.tier === "compensable" && !isCompensated(tx.sys, e));
