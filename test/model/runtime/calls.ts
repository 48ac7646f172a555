/** Effects of a scope that do what they are told, when they are told. */
import type { Decision, Effect, Handler, Performed } from "../../../src/scope/effect.ts";
import type { LiveScope, Pending, Settled } from "../../../src/scope/scope.ts";
import type { Tier } from "../types.ts";

interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
}
function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

const aborted = <T>(signal: AbortSignal): Promise<T> =>
  new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });

/** A call, or a request, that has begun. */
export interface Call {
  readonly n: number;
  /** Whether it runs: it has passed the gate and has the lock that it needs. */
  readonly runs: () => boolean;
  readonly key: () => string;
  /** Observed above the declared tier. */
  tier?: Tier;
  /** It ends so. */
  end(performed: Performed): Promise<Settled>;
  /** It is stopped, and leaves no outcome. */
  stop(): Promise<void>;
}

export type Wanted = Omit<Effect, "run" | "refused" | "input"> & {
  /** How it ends where the gate refuses it. */
  readonly refuse: () => Promise<Performed>;
};

export interface Calls {
  /** Asked for each effect; what cannot be taken back waits for the user's word. */
  readonly gate: Handler;
  /** The user's word. */
  decide(n: number, decision: Decision): void;
  /** Begins an effect: as a new step, or as another attempt of step `n`. */
  start(live: LiveScope, wanted: Wanted, n?: number): Promise<Call>;
  readonly all: Map<number, Call>;
}

export function callsOf(): Calls {
  const words = new Map<number, Deferred<Decision>>();
  const all = new Map<number, Call>();
  const word = (n: number): Deferred<Decision> => {
    const known = words.get(n) ?? deferred<Decision>();
    words.set(n, known);
    return known;
  };
  return {
    all,
    gate: {
      name: "gate",
      handle: ({ n, tier }, signal) => {
        if (tier !== "irreversible") return { kind: "allow" };
        return Promise.race([word(n).promise, aborted<Decision>(signal)]);
      },
    },
    decide: (n, decision) => word(n).resolve(decision),
    start: async (live, wanted, n) => {
      const { refuse, ...rest } = wanted;
      const last = deferred<Performed>();
      const stopped = new AbortController();
      let running = false;
      let key = "";
      const effect: Effect = {
        ...rest,
        input: {},
        run: (attempt) => {
          running = true;
          key = attempt.key;
          return Promise.race([last.promise, aborted<Performed>(attempt.signal)]);
        },
        refused: refuse,
      };
      const pending: Pending =
        n === undefined ? await live.begin(effect, stopped.signal) : live.again(n, effect, stopped.signal);
      const call: Call = {
        n: pending.n,
        runs: () => running,
        key: () => key,
        end: async (performed) => {
          last.resolve(performed);
          const settled = await pending.settled;
          all.delete(pending.n);
          return settled;
        },
        stop: async () => {
          stopped.abort(new Error("It is stopped."));
          await pending.settled.catch(() => {});
          all.delete(pending.n);
        },
      };
      all.set(pending.n, call);
      return call;
    },
  };
}

/** Lets everything happen that waits for nothing from outside. */
export async function quiet(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}
/** Waits for what must come of itself; false if it does not. */
export async function comes(happened: () => boolean): Promise<boolean> {
  for (let turn = 0; turn < 200 && !happened(); turn++) await new Promise((resolve) => setImmediate(resolve));
  return happened();
}
