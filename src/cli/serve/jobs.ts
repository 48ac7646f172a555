/** Runs that are driven here for who started them, and go on when that one does not wait. */
import type { ExitCode } from "../errors.ts";
import type { Output } from "../output.ts";
import { endOf, type Line, outputTo } from "./answer.ts";

export interface Job {
  /** Stops the work; the run can be resumed. */
  stop(): void;
  /** The lines behind its rows: what it ended with. */
  ended: Promise<Line[]>;
}

/** So many that have ended are remembered, for who asks how. */
const REMEMBERED = 1000;

export interface Jobs {
  /**
   * Begins to drive a run. Resolves with its name once that is known, or else with how it ended.
   * @param named its name, where that is known before
   */
  begin(
    drive: (out: Output, signal: AbortSignal) => Promise<ExitCode | undefined>,
    named?: { name: string; begun: (over: AbortSignal) => Promise<void> },
  ): Promise<{ scope: string } | Line[]>;
  find(scope: string): Job | undefined;
  /** After the signal has aborted: resolves when all have ended. */
  close(): Promise<void>;
}

/** @param signal stops all of them */
export function makeJobs(signal: AbortSignal, during: <T>(work: () => Promise<T>) => Promise<T>): Jobs {
  const jobs = new Map<string, Job>();
  const running = new Set<Promise<unknown>>();

  const remember = (name: string, job: Job): void => {
    jobs.delete(name);
    jobs.set(name, job);
    for (const [old] of jobs) {
      if (jobs.size <= REMEMBERED) break;
      jobs.delete(old);
    }
  };

  return {
    begin: async (drive, named) => {
      const stop = new AbortController();
      const over = new AbortController();
      const both = AbortSignal.any([signal, stop.signal]);
      const lines: Line[] = [];
      let known = (_name: string): void => {};
      const first = new Promise<string>((resolve) => {
        known = resolve;
      });
      const out = outputTo(async (line) => {
        if ("object" in line) {
          const { scope, ending } = line.object as { scope?: string; ending?: string };
          if (scope !== undefined) known(scope);
          // Its rows are in its log.
          if (ending === undefined) return;
        }
        lines.push(line);
      });
      const ended = during(() => endOf(() => drive(out, both), both)).then((end) => {
        over.abort();
        return [...lines, end];
      });
      running.add(ended);
      void ended.finally(() => running.delete(ended));
      const job: Job = { stop: () => stop.abort(new DOMException("It was stopped.", "AbortError")), ended };
      if (named) {
        remember(named.name, job);
        await named.begun(over.signal);
        known(named.name);
      }
      const begun = await Promise.race([first, ended]);
      if (typeof begun !== "string") return begun;
      remember(begun, job);
      return { scope: begun };
    },
    find: (scope) => jobs.get(scope),
    close: async () => {
      await Promise.allSettled([...running]);
    },
  };
}
