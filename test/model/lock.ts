/** Whose turn it is for the scope's lock. */
import { attempt, isAllowed, isCall, isContainer, pending } from "./query.ts";
import { modeOf, type Step, type Trace } from "./seal.ts";
import type { Live } from "./types.ts";

/** Two that only read have no order. */
const inTurnBefore = (o: Step, s: Step): boolean =>
  s.intent.links.turn !== undefined &&
  o.intent.links.turn === s.intent.links.turn &&
  o.n < s.n &&
  !(modeOf(o) === "shared" && modeOf(s) === "shared");

/** Whether the gate lets a call to the lock: "irreversible: gated before". */
export const passedGate = (t: Trace, s: Step): boolean => s.intent.facts.tier !== "irreversible" || isAllowed(t, s.n);

/**
 * When a call came to the lock: with its intent, its newest attempt or the gate's word, whichever is last, and not before the calls of its
 * turn with smaller n. Null while it, or one of those, still stands before the gate or the user.
 */
function came(t: Trace, live: Live, waiting: readonly Step[], s: Step): number | null {
  if (live.asked.includes(s.n) || !passedGate(t, s)) return null;
  const again = s.parts.filter((p) => attempt(s) > 1 && "attempt" in p.facts);
  const gated = s.intent.facts.tier === "irreversible";
  const word = t.frames.filter((f) => gated && f.phase === "note" && f.n === s.n && f.facts.note === "allowed");
  const own = Math.max(s.intent.seq, ...[...again, ...word].map((f) => f.seq));
  const earlier = waiting.filter((o) => inTurnBefore(o, s)).map((o) => came(t, live, waiting, o));
  return earlier.includes(null) ? null : Math.max(own, ...(earlier as number[]));
}

/** "Calls take the scope's lock: shared for tools declared read-only by name, exclusive for all others, first come first served, inside a turn by n." */
export function mayLock(t: Trace, live: Live, s: Step): boolean {
  const shared = (n: number) => pending(t).some((o) => o.n === n && o.intent.facts.call?.mode === "shared");
  const free = shared(s.n) ? live.holders.every(shared) : live.holders.length === 0;
  const waiting = pending(t).filter((o) => isCall(o) && !isContainer(o) && !live.holders.includes(o.n));
  const mine = came(t, live, waiting, s);
  if (!free || mine === null) return false;
  return waiting.every((o) => {
    const theirs = came(t, live, waiting, o);
    return o.n === s.n || theirs === null || mine < theirs || (mine === theirs && s.n < o.n);
  });
}
