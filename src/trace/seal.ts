/**
 * From frames to commits: a pure function, run frame by frame. A step is sealed by itself, not by its turn:
 *
 * - the step `run` before all others;
 * - a tool call when it has its outcome, its turn's message is whole, the calls of its turn with smaller numbers are sealed, and those
 *   that had the lock before it are. The outcome, or a part `files` where the outcome must wait for what the worker is told, is written before
 *   the lock is given back, so of two steps one of which excludes the other, the one of which that stands first in the log had the lock first;
 * - a container at its end, once the message that asked for it is whole; any other step at its outcome. Where one of these captured the
 *   files it waits, as a call does, for those that had the lock before it. A pending model call and a container hold nobody back.
 */
import { applyOutcome, makeCommit } from "./commit.ts";
import type { Frame, IntentFacts, Links, NoteFrame, OutcomeFacts, PartFrame, Tier } from "./frame.ts";
import type { Carry, Hash, Json, LogHeader, State } from "./ports.ts";

export interface Step {
  n: number;
  intent: IntentFacts;
  links: Links;
  intentSeq: number;
  /** Hash of the intent frame: a name for the step before it has a commit. */
  frame: Hash;
  /** Clock of the intent, ms since the epoch; 0 where none was recorded. */
  at: number;
  witness: { [key: string]: Json };
  parts: number;
  /** Attempts that were begun (parts of that name); the first is not told by a part. */
  attempts: number;
  /** Sequence number of the part that says that the call has ended and its files are captured; -1 without. */
  filesSeq: number;
  allowed: boolean;
  /** What it was seen to do outside and cannot be taken back, told by a note before it was done. */
  observed?: Tier;
  outcome: OutcomeFacts | null;
  outcomeSeq: number;
  outcomeWitness: { [key: string]: Json };
  carried: Carry | null;
  sealed: Sealed | null;
}

export interface Sealed {
  id: Hash;
  parents: Hash[];
  state: State;
  carry: Carry;
  /** Sequence number of the frame that sealed it. */
  seq: number;
  /** Highest step number of the prefix that ends here. */
  top: number;
  /** Place in the order of sealing, from 0. */
  order: number;
}

/** Where a scope stands. */
export interface Head {
  /** Null for a scope that has no commit yet. */
  id: Hash | null;
  n: number;
  state: State | null;
  carry: Carry;
  top: number;
}

export interface Fold {
  readonly header: LogHeader;
  readonly steps: ReadonlyMap<number, Step>;
  /** Sealed steps in the order of sealing. */
  readonly sealed: readonly Step[];
  /** Effects that were taken back: numbers of this log, or `log/n`. */
  readonly compensated: ReadonlySet<string>;
  /** The newest note of each name. */
  readonly notes: ReadonlyMap<string, NoteFrame>;
  head(): Head;
  /** The number that the next intent gets. */
  next(): number;
  /** Why the frame would break a law if it came next; null if it would not. */
  refuses(frame: Frame): string | null;
  /** Takes in a frame; gives the steps that it sealed. Throws if the frame breaks a law. */
  push(frame: Frame, hash: Hash): Step[];
  /** Steps that have no commit yet, by number. */
  pending(): Step[];
}

/** Tools whose calls may run beside each other say so in their intent. */
const isShared = (intent: IntentFacts): boolean => intent.shared === true;

/** Steps with others inside: a call that waits for what runs in it. */
export const isContainer = (intent: IntentFacts): boolean => intent.kind === "command" || intent.container === true;

/** Whether a step that has ended held the lock: it captured the files, or is a call that ran. One that was stopped while it waited did not. */
const heldLock = (step: Step): boolean => {
  if (!step.outcome) return step.filesSeq >= 0;
  const { status, workspace } = step.outcome;
  if (workspace !== undefined) return true;
  if (step.intent.kind !== "tool" || isContainer(step.intent)) return false;
  return status !== "denied" && status !== "not-run" && status !== "aborted";
};

