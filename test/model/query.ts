/** Questions to a trace: what is pending, what is open, what a number means in a scope, which operations there were. */
import { type Sealed, type Step, stepAt, type Trace, trace } from "./seal.ts";
import type { Block, Call, Grant, Kind, Name, Note, Outcome, Scope, System, Tier } from "./types.ts";
import { same } from "./value.ts";

export const traceOf = (sys: System, name: Name): Trace => trace((sys.scopes[name] as Scope).log);
export const next = (t: Trace): number => t.first + t.steps.length;
export const kindOf = (s: Step): Kind => s.intent.facts.kind;
export const isCall = (s: Step): boolean => kindOf(s) === "tool";
export const isContainer = (s: Step): boolean => s.intent.facts.call?.mode === "container";
export const isPending = (s: Step): boolean => s.outcome === undefined;
export const pending = (t: Trace): readonly Step[] => t.steps.filter(isPending);
export const unsealed = (t: Trace): readonly Step[] => t.steps.filter((s) => !s.sealed);
export const heldLock = (s: Step): boolean => s.outcome?.facts.workspace !== undefined;

export const notes = (t: Trace): readonly Note[] => t.frames.flatMap((f) => (f.phase === "note" ? [f.facts] : []));
const noted = (t: Trace, n: number, note: Note["note"]) =>
  t.frames.findLast((f) => f.phase === "note" && f.n === n && f.facts.note === note);
export const isAllowed = (t: Trace, n: number): boolean => noted(t, n, "allowed") !== undefined;

/** "Authority only shrinks": what the header grants, less what was taken away. Notes are not reverted. */
export const grantsOf = (t: Trace): readonly Grant[] =>
  t.header.grants.filter((g) => !notes(t).some((x) => x.note === "shrunk" && x.grant === g));

/** "Attempts are parts of a step." The first is the intent itself. */
export const attempt = (s: Step): number =>
  s.parts.reduce((k, p) => ("attempt" in p.facts && !p.facts.aborted ? p.facts.attempt : k), 1);

const order: readonly Tier[] = ["reversible", "repeatable", "compensable", "irreversible"];
export const rank = (tier: Tier): number => order.indexOf(tier);
/** "A tier is declared at the intent and final at the outcome: the higher of declared and observed." */
export const tierOf = (s: Step): Tier =>
  s.parts.reduce(
    (t, p) => ("observed" in p.facts && rank(p.facts.observed) > rank(t) ? p.facts.observed : t),
    s.intent.facts.tier,
  );

/** Blocks that were passed on to the worker. */
export const blocksOf = (s: Step): readonly Block[] =>
  s.parts.flatMap((p) => ("block" in p.facts ? [p.facts.block] : []));
const callsOf = (blocks: readonly Block[]): readonly Call[] => blocks.flatMap((b) => (b.call ? [b.call] : []));

export const pendingModel = (t: Trace, thread: string): Step | undefined =>
  t.steps.find((s) => kindOf(s) === "model" && isPending(s) && s.intent.facts.thread === thread);

/** The newest message of a thread, whole or still coming: the step that brought it, its calls, and which of them are open. */
export function current(
  t: Trace,
  thread: string,
): { turn: number | undefined; calls: readonly Call[]; open: readonly number[] } {
  const model = pendingModel(t, thread);
  const items = t.state.threads[thread] ?? [];
  const at = items.findLastIndex((i) => i.role === "assistant");
  const said = at < 0 ? undefined : items[at];
  const turn = model ? model.n : t.turns[thread];
  const calls = callsOf(model ? blocksOf(model) : said?.role === "assistant" ? said.blocks : []);
  const answered = new Set<number | undefined>();
  if (!model) for (const i of items.slice(at + 1)) if (i.role === "result") answered.add(i.of);
  for (const s of unsealed(t))
    if (isCall(s) && s.intent.facts.thread === thread && s.intent.links.turn === turn) answered.add(s.intent.facts.of);
  return { turn, calls, open: calls.map((_, of) => of).filter((of) => !answered.has(of)) };
}

/** Whether calls of a thread's newest message lack a sealed result. */
export const unanswered = (t: Trace, thread: string): boolean =>
  current(t, thread).open.length > 0 || unsealed(t).some((s) => isCall(s) && s.intent.facts.thread === thread);

/** The thread of the agent inside a container. Its name is content: the message and the place of the call, not a number. */
export function innerThread(t: Trace, s: Step): string | undefined {
  const { thread, of } = s.intent.facts;
  if (!isContainer(s) || thread === undefined) return undefined;
  const said = (t.state.threads[thread] ?? []).filter((i) => i.role === "assistant").length;
  const streams = pendingModel(t, thread)?.n === s.intent.links.turn;
  return `${thread}/${said + (streams ? 1 : 0)}.${of}`;
}

/**
 * The container in which a thread runs, null if there is none pending; undefined for the scope's own threads: `main`, and any other without
 * a slash ("a request that continues no thread is a thread of its own").
 */
export function containerOf(t: Trace, thread: string): number | undefined | null {
  if (!thread.includes("/")) return undefined;
  return pending(t).find((s) => innerThread(t, s) === thread)?.n ?? null;
}

/** Steps inside a container, at any depth, without an outcome. */
export const openInside = (t: Trace, n: number): readonly Step[] =>
  pending(t).filter((s) => {
    for (let at = s.intent.links.inside; at !== undefined; at = stepAt(t, at)?.intent.links.inside)
      if (at === n) return true;
    return false;
  });

