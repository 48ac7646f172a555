/**
 * The ten laws of DESIGN.md section 2, as predicates over one transition: the system before, the command, and the systems after each of its
 * small effects. They judge plain data with the unchanged model's own reading of it, so a machine that reads or writes wrongly is caught.
 */
import { commits } from "./graph.ts";
import { visible } from "./machine.ts";
import {
  before as beforeStep,
  find,
  grantsOf,
  isAllowed,
  isDiscarded,
  kindOf,
  topOf,
  traceOf,
  unsealed,
} from "./query.ts";
import { type Sealed, seal, stepAt, type Trace } from "./seal.ts";
import type * as step from "./step.ts";
import type { Action, Command, Name, Reply, Scope, State, System } from "./types.ts";
import { canonical, digest, same } from "./value.ts";

export type Machine = Pick<typeof step, "initial" | "step" | "unfold" | "traceOf">;

export interface Transition {
  /** The machine under judgement. */
  readonly m: Machine;
  readonly before: System;
  readonly command: Command;
  readonly reply: Reply;
  readonly trail: readonly System[];
  readonly after: System;
  /** Paths that each call wrote so far: `SCOPE:N`. */
  readonly written: ReadonlyMap<string, ReadonlySet<string>>;
}
/** What is wrong, if anything. */
export type Verdict = string | undefined;
export type Law = (t: Transition) => Verdict;

/** The command that had its effects: of a crash in the midst of another, that other. */
export const acting = (t: Transition): Command =>
  t.command.do === "crash" && t.command.during ? t.command.during : t.command;
export const pairs = (t: Transition): Array<readonly [System, System]> =>
  t.trail.map((after, i) => [i === 0 ? t.before : (t.trail[i - 1] as System), after] as const);
export const accepted = (t: Transition): boolean => "ok" in t.reply;
/** The first complaint about any of these. */
export function first<T>(all: Iterable<T>, check: (one: T) => Verdict): Verdict {
  for (const one of all) {
    const verdict = check(one);
    if (verdict) return verdict;
  }
  return undefined;
}
export const names = (sys: System): Name[] => Object.keys(sys.scopes);
export const changedLogs = (t: Transition): Name[] =>
  names(t.after).filter((name) => t.after.scopes[name]?.log !== t.before.scopes[name]?.log);
export const isPrefix = <T>(of: readonly T[], all: readonly T[]): boolean =>
  of.length <= all.length && of.every((x, i) => x === all[i]);
const ids = (t: Trace): string[] => t.sealed.map((s) => s.id);

/** The state that a sealed step was put on. */
export function stateBefore(t: Transition, name: Name, s: Sealed): State {
  const tr = t.m.traceOf(t.after, name);
  const at = tr.sealed.findIndex((x) => x.n === s.n);
  return tr.sealed[at - 1]?.commit.state ?? tr.header.origin?.state ?? { workspace: {}, threads: {} };
}

/** 1. "No step is changed or lost by a later one"; what is synced survives power loss, what is written survives the rest. */
export const appendOnly: Law = (t) =>
  first(pairs(t), ([a, b]) =>
    first(names(a), (name) => {
      const [was, is] = [a.scopes[name]?.log, b.scopes[name]?.log];
      if (!was || was === is) return;
      if (!is) return acting(t).do === "gc" && isDiscarded(traceOf(a, name)) ? undefined : `the log of ${name} is gone`;
      const lost = t.command.do === "crash" && t.command.power && b === t.after;
      if (lost && !(is.records.length >= was.synced && isPrefix(is.records, was.records)))
        return `${name} lost synced records`;
      if (lost) return;
      if (!isPrefix(was.records, is.records) || is.synced < was.synced) return `the log of ${name} was rewritten`;
      if (!isPrefix(ids(t.m.traceOf(a, name)), ids(t.m.traceOf(b, name)))) return `a commit of ${name} changed`;
      return;
    }),
  );

/** 2. "An intent is written before its action starts; it gets at most one outcome; no action without an intent, no tool without an owner." */
export const intentFirst: Law = (t) =>
  first(changedLogs(t), (name) => wellFormed(traceOf(t.after, name))) ??
  first(pairs(t), ([a, b]) => first(b.world.slice(a.world.length), (action) => writtenAhead(a, action)));

