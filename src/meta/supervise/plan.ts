/** What a supervisor is started with, what it writes down, and what comes of it. All of it is plain data. */
import type { RunState } from "../../run/lifecycle.ts";
import type { Decision } from "./decision.ts";
import type { Verdict } from "./gates.ts";
import type { Spent } from "./standing.ts";
import type { WorkerView } from "./view.ts";
import type { Wanted } from "./workers.ts";

/** The name of the agent. */
export const SUPERVISE = "supervise";

/** Where the agent is "exported": no module of a user's has such a name. */
export const MODULE = "shepherd:supervise";

export interface Plan {
  readonly workers: readonly Wanted[];
  /** Runs that are there already, and where each is meant to work. */
  readonly runs: ReadonlyArray<{ readonly name: string; readonly paths: readonly string[] }>;
  readonly policy: PolicyPlan;
  /** A command for the merged work. */
  readonly check: string | null;
  /** Where the workers and the check start, relative to the workspace; at its root where it is null. */
  readonly at: string | null;
  /** ms between two looks at most. */
  readonly every: number;
  /** What becomes of calls while no supervisor is there; null: it stands before none. */
  readonly guard: "allow" | "deny" | "wait" | null;
  /** US dollars for all together. */
  readonly budget: number | null;
}

export interface PolicyPlan {
  readonly name: "none" | "random" | "rules" | "model";
  /** Of `model`. */
  readonly model?: string;
  /** Of `random`. */
  readonly seed?: number;
}

/** A decision, and how far the log of its worker had been read when it was taken. */
export interface Taken {
  decision: Decision;
  /** One and the same trouble has one name. */
  cause: string;
  seq: number;
}

/** What came of one look. */
export interface Tick {
  /** When the policy was asked, in ms since the epoch. */
  at: number;
  /** Frames that came since the look before. */
  news: number;
  /** From when the first of them was read until the policy was asked, in ms; null without any. */
  waited: number | null;
  /** How long the policy took, in ms. */
  asked: number;
  /** Whether a model was asked. */
  model: boolean;
  decisions: Taken[];
  /** Why what the policy said besides is no decision. */
  refused: string[];
  /** Calls since the look before that did not pass as they were, */
  verdicts: Verdict[];
  /** and, of those that did, how long each was asked about, in ms. */
  passed: number[];
  /** How those stand that stand otherwise than before. */
  states: { [worker: string]: RunState };
  /** Whether nothing comes of any of them any more. */
  over: boolean;
  /** Of each run the sequence number up to which it was read, where that has changed. */
  seen: { [worker: string]: number };
  /** What the policy itself has cost. */
  spent: Spent;
}

/** How the end went, as the user asked for it. */
export interface Finished {
  /** The scope in which all is merged; null where there was nothing to merge. */
  into: string | null;
  workers: Array<{
    name: string;
    state: RunState;
    /** `left`: it is not done, so its files were not merged. */
    merged: "done" | "nothing" | "conflict" | "left";
    /** How often it was handed back, and for what. */
    handedBack: { conflict: number; check: number };
  }>;
  /** The newest run of the check; null where there was none. */
  check: { code: number | null; n: number } | null;
  /** Whether all are done and merged, and the check passes. */
  ok: boolean;
}

/** What is told while it goes on. */
export type Told =
  | { event: "worker"; worker: string; state: RunState; steps: number; words: string }
  | { event: "look"; views: readonly WorkerView[] }
  | { event: "verdict"; verdict: Verdict }
  | { event: "tick"; tick: Tick }
  | { event: "acted"; taken: Taken; refused: string | null }
  | { event: "merged"; worker: string; into: string; status: string; paths: string[] }
  | { event: "check"; into: string; code: number | null; tail: string }
  | { event: "culprit"; worker: string | null; probes: number }
  | { event: "handed-back"; worker: string; cause: "conflict" | "check"; round: number };
