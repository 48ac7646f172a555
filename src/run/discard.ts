/** Discarding a run: its owner is stopped, its compensable effects are taken back, its name stands for nothing any more. */

import type { Operation } from "../scope/operations.ts";
import { ownedSince } from "../scope/owned.ts";
import { type Compensate, compensateAll } from "../scope/revert.ts";
import { attach } from "../scope/scope.ts";
import { discardScope } from "../scope/undo.ts";
import { tierOf } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { settlePending } from "./recover.ts";

export interface Discarded {
  op: number;
  outside: Array<{ n: number; tier: string; compensated: boolean }>;
}

/**
 * Throws `Busy` while another process drives the run. Synced at return.
 * @param undoes the undo that had brought it back, if this takes that back
 */
export async function discardRun(
  store: EmbeddedStore,
  name: string,
  compensate?: Compensate,
  undoes?: Operation,
): Promise<Discarded> {
  const scope = await attach(store, name);
  try {
    await settlePending(scope, compensate);
    const outside = await ownedSince(store, { ref: scope.ref, log: scope.ref.log, fold: scope.writer.fold }, -1);
    await compensateAll(scope, null, outside, compensate);
    const operation = await discardScope(store, name, undoes);
    const done = scope.writer.fold.compensated;
    return {
      op: operation.op,
      outside: outside.map(({ step, compensated }) => ({
        n: step.n,
        tier: tierOf(step),
        compensated: compensated || done.has(String(step.n)),
      })),
    };
  } finally {
    await scope.close();
  }
}
