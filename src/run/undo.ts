/** Undo of any operation, whoever drives what it changed. */

import type { Compensate } from "../scope/effect.ts";
import { discards, type Operation } from "../scope/operations.ts";
import { checkGivesUp, type Undone, undoDiscard } from "../scope/undo.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { unquotePath } from "../world/paths.ts";
import { type Actor, asParams } from "./actor.ts";
import { discardRun } from "./discard.ts";
import { undoLanding } from "./land.ts";
import type { Workspace } from "./main.ts";
import { operate, type Settle } from "./operate.ts";
import type { LandOptions } from "./placing.ts";

/** Takes an operation back: one of main by another landing, a discard by its name, any other by a step of its scope. Synced at return. */
export async function undoOperation(
  store: EmbeddedStore,
  workspace: Workspace,
  operation: Operation,
  options: LandOptions & { compensate?: Compensate; settle?: Settle; by?: Actor } = {},
): Promise<Undone> {
  const { scope, op } = operation;
  if (scope === "main") return undoLanding(store, workspace, operation, options);
  const gaveUp = discards(operation);
  if (gaveUp === true) return undoDiscard(store, operation);
  if (gaveUp === false) {
    await checkGivesUp(store, operation);
    const again = await discardRun(store, scope, { ...options, undoes: operation });
    return { op: again.op, n: null, status: "done", conflicts: [], threads: [] };
  }
  const said = options.by ? asParams(options.by) : {};
  const undone = (await operate(store, scope, "undo", { op, ...said }, options)) as unknown as Crossed;
  return {
    ...undone,
    conflicts: undone.conflicts.map(({ path, why }) => ({ path: unquotePath(path), why })),
  };
}

/** As it comes through a socket. */
type Crossed = Omit<Undone, "conflicts"> & { conflicts: Array<{ path: string; why: string }> };
