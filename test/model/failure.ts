/** Crashes, stale owners, recovery. */

import { compensate } from "./compensate.ts";
import { effectOf, ownedPast } from "./effects.ts";
import { leave, unfinishedDiscard } from "./futures.ts";
import {
  append,
  flush,
  idle,
  need,
  outcome,
  part,
  put,
  set,
  setLive,
  setScope,
  type Tx,
  tr,
  visible,
} from "./machine.ts";
import {
  attempt,
  blocksOf,
  grantsOf,
  isAllowed,
  isCall,
  isDiscarded,
  isPending,
  kindOf,
  pending,
  tierOf,
} from "./query.ts";
import { type Step, stepAt, type Trace, trace, traceUpTo } from "./seal.ts";
import { finish } from "./together.ts";
import { result, said, send } from "./turn.ts";
import type { Body, Lease, Name, Of, Reply, Scope } from "./types.ts";

/** What dies with an owner: its lease and all that lived in it. The log keeps what was written, the outside what was done. */
const ownerless = (s: Scope): Scope => ({ ...s, lease: null, live: null });

/** `kill -9` of some owners. */
export function kill(tx: Tx, { scopes }: Of<"kill">): Reply {
  need(
    scopes.every((name) => tx.sys.scopes[name]),
    "no-scope",
  );
  need(
    scopes.some((name) => tx.sys.scopes[name]?.lease),
    "down",
  );
  const dead = scopes.map((name) => [name, ownerless(tx.sys.scopes[name] as Scope)]);
  set(tx, { scopes: { ...tx.sys.scopes, ...Object.fromEntries(dead) } });
  return { ok: "ok" };
}

/** "Written survives kill -9; synced survives power loss", and of the rest any prefix may. */
export function crash(tx: Tx, { power, keep }: Of<"crash">): Reply {
  const lose = (s: Scope): Scope => {
    const kept = s.log.synced + (keep % (s.log.records.length - s.log.synced + 1));
    const records = s.log.records.slice(0, kept);
    return { ...s, log: { ...s.log, records, synced: kept } };
  };
  const after = Object.entries(tx.sys.scopes).map(([name, s]) => [
    name,
    { ...ownerless(power ? lose(s) : s), stale: null },
  ]);
  set(tx, { scopes: Object.fromEntries(after) });
  return { ok: "ok" };
}

/** A second process gets the lease while the first still lives and does not know. */
export function seize(tx: Tx, { scope }: Of<"seize">): Reply {
  const s = tx.sys.scopes[scope];
  need(s, "no-scope");
  need(scope !== "main", "main");
  need(s.lease && s.live, "down");
  const epoch = s.epoch + 1;
  const lease = { epoch, seen: s.log.records.length };
  setScope(tx, scope, { epoch, lease, live: null, stale: { ...s.lease, live: s.live } });
  return { ok: "ok" };
}

/** The owner that lost its lease writes what it still has to write: the outcome of a call that it holds the lock for, or a note. */
export function stale(tx: Tx, { scope, n }: Of<"stale">): Reply {
  const s = tx.sys.scopes[scope];
  need(s, "no-scope");
  need(s.stale, "nothing");
  const view = traceUpTo(s.log, s.stale.seen);
  const call = n === null ? undefined : stepAt(view, n);
  need(n === null || (call && s.stale.live.holders.includes(n)), "not-holding");
  const { workspace } = s.stale.live;
  const body: Body =
    call === undefined
      ? { phase: "note", n: null, facts: { note: "attached", by: "stale" }, links: {} }
      : {
          phase: "outcome",
          n: call.n,
          facts: { ...result(call, { status: "done", workspace }), tier: tierOf(call) },
          links: {},
        };
  // Written under its own lease, once as it knows the log and, if that does not count, once as the log is.
  const { lease: current, epoch } = s;
  const { live, ...own } = s.stale;
  setScope(tx, scope, { lease: own });
  const counted = append(tx, scope, body) || (isPendingNow(tx, scope, n) && append(tx, scope, body));
  const after = tx.sys.scopes[scope] as Scope & { lease: Lease };
  setScope(tx, scope, {
    lease: current,
    epoch,
    stale: counted ? { ...after.lease, live: { ...live, holders: live.holders.filter((h) => h !== n) } } : null,
  });
  return { ok: counted ? "counted" : "fenced" };
}
const isPendingNow = (tx: Tx, name: Name, n: number | null): boolean => {
  const s = n === null ? undefined : stepAt(tr(tx, name), n);
  return n === null || (s !== undefined && isPending(s));
};

