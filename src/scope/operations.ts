/**
 * Operations: what changed scopes and main as a whole, each with a number per workspace, so that it can be taken back. An operation is
 * planned before it acts and done afterwards; one whose process died in between is finished or voided by whoever comes next.
 */
import { alive, thisOwner } from "../trace/owner.ts";
import type { Json, Link, Owner } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";

export type OperationKind = "revert" | "handoff" | "merge" | "sync" | "resolve" | "discard" | "landing" | "undo";

export interface Operation {
  /** Number in its workspace, from 1. */
  op: number;
  kind: OperationKind;
  workspace: string;
  /** Name of the scope that it changed; "main" for a landing. */
  scope: string;
  log: string;
  /** The step that it made, once known. */
  n: number | null;
  at: number;
  state: "planned" | "done" | "undone" | "void";
  /** Number of the operation that this one takes back. */
  undoes: number | null;
  /** What was planned, where more than its step must be known to finish it. */
  plan: Link | null;
  details: { [key: string]: Json };
  owner: Owner | null;
  version: number;
}

const nameOf = (workspace: string, op: number): string => `op/${workspace}/${String(op).padStart(10, "0")}`;

const parse = (ref: { value: string; version: number }): Operation => ({
  ...(JSON.parse(ref.value) as Operation),
  version: ref.version,
});

export async function listOperations(store: EmbeddedStore, workspace: string): Promise<Operation[]> {
  return (await store.refs.list(`op/${workspace}/`)).map(parse);
}

export type Plan = Pick<Operation, "kind" | "workspace" | "scope" | "log"> &
  Partial<Pick<Operation, "undoes" | "plan" | "details">>;

/** Plans an operation. Synced at return. */
export async function planOperation(store: EmbeddedStore, plan: Plan): Promise<Operation> {
  for (;;) {
    const op = ((await listOperations(store, plan.workspace)).at(-1)?.op ?? 0) + 1;
    const operation = {
      undoes: null,
      plan: null,
      details: {},
      ...plan,
      op,
      n: null,
      at: Date.now(),
      state: "planned" as const,
      owner: thisOwner(),
    };
    if (await store.refs.cas(nameOf(plan.workspace, op), 0, JSON.stringify(operation)))
      return { ...operation, version: 1 };
  }
}

/** Writes down how an operation stands now. Synced at return; false if somebody else changed it. */
export async function updateOperation(
  store: EmbeddedStore,
  operation: Operation,
  change: Partial<Operation>,
): Promise<Operation | null> {
  const next = { ...operation, ...change };
  if (next.state !== "planned") next.owner = null;
  const { version, ...value } = next;
  if (!(await store.refs.cas(nameOf(operation.workspace, operation.op), version, JSON.stringify(value)))) return null;
  return { ...next, version: version + 1 };
}

/** How operations stand once `op` is taken back: if it is an undo itself, what that took back stands again, unless another undo of it stands; and so on. */
export function withUndone(operations: readonly Operation[], op: number): Operation[] {
  const after = new Map(operations.map((each) => [each.op, each]));
  let undone = true;
  for (let at: number | null = op; at !== null; ) {
    const operation = after.get(at);
    if (!operation) break;
    after.set(at, { ...operation, state: undone ? "undone" : "done" });
    at = operation.undoes;
    undone = [...after.values()].some((each) => each.undoes === at && each.state === "done");
  }
  return [...after.values()];
}

/** Writes down that an operation was taken back, and what follows from that for others. Done twice, it is the same. Synced at return. */
export async function markUndone(store: EmbeddedStore, workspace: string, op: number): Promise<void> {
  const operations = await listOperations(store, workspace);
  for (const [at, { state }] of withUndone(operations, op).entries())
    if (operations[at]!.state !== state) await updateOperation(store, operations[at]!, { state });
}

/** Operations that were planned by a process that is gone. */
export async function orphans(store: EmbeddedStore, workspace: string): Promise<Operation[]> {
  return (await listOperations(store, workspace)).filter(
    (operation) => operation.state === "planned" && !(operation.owner && alive(operation.owner)),
  );
}

/** Whether a scope is given up by this operation (a discard, or what takes its undo back) or comes back by it; null if it is about something else. */
export function discards({ kind, details }: Pick<Operation, "kind" | "details">): boolean | null {
  if (kind === "discard") return true;
  return typeof details.discards === "boolean" ? details.discards : null;
}

/** The newest operation that is neither undone nor an undo. */
export async function newestUndoable(store: EmbeddedStore, workspace: string): Promise<Operation | null> {
  const operations = await listOperations(store, workspace);
  return operations.filter(({ state, kind }) => state === "done" && kind !== "undo").at(-1) ?? null;
}
