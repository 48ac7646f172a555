/**
 * Operations on a run, whoever drives it: by its owner, through the control socket, or by this process under a lease of its own when
 * there is no owner.
 */

import { recordBackground } from "../scope/background.ts";
import { mergeScope, syncScope, type Take } from "../scope/merge.ts";
import { listOperations } from "../scope/operations.ts";
import { findScope } from "../scope/registry.ts";
import { revertScope } from "../scope/revert.ts";
import { attach, Busy, type LiveScope } from "../scope/scope.ts";
import { undoInScope } from "../scope/undo.ts";
import { readScope } from "../scope/view.ts";
import type { Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { quotePath } from "../world/paths.ts";
import { settlePending } from "./recover.ts";
import { ask, NoOwner, socketPath } from "./socket.ts";

export type Params = { [key: string]: Json };
export type Operate = (scope: LiveScope, params: Params) => Promise<Json>;

/** What can be done to a scope as a whole. Parameters and results are JSON, since they may cross a socket. */
export const OPERATIONS: { [name: string]: Operate } = {
  revert: async (scope, { n, acknowledge }) => {
    await standStill(scope);
    const done = await revertScope(scope, n as number, { acknowledge: acknowledge === true });
    const outside = done.outside.map(({ step, compensated }) => ({ n: step.n, tier: step.intent.tier, compensated }));
    return { n: done.n, op: done.op, outside };
  },
  merge: async (scope, { from, take }) => {
    await standStill(scope);
    const merged = await mergeScope(scope, await readScope(scope.store, from as string), takeOf(take));
    return { ...merged, conflicts: merged.conflicts.map(({ path, why }) => ({ path: quotePath(path), why })) };
  },
  sync: async (scope, { id, tree, name, log, take }) => {
    const merged = await syncScope(
      scope,
      { id: id as string, tree: tree as string, name: name as string, log: log as string },
      takeOf(take),
    );
    return { ...merged, conflicts: merged.conflicts.map(({ path, why }) => ({ path: quotePath(path), why })) };
  },
  undo: async (scope, { op }) => {
    const operation = (await listOperations(scope.store, scope.ref.workspace)).find((each) => each.op === op);
    if (!operation) throw new Error(`There is no operation ${op}.`);
    await standStill(scope);
    const undone = await undoInScope(scope, operation);
    return { ...undone, conflicts: undone.conflicts.map(({ path, why }) => ({ path: quotePath(path), why })) };
  },
  note: async (scope, { n, facts }) => {
    await scope.writer.note(n as number | null, facts as { note: string });
    return null;
  },
};

/** Nothing is under way any more, and all that was written is in a step. */
async function standStill(scope: LiveScope): Promise<void> {
  await settlePending(scope);
  await recordBackground(scope, { end: true });
}

const takeOf = (value: Json | undefined): Take | undefined =>
  value === "ours" || value === "theirs" ? value : undefined;

/** Operations for which a worker need not stop. */
export const BESIDE: ReadonlySet<string> = new Set(["note", "sync"]);

/** What is done before an operation to steps that a crash left without an outcome. */
export type Settle = (scope: LiveScope) => Promise<void>;

/** Does an operation to a scope. Throws what the operation throws; an owner's refusal comes as `OwnerError`. */
export async function operate(
  store: EmbeddedStore,
  name: string,
  operation: string,
  params: Params,
  settle: Settle = settlePending,
): Promise<Json> {
  for (let tries = 0; ; tries++) {
    try {
      const scope = await attach(store, name);
      try {
        if (!BESIDE.has(operation)) await settle(scope);
        return await OPERATIONS[operation]!(scope, params);
      } finally {
        await scope.close();
      }
    } catch (error) {
      if (!(error instanceof Busy)) throw error;
      const ref = await findScope(store, name);
      try {
        return await ask(socketPath(store, ref!.log), operation, params);
      } catch (refusal) {
        if (!(refusal instanceof NoOwner)) throw refusal;
        // The owner went away, or has the lease but does not listen yet, or not at all (a shell).
        if (tries >= 100) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20 + tries * 5));
      }
    }
  }
}
