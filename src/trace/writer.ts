/** The one writer of a log: chains frames, keeps the fold of what it wrote, and is told when it has been fenced. */

import { frameHash, headerHash, makeFrame } from "./chain.ts";
import type { Frame, IntentFacts, Links, OutcomeFacts } from "./frame.ts";
import type { Carry, Hash, Json, Objects, Store } from "./ports.ts";
import { type Fold, type FoldSnapshot, type Step, startFold } from "./seal.ts";
import { serial } from "./serial.ts";

/** Thrown where another process has taken over the log. */
export class Fenced extends Error {
  constructor(log: string) {
    super(`Another process has taken over log ${log}; this one may not write it any more.`);
  }
}

export interface Extra {
  links?: Links;
  carry?: Carry;
  witness?: { [key: string]: Json };
}

export interface Writer {
  readonly log: string;
  readonly epoch: number;
  readonly fold: Fold;
  /** Writes an intent and gives the number of its step. Written at return. */
  intent(facts: IntentFacts, extra?: Extra): Promise<number>;
  part(n: number, facts: { [key: string]: Json }, extra?: Extra): Promise<void>;
  /** Writes an outcome and gives the steps that it sealed. Written at return, with the commits. */
  outcome(n: number, facts: OutcomeFacts, extra?: Extra): Promise<Step[]>;
  note(n: number | null, facts: { note: string; [key: string]: Json }, extra?: Extra): Promise<void>;
  /** Synced when it resolves: all that was written before the call. */
  sync(): Promise<void>;
  /** Calls back for each frame that counts and the steps that it sealed, in order, from now on. */
  watch(seen: (frame: Frame, sealed: readonly Step[]) => void): () => void;
}

interface Draft {
  phase: Frame["phase"];
  n: number | null;
  facts: unknown;
  extra: Extra;
}

/** Reads a log from its start into a fold; `store` gets back what follows from it. */
export async function readFold(
  store: { logs: Store["logs"] },
  log: string,
  derived?: Objects,
): Promise<{ fold: Fold; seq: number; prev: Hash }> {
  const header = await store.logs.header(log);
  if (!header) throw new Error(`There is no log ${log} in this store.`);
  const made: Buffer[] = [];
  const fold = startFold(header, derived ? (bytes) => made.push(bytes) : undefined);
  let seq = 0;
  let prev: Hash = "";
  for await (const frame of store.logs.read(log)) {
    prev = frameHash(frame);
    fold.push(frame, prev);
    seq = frame.seq + 1;
    if (derived) for (const bytes of made.splice(0)) await derived.put(bytes);
  }
  return { fold, seq, prev };
}

/**
 * @param epoch from the lease on the log, which the caller holds and gives back.
 * @param from what was folded before, so that the log need not be read from its start.
 */
export async function openWriter(
  store: { logs: Store["logs"]; derived: Objects },
  log: string,
  epoch: number,
  from?: FoldSnapshot & { seq: number; prev: Hash },
): Promise<Writer> {
  const header = await store.logs.header(log);
  if (!header) throw new Error(`There is no log ${log} in this store.`);
  const made: Buffer[] = [];
  const fold = startFold(header, (bytes) => made.push(bytes), from);
  let seq = from?.seq ?? 0;
  let prev = from?.prev ?? headerHash(header);
  const watchers = new Set<(frame: Frame, sealed: readonly Step[]) => void>();

  const take = async (frame: Frame): Promise<Step[]> => {
    if (frame.epoch > epoch) throw new Fenced(log);
    prev = frameHash(frame);
    seq = frame.seq + 1;
    const sealed = fold.push(frame, prev);
    for (const watcher of watchers) {
      try {
        watcher(frame, sealed);
      } catch (error) {
        // The frame is written, whatever becomes of those who look.
        process.emitWarning(error as Error);
      }
    }
    // What follows from the frame can be made from it again; a full disk is told by the next frame.
    for (const bytes of made.splice(0)) await store.derived.put(bytes).catch(() => {});
    return sealed;
  };
  const catchUp = async (): Promise<boolean> => {
    const before = seq;
    for await (const frame of store.logs.read(log, seq)) await take(frame);
    return seq > before;
  };

  // Frames of concurrent steps are written one after the other.
  const inOrder = serial();
  const append = (draft: Draft): Promise<{ frame: Frame; sealed: Step[] }> =>
    inOrder(async () => {
      for (;;) {
        const n = draft.phase === "intent" ? fold.next() : draft.n;
        const { links, carry, witness } = draft.extra;
        const frame = makeFrame({
          v: 1,
          seq,
          epoch,
          n,
          phase: draft.phase,
          prev,
          facts: draft.facts,
          ...(links && { links }),
          ...(carry && { carry }),
          ...(witness && { witness }),
        });
        // What breaks a law would make the log unreadable.
        const wrong = fold.refuses(frame);
        if (wrong) throw new Error(wrong);
        if (await store.logs.append(log, seq, epoch, [frame])) return { frame, sealed: await take(frame) };
        if (!(await catchUp())) throw new Fenced(log);
      }
    });

  await catchUp();
  return {
    log,
    epoch,
    fold,
    intent: async (facts, extra = {}) => {
      const witness = { at: Date.now(), ...extra.witness };
      return (await append({ phase: "intent", n: null, facts, extra: { ...extra, witness } })).frame.n!;
    },
    part: async (n, facts, extra = {}) => {
      await append({ phase: "part", n, facts, extra });
    },
    outcome: async (n, facts, extra = {}) => (await append({ phase: "outcome", n, facts, extra })).sealed,
    note: async (n, facts, extra = {}) => {
      await append({ phase: "note", n, facts, extra: { ...extra, witness: { at: Date.now(), ...extra.witness } } });
    },
    sync: async () => {
      await inOrder(async () => {});
      await store.logs.sync(log);
    },
    watch: (seen) => {
      watchers.add(seen);
      return () => watchers.delete(seen);
    },
  };
}
