/** Time that passes when a test says so. */
import type { Clock } from "../agent/clock.ts";

export interface FakeClock extends Clock {
  /** Lets time pass: who sleeps until then wakes, the earliest first, before this resolves. What it does then may see any time up to that end. */
  advance(ms: number): Promise<void>;
  /** How many sleep. */
  readonly sleeping: number;
  /** Resolves when so many sleep: a run gets there by itself, and the test may go on then. */
  asleep(count?: number): Promise<void>;
}

/** A clock that stands still. @param start milliseconds since the epoch; the beginning of 2030 without it */
export function fakeClock(start = Date.UTC(2030, 0, 1)): FakeClock {
  let now = start;
  const sleepers = new Set<{ until: number; wake: () => void }>();
  let waiting: Array<{ count: number; done: () => void }> = [];
  const look = (): void => {
    waiting = waiting.filter(({ count, done }) => {
      if (sleepers.size < count) return true;
      done();
      return false;
    });
  };
  return {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise<void>((resolve, reject) => {
        signal.throwIfAborted();
        const leave = (): void => {
          sleepers.delete(sleeper);
          signal.removeEventListener("abort", abort);
        };
        const abort = (): void => {
          leave();
          reject(signal.reason);
        };
        const sleeper = {
          until: now + ms,
          wake: () => {
            leave();
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal.addEventListener("abort", abort, { once: true });
        look();
      }),
    advance: async (ms) => {
      const end = now + ms;
      for (;;) {
        const next = [...sleepers].filter(({ until }) => until <= end).sort((a, b) => a.until - b.until)[0];
        if (!next) break;
        now = Math.max(now, next.until);
        next.wake();
        // What it wakes may sleep again before that end.
        await new Promise((resolve) => setImmediate(resolve));
      }
      now = end;
    },
    get sleeping() {
      return sleepers.size;
    },
    asleep: (count = 1) =>
      new Promise((done) => {
        waiting.push({ count, done });
        look();
      }),
  };
}
