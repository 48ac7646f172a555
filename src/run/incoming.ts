/** What the user changes in their directory while a run goes on, on its way into the run's scope. */
import { syncScope } from "../scope/merge.ts";
import type { LiveScope } from "../scope/scope.ts";
import { target } from "../trace/bytes.ts";
import type { Hash } from "../trace/ports.ts";
import { capturedUnsealed } from "../trace/seal.ts";
import { freshMain } from "./placing.ts";

export interface Incoming {
  /** Main's commit of which the scope has all. */
  seen: Hash | undefined;
  /** Looks at main, and syncs what has changed. Where both changed the same place `conflict` is told, and the scope stays as it is. */
  bring(): Promise<void>;
}

export function incoming(
  scope: LiveScope,
  directory: string,
  conflict: (paths: ReadonlyArray<{ path: Buffer }>) => void,
): Incoming {
  const { store, writer } = scope;
  const bring = async (late: AbortSignal): Promise<void> => {
    if (!scope.head().state) return;
    const main = await freshMain(store, directory);
    if (main.head.id === here.seen) return;
    const from = { id: main.head.id, tree: main.tree, name: "main", log: main.log };
    if (main.tree !== target(scope.head().state!.roots.workspace)) {
      const synced = await syncScope(scope, from, { signal: late });
      if (synced.status === "conflict") return conflict(synced.conflicts);
    }
    here.seen = main.head.id;
  };
  const here: Incoming = {
    // A run that starts stands on it; one that is gone on with may have missed something.
    seen: writer.fold.steps.get(0)?.outcome?.base,
    /** What was captured must have its commit before anything else comes in. That may wait for the very call that waits for this. */
    bring: async () => {
      const late = new AbortController();
      const look = (): void => {
        if (writer.fold.pending().some(capturedUnsealed)) late.abort();
      };
      const unwatch = writer.watch(look);
      look();
      try {
        if (!late.signal.aborted) await bring(late.signal);
      } catch (error) {
        if (error !== late.signal.reason) throw error;
      } finally {
        unwatch();
      }
    },
  };
  return here;
}
