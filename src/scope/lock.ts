/**
 * The lock of a scope: shared for calls that only read, exclusive for all others; first come, first served. A call takes its place when it
 * begins and comes when nothing keeps it back any more (a gate): until then it holds up nobody but the calls of its own turn
 * behind it, and of these only what it excludes.
 */

export interface Ticket {
  /** Resolves when the lock is held. Never resolves once the ticket is given back before. */
  held: Promise<void>;
  /** For a ticket that was asked for ahead: from now on it waits for the lock, behind all who came before. */
  come(): void;
  /** Gives the lock back, or the place in the queue. Can be called more than once. */
  release(): void;
}

export interface Lock {
  /**
   * Takes a place in the queue; the order of coming is the order of holding, but for calls of one turn, whose order is that of their requests.
   * @param ahead it comes later; `turn`: the turn that it belongs to
   */
  request(mode: "shared" | "exclusive", ahead?: { turn: number | undefined }): Ticket;
}

interface Waiter {
  mode: "shared" | "exclusive";
  turn: number | undefined;
  here: boolean;
  holding: boolean;
  grant: () => void;
}

/** Whether the order of two calls, of which `after` stands behind, is that of their turn. Two that only read have none. */
const inTurnBehind = (before: Waiter, after: Waiter): boolean =>
  after.turn !== undefined && after.turn === before.turn && !(before.mode === "shared" && after.mode === "shared");

export function makeLock(): Lock {
  let queue: Waiter[] = [];
  const serve = (): void => {
    const before: Waiter[] = [];
    // Those that are not here yet, and those of their turns that wait for them.
    const away: Waiter[] = [];
    for (const waiter of queue) {
      if (!waiter.holding && (!waiter.here || away.some((each) => inTurnBehind(each, waiter)))) {
        away.push(waiter);
        continue;
      }
      const free = waiter.mode === "exclusive" ? before.length === 0 : before.every((each) => each.mode === "shared");
      if (!free) return;
      before.push(waiter);
      if (waiter.holding) continue;
      waiter.holding = true;
      waiter.grant();
    }
  };
  return {
    request: (mode, ahead) => {
      let grant = (): void => {};
      const held = new Promise<void>((resolve) => {
        grant = resolve;
      });
      const waiter: Waiter = { mode, turn: ahead?.turn, here: !ahead, holding: false, grant };
      queue.push(waiter);
      serve();
      return {
        held,
        come: () => {
          const place = queue.indexOf(waiter);
          if (waiter.here || place < 0) return;
          waiter.here = true;
          // Those of its turn that are here already have waited for it, and come with it.
          const comes = queue.filter(
            (each, at) => each === waiter || (at > place && !each.holding && inTurnBehind(waiter, each)),
          );
          queue = [...queue.filter((each) => !comes.includes(each)), ...comes];
          serve();
        },
        release: () => {
          queue = queue.filter((each) => each !== waiter);
          serve();
        },
      };
    },
  };
}
