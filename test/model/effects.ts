/** What was done to the world outside: who performed it, who owns it now, what was taken back. */
import {
  attempt,
  type Found,
  found,
  heldLock,
  isCall,
  isUndone,
  notes,
  operations,
  opOf,
  rank,
  tierOf,
  traceOf,
} from "./query.ts";
import type { Step, Trace } from "./seal.ts";
import type { Name, Origin, System, Tier } from "./types.ts";

/** "An effect belongs to the (scope, n) that performed it." */
export interface Effect {
  readonly scope: Name;
  readonly n: number;
  readonly attempt: number;
  readonly tier: Tier;
  readonly key: string;
  readonly time: number;
  /** Frames of the log up to its outcome. */
  readonly seq: number;
}

const isEffect = (s: Step): boolean =>
  isCall(s) &&
  rank(tierOf(s)) >= rank("compensable") &&
  (heldLock(s) || [s.outcome?.facts.happened, s.outcome?.facts.stopped].some((x) => x !== undefined));

export const effectOf = (t: Trace, s: Step): Effect => ({
  scope: t.header.scope,
  n: s.n,
  attempt: attempt(s),
  tier: tierOf(s),
  key: s.intent.witness.key ?? "",
  time: s.outcome?.witness.time ?? s.intent.witness.time,
  seq: s.outcome?.seq ?? Number.POSITIVE_INFINITY,
});

/** Whether the merge that is step n of a trace stands: it landed, and was not undone. */
const stands = (t: Trace, s: Step): boolean => {
  if (s.outcome?.facts.status !== "done") return false;
  const ops = operations(t);
  return !isUndone(ops, opOf(ops, s));
};

/**
 * "Only that scope compensates it; after a merge its owner is the scope that adopted it." A landing moves no owner: main has no agent and is
 * never reverted. An undone merge gives the effect back.
 */
export function owner(sys: System, e: Effect): { scope: Name; n: number } {
  let at = { scope: e.scope, n: e.n, seq: e.seq };
  for (;;) {
    const parent = traceOf(sys, at.scope).header.parent;
    if (parent === null || parent === "main" || !sys.scopes[parent]) return at;
    const t = traceOf(sys, parent);
    const adopts = (s: Step) => {
      const { child } = s.intent.links;
      return child?.scope === at.scope && child.frames > at.seq && s.intent.facts.kind !== "sync" && stands(t, s);
    };
    const step = t.steps.find(adopts);
    if (!step?.outcome) return at;
    at = { scope: parent, n: step.n, seq: step.outcome.seq };
  }
}

export const isCompensated = (sys: System, e: Effect): boolean =>
  Object.keys(sys.scopes).some((name) =>
    notes(traceOf(sys, name)).some(
      (x) => x.note === "compensated" && x.scope === e.scope && x.of === e.n && x.attempt === e.attempt,
    ),
  );

/** Effects that scope `name` owns and that happened in it after its `position`-th sealed step, newest first. */
export function ownedPast(sys: System, name: Name, position: number): Effect[] {
  const { sealed } = traceOf(sys, name);
  const kept = new Set(sealed.slice(0, position + 1).map((s) => s.n));
  return effects(sys)
    .filter((e) => {
      const o = owner(sys, e);
      return o.scope === name && !kept.has(o.n);
    })
    .sort((a, b) => b.time - a.time || b.seq - a.seq);
}

export const effects = (sys: System): Effect[] =>
  Object.keys(sys.scopes).flatMap((name) => {
    const t = traceOf(sys, name);
    return t.steps.filter(isEffect).map((s) => effectOf(t, s));
  });

/** The steps that a scope's state came through, from its beginning to a step. */
function* chain(sys: System, at: Found): Generator<string> {
  for (let here: Found | undefined = at; here; ) {
    const t: Trace = traceOf(sys, here.log);
    for (const s of t.sealed.slice(0, here.position + 1)) yield `${here.log}:${s.n}`;
    const { origin }: { origin: Origin | null } = t.header;
    here = origin && origin.top >= 0 ? found(sys, origin.log, origin.position) : undefined;
  }
}
/** Effects of the prefix past a step of it: "a child only lists inherited ones". */
export function inheritedPast(sys: System, name: Name, to: Found | undefined): Effect[] {
  const { origin } = traceOf(sys, name).header;
  const start = origin && origin.top >= 0 ? found(sys, origin.log, origin.position) : undefined;
  if (!start || to?.log === name) return [];
  const kept = new Set(to ? chain(sys, to) : []);
  const passed = new Set([...chain(sys, start)].filter((s) => !kept.has(s)));
  return effects(sys).filter((e) => {
    const o = owner(sys, e);
    return passed.has(`${e.scope}:${e.n}`) || passed.has(`${o.scope}:${o.n}`);
  });
}
