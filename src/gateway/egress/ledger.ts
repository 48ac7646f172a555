/**
 * What is written down of connections: notes of the scope. One when it is asked for, before its first byte; one for each later call during which
 * something is sent on it; one at its end, with the bytes each way. Whose it is: the calls that run at that moment, or else the next call that
 * ends; what no call comes for is a step of its own.
 */
import { higherTier } from "../../scope/effect.ts";
import { EGRESS } from "../../scope/egress.ts";
import { authorityOf, type Place } from "../../scope/network.ts";
import { type LiveScope, record } from "../../scope/scope.ts";
import { putBytes } from "../../scope/thread.ts";
import type { Tier } from "../../trace/frame.ts";
import type { Json } from "../../trace/ports.ts";
import { serial } from "../../trace/serial.ts";
import type { Verdict } from "./policy.ts";

/** One connection that was allowed. */
export interface Entry {
  /** Something is about to be sent on it. */
  used(): void;
  /** Resolves once it is written down. */
  end(sent: number, received: number): Promise<void>;
}

export interface Ledger {
  /** Synced at return: it may be made. */
  allowed(place: Place, verdict: Verdict): Promise<Entry>;
  /** Of a place that is refused again and again during a step, the first time is written down; of ever new ones the first so many. */
  refused(place: Place, verdict: Verdict): Promise<void>;
  /** The highest tier of what a call did outside, which has ended. */
  observed(n: number): Tier | undefined;
  /** Writes down what belongs to no call. */
  close(): Promise<void>;
}

/** So many refusals are written down at most: a program that tries ever new names must not fill the log. */
const MOST_REFUSED = 1000;

/** @param running numbers of the calls that are being performed */
export function makeLedger(scope: LiveScope, running: () => number[]): Ledger {
  const { store, writer } = scope;
  const tiers = new Map<number, Tier>();
  const told = new Set<string>();
  let unowned: Tier | undefined;
  let connections = 0;

  const raise = (steps: readonly number[], tier: Tier): void => {
    for (const n of steps) tiers.set(n, higherTier(tier, tiers.get(n) ?? "reversible"));
    // What changes nothing outside needs nobody who answers for it.
    if (steps.length === 0 && tier === "irreversible") unowned = tier;
  };
  const note = async (steps: readonly number[], facts: { [key: string]: Json }): Promise<void> => {
    const [n = null, ...also] = steps;
    await writer.note(n, { note: EGRESS, ...facts, ...(also.length > 0 && { also }) });
  };
  const factsOf = async (place: Place, { allowed, class: kind, tier }: Verdict): Promise<{ [key: string]: Json }> => ({
    what: await putBytes(store, Buffer.from(authorityOf(place))),
    class: kind,
    tier,
    allowed,
  });

  return {
    allowed: async (place, verdict) => {
      const { tier } = verdict;
      const facts = { ...(await factsOf(place, verdict)), connection: `${writer.epoch}.${++connections}` };
      const steps = running();
      raise(steps, tier);
      await note(steps, { ...facts, state: "open" });
      await writer.sync();
      const known = new Set(steps);
      const inOrder = serial();
      // A log that takes no more frames is told by what writes its steps.
      const behind = (work: () => Promise<void>): Promise<void> => inOrder(work).catch(() => {});
      return {
        used: () => {
          const now = running();
          const fresh = now.filter((n) => !known.has(n));
          if (now.length === 0) raise([], tier);
          if (fresh.length === 0) return;
          for (const n of fresh) known.add(n);
          raise(fresh, tier);
          void behind(() => note(fresh, { ...facts, state: "used" }));
        },
        end: (sent, received) => behind(() => note(steps, { ...facts, state: "closed", sent, received })),
      };
    },
    refused: async (place, verdict) => {
      const steps = running();
      const key = `${steps[0] ?? ""} ${authorityOf(place)}`;
      if (told.has(key) || told.size >= MOST_REFUSED) return;
      told.add(key);
      await note(steps, { ...(await factsOf(place, verdict)), state: "refused" });
    },
    observed: (n) => {
      const own = tiers.get(n);
      tiers.delete(n);
      const all = unowned ?? own;
      unowned = undefined;
      return all;
    },
    close: async () => {
      const tier = unowned;
      unowned = undefined;
      if (tier) await record(scope, { kind: "work", tier: "reversible" }, { status: "done", tier, egress: true });
    },
  };
}
