/** Driving a scope for a moment: for one command, or a shell. */

import { recordBackground } from "../scope/background.ts";
import { openFilesOf } from "../scope/files.ts";
import { attach, type LiveScope } from "../scope/scope.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { noteEnded, noteStarted } from "./lifecycle.ts";
import type { Settle } from "./operate.ts";
import { settlePending } from "./recover.ts";

export interface DrivenOptions {
  signal: AbortSignal;
  onProgress?: (text: string) => void;
  onForgotten?: (text: string) => void;
  /** Default: everything in doubt ends as aborted. */
  settle?: Settle;
}

/** Holds the lease of a scope, with its files at its newest step, while `work` runs. What was in doubt is given up first. Throws `Busy`. */
export async function withDriven<T>(
  store: EmbeddedStore,
  name: string,
  options: DrivenOptions,
  work: (scope: LiveScope) => Promise<T>,
): Promise<T> {
  const scope = await attach(store, name, {
    files: ({ ref, parent, grants }) => openFilesOf(store, ref, { parent, grants, ...options }),
  });
  try {
    await noteStarted(scope.writer, "user");
    await (options.settle ?? settlePending)(scope);
    const { state, carry } = scope.head();
    if (!state) throw new Error(`${name} has no state yet, so nothing can run in it.`);
    await scope.files!.restore(state.roots.workspace, carry);
    const result = await work(scope);
    await recordBackground(scope, { end: true });
    await noteEnded(scope.writer, "done");
    return result;
  } finally {
    await scope.close();
  }
}
