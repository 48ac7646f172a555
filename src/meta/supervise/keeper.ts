/** The processes that drive workers. A worker that is driven by a process that another supervisor has started, and left, stays with that. */
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
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

export interface KeeperOptions {
  store: EmbeddedStore;
  /** The command `shepherd`, as words. */
  command: readonly string[];
  cwd: string;
  /** Words behind `resume RUN`. */
  words?: readonly string[];
  /** Called when a process has ended. */
  ended(run: string): void;
}

/** Of what a process says, so many characters are kept. */
const MOST_WORDS = 2000;
/** After so long, in ms, a process that was asked to stop is asked once more, which ends it at once; after as long again it is killed. */
const GRACE = 20_000;

export function openKeeper({ store, command, cwd, words = [], ended }: KeeperOptions): Keeper {
  const children = new Map<string, { child: ChildProcess; said: string; over: boolean }>();
  const holder = async (run: string) => {
    const ref = await findScope(store, run);
    return ref && store.leases.holder(`log/${ref.log}`);
  };
  return {
    ensure: async (run) => {
      const known = children.get(run);
      if ((known && !known.over) || (await holder(run))) return false;
      const [program, ...first] = command as [string, ...string[]];
      // A process group of its own: a Ctrl-C in the terminal is for the supervisor, which stops it soundly.
      const child = spawn(program, [...first, "resume", run, ...words], {
        cwd,
        detached: true,
        stdio: ["ignore", "ignore", "pipe"],
      });
      const entry = { child, said: "", over: false };
      children.set(run, entry);
      child.stderr!.setEncoding("utf8").on("data", (text: string) => {
        entry.said = (entry.said + text).slice(-MOST_WORDS);
      });
      child.on("error", (error) => {
        entry.said = error.message;
        entry.over = true;
        ended(run);
      });
      child.on("close", () => {
        entry.over = true;
        ended(run);
      });
      return true;
    },
    busy: (run) => children.get(run)?.over === false,
    words: (run) => children.get(run)?.said.trim() ?? "",
    stop: async (runs) => {
      await Promise.all(
        runs.map(async (run) => {
          const until = Date.now();
          let asked = 0;
          for (;;) {
            const child = children.get(run);
            const owner = await holder(run);
            const pid = owner?.pid ?? (child && !child.over ? child.child.pid : undefined);
            if (pid === undefined) return;
            if (Date.now() >= until + asked * GRACE) {
              asked++;
              kill(pid, asked > 2 ? "SIGKILL" : "SIGINT");
            }
            await sleep(30);
          }
        }),
      );
    },
  };
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It has ended meanwhile.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
