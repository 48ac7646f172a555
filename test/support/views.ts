/** Views of workers, for tests of who watches them. */
import type { Granted } from "../../src/meta/supervise/decision.ts";
import { ACTIONS, type Action } from "../../src/meta/supervise/decision.ts";
import type { CallView, WorkerView } from "../../src/meta/supervise/view.ts";

export const call = (n: number, more: Partial<CallView> = {}): CallView => ({
  n,
  name: "bash",
  status: "done",
  target: `command ${n}`,
  same: `same-${n}`,
  ...more,
});

/** A worker at whom nothing is wrong. */
export const view = (name: string, more: Partial<WorkerView> = {}): WorkerView => ({
  name,
  task: "Make the tests pass.",
  state: "running",
  agent: "agent",
  workspace: "/home/you/project",
  steps: 12,
  errors: 0,
  still: 1,
  modified: [{ path: `src/${name}.ts`, change: "changed", at: 1000, lines: [[1, 4]] }],
  last: { action: "bash: npm test", ageMs: 4000 },
  calls: [call(9), call(10), call(11)],
  pending: [],
  spent: { tokens: 1000, usd: 0.1, calls: 5, ms: 60_000 },
  budget: { usd: 2 },
  ...more,
});

export const granting = (names: readonly string[], actions: readonly Action[] = ACTIONS): Granted =>
  new Map(names.map((name) => [name, new Set(actions)]));