function wellFormed(t: Trace): Verdict {
  let next = t.first;
  const settled = new Set<number>();
  return first(t.frames, (f): Verdict => {
    if (f.phase === "note") return;
    if (f.phase === "intent" && f.n !== next++) return `number ${f.n} is not the next`;
    if (f.phase === "intent" && f.facts.kind === "tool" && f.links.turn === undefined && f.links.inside === undefined)
      return `call ${f.n} has no owner`;
    if (f.phase === "intent") return;
    if (f.n >= next || f.n < t.first) return `${f.phase} of ${f.n} without an intent`;
    if (settled.has(f.n)) return `step ${f.n} goes on after its outcome`;
    if (f.phase === "outcome") settled.add(f.n);
    return;
  });
}

function writtenAhead(sys: System, action: Action): Verdict {
  const { scope, n, does, attempt } = action;
  const isSynced = (name: Name, is: (f: Trace["frames"][number]) => boolean) => {
    const log = sys.scopes[name]?.log;
    return log?.records.slice(0, log.synced).some((f) => traceOf(sys, name).frames.includes(f) && is(f)) === true;
  };
  if (does === "compensate") {
    const planned = names(sys).some((name) =>
      isSynced(
        name,
        (f) => f.phase === "note" && f.facts.note === "compensate" && f.facts.scope === scope && f.facts.of === n,
      ),
    );
    return planned ? undefined : `${scope}:${n} was compensated without a synced word of it`;
  }
  const t = traceOf(sys, scope);
  const s = stepAt(t, n);
  if (!s || s.outcome || !isSynced(scope, (f) => f === s.intent)) return `${scope}:${n} acted without a synced intent`;
  if (sys.world.some((x) => x.does === "act" && x.scope === scope && x.n === n && x.attempt === attempt))
    return `${scope}:${n} acted twice`;
  // "keys belong to (scope, n), never to a commit, since siblings share commits"
  if (sys.world.some((x) => x.key === action.key && (x.scope !== scope || x.n !== n)))
    return `${scope}:${n} shares its key`;
  if (!grantsOf(t).includes(kindOf(s) === "model" ? "ask" : "act")) return `${scope}:${n} acted without a grant`;
  if (action.tier === "irreversible" && !isAllowed(t, n))
    return `${scope}:${n} acted irreversibly without the gate's word`;
  return;
}

const texts = new WeakMap<object, string>();
const textOf = (state: object): string => {
  const text = texts.get(state) ?? canonical(state);
  texts.set(state, text);
  return text;
};

/** 3. "State is a function of its commit", and the files of a scope are those of its log whenever no call holds the lock. */
export const stateOfCommit: Law = (t) => {
  const states = new Map<string, string>();
  return (
    first(changedLogs(t).length ? names(t.after) : [], (name) =>
      first(t.m.traceOf(t.after, name).sealed, ({ id, commit }) => {
        const known = states.get(id);
        states.set(id, textOf(commit.state));
        return known === undefined || known === textOf(commit.state) ? undefined : `${id} has two states`;
      }),
    ) ??
    first(names(t.after), (name) => {
      const live = t.after.scopes[name]?.live;
      const tr = traceOf(t.after, name);
      if (unsealed(tr).length === 0 && !same(tr.roots, tr.state.workspace))
        return `${name}: the head is not what was captured last`;
      if (name === "main" || !live || live.holders.length > 0) return;
      const differs = Object.keys({ ...live.workspace, ...tr.roots }).filter((p) => live.workspace[p] !== tr.roots[p]);
      const wrong = differs.filter(
        (p) => live.workspace[p] !== undefined || !t.after.forgotten.includes(tr.roots[p] as number),
      );
      return wrong.length ? `${name}: files ${wrong} are not those of the log` : undefined;
    })
  );
};

/** "Commits and index can always be rebuilt from logs": from nothing, they come out the same. */
export const rebuilt = (m: Machine, sys: System): Verdict =>
  first(names(sys), (name) => {
    const { header, records } = (sys.scopes[name] as Scope).log;
    return same(ids(m.traceOf(sys, name)), ids(seal(header, records))) ? undefined : `${name} cannot be rebuilt`;
  });

/** The scopes whose logs a command may write to. */
function mayTouch(t: Transition): Name[] | null {
  const c = t.command;
  const parent = "scope" in c ? t.before.scopes[c.scope]?.log.header.parent : undefined;
  if (c.do === "crash" || c.do === "kill" || c.do === "gc") return null;
  if (c.do === "run" || c.do === "resolve" || c.do === "undo") return [c.scope, "main"];
  if (c.do === "merge" || c.do === "sync") return [c.scope, parent ?? "main", "main"];
  if (c.do === "status") return ["main"];
  return "scope" in c ? [c.scope] : [];
}

