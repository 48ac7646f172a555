import { isHash } from "./bytes.ts";
import type { Carry, Hash, Json, Link, State } from "./ports.ts";

export type Phase = "intent" | "part" | "outcome" | "note";

export type Tier = "reversible" | "repeatable" | "compensable" | "irreversible";

/** How a step ended. A step without an outcome is `intent`, or `in-doubt` once its owner is gone. */
export type Status = "done" | "failed" | "denied" | "aborted" | "cut" | "conflict" | "not-run";

export type Kind =
  | "run"
  | "model"
  | "tool"
  | "message"
  | "command"
  | "work"
  | "effect"
  | "external"
  | "landing"
  | "merge"
  | "sync"
  | "resolve"
  | "revert"
  | "undo"
  | "inject"
  | "handoff"
  | "compact"
  | "rewrite";

/** Identity of a step: the facts of its intent. Everything from outside is an object named by its hash. */
export interface IntentFacts {
  kind: Kind;
  tier: Tier;
  /** The thread the step belongs to. */
  thread?: string;
  /** The object that says what is asked: a request, a call, a command, a task. */
  what?: Link;
  [key: string]: Json | undefined;
}

/** What a step did. Absent effects leave the state of the commit before it. */
export interface OutcomeFacts {
  status: Status;
  /** Final tier, where more was observed than declared. */
  tier?: Tier;
  /** The object that holds the answer: a message, an output. */
  result?: Link;
  /** The workspace as captured at the end of the step. */
  workspace?: Link;
  /** Items appended to a thread, in order; a new shell state. */
  threads?: { [name: string]: { append?: Link[]; shell?: Link | null } };
  /** Second parent: the head that this step has merged. A conflict has none, since nothing of that head is in it. */
  with?: Hash;
  /** Parent of the first step of a scope that is not a fork: main's commit of that moment. */
  base?: Hash;
  /** The whole state, where the step sets it (revert, merge, undo, sync). Applied before the other effects. */
  state?: State;
  /** The object that lists base, ours, theirs of each conflicting path. */
  conflict?: Link;
  [key: string]: Json | undefined | State | { [name: string]: { append?: Link[]; shell?: Link | null } };
}

/** How a step hangs together with others of its log. Numbers, so not in the id. */
export interface Links {
  /** The model step whose message contains this call. */
  turn?: number;
  /** The container that this step runs in. */
  inside?: number;
}

interface FrameBase {
  v: 1;
  seq: number;
  epoch: number;
  /** Hash of the frame before; of the header for the first. */
  prev: Hash;
  links?: Links;
  carry?: Carry;
  /** Clock, cost, host, keys: beside the identity, chained for tamper evidence. */
  witness?: { [key: string]: Json };
}

export interface IntentFrame extends FrameBase {
  phase: "intent";
  n: number;
  facts: IntentFacts;
}
export interface PartFrame extends FrameBase {
  phase: "part";
  n: number;
  facts: { [key: string]: Json };
}
export interface OutcomeFrame extends FrameBase {
  phase: "outcome";
  n: number;
  facts: OutcomeFacts;
}
export interface NoteFrame extends FrameBase {
  phase: "note";
  n: number | null;
  facts: { note: string; [key: string]: Json };
}
export type Frame = IntentFrame | PartFrame | OutcomeFrame | NoteFrame;

const TIERS: ReadonlySet<unknown> = new Set(["reversible", "repeatable", "compensable", "irreversible"]);
const isObject = (value: unknown): value is { [key: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isLink = (value: unknown): boolean => typeof value === "string";
const isMaybe = (value: unknown, is: (value: unknown) => boolean): boolean => value === undefined || is(value);

/**
 * The frame in a parsed record, or what is wrong with it. The record may be damaged or hostile. A frame that passes is safe to fold:
 * whatever code looks into has the type that is declared for it; whether its hashes name anything is another matter.
 */
export function checkFrame(value: Json): Frame | string {
  if (!isObject(value)) return "is not an object";
  if (Number.isSafeInteger(value.v) && (value.v as number) > 1)
    return `has version ${value.v}, and this Shepherd knows version 1: update Shepherd`;
  if (value.v !== 1) return "lacks its version";
  if (!isCount(value.seq) || !isCount(value.epoch)) return "lacks its sequence number or epoch";
  if (!isHash(value.prev)) return "does not name the frame before it";
  if (!isCount(value.n) && !(value.phase === "note" && value.n === null)) return "lacks its step number";
  if (!isObject(value.facts)) return "lacks its facts";
  if (!isMaybe(value.witness, isObject)) return "has a malformed witness";
  if (!isMaybe(value.links, isLinks)) return "has malformed links";
  if (!isMaybe(value.carry, isCarry)) return "has a malformed carry";
  const wrong = checkFacts(value.phase!, value.facts);
  return wrong ?? (value as unknown as Frame);
}

function checkFacts(phase: Json, facts: { [key: string]: Json }): string | null {
  if (phase === "note") return typeof facts.note === "string" ? null : "is a note without a name";
  if (phase === "part") return null;
  if (phase === "intent") {
    if (typeof facts.kind !== "string" || !TIERS.has(facts.tier)) return "is an intent without kind or tier";
    return isMaybe(facts.what, isLink) ? null : "has a malformed intent";
  }
  if (phase !== "outcome") return "has an unknown phase";
  if (typeof facts.status !== "string") return "is an outcome without a status";
  if (!isMaybe(facts.tier, (tier) => TIERS.has(tier))) return "has an unknown tier";
  for (const key of ["with", "base"]) if (!isMaybe(facts[key], isHash)) return "has a malformed parent";
  for (const key of ["workspace", "result", "conflict"])
    if (!isMaybe(facts[key], isLink)) return `has a malformed ${key}`;
  if (!isMaybe(facts.threads, isThreads)) return "has malformed threads";
  if (facts.state !== undefined && !checkState(facts.state)) return "has a malformed state";
  return null;
}

const isLinks = (value: unknown): boolean =>
  isObject(value) && isMaybe(value.turn, isCount) && isMaybe(value.inside, isCount);

const isThreads = (value: unknown): boolean =>
  isObject(value) &&
  Object.values(value).every(
    (each) =>
      isObject(each) &&
      isMaybe(each.append, (links) => Array.isArray(links) && links.every(isLink)) &&
      (each.shell === null || isMaybe(each.shell, isLink)),
  );

/** Whether it is what a frame may restore besides the state. */
export const isCarry = (value: unknown): value is Json & Carry => isObject(value) && Object.values(value).every(isLink);

export const checkState = (value: Json): value is Json & State =>
  isObject(value) &&
  isObject(value.roots) &&
  isLink(value.roots.workspace) &&
  isObject(value.threads) &&
  Object.values(value.threads).every(
    (each) => isObject(each) && [each.items, each.shell].every((link) => link === null || isLink(link)),
  );