/** Whether its files were captured, and it has no commit yet: a state that is set now would be overwritten by it. */
export const capturedUnsealed = (step: Step): boolean =>
  step.sealed === null && (step.outcome ? step.outcome.workspace !== undefined : step.filesSeq >= 0);

/** Where it stands in the order of those that had the lock. */
const lockSeq = (step: Step): number => (step.filesSeq >= 0 ? step.filesSeq : step.outcomeSeq);

const NO_STATE: State = { roots: { workspace: "tree:" as never }, threads: {} };

/** A fold as data, from which it can go on without the frames before. */
export interface FoldSnapshot {
  /** In the order of sealing, then what is pending, by number. */
  steps: Step[];
  compensated: string[];
  notes: NoteFrame[];
}

export const snapshotOf = (fold: Fold): FoldSnapshot => ({
  steps: [...fold.sealed, ...fold.pending()],
  compensated: [...fold.compensated],
  notes: [...fold.notes.values()],
});

/**
 * @param made is given the bytes of each object that follows from the frames: commits and nodes of conversations.
 * @param from where to go on, instead of at the first frame.
 */
export function startFold(header: LogHeader, made: (bytes: Buffer) => void = () => {}, from?: FoldSnapshot): Fold {
  const steps = new Map<number, Step>();
  const sealed: Step[] = [];
  const open = new Map<number, Step>();
  const compensated = new Set<string>();
  const notes = new Map<string, NoteFrame>();
  const { origin } = header;
  let next = origin ? origin.top + 1 : 0;
  // The calls of each turn, by number, and those with the lock whose commit is not made yet.
  const turns = new Map<number, Step[]>();
  let head: Head = origin
    ? { id: origin.commit, n: origin.n, state: origin.state, carry: origin.carry, top: origin.top }
    : { id: null, n: -1, state: null, carry: {}, top: -1 };

  const enter = (step: Step): void => {
    steps.set(step.n, step);
    const { turn } = step.links;
    if (turn === undefined) return;
    const calls = turns.get(turn);
    if (calls) calls.push(step);
    else turns.set(turn, [step]);
  };
  for (const step of from?.steps ?? []) {
    enter(step);
    next = Math.max(next, step.n + 1);
    if (step.sealed) {
      sealed.push(step);
      const { id, state, carry, top } = step.sealed;
      head = { id, n: step.n, state, carry, top };
    } else open.set(step.n, step);
  }
  for (const of of from?.compensated ?? []) compensated.add(of);
  for (const note of from?.notes ?? []) notes.set(note.facts.note, note);

  const ready = (step: Step): boolean => {
    if (!step.outcome) return false;
    for (const other of open.values()) if (other.intent.kind === "run" && other !== step) return false;
    const { turn } = step.links;
    if (turn !== undefined) {
      const model = steps.get(turn);
      if (model && !model.sealed) return false;
      if (!isContainer(step.intent))
        for (const call of turns.get(turn) ?? [])
          if (call.n < step.n && !call.sealed && !isContainer(call.intent)) return false;
    }
    if (!heldLock(step)) return true;
    for (const other of open.values()) {
      if (other === step || !heldLock(other) || lockSeq(other) > lockSeq(step)) continue;
      if (!(isShared(step.intent) && isShared(other.intent))) return false;
    }
    return true;
  };

  const seal = (step: Step, seq: number): void => {
    const outcome = step.outcome!;
    const state = applyOutcome(head.state ?? NO_STATE, outcome, made);
    const first = head.id ?? outcome.base;
    const parents = [...(first ? [first] : []), ...(outcome.with ? [outcome.with] : [])];
    const commit = makeCommit(parents, step.intent, outcome, state);
    made(commit.bytes);
    const carry = step.carried ?? head.carry;
    const top = Math.max(head.top, step.n);
    step.sealed = { id: commit.id, parents, state, carry, seq, top, order: sealed.length };
    open.delete(step.n);
    sealed.push(step);
    head = { id: commit.id, n: step.n, state, carry, top };
  };

  const sealReady = (seq: number): Step[] => {
    const from = sealed.length;
    for (let again = true; again; ) {
      again = false;
      // Steps are opened in ascending order of their numbers, and a map keeps that order.
      for (const step of open.values()) {
        if (!ready(step)) continue;
        seal(step, seq);
        again = true;
        break;
      }
    }
    return sealed.slice(from);
  };

  const begin = (frame: Frame & { phase: "intent" }, hash: Hash): void => {
    next++;
    const step: Step = {
      n: frame.n,
      intent: frame.facts,
      links: frame.links ?? {},
      intentSeq: frame.seq,
      frame: hash,
      at: typeof frame.witness?.at === "number" ? frame.witness.at : 0,
      witness: frame.witness ?? {},
      parts: 0,
      attempts: 1,
      filesSeq: -1,
      allowed: false,
      outcome: null,
      outcomeSeq: -1,
      outcomeWitness: {},
      carried: null,
      sealed: null,
    };
    enter(step);
    open.set(step.n, step);
  };

  /** Who finds such a call without an outcome must know that it may have acted. */
  const takeEgress = ({ n, facts: { allowed, tier, also } }: NoteFrame): void => {
    if (allowed !== true || tier !== "irreversible") return;
    for (const each of [n, ...(Array.isArray(also) ? also : [])]) {
      const step = typeof each === "number" ? steps.get(each) : undefined;
      if (!step) continue;
      step.allowed = true;
      step.observed = tier;
    }
  };

  const settle = (frame: Frame & { phase: "outcome" }): Step[] => {
    const step = steps.get(frame.n)!;
    step.outcome = frame.facts;
    step.outcomeSeq = frame.seq;
    step.outcomeWitness = frame.witness ?? {};
    step.carried = frame.carry ?? null;
    return sealReady(frame.seq);
  };

  const refuses = (frame: Frame): string | null => {
    if (frame.phase === "note") return null;
    if (frame.phase === "intent")
      return frame.n === next ? null : `The intent of step ${frame.n} came where step ${next} was due.`;
    const step = steps.get(frame.n);
    if (!step)
      return `Step ${frame.n} has ${frame.phase === "part" ? "a part" : "an outcome"}, and no intent before it.`;
    return frame.phase === "outcome" && step.outcome ? `Step ${frame.n} has a second outcome.` : null;
  };

  return {
    header,
    steps,
    sealed,
    compensated,
    notes,
    head: () => head,
    next: () => next,
    pending: () => [...open.values()],
    refuses,
    push: (frame, hash) => {
      const wrong = refuses(frame);
      if (wrong) throw new Error(wrong);
      if (frame.phase === "intent") {
        begin(frame, hash);
        return [];
      }
      if (frame.phase === "outcome") return settle(frame);
      const step = frame.n === null ? undefined : steps.get(frame.n);
      const what = frame.phase === "note" ? frame.facts.note : frame.facts.part;
      if (what === "compensated" && typeof frame.facts.of === "string") compensated.add(frame.facts.of);
      if (frame.phase === "note") {
        notes.set(frame.facts.note, frame);
        if (step && frame.facts.note === "allowed") step.allowed = true;
        if (frame.facts.note === "egress") takeEgress(frame);
        return [];
      }
      takePart(step!, frame);
      // What was taken back was the attempt before.
      if (what === "attempt") compensated.delete(String(frame.n));
      return [];
    },
  };
}

function takePart(step: Step, frame: PartFrame): void {
  step.parts++;
  if (frame.facts.part === "files") step.filesSeq = frame.seq;
  if (frame.facts.part !== "attempt") return;
  step.attempts++;
  step.filesSeq = -1;
}

/** The tier that counts: the higher of declared and observed. */
export const tierOf = (step: Step): Tier => step.observed ?? step.outcome?.tier ?? step.intent.tier;
