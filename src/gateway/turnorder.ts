/**
 * The order of the calls of a turn. They have the lock in the order in which the model asked for them, which is that of the trace; hooks of
 * calls that a program performs beside each other come in any order.
 */
import type { Performing } from "./performing.ts";

/** So often it is looked, in ms, whether a call that is waited for was answered without being performed. */
const LOOK = 250;

/** So long one is waited for, in ms, of which nothing is heard; longer where the program notes results down, and so tells if there is one. */
const PATIENCE = { silent: 2000, noting: 60_000 };

export interface TurnOrder {
  /** Resolves when each call before it that excludes it has begun, or never will. Rejects if it comes too late itself. */
  comes(call: Performing): Promise<void>;
  /** One has begun. */
  began(): void;
}

/** @param results ids of the calls of which the program has results, if that can be seen */
export function turnOrder(
  calls: ReadonlyMap<number, Performing>,
  results: (() => ReadonlySet<string>) | undefined,
  signal: AbortSignal,
): TurnOrder {
  const passed = new Set<number>();
  let wake = (): void => {};
  let woken = new Promise<void>((resolve) => {
    wake = resolve;
  });

  const isFree = ({ traits }: Performing): boolean => Boolean(traits.container || traits.unasked);
  const waitsFor = ({ n, turn, traits }: Performing): Performing[] =>
    [...calls.values()].filter(
      (each) =>
        turn !== undefined &&
        each.turn === turn &&
        each.n < n &&
        !(each.pending || each.over || passed.has(each.n) || isFree(each)) &&
        !(each.traits.shared && traits.shared),
    );

  return {
    comes: async (call) => {
      if (isFree(call)) return;
      if (passed.has(call.n)) throw new Error(`The call ${call.call.id} comes behind one that was to come after it.`);
      const until = performance.now() + (results ? PATIENCE.noting : PATIENCE.silent);
      for (let before = waitsFor(call); before.length > 0; before = waitsFor(call)) {
        const ended = results?.();
        const never = before.filter(({ call: { id } }) => ended?.has(id) || performance.now() > until);
        for (const { n } of never) passed.add(n);
        if (never.length === before.length) return;
        let timer: NodeJS.Timeout | undefined;
        const look = new Promise<void>((resolve) => {
          timer = setTimeout(resolve, LOOK);
        });
        await Promise.race([woken, look]);
        clearTimeout(timer);
        signal.throwIfAborted();
      }
    },
    began: () => {
      wake();
      woken = new Promise((resolve) => {
        wake = resolve;
      });
    },
  };
}
