/** The runs that are held for the next command. */
import { type Held, hold, type Job, LetGo } from "../../run/hold.ts";
import type { ScopeRef } from "../../scope/registry.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { settleModels } from "../operate.ts";

/** A run that nobody asks for something is held for so long, in ms. */
const KEEP = 60_000;
/** So many are held at once, while those that do nothing can be let go. */
const MOST = 128;

export interface Holds {
  /** Does something in a run, after all that was asked for before. */
  perform<T>(run: ScopeRef, job: Job<T>): Promise<T>;
  has(run: ScopeRef): boolean;
  /** Stops what is done in a run, and lets it go. */
  stop(run: ScopeRef): Promise<void>;
  /** Sentences about what the files of a held run lack since it was forgotten. */
  lacking(run: ScopeRef): readonly string[];
  /** After the signal has aborted: resolves when all are let go. */
  close(): Promise<void>;
}

interface Entry {
  held: Held;
  stop: AbortController;
  timer: NodeJS.Timeout | undefined;
  used: number;
  lacking: string[];
}

/** @param signal ends what runs, and lets all go */
export function makeHolds(
  store: EmbeddedStore,
  signal: AbortSignal,
  during: <T>(work: () => Promise<T>) => Promise<T>,
  { keep = KEEP, most = MOST }: { keep?: number; most?: number } = {},
): Holds {
  const entries = new Map<string, Entry>();

  const open = (run: ScopeRef): Entry => {
    makeRoom();
    const lacking: string[] = [];
    const stop = new AbortController();
    const options = {
      signal: AbortSignal.any([signal, stop.signal]),
      settle: settleModels,
      onForgotten: (text: string) => void lacking.push(text),
    };
    let held: Held;
    // While it is held no collection takes what its files are known to be.
    const over = during(async () => {
      held = hold(store, run.name, options);
      await held.over;
    });
    const entry: Entry = { held: held!, stop, timer: undefined, used: Date.now(), lacking };
    entries.set(run.log, entry);
    const end = (): void => {
      clearTimeout(entry.timer);
      if (entries.get(run.log) === entry) entries.delete(run.log);
    };
    over.then(end, end);
    return entry;
  };

  const makeRoom = (): void => {
    const idle = [...entries.values()].filter(({ held }) => held.jobs === 0).sort((a, b) => a.used - b.used);
    for (const { held } of idle.slice(0, Math.max(0, entries.size + 1 - most))) void held.release();
  };

  const performIn = async <T>(entry: Entry, job: Job<T>): Promise<T> => {
    clearTimeout(entry.timer);
    try {
      return await entry.held.perform(job);
    } finally {
      entry.used = Date.now();
      clearTimeout(entry.timer);
      entry.timer = setTimeout(() => {
        if (entry.held.jobs === 0) void entry.held.release();
      }, keep);
    }
  };

  return {
    perform: async (run, job) => {
      for (;;) {
        signal.throwIfAborted();
        const entry = entries.get(run.log) ?? open(run);
        try {
          return await performIn(entry, job);
        } catch (error) {
          if (!(error instanceof LetGo)) throw error;
          // It was let go in this moment. What was asked for was not begun.
          await entry.held.over.catch(() => {});
        }
      }
    },
    has: (run) => entries.has(run.log),
    stop: async (run) => {
      const entry = entries.get(run.log);
      entry?.stop.abort(new DOMException("It was stopped.", "AbortError"));
      await entry?.held.over.catch(() => {});
    },
    lacking: (run) => entries.get(run.log)?.lacking ?? [],
    close: async () => {
      await Promise.all([...entries.values()].map(({ held }) => held.over.catch(() => {})));
    },
  };
}