/** A sealed step, found by number in a scope: its own, or one of its prefix. */
export interface Found {
  readonly log: Name;
  /** Where in the sealed steps of `log`. */
  readonly position: number;
  readonly step: Sealed;
}
export function found(sys: System, log: Name, position: number): Found | undefined {
  const step = sys.scopes[log] && traceOf(sys, log).sealed[position];
  return step && { log, position, step };
}

/** "Fork and revert take a step (scope, n)." */
export function find(sys: System, name: Name, n: number): Found | undefined {
  const t = traceOf(sys, name);
  const at = t.sealed.findIndex((s) => s.n === n);
  if (at >= 0) return found(sys, name, at);
  const { origin } = t.header;
  if (!origin || n > origin.top) return undefined;
  const up = find(sys, origin.log, n);
  return up && (up.log !== origin.log || up.position <= origin.position) ? up : undefined;
}

/** The newest sealed step before step n: where "a fork at an intent" starts. */
export function before(sys: System, name: Name, n: number): Found | "no-step" | "unsealed" {
  const t = traceOf(sys, name);
  const { origin } = t.header;
  const prefix = n < t.first ? find(sys, name, n) : undefined;
  if (prefix) return before(sys, prefix.log, n);
  const s = stepAt(t, n);
  if (!s) return "no-step";
  const waits = (o: Step) =>
    o.n < n && !o.sealed && !isContainer(o) && !(kindOf(o) === "model" && isPending(o) && o.n !== s.intent.links.turn);
  // "a fork at an intent [waits] only for the steps before it"; "a pending model call and a container hold nobody back"
  if (!s.sealed && t.steps.some(waits)) return "unsealed";
  const end = s.sealed ? t.sealed.findIndex((x) => x.n === n) : t.sealed.length;
  const at = t.sealed.slice(0, end).findLastIndex((x) => x.n < n);
  if (at >= 0) return found(sys, name, at) ?? "no-step";
  return (origin && origin.top >= 0 && found(sys, origin.log, origin.position)) || "no-step";
}

/** Position of a step among the sealed of the scope itself; -1 if it stands in the prefix. */
export const positionIn = (name: Name, at: Found): number => (at.log === name ? at.position : -1);

/** The highest number in the chain of commits of a step. */
export const topOf = (sys: System, at: Found): number => {
  const t = traceOf(sys, at.log);
  return Math.max(t.header.origin?.top ?? -1, ...t.sealed.slice(0, at.position + 1).map((s) => s.n));
};

// ---- operations ---------------------------------------------------------------------------------------------------------

/** What can be undone: "revert, merge, sync, resolve, discard, landing", and undos by name. */
export interface Operation {
  readonly kind: Kind | "discard";
  /** Its step; null for a discard, which is a note in the scope's own log. */
  readonly n: number | null;
  readonly time: number;
  /** The operation that this one undoes. */
  readonly undoes?: number;
}
const operationKinds: readonly Kind[] = ["revert", "merge", "sync", "resolve", "landing", "undo"];

const listed = new WeakMap<Trace, readonly Operation[]>();
export function operations(t: Trace): readonly Operation[] {
  const ops = listed.get(t) ?? operationsOf(t);
  listed.set(t, ops);
  return ops;
}
function operationsOf(t: Trace): readonly Operation[] {
  return t.frames.flatMap((f): Operation[] => {
    const { time } = f.witness;
    if (f.phase === "note") {
      if (f.facts.note === "discard") return [{ kind: "discard", n: null, time }];
      return f.facts.note === "restored" ? [{ kind: "undo", n: null, time, undoes: f.facts.target }] : [];
    }
    // A conflict that set no state, or none that is another, leaves nothing to take back; nor does a landing of nothing.
    if (f.phase !== "outcome" || !f.facts.state) return [];
    const { facts, links } = (stepAt(t, f.n) as Step).intent;
    const mustChange = f.facts.status === "conflict" || (t.header.scope === "main" && facts.kind !== "undo");
    if (mustChange && changedNothing(t, f.n, f.facts)) return [];
    if (!operationKinds.includes(facts.kind)) return [];
    const undoes = facts.kind === "revert" ? undefined : links.target;
    return [{ kind: facts.kind, n: f.n, time, ...(undoes === undefined ? {} : { undoes }) }];
  });
}

/** Whether a step left all files as they were. */
function changedNothing(t: Trace, n: number, { state }: Outcome): boolean {
  const at = t.sealed.findIndex((s) => s.n === n);
  return same(t.sealed[at - 1]?.commit.state.workspace, state?.workspace);
}

/** Which operation a step is; -1 if none. */
export const opOf = (ops: readonly Operation[], s: Step): number => ops.findIndex((o) => o.n === s.n);
export const isUndone = (ops: readonly Operation[], i: number): boolean =>
  ops.some((o, j) => o.undoes === i && !isUndone(ops, j));

/** "the newest that is neither undone nor an undo" */
export const newest = (ops: readonly Operation[]): number =>
  ops.findLastIndex((o, i) => o.undoes === undefined && !isUndone(ops, i));

export const standsDiscarded = (ops: readonly Operation[]): boolean =>
  ops.some((o, i) => o.kind === "discard" && !isUndone(ops, i));
export const isDiscarded = (t: Trace): boolean => standsDiscarded(operations(t));
