/** The logs of many runs as they grow: each frame is read once, and folded in, however many look. */
import { waitingIn } from "../../run/lifecycle.ts";
import { findScope, NameError } from "../../scope/registry.ts";
import type { Frame } from "../../trace/frame.ts";
import { frameHash } from "../../trace/logs.ts";
import { type Fold, type Step, startFold } from "../../trace/seal.ts";
import type { EmbeddedStore } from "../../trace/store.ts";

/** One run as far as it is read. */
export interface Tail {
  readonly name: string;
  readonly log: string;
  readonly fold: Fold;
  /** Sequence number of the next frame. */
  readonly seq: number;
}

/** A frame that came, with what it sealed. */
export interface Heard {
  tail: Tail;
  frame: Frame;
  sealed: readonly Step[];
  /** When it was read, in ms since the epoch. */
  at: number;
}

export interface Tails {
  /** Reads a run from its beginning on. Resolves once all that stands there now is read. Throws `NameError` where there is none. */
  add(name: string): Promise<Tail>;
  get(name: string): Tail | undefined;
  all(): Tail[];
  /** Resolves once all that is written now is read. */
  caughtUp(): Promise<void>;
  /** Calls back for each frame that comes. Gives the way to end that. */
  hear(listener: (heard: Heard) => void): () => void;
  close(): Promise<void>;
}

/** Whether a frame says something of how a run does, and not only of how its record grows. */
export const matters = ({ phase, facts }: Frame): boolean =>
  phase === "outcome" ||
  phase === "intent" ||
  (phase === "note" && (facts.note === "run" || facts.note === "waiting" || facts.note === "cancelled"));

/** Whether a call waits for somebody, as far as a frame says. */
export const waits = (frame: Frame): boolean => (waitingIn(frame)?.steps.length ?? 0) > 0;

export function openTails(store: EmbeddedStore): Tails {
  const stop = new AbortController();
  const tails = new Map<string, { seq: number } & Omit<Tail, "seq">>();
  const listeners = new Set<(heard: Heard) => void>();
  const reading: Array<Promise<void>> = [];
  let failed: unknown = null;
  let wake: Array<() => void> = [];

  const take = (tail: { seq: number } & Omit<Tail, "seq">, frame: Frame): void => {
    const sealed = tail.fold.push(frame, frameHash(frame));
    tail.seq = frame.seq + 1;
    const heard = { tail, frame, sealed, at: Date.now() };
    for (const each of listeners) each(heard);
    for (const each of wake.splice(0)) each();
  };
  const follow = async (tail: { seq: number } & Omit<Tail, "seq">): Promise<void> => {
    for await (const frame of store.logs.tail(tail.log, 0, { signal: stop.signal })) take(tail, frame);
  };
  const reached = async (tail: Tail): Promise<void> => {
    const { seq } = await store.logs.end(tail.log);
    while (tail.seq < seq && !stop.signal.aborted) {
      if (failed) throw failed;
      await new Promise<void>((resolve) => wake.push(resolve));
    }
  };
  return {
    add: async (name) => {
      const known = tails.get(name);
      if (known) return known;
      const ref = await findScope(store, name);
      if (!ref) throw new NameError(`There is no run ${name}: \`shepherd status\` lists them.`);
      const tail = { name, log: ref.log, fold: startFold((await store.logs.header(ref.log))!), seq: 0 };
      tails.set(name, tail);
      reading.push(
        follow(tail).catch((error: unknown) => {
          failed ??= error;
          for (const each of wake.splice(0)) each();
        }),
      );
      await reached(tail);
      return tail;
    },
    get: (name) => tails.get(name),
    all: () => [...tails.values()],
    caughtUp: async () => {
      for (const tail of tails.values()) await reached(tail);
    },
    hear: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: async () => {
      stop.abort();
      wake.splice(0).forEach((each) => {
        each();
      });
      wake = [];
      await Promise.all(reading);
    },
  };
}
