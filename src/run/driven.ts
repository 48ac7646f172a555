/** Driving a scope for a moment: for one command, or a shell. */

import { recordBackground } from "../scope/background.ts";
import { openFilesOf } from "../scope/files.ts";
import type { Limits } from "../scope/limits.ts";
import type { AttachOptions, LiveScope } from "../scope/scope.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { noteLimits } from "./drive.ts";
import { noteEnded, noteStarted } from "./lifecycle.ts";
import type { Settle } from "./operate.ts";
import { doubtsOf, InDoubt, settlePending } from "./recover.ts";
import { take } from "./take.ts";

export interface DrivenOptions {
  signal: AbortSignal;
  onProgress?: (text: string) => void;
  onForgotten?: (text: string) => void;
  /** What becomes of answers that were passed on in part; all else that was under way ends as aborted. */
  settle?: Settle;
  /** See `AttachOptions`. */
  limits?: Limits | undefined;
}

/** Holds the lease of a scope, with its files at its newest step, while `work` runs. What a crash left is given up first. Throws `Busy`, and `InDoubt` if something may have acted. */
export async function withDriven<T>(
  store: EmbeddedStore,
  name: string,
  options: DrivenOptions,
  work: (scope: LiveScope) => Promise<T>,
): Promise<T> {
  const scope = await take(store, name, { limits: options.limits, files: filesFor(store, options) });
  try {
    requireNoDoubt(scope);
    await noteStarted(scope.writer, "user");
    await noteLimits(scope);
    await standAtHead(scope, options);
    const result = await work(scope);
    await recordBackground(scope, { end: true });
    await noteEnded(scope.writer, "done");
    return result;
  } finally {
    await scope.close();
  }
}

/** Opens the files of a scope that is driven for a moment. */
export const filesFor =
  (store: EmbeddedStore, options: DrivenOptions): NonNullable<AttachOptions["files"]> =>
  ({ ref, ...about }) =>
    openFilesOf(store, ref, { ...about, ...options });

/** Throws `InDoubt` where a call may have acted: it stays so, for who resumes the run or reverts it. */
export function requireNoDoubt(scope: LiveScope): void {
  const doubts = doubtsOf(scope);
  if (doubts.length > 0) throw new InDoubt(scope.ref.name, doubts);
}

/** Gives up what a crash left, and sets the files to the newest step. */
export async function standAtHead(scope: LiveScope, { settle }: Pick<DrivenOptions, "settle">): Promise<void> {
  await settle?.(scope);
  await settlePending(scope);
  const { state, carry } = scope.head();
  if (!state) throw new Error(`${scope.ref.name} has no state yet, so nothing can run in it.`);
  await scope.files!.restore(state.roots.workspace, carry);
}