/** 4. "Fork is atomic … the child shares the prefix; what follows in one is invisible to the other." */
export const forkIsAtomic: Law = (t) => {
  const c = t.command;
  const allowed = mayTouch(t);
  const touched = changedLogs(t).filter((name) => name in t.before.scopes && allowed && !allowed.includes(name));
  // Elsewhere nothing may change but how much is synced.
  const wrote = touched.filter((name) => t.before.scopes[name]?.log.records !== t.after.scopes[name]?.log.records);
  if (wrote.length) return `${c.do} wrote to ${wrote}`;
  if (c.do !== "fork" || !("ok" in t.reply)) return;
  const at = c.at === "step" ? find(t.before, c.scope, c.n) : beforeStep(t.before, c.scope, c.n);
  if (!at || typeof at === "string") return "forked from nowhere";
  if (t.after.world !== t.before.world) return "a fork acted on the world";
  if (!same(ids(t.m.traceOf(t.before, c.scope)), ids(t.m.traceOf(t.after, c.scope)))) return "a fork is a step";
  return first(t.reply.scopes ?? [], (name) => {
    const child = t.m.traceOf(t.after, name);
    const { state } = at.step.commit;
    if (child.head !== at.step.id || !same(child.state, state)) return `${name} does not start at ${c.n}`;
    if (!same(t.after.scopes[name]?.live?.workspace, visible(t.after, state.workspace)))
      return `${name} has other files than its commit`;
    if (child.first !== topOf(t.before, at) + 1) return `${name} does not go on after its prefix`;
    const shared = find(t.after, name, at.step.n);
    return shared?.step.id === at.step.id ? undefined : `${name} does not share the prefix`;
  });
};

/** 6. "Discard leaves no mark on the parent." Merges: see rules.ts. */
export const discardLeavesNoMark: Law = (t) => {
  const { command: c } = t;
  if (c.do !== "discard" || !accepted(t)) return;
  return first(names(t.before), (name) =>
    name === c.scope || t.before.scopes[name] === t.after.scopes[name] ? undefined : `discard changed ${name}`,
  );
};

/** 7. "A child has a subset of its parent's grants; revert never gives a grant back." */
export const authorityShrinks: Law = (t) =>
  first(changedLogs(t), (name) => {
    const now = traceOf(t.after, name);
    const { parent } = now.header;
    // Power loss may take back a note that was not synced yet.
    if (t.command.do === "crash" && t.command.power) return;
    const bound = name in t.before.scopes ? name : parent;
    if (bound === null || bound === "main" || !t.before.scopes[bound]) return;
    const had = grantsOf(traceOf(t.before, bound));
    return grantsOf(t.m.traceOf(t.after, name)).every((g) => had.includes(g)) ? undefined : `${name} gained a grant`;
  });

/** 8. "Recovery is idempotent. Kill -9 at any moment: the next command works." Tried after each crash, on the scopes that went down. */
export const recoveryIsIdempotent: Law = (t) => {
  if (!["crash", "kill"].includes(t.command.do) || !accepted(t)) return;
  const down = names(t.after).filter((name) => !t.after.scopes[name]?.live && !isDiscarded(traceOf(t.after, name)));
  return first(down.slice(0, 3), (scope) => {
    const recover: Command = { do: "recover", scope };
    const { trail, reply } = t.m.unfold(t.after, recover);
    if (!("ok" in reply)) return `${scope} cannot be recovered`;
    const once = trail.at(-1) as System;
    if (once.scopes[scope]?.live === null) return `${scope} has no owner after recovery`;
    const after = t.after.time % (trail.length + 1);
    const ends: Command[][] = [
      [{ do: "kill", scopes: [scope] }, recover],
      [{ do: "crash", power: false, keep: 0, during: recover, after }, recover],
      [{ do: "crash", power: true, keep: after % 2, during: recover, after }, recover],
    ];
    // What this power loss may take is only what recovery itself wrote.
    const log = (t.after.scopes[scope] as Scope).log;
    const safe = { ...(t.after.scopes[scope] as Scope), log: { ...log, synced: log.records.length } };
    const start = { ...t.after, scopes: { ...t.after.scopes, [scope]: safe } };
    return first(ends, (commands) => {
      const again = commands.reduce((sys, c) => t.m.step(sys, c)[0], start);
      if (!same(ids(t.m.traceOf(again, scope)), ids(t.m.traceOf(once, scope))))
        return `${scope} recovers to other commits`;
      if (!same(again.scopes[scope]?.live?.workspace, once.scopes[scope]?.live?.workspace))
        return `${scope} recovers to other files`;
      return same(again.scopes[scope]?.live?.asked, once.scopes[scope]?.live?.asked)
        ? undefined
        : `${scope} asks for something else`;
    });
  });
};

