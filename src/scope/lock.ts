/** The lock of a scope: shared for calls that only read, exclusive for all others; first come, first served. */

export interface Ticket {
  /** Resolves when the lock is held. Never resolves once the ticket is given back before. */
  held: Promise<void>;
  /** Gives the lock back, or the place in the queue. Can be called more than once. */
  release(): void;
}

export interface Lock {
  /** Takes a place in the queue; the order of calls is the order of holding. */
  request(mode: "shared" | "exclusive"): Ticket;
}

interface Waiter {
  mode: "shared" | "exclusive";
  holding: boolean;
  grant: () => void;
}

export function makeLock(): Lock {
  let queue: Waiter[] = [];
  const serve = (): void => {
    for (const [place, waiter] of queue.entries()) {
      const before = queue.slice(0, place);
      const free = waiter.mode === "exclusive" ? place === 0 : before.every((each) => each.mode === "shared");
      if (!free) return;
      if (!waiter.holding) {
        waiter.holding = true;
        waiter.grant();
      }
    }
  };
  return {
    request: (mode) => {
      let grant = (): void => {};
      const held = new Promise<void>((resolve) => {
        grant = resolve;
      });
      const waiter: Waiter = { mode, holding: false, grant };
      queue.push(waiter);
      serve();
      return {
        held,
        release: () => {
          queue = queue.filter((each) => each !== waiter);
          serve();
        },
      };
    },
  };
}
