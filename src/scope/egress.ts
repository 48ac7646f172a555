/** What a step was seen to reach outside, from the notes of its log. */
import type { Json, Link } from "../trace/ports.ts";
import type { Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { getBytes } from "./thread.ts";

/** The name of those notes. */
export const EGRESS = "egress";

/** All connections of a step to one place. */
export interface Reached {
  /** `HOST:PORT`. */
  place: string;
  class: string;
  tier: string;
  /** Whether it was let pass; what is refused is told once, however often it was tried. */
  allowed: boolean;
  connections: number;
  /** Bytes that went out and came in, of connections that have ended; all they had, also before and behind the step. */
  sent: number;
  received: number;
}

export async function egressOf(store: EmbeddedStore, log: string, step: Step): Promise<Reached[]> {
  const found = new Map<string, Reached>();
  const connections = new Map<string, Reached>();
  // A connection that was opened before is told anew when something is sent on it.
  for await (const { phase, n, facts } of store.logs.read(log, step.intentSeq)) {
    if (phase !== "note" || facts.note !== EGRESS) continue;
    const { connection, state, allowed, also } = facts;
    if (state === "closed") {
      const reached = connections.get(String(connection));
      if (!reached) continue;
      reached.sent += count(facts.sent);
      reached.received += count(facts.received);
      continue;
    }
    if (n !== step.n && !(Array.isArray(also) && also.includes(step.n))) continue;
    const key = `${facts.what} ${allowed}`;
    const reached = found.get(key) ?? {
      place: (await getBytes(store, facts.what as Link)).toString(),
      class: String(facts.class),
      tier: String(facts.tier),
      allowed: allowed === true,
      connections: 0,
      sent: 0,
      received: 0,
    };
    found.set(key, reached);
    if (connection === undefined) continue;
    reached.connections++;
    connections.set(String(connection), reached);
  }
  return [...found.values()];
}

const count = (value: Json | undefined): number => (typeof value === "number" ? value : 0);
