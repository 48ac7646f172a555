/** The processes that drive workers. A worker that is driven by a process that another supervisor has started, and left, stays with that. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Child, resumeElsewhere } from "../../run/child.ts";
import { findScope } from "../../scope/registry.ts";
import type { EmbeddedStore } from "../../trace/store.ts";

export interface Keeper {
  /** Starts a process that goes on with a run, unless one drives it. Whether it did. */
  ensure(run: string): Promise<boolean>;
  /** Whether a process that was started for a run is still there. */
  busy(run: string): boolean;
  /** The last words of the newest process of a run that has ended; empty where it said nothing. */
  words(run: string): string;
  /** Stops whoever drives these runs, as a Ctrl-C does, and waits until nobody does. */
  stop(runs: readonly string[]): Promise<void>;
}

/** After so long, in ms, a process that was asked to stop is asked once more, which ends it at once; after as long again it is killed. */
const GRACE = 20_000;
/** So often it is looked whether it is gone, in ms. */
const LOOK = 30;

/** @param ended called when a process has ended */
export function openKeeper(store: EmbeddedStore, ended: (run: string) => void): Keeper {
  const children = new Map<string, { child: Child; said: string; over: boolean }>();
  const holder = async (run: string) => {
    const ref = await findScope(store, run);
    return ref && store.leases.holder(`log/${ref.log}`);
  };
  const busy = (run: string): boolean => children.get(run)?.over === false;

  async function stopOne(run: string): Promise<void> {
    const began = Date.now();
    for (let asked = 0; ; ) {
      const pid = (await holder(run))?.pid ?? (busy(run) ? children.get(run)!.child.pid : undefined);
      if (pid === undefined) return;
      if (Date.now() >= began + asked * GRACE) {
        asked++;
        signal(pid, asked > 2 ? "SIGKILL" : "SIGINT");
      }
      await sleep(LOOK);
    }
  }
  return {
    ensure: async (run) => {
      if (busy(run) || (await holder(run))) return false;
      const child = resumeElsewhere(store, run);
      // What this process says last must not wait for it.
      child.leave();
      const entry = { child, said: "", over: false };
      children.set(run, entry);
      void child.ended.then(({ code, said }) => {
        entry.over = true;
        entry.said = code === 0 ? "" : said;
        ended(run);
      });
      return true;
    },
    busy,
    words: (run) => children.get(run)?.said.trim() ?? "",
    stop: async (runs) => void (await Promise.all(runs.map(stopOne))),
  };
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    // It has ended meanwhile.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
