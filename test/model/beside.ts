/** What stands beside the workers: the user's edits, observers, grants, replay, `forget`, gc. */
import { commits } from "./graph.ts";
import { alive, flush, look, need, note, set, type Tx, worker } from "./machine.ts";
import { find, grantsOf, isDiscarded, notes, traceOf } from "./query.ts";
import type { Of, Reply, System } from "./types.ts";
import { edited } from "./value.ts";

/** "run status diff merge sync undo and landing look at main first; log show cat revert fork discard never do." */
export const status = (tx: Tx, _: Of<"status">): Reply => ({ ok: look(tx) });

/** "Notes (observed once at attaching …) are in the log, not in the identity." */
export function observe(tx: Tx, { scope, by }: Of<"observe">): Reply {
  const t = worker(tx, scope);
  need(!notes(t).some((x) => x.note === "attached" && x.by === by), "attached");
  note(tx, scope, null, { note: "attached", by });
  return { ok: "ok" };
}

export function shrink(tx: Tx, { scope, grant }: Of<"shrink">): Reply {
  need(grantsOf(worker(tx, scope)).includes(grant), "grant");
  note(tx, scope, null, { note: "shrunk", grant });
  return { ok: "ok" };
}

/** "Replay is a fold over the trace: no model call, no tool, same commits." */
export function replay(tx: Tx, { scope, n }: Of<"replay">): Reply {
  need(tx.sys.scopes[scope], "no-scope");
  const at = find(tx.sys, scope, n);
  need(at, "no-step");
  return { ok: "ok", n, state: at.step.commit.state };
}

export function edit(tx: Tx, c: Of<"edit">): Reply {
  set(tx, { user: edited(tx.sys.user, [c.edit]) });
  return { ok: "ok" };
}

/** "`forget` destroys bytes for good and leaves a tombstone; ids and frames stay." */
export function forget(tx: Tx, { content }: Of<"forget">): Reply {
  const kept = [...commits(tx.sys).values()].some((c) => Object.values(c.state.workspace).includes(content));
  need(kept && !tx.sys.forgotten.includes(content), "nothing");
  set(tx, { forgotten: [...tx.sys.forgotten, content].sort((a, b) => a - b) });
  return { ok: "ok" };
}

/** Logs whose commits others stand on: their prefix, or what they merged. */
export const named = (sys: System): Set<string> =>
  new Set(
    Object.keys(sys.scopes).flatMap((name) => {
      const t = traceOf(sys, name);
      const children = t.steps.map((s) => s.intent.links.child?.scope);
      return [t.header.parent, t.header.origin?.log, ...children].filter((x): x is string => x != null && x !== name);
    }),
  );

/** "Operations expire; gc never takes what a live ref, lease or pin reaches." */
export function gc(tx: Tx, { retention }: Of<"gc">): Reply {
  set(tx, { horizon: Math.max(tx.sys.horizon, tx.sys.time - retention) });
  let taken = 0;
  for (;;) {
    const reached = named(tx.sys);
    const gone = Object.entries(tx.sys.scopes).find(([name, scope]) => {
      const t = traceOf(tx.sys, name);
      const at = t.frames.findLast((f) => f.phase === "note")?.witness.time ?? 0;
      return isDiscarded(t) && !scope.lease && at < tx.sys.horizon && !reached.has(name);
    });
    if (!gone) return { ok: taken ? "taken" : "ok" };
    const { [gone[0]]: _, ...scopes } = tx.sys.scopes;
    set(tx, { scopes });
    taken++;
  }
}

/** Group commit: what is written gets synced "within 50 ms". */
export function sync(tx: Tx, { scope }: Of<"flush">): Reply {
  alive(tx, scope);
  flush(tx, scope);
  return { ok: "ok" };
}
