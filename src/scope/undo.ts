/** Undo: appends the inverse of an operation. */
import type { Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { invert, putConflicts } from "./merge.ts";
import {
  listOperations,
  markUndone,
  type Operation,
  planOperation,
  updateOperation,
  withUndone,
} from "./operations.ts";
import { findScope, NameError, type ScopeRef, setDiscarded } from "./registry.ts";
import type { LiveScope } from "./scope.ts";
import { before, StepError } from "./view.ts";

export interface Undone {
  /** Number of the undo itself, and of the step it made (null for a discard). */
  op: number;
  n: number | null;
  status: "done" | "conflict";
  conflicts: Array<{ path: Buffer; why: string }>;
  threads: string[];
  /** Calls that were ended although they may have acted. */
  inDoubt?: Array<{ n: number; tier: string }>;
}

/** Takes back an operation that changed the state of a scope: revert, merge, sync, resolve. Synced at return. */
export async function undoInScope(
  scope: LiveScope,
  operation: Operation,
  witness: { [key: string]: Json } = {},
): Promise<Undone> {
  const { store, writer, ref } = scope;
  const step = operation.n === null ? undefined : writer.fold.steps.get(operation.n);
  if (!step?.sealed) throw new StepError(`Operation ${operation.op} made no step that could be taken back.`);
  const was = before(writer.fold, step);
  const now = scope.head();
  if (!was.state || !now.state) throw new StepError(`Nothing is before operation ${operation.op}.`);
  const inverse = await invert(
    store,
    { before: { state: was.state, carry: was.carry }, after: step.sealed.state },
    now.state,
  );

  const undo = await planOperation(store, {
    kind: "undo",
    workspace: ref.workspace,
    scope: ref.name,
    log: ref.log,
    undoes: operation.op,
  });
  const n = await writer.intent(
    { kind: "undo", tier: "reversible", of: step.sealed.id },
    { witness: { ...witness, op: undo.op, undoes: operation.op } },
  );
  if (inverse.state) {
    const carry = inverse.carry ?? now.carry;
    await scope.files?.restore(inverse.state.roots.workspace, carry);
    await writer.outcome(n, { status: "done", state: inverse.state }, { carry, witness: { at: Date.now() } });
  } else {
    const conflict = await putConflicts(store, inverse.conflicts, inverse.threads);
    await writer.outcome(n, { status: "conflict", conflict }, { witness: { at: Date.now() } });
  }
  await writer.sync();
  if (inverse.state) await markUndone(store, ref.workspace, operation.op);
  await updateOperation(store, undo, { state: inverse.state ? "done" : "void", n });
  const { conflicts, threads } = inverse;
  return { op: undo.op, n, status: inverse.state ? "done" : "conflict", conflicts, threads };
}

/**
 * Discards a scope: its name stands for nothing that is worked on, until it is brought back or retention takes it. Synced at return.
 * @param undoes the undo that had brought it back, if this takes that back
 */
export async function discardScope(store: EmbeddedStore, name: string, undoes?: Operation): Promise<Operation> {
  const scope = await findScope(store, name);
  if (!scope) throw new NameError(`There is no scope ${name}: \`shepherd status\` lists them.`);
  if (scope.discarded !== null) throw new NameError(await discardedWord(store, scope));
  return mark(store, scope, true, undoes);
}

/** What to say of a scope that is discarded: one that only drove a run again was so from the first. */
export async function discardedWord(store: EmbeddedStore, { name, log, workspace }: ScopeRef): Promise<string> {
  const operations = await listOperations(store, workspace);
  return operations.some((each) => each.kind === "discard" && each.log === log)
    ? `${name} is discarded: \`shepherd undo\` brings it back.`
    : `${name} only drove a run again, and is thrown away.`;
}

/** Throws where to take back what had brought a scope back would not give it up: something else has brought it back since, or it is given up already. */
export async function checkGivesUp(store: EmbeddedStore, operation: Operation): Promise<void> {
  const scope = await findScope(store, operation.scope);
  if (!scope || scope.discarded !== null) return;
  if (!discardStands(await listOperations(store, operation.workspace), operation))
    throw new NameError(`${scope.name} was brought back once more since: take that back, or discard it.`);
}

/** Whether a scope is given up once an operation on it is taken back. */
const discardStands = (operations: readonly Operation[], { op, log }: Operation): boolean =>
  withUndone(operations, op).some((each) => each.kind === "discard" && each.log === log && each.state === "done");

/** Brings a discarded scope back. Synced at return. */
export async function undoDiscard(store: EmbeddedStore, operation: Operation): Promise<Undone> {
  const scope = await findScope(store, operation.scope);
  if (!scope) throw new NameError(`${operation.scope} is gone: retention has taken it.`);
  if (scope.discarded === null)
    throw new NameError(`${scope.name} is not discarded, so there is nothing to bring back.`);
  if (discardStands(await listOperations(store, operation.workspace), operation))
    throw new NameError(`${scope.name} was discarded again since: take that back.`);
  const { op } = await mark(store, scope, false, operation);
  return { op, n: null, status: "done", conflicts: [], threads: [] };
}

async function mark(store: EmbeddedStore, scope: ScopeRef, discards: boolean, undoes?: Operation): Promise<Operation> {
  const operation = await planOperation(store, {
    kind: undoes ? "undo" : "discard",
    workspace: scope.workspace,
    scope: scope.name,
    log: scope.log,
    ...(undoes && { undoes: undoes.op, details: { discards } }),
  });
  await setDiscarded(store, scope, discards ? Date.now() : null);
  if (undoes) await markUndone(store, scope.workspace, undoes.op);
  return (await updateOperation(store, operation, { state: "done" })) ?? operation;
}
