/**
 * What a log means: which records count, which steps there are, and the commits computed from them. A pure fold over the records,
 * so that "commits and index can always be rebuilt from logs".
 */
import type { Commit, Frame, Header, Item, Log, Mode, Outcome, State, Threads, Turns, Workspace } from "./types.ts";
import { digest } from "./value.ts";

type Phased<P extends Frame["phase"]> = Extract<Frame, { phase: P }>;

/** "One step = one effect = intent + outcome = one commit." */
export interface Step {
  readonly n: number;
  readonly intent: Phased<"intent">;
  readonly parts: ReadonlyArray<Phased<"part">>;
  readonly outcome?: Phased<"outcome">;
  readonly sealed: boolean;
}
export interface Sealed {
  readonly n: number;
  readonly id: string;
  readonly commit: Commit;
  readonly turns: Turns;
  /** The frame that sealed it. */
  readonly seq: number;
}
export interface Trace {
  readonly header: Header;
  /** The records that count. */
  readonly frames: readonly Frame[];
  readonly last: string;
  /** The newest epoch seen. */
  readonly epoch: number;
  /** Number of the first step. */
  readonly first: number;
  readonly steps: readonly Step[];
  /** In the order of sealing: each is parents[0] of the next. */
  readonly sealed: readonly Sealed[];
  readonly head: string | null;
  readonly state: State;
  readonly turns: Turns;
  /** The workspace as last captured or set, sealed or not: what the scope's files are between two writers. */
  readonly roots: Workspace;
}

export const empty: State = { workspace: {}, threads: {} };

function start(header: Header): Trace {
  const { origin } = header;
  const state = origin?.state ?? empty;
  return {
    header,
    frames: [],
    last: header.scope,
    epoch: 0,
    // "a fork goes on after the highest n of its prefix"
    first: origin ? origin.top + 1 : 0,
    steps: [],
    sealed: [],
    head: origin?.commit ?? null,
    state,
    turns: origin?.turns ?? {},
    roots: state.workspace,
  };
}

export const stepAt = (t: Trace, n: number | undefined): Step | undefined =>
  n === undefined ? undefined : t.steps[n - t.first];
export const modeOf = (s: Step): Mode | undefined => s.intent.facts.call?.mode;
const isTool = (s: Step): boolean => s.intent.facts.kind === "tool";

/** "A frame counts only if it is the first in file order with its seq, names the frame before it, and its epoch is not older than one already seen." */
export function counts(t: Trace, frame: Frame): boolean {
  return frame.seq === t.frames.length && frame.prev === t.last && frame.epoch >= t.epoch;
}

/** Whether `o` is a call of the same turn with a smaller number that holds `s` back; "a container holds nobody back". */
const earlierInTurn = (o: Step, s: Step): boolean =>
  s.intent.links.turn !== undefined &&
  o.intent.links.turn === s.intent.links.turn &&
  o.n < s.n &&
  modeOf(o) !== "container";

/** Whether `o` had the lock before `s`. Capture and outcome are written before the lock is given back, and only who held it has a capture. */
function hadLockBefore(o: Step, s: Step): boolean {
  if (!o.outcome?.facts.workspace || !s.outcome?.facts.workspace) return false;
  if (modeOf(o) === "shared" && modeOf(s) === "shared") return false;
  return o.outcome.seq < s.outcome.seq;
}

/** Whether the message that asks for the call is whole. One that came with the prefix, or that a step set, is. */
const messageWhole = (t: Trace, s: Step): boolean => {
  const turn = stepAt(t, s.intent.links.turn);
  return turn === undefined || turn.outcome !== undefined;
};

/**
 * "A tool call when it has its outcome, its turn's message is whole, and the calls of its turn with smaller n and those that had the lock
 * before it are sealed; any other step at its outcome." "A container is sealed at its end."
 */
export function sealable(t: Trace, s: Step): boolean {
  if (s.sealed || !s.outcome) return false;
  if (!isTool(s)) return true;
  if (!messageWhole(t, s)) return false;
  if (modeOf(s) === "container") return true;
  return t.steps.every((o) => o.sealed || !isTool(o) || !(earlierInTurn(o, s) || hadLockBefore(o, s)));
}

