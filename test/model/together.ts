/** What sets a whole state: merge, landing, sync, resolve, and the second half of every operation, from its intent to its outcome. */
import { compensate } from "./compensate.ts";
import { ownedPast } from "./effects.ts";
import { commits, hasMerged, type Proposal, propose } from "./graph.ts";
import {
  alive,
  flush,
  intent,
  lacks,
  liveOf,
  look,
  need,
  observeUser,
  outcome,
  set,
  setLive,
  type Tx,
  tr,
  visible,
  worker,
} from "./machine.ts";
import {
  type Found,
  find,
  heldLock,
  isCall,
  isContainer,
  isUndone,
  operations,
  opOf,
  positionIn,
  unsealed,
} from "./query.ts";
import { modeOf, type Step, stepAt, type Trace } from "./seal.ts";
import { hear } from "./turn.ts";
import type { Accepted, Edit, Intent, Links, Name, Of, Reply, Workspace } from "./types.ts";
import { changed, edited, same } from "./value.ts";

/** Steps that stand in the way of setting a whole state: all but containers, in which the one who asks may itself stand. */
const busy = (t: Trace): boolean => unsealed(t).some((s) => !isContainer(s));
/** Calls that had the lock and have no commit yet: what a writer now set would be sealed before them. */
const capturedUnsealed = (t: Trace): boolean =>
  unsealed(t).some((s) => isCall(s) && heldLock(s) && modeOf(s) !== "container");

/** Merge into the parent; into main it is a landing. */
export function merge(tx: Tx, { scope, tell, race, partial }: Of<"merge">): Reply {
  const child = worker(tx, scope);
  need(unsealed(child).length === 0, "busy");
  const into = child.header.parent as Name;
  look(tx);
  const t = alive(tx, into);
  need(!busy(t), "busy");
  need(liveOf(tx, into).asked.length === 0, "in-doubt");
  const facts: Intent = {
    kind: into === "main" ? "landing" : "merge",
    tier: "reversible",
    with: child.head as string,
    ...(tell ? { what: { tell } } : {}),
  };
  need(!hasMerged(commits(tx.sys), t.head, child.head as string), "nothing");
  flush(tx, scope);
  return perform(tx, into, facts, { child: { scope, frames: child.frames.length } }, partial, race);
}

/** "Sync is the same merge from parent to child, workspace only; on a live scope it takes the lock like a writing call." */
export function sync(tx: Tx, { scope, partial }: Of<"sync">): Reply {
  const t = worker(tx, scope);
  const from = t.header.parent as Name;
  look(tx);
  const parent = alive(tx, from);
  need(liveOf(tx, scope).holders.length === 0, "waiting");
  need(!capturedUnsealed(t), "unsealed");
  need(parent.head !== null && !hasMerged(commits(tx.sys), t.head, parent.head), "nothing");
  flush(tx, from);
  return perform(tx, scope, { kind: "sync", tier: "reversible", with: parent.head }, {}, partial);
}

/** "A conflict is a step whose state is the parent's and which holds base, ours, theirs; a later `resolve` lands it." */
export function resolve(tx: Tx, { scope, n, choices, partial }: Of<"resolve">): Reply {
  look(tx);
  const t = alive(tx, scope);
  const s = stepAt(t, n);
  need(s?.outcome, "no-step");
  need(s.outcome.facts.status === "conflict", "nothing");
  const ops = operations(t);
  need(!t.steps.some((o) => resolves(o, n) && !isUndone(ops, opOf(ops, o))), "settled");
  need(!busy(t), "busy");
  need(liveOf(tx, scope).asked.length === 0, "in-doubt");
  const { facts, links } = s.intent;
  if (facts.with !== undefined) need(!hasMerged(commits(tx.sys), t.head, facts.with), "nothing");
  else need(s.outcome.facts.state || !isUndone(ops, links.target as number), "undone");
  const resolved: Intent = {
    kind: "resolve",
    tier: "reversible",
    what: { choices },
    ...(facts.with === undefined ? {} : { with: facts.with }),
  };
  const { state, conflict } = propose(tx.sys, scope, -1, resolved, links);
  need(Object.keys(conflict).length === 0, "conflict");
  // It would count as merged, and nobody could have the other side any more.
  const keepsAll = scope === "main" && facts.with !== undefined && same(state.workspace, t.state.workspace);
  need(!keepsAll, "nothing");
  return perform(tx, scope, resolved, { ...links, resolves: n }, partial);
}

const resolves = (o: Step, n: number): boolean => o.intent.links.resolves === n && o.outcome?.facts.status === "done";

