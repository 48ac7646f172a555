/**
 * A run that is held between commands: its files stay mounted and its processes go on, so the next command begins at once and finds what the one
 * before left running. Whoever wants the run meanwhile does as with any run at work: an operation (a revert, a merge) is done in between, and who
 * wants to drive it is let.
 */
import type { LiveScope } from "../scope/scope.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { drive } from "./drive.ts";
import { type DrivenOptions, filesFor, requireNoDoubt, standAtHead } from "./driven.ts";

/** What is done in a held run. Its signal aborts where an operation stops it, or the run is to be let go at once. */
export type Job<T> = (scope: LiveScope, signal: AbortSignal) => Promise<T>;

export interface Held {
  /** Does something in the run, after all that was asked for before. Throws `LetGo` where the run is held no more, and nothing was done. */
  perform<T>(job: Job<T>): Promise<T>;
  /** Jobs that run or wait. */
  readonly jobs: number;
  /** Lets the run go, behind the jobs that were asked for. Resolves when its lease is free. */
  release(): Promise<void>;
  /** Settles when the run is held no more. Rejects with what broke it off, or why it could not be held. */
  over: Promise<void>;
}

/** Thrown where a run is held no more. */
export class LetGo extends Error {}

/** @param options its signal ends what runs, and lets go */
export function hold(store: EmbeddedStore, name: string, options: DrivenOptions): Held {
  const queue: Array<{ begin(scope: LiveScope, stop: AbortSignal): Promise<void>; fail(error: unknown): void }> = [];
  let running = false;
  let leaves = false;
  let wake = (): void => {};

  const work = async (scope: LiveScope, stop: AbortSignal): Promise<void> => {
    const stopped = (): void => wake();
    stop.addEventListener("abort", stopped);
    while (!stop.aborted) {
      const job = queue.shift();
      if (job) {
        running = true;
        await job.begin(scope, stop);
        running = false;
      } else if (leaves) break;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
    stop.removeEventListener("abort", stopped);
  };

  const leave = (): void => {
    leaves = true;
    wake();
  };

  const driven = drive(store, name, {
    signal: options.signal,
    limits: options.limits,
    files: filesFor(store, options),
    prepared: async (scope) => {
      requireNoDoubt(scope);
      await standAtHead(scope, options);
    },
    worker: {
      name: "serve",
      work: async (scope, stop) => {
        await work(scope, stop);
        return "done";
      },
    },
    methods: {
      // Only who has nothing to do is asked to go.
      leave: async () => {
        const idle = !running && queue.length === 0;
        if (idle) leave();
        return idle;
      },
    },
  });
  const end = (error: unknown): void => {
    leaves = true;
    for (const job of queue.splice(0)) job.fail(error);
  };
  const over = driven.then(
    () => end(new LetGo(`${name} is held no more.`)),
    (error: unknown) => {
      end(error);
      throw error;
    },
  );
  // Whoever waits for a job hears of it.
  over.catch(() => {});

  return {
    perform: (job) =>
      new Promise((resolve, reject) => {
        if (leaves) return reject(new LetGo(`${name} is held no more.`));
        queue.push({ begin: (scope, stop) => job(scope, stop).then(resolve, reject), fail: reject });
        wake();
      }),
    get jobs() {
      return queue.length + (running ? 1 : 0);
    },
    release: async () => {
      leave();
      await over.catch(() => {});
    },
    over,
  };
}