/** 9. "Replay sends nothing." */
export const replaySendsNothing: Law = (t) => {
  const { command: c } = t;
  if (c.do !== "replay" || !("ok" in t.reply)) return;
  if (t.after.world !== t.before.world || t.after.scopes !== t.before.scopes) return "a replay left a mark";
  return same(t.reply.state, find(t.before, c.scope, c.n)?.step.commit.state)
    ? undefined
    : "a replay came to another state";
};

const commitKeys = ["type", "v", "parents", "kind", "tier", "intent", "outcome", "state"];
const intentKeys = ["kind", "tier", "thread", "call", "of", "what", "with"];

/** 10. "Identity is content": a commit holds nothing but its content, and its id is a digest of that. */
export const identityIsContent: Law = (t) =>
  first(changedLogs(t), (name) => {
    const had = t.before.scopes[name] ? t.m.traceOf(t.before, name).sealed.length : 0;
    return first(t.m.traceOf(t.after, name).sealed.slice(had), ({ id, commit, n }) => {
      if (id !== digest(commit)) return `the id of ${name}:${n} is not its content`;
      const odd = [
        ...Object.keys(commit).filter((k) => !commitKeys.includes(k)),
        ...Object.keys(commit.intent).filter((k) => !intentKeys.includes(k)),
      ];
      if (odd.length) return `the commit of ${name}:${n} holds ${odd}`;
      const text = canonical(commit);
      return t.after.names.some((x) => x !== "main" && text.includes(x))
        ? `the commit of ${name}:${n} names a scope`
        : undefined;
    });
  });

/** "gc never takes what a live ref, lease or pin reaches": each commit that is left has its parents. */
export const reachableStays: Law = (t) => {
  if (t.command.do !== "gc" || !accepted(t)) return;
  const all = commits(t.after);
  return (
    first(all.entries(), ([id, c]) => (c.parents.every((p) => all.has(p)) ? undefined : `a parent of ${id} is gone`)) ??
    first(names(t.after), (name) => {
      const { origin } = traceOf(t.after, name).header;
      return !origin || origin.log in t.after.scopes ? undefined : `${name} lost its prefix`;
    })
  );
};

export const laws: { readonly [name: string]: Law } = {
  "append only": appendOnly,
  "intent before outcome": intentFirst,
  "state is a function of its commit": stateOfCommit,
  "fork is atomic": forkIsAtomic,
  "discard leaves no mark": discardLeavesNoMark,
  "authority only shrinks": authorityShrinks,
  "recovery is idempotent": recoveryIsIdempotent,
  "replay sends nothing": replaySendsNothing,
  "identity is content": identityIsContent,
  "what is reachable stays": reachableStays,
};

// ---- laws over whole traces -----------------------------------------------------------------------------------------------

const outcomes = (m: Machine, sys: System): string =>
  canonical(names(sys).map((name) => [name, ids(m.traceOf(sys, name)), sys.scopes[name]?.live?.workspace ?? null]));

/** What `commands` led to, step by step: `systems[i]` is the system before `commands[i]`, and the last is the end. */
export interface Passage {
  readonly m: Machine;
  readonly commands: readonly Command[];
  readonly systems: readonly System[];
}
const start = (p: Passage): System => p.systems[0] as System;
const end = (p: Passage): System => p.systems.at(-1) as System;

/** 5. "Observation does not perturb": without the observers all commits and files are the same. Only for passages without power loss. */
export function observersAreInvisible(p: Passage): Verdict {
  let unseen = start(p);
  let observers = 0;
  for (const [i, c] of p.commands.entries()) {
    if (c.do !== "observe") {
      unseen = p.m.step(unseen, c)[0];
    } else if (p.systems[i] !== p.systems[i + 1]) {
      // The clock goes on, else retention would differ.
      unseen = { ...unseen, time: unseen.time + 1 };
      observers++;
    }
  }
  return observers === 0 || outcomes(p.m, end(p)) === outcomes(p.m, unseen)
    ? undefined
    : "an observer changed what was observed";
}

/** 10, from outside: under other names and at another time, the same commands give the same ids. */
export function namesAndClockStandBeside(p: Passage): Verdict {
  const rename = (text: string) => text.replaceAll("amber", "ochre").replaceAll("birch", "aspen");
  let there = p.m.initial(start(p).user, 5000);
  for (const c of p.commands) there = p.m.step(there, JSON.parse(rename(JSON.stringify(c))) as Command)[0];
  return rename(outcomes(p.m, end(p))) === outcomes(p.m, there) ? undefined : "names or clock are part of an id";
}