function extend(threads: Threads, more: Threads | undefined): Threads {
  if (!more) return threads;
  const added = Object.entries(more).map(([name, items]): [string, readonly Item[]] => [
    name,
    [...(threads[name] ?? []), ...items],
  ]);
  return { ...threads, ...Object.fromEntries(added) };
}

/** The state after a step, on that of parents[0]: "a step that captures nothing keeps the workspace of parents[0]". */
function stateAfter(before: State, facts: Outcome): State {
  const base = facts.state ?? before;
  return { workspace: facts.workspace ?? base.workspace, threads: extend(base.threads, facts.append) };
}

/** "Commit id = hash over type, version, parents, kind, tier, intent, outcome or status, state." Never number, scope, clock, keys. */
function commitOf(t: Trace, s: Step, outcome: Outcome): Commit {
  const { state, workspace, append, stopped, ...rest } = outcome;
  const { facts } = s.intent;
  // A conflict has merged nothing yet: it names theirs in its value, not as a parent, so that a later merge still sees what it lacks.
  const merged = facts.with !== undefined && outcome.status === "done" ? [facts.with] : [];
  return {
    type: "commit",
    v: 1,
    parents: [...(t.head === null ? [] : [t.head]), ...merged],
    kind: facts.kind,
    tier: outcome.tier,
    intent: facts,
    // Whether it captured the files is part of what came of it, also where it found them as they were.
    outcome: { ...rest, ...(workspace && modeOf(s) === "exclusive" && { captured: true as const }) },
    state: stateAfter(t.state, outcome),
  };
}

/** Seals what can be: "among several that one frame makes sealable, ascending n". */
function sealAll(t: Trace, seq: number): Trace {
  for (;;) {
    const s = t.steps.find((s) => sealable(t, s));
    if (!s?.outcome) return t;
    const commit = commitOf(t, s, s.outcome.facts);
    const id = digest(commit);
    const { thread, kind } = s.intent.facts;
    const spoke = kind === "model" && thread !== undefined && s.outcome.facts.append ? { [thread]: s.n } : {};
    const turns = { ...(s.outcome.links.turns ?? t.turns), ...spoke };
    const steps = t.steps.with(s.n - t.first, { ...s, sealed: true });
    t = {
      ...t,
      steps,
      sealed: [...t.sealed, { n: s.n, id, commit, turns, seq }],
      head: id,
      state: commit.state,
      turns,
    };
  }
}

function apply(t: Trace, frame: Frame): Trace {
  if (frame.phase === "note") return t;
  if (frame.phase === "intent")
    return { ...t, steps: [...t.steps, { n: frame.n, intent: frame, parts: [], sealed: false }] };
  const s = stepAt(t, frame.n);
  if (!s) return t;
  const next = frame.phase === "part" ? { ...s, parts: [...s.parts, frame] } : { ...s, outcome: frame };
  const set = frame.phase === "outcome" ? (frame.facts.workspace ?? frame.facts.state?.workspace) : undefined;
  return { ...t, steps: t.steps.with(frame.n - t.first, next), roots: set ?? t.roots };
}

/** What the next frame names it by: no other record was written at this place, under this epoch, after the same records. */
const nameOf = ({ seq, epoch, prev, phase, n, witness }: Frame): string =>
  digest([seq, epoch, prev, phase, n, witness.time]);

/** One record more. */
export function advance(t: Trace, frame: Frame): Trace {
  if (!counts(t, frame)) return t;
  const next = { ...t, frames: [...t.frames, frame], last: nameOf(frame), epoch: frame.epoch };
  return sealAll(apply(next, frame), frame.seq);
}

/** The meaning of a log, from nothing but its header and records. */
export const seal = (header: Header, records: readonly Frame[]): Trace => records.reduce(advance, start(header));

const known = new WeakMap<Frame, Trace>();

/** `seal`, remembered per record: one is appended once, to one log, so what stands before it is always the same. */
export function traceUpTo(log: Log, seen: number): Trace {
  let at = seen;
  while (at > 0 && !known.has(log.records[at - 1] as Frame)) at--;
  let t = at > 0 ? (known.get(log.records[at - 1] as Frame) as Trace) : start(log.header);
  for (const record of log.records.slice(at, seen)) {
    t = advance(t, record);
    known.set(record, t);
  }
  return t;
}
export const trace = (log: Log): Trace => traceUpTo(log, log.records.length);