/** An operation from its intent to its outcome, as long as no destroyed bytes stand in its way. */
export function perform(tx: Tx, name: Name, facts: Intent, links: Links, partial?: boolean, race?: Edit): Accepted {
  const { state, conflict } = propose(tx.sys, name, -1, facts, links);
  const there = name === "main" ? tx.sys.user : liveOf(tx, name).workspace;
  const lack = name !== "main" && Object.keys(conflict).length ? {} : lacks(tx, partial, state.workspace, there);
  const n = intent(tx, name, facts, links);
  // "a synced plan"
  flush(tx, name);
  const ok = finish(tx, name, n, race);
  flush(tx, name);
  return { ok, n, ...lack };
}

// ---- the second half of every operation ---------------------------------------------------------------------------------

/**
 * From the intent of an operation to its outcome. It needs nothing but the log, so that recovery ends what a crash interrupted
 * by the same code: "reversible → again as a new attempt".
 */
export function finish(
  tx: Tx,
  name: Name,
  n: number,
  race?: Edit,
): "ok" | "merged" | "adopted" | "landed" | "conflict" {
  const s = stepAt(tr(tx, name), n) as Step;
  const { facts, links } = s.intent;
  switch (facts.kind) {
    case "run":
    case "message":
    case "inject":
      hear(tx, name, n);
      return "ok";
    case "external":
      observeUser(tx, n);
      return "ok";
    case "revert": {
      const at = find(tx.sys, name, links.target as number) as Found;
      compensate(tx, name, ownedPast(tx.sys, name, positionIn(name, at)));
      const workspace = visible(tx.sys, at.step.commit.state.workspace, liveOf(tx, name).workspace);
      setLive(tx, name, { workspace });
      outcome(tx, name, n, { status: "done", state: { ...at.step.commit.state, workspace } }, { turns: at.step.turns });
      return "ok";
    }
    default:
      return land(tx, name, n, propose(tx.sys, name, n, facts, links), race);
  }
}

function land(
  tx: Tx,
  name: Name,
  n: number,
  p: Proposal,
  race?: Edit,
): "ok" | "merged" | "adopted" | "landed" | "conflict" {
  const { facts } = (stepAt(tr(tx, name), n) as Step).intent;
  const torn = Object.keys(p.conflict).length > 0;
  // Taking a landing back goes "path by path, where the user has not touched it since"; any other conflict sets nothing.
  if (torn && !(name === "main" && facts.kind === "undo")) {
    outcome(tx, name, n, { status: "conflict", conflict: p.conflict });
    return "conflict";
  }
  const raced = name === "main" ? exchange(tx, p.state.workspace, race) : place(tx, name, p.state.workspace);
  const now = name === "main" ? tr(tx, name).roots : liveOf(tx, name).workspace;
  const planned = name === "main" ? visible(tx.sys, p.state.workspace, now) : now;
  // A path that the user changed meanwhile stays as it was for us: the next look finds the change.
  const workspace = edited(
    planned,
    raced.map((path) => [path, now[path] ?? null]),
  );
  const over = raced.map(
    (path) => [path, { base: now[path] ?? null, ours: null, theirs: planned[path] ?? null }] as const,
  );
  const conflict = { ...p.conflict, ...Object.fromEntries(over) };
  const status = Object.keys(conflict).length ? "conflict" : "done";
  const summary = facts.kind === "merge" && !p.adopted ? `summary of ${facts.with}` : undefined;
  const tell = (facts.what as { tell?: boolean } | undefined)?.tell && summary !== undefined && name !== "main";
  outcome(
    tx,
    name,
    n,
    {
      status,
      state: { ...p.state, workspace },
      ...(status === "conflict" ? { conflict } : {}),
      // "the step carries a summary, told to the agent only on --tell"
      ...(summary === undefined ? {} : { summary }),
      ...(tell ? { append: { main: [{ role: "user" as const, text: summary }] } } : {}),
    },
    { turns: p.turns },
  );
  if (status === "conflict") return "conflict";
  if (facts.kind === "landing") return "landed";
  return facts.kind === "merge" ? (p.adopted ? "adopted" : "merged") : "ok";
}

function place(tx: Tx, name: Name, tree: Workspace): string[] {
  setLive(tx, name, { workspace: visible(tx.sys, tree, liveOf(tx, name).workspace) });
  return [];
}

/**
 * The user's directory, "per path: look again; exchange; look at what was displaced; if it is not what was expected put it back and report
 * a conflict". Files are staged in a directory that exists only meanwhile. Done again after a crash, it goes on where it stood.
 */
function exchange(tx: Tx, tree: Workspace, race?: Edit): string[] {
  const expected = tr(tx, "main").roots;
  const planned = visible(tx.sys, tree, tx.sys.user);
  set(tx, { staged: true });
  if (race) set(tx, { user: edited(tx.sys.user, [race]) });
  const raced = changed(expected, planned).filter((path) => {
    if (tx.sys.user[path] === planned[path]) return false;
    if (tx.sys.user[path] !== expected[path]) return true;
    set(tx, { user: edited(tx.sys.user, [[path, planned[path]]]) });
    return false;
  });
  set(tx, { staged: false });
  return raced;
}
