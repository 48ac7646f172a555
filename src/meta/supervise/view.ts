/** What a supervisor knows of a worker. Plain JSON; whoever drives the supervisor makes it from the log. */
import type { RunState } from "../../run/lifecycle.ts";
import type { Json } from "../../trace/ports.ts";

/** A call that has been made. */
export interface CallView {
  n: number;
  name: string;
  status: string;
  /** What the call is about, in short: a path, a command. */
  target: string;
  /** Where it failed: the first of what it said. */
  error?: string;
  /** The same for calls of one tool with the same input, and for no others: a digest of both. */
  same: string;
  /** The tree of the workspace behind the call, where it was captured. */
  tree?: string;
}

/** An intent that waits: nothing of it has run. */
export interface PendingView {
  n: number;
  tool: string;
  input: Json;
  /** Where it would run; the workspace without. */
  cwd?: string;
}

/** Lines of a file, from the first to the last, counted from 1 in the file that the worker began with. */
export type Lines = readonly [first: number, last: number];

/** A path that differs from what the worker began with. */
export interface ModifiedView {
  /** Relative to the workspace. */
  path: string;
  change: "added" | "changed" | "deleted";
  /** When the worker changed it first, by a clock that all workers share, in ms. */
  at: number;
  /** Which lines; the whole file without. */
  lines?: readonly Lines[];
}

/** What has been used, or may be. */
export interface Spent {
  tokens: number;
  usd: number;
  /** Calls of the model. */
  calls: number;
  ms: number;
}

export interface WorkerView {
  name: string;
  task: string;
  state: RunState;
  /** What kind of agent it is: `claude-code`, `codex`, `agent`, `command`. */
  agent: string;
  /** Absolute. */
  workspace: string;
  /** The newest number of a step. */
  steps: number;
  /** Failed calls since the last one that was done. */
  errors: number;
  /** Calls since the last one that changed a file. */
  still: number;
  modified: readonly ModifiedView[];
  /** Where it is meant to work, as globs (`src/auth/**`); not declared without. */
  regions?: readonly string[];
  last: { action: string; ageMs: number } | null;
  /** The newest 25, oldest first. */
  calls: readonly CallView[];
  pending: readonly PendingView[];
  spent: Spent;
  budget: Partial<Spent>;
}

/** So many calls a view has. */
export const CALLS = 25;

/** Whether a worker still does something, so that something can be decided about it. */
export const isAtWork = ({ state }: Pick<WorkerView, "state">): boolean =>
  state === "running" || state === "waiting" || state === "paused";
