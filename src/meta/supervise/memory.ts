/** What a supervisor has done, as far as it must know that to decide what to do now. A value: JSON that can be kept anywhere. */
import type { Action } from "./decision.ts";

export interface Act {
  worker: string;
  /** What it was done for: one and the same trouble has one name. */
  cause: string;
  action: Action;
  tick: number;
}

export interface Memory {
  /** Of how many looks this is the one. */
  tick: number;
  /** Oldest first. */
  acts: readonly Act[];
}

export const EMPTY: Memory = { tick: 0, acts: [] };

/** So many acts are remembered. */
const MOST = 1000;

/** What is remembered behind a look at which these were decided. */
export function remember(memory: Memory, decided: readonly Omit<Act, "tick">[]): Memory {
  const acts = decided.map(({ worker, cause, action }) => ({ worker, cause, action, tick: memory.tick }));
  return { tick: memory.tick + 1, acts: [...memory.acts, ...acts].slice(-MOST) };
}

/** How often something was done about a worker for a cause, and how many looks ago the last time was; Infinity for never. */
export function acted(memory: Memory, worker: string, cause?: string): { times: number; ago: number } {
  let times = 0;
  let ago = Number.POSITIVE_INFINITY;
  for (const act of memory.acts) {
    if (act.worker !== worker || (cause !== undefined && act.cause !== cause)) continue;
    times++;
    ago = memory.tick - act.tick;
  }
  return { times, ago };
}
