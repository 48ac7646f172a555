/** Discarding a run: its owner is stopped, its compensable effects are taken back, its name stands for nothing any more. */

import type { Compensate } from "../scope/effect.ts";
import type { Operation } from "../scope/operations.ts";
import { ownedSince } from "../scope/owned.ts";
import { findScope } from "../scope/registry.ts";
import { compensateAll, mustKnowUndo } from "../scope/revert.ts";
import { discardScope } from "../scope/undo.ts";
import { viewOf } from "../scope/view.ts";
import { importOf } from "../trace/bundle/imported.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { type Actor, asParams, witnessBy } from "./actor.ts";
import { checkExpected, type Expected } from "./expect.ts";
import { type Left, tellOutside } from "./operate.ts";
import { settlePending } from "./recover.ts";
import { take } from "./take.ts";

export interface Discarded {
  op: number;
  outside: Left[];
}

export interface DiscardOptions {
  compensate?: Compensate | undefined;
  /** The undo that had brought it back, if this takes that back. */
  undoes?: Operation;
  /** Who does it, by which right, and why. */
  by?: Actor;
  expect?: Expected | undefined;
}

/** Throws `Busy` while another process drives the run, and `Moved` where it stands elsewhere than is expected. Synced at return. */
export async function discardRun(
  store: EmbeddedStore,
  name: string,
  { compensate, undoes, by, expect }: DiscardOptions = {},
): Promise<Discarded> {
  const ref = await findScope(store, name);
  // It has done nothing here that could be taken back, and nobody drives it.
  if (ref && (await importOf(store, ref.log))) return { op: (await discardScope(store, name, undoes)).op, outside: [] };
  const scope = await take(store, name);
  try {
    checkExpected({ ref: scope.ref, fold: scope.writer.fold }, expect);
    const owned = () => ownedSince(store, viewOf(scope), -1);
    // One that is refused must not end what is in doubt.
    await mustKnowUndo(await owned(), compensate);
    await settlePending(scope, compensate);
    const outside = await compensateAll(scope, null, await owned(), compensate);
    if (by) await scope.writer.note(null, { note: "discard" }, { witness: await witnessBy(store, asParams(by)) });
    const operation = await discardScope(store, name, undoes);
    return { op: operation.op, outside: outside.map(tellOutside) };
  } finally {
    await scope.close();
  }
}