// ---- recovery -----------------------------------------------------------------------------------------------------------

/** "Kill -9 at any moment: the next command works, without repair by hand." */
export function recover(tx: Tx, { scope }: Of<"recover">): Reply {
  const s = tx.sys.scopes[scope];
  need(s, "no-scope");
  need(!s.live, "up");
  const discarded = isDiscarded(trace(s.log));
  need(!discarded || unfinishedDiscard(tx, scope), "discarded");
  if (!s.lease) setScope(tx, scope, { epoch: s.epoch + 1, lease: { epoch: s.epoch + 1, seen: s.log.records.length } });
  if (scope === "main" && tx.sys.staged) set(tx, { staged: false });
  if (!discarded) while (!settled(tx, scope));
  if (discarded) {
    compensate(tx, scope, ownedPast(tx.sys, scope, -1));
    leave(tx, scope);
    return { ok: "ok" };
  }
  const { asked } = (tx.sys.scopes[scope] as Scope).live ?? idle;
  return asked.length ? { ok: "asked" } : { ok: "ok" };
}

/**
 * Decides what is in doubt (intent, no outcome, owner gone) as the new owner knows the log. False if its first frame did not count, because
 * the old owner was quicker: then the log is read anew and all is decided again.
 */
function settled(tx: Tx, name: Name): boolean {
  const { log, lease } = tx.sys.scopes[name] as Scope & { lease: Lease };
  const view = traceUpTo(log, lease.seen);
  // "roots back to before"
  const workspace = name === "main" ? {} : visible(tx.sys, view.roots);
  setScope(tx, name, { live: { ...idle, workspace } });
  // The first frame under the new epoch shuts the old owner out; there is one even if nothing is in doubt.
  const words = pending(view).map(firstWord);
  if (!append(tx, name, words[0] ?? { phase: "note", n: null, facts: { note: "taken" }, links: {} })) {
    setScope(tx, name, { live: null });
    return false;
  }
  for (const [i, s] of pending(view).entries()) {
    if (i > 0) put(tx, name, words[i] as Body);
    again(tx, name, s);
  }
  return true;
}

/** Whether a call may have acted so that it cannot be attempted again; what the gate has not let through has not. */
const asks = (t: Trace, s: Step): boolean =>
  isCall(s) && (tierOf(s) === "compensable" || (tierOf(s) === "irreversible" && isAllowed(t, s.n)));

/**
 * What recovery writes first about a step: its attempt is over. "A model call is attempted again only while none of its blocks was passed on;
 * later it ends as `cut` with the blocks it has, and its calls count."
 */
function firstWord(s: Step): Body {
  if (kindOf(s) !== "model" || blocksOf(s).length === 0)
    return { phase: "part", n: s.n, facts: { attempt: attempt(s), aborted: true }, links: {} };
  return { phase: "outcome", n: s.n, facts: { status: "cut", tier: tierOf(s), append: said(s) }, links: {} };
}

/** "reversible → again as a new attempt; repeatable → new attempt, both billed; compensable → compensate once, then ask; irreversible → ask." */
function again(tx: Tx, name: Name, s: Step): void {
  if (kindOf(s) === "model" && blocksOf(s).length > 0) return;
  if (asks(tr(tx, name), s)) {
    const e = effectOf(tr(tx, name), s);
    if (e.tier === "compensable") compensate(tx, name, [e]);
    setLive(tx, name, { asked: [...((tx.sys.scopes[name] as Scope).live ?? idle).asked, s.n] });
    return;
  }
  const model = kindOf(s) === "model";
  if (model && !grantsOf(tr(tx, name)).includes("ask")) {
    // "Authority only shrinks": what was sent under a grant that is gone is not sent again.
    outcome(tx, name, s.n, { status: "denied" });
    return;
  }
  part(tx, name, s.n, { attempt: attempt(s) + 1 });
  if (model) send(tx, name, s.n);
  else if (!isCall(s)) {
    finish(tx, name, s.n);
    flush(tx, name);
  }
}
