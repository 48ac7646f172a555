/** The supervisor before the calls of its workers: each is judged at once, by rules, before it acts. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Connection } from "../../run/connect.ts";
import { connect } from "../../run/connect.ts";
import type { GateEvent } from "../../run/gate.ts";
import { socketPath } from "../../run/socket.ts";
import type { Json } from "../../trace/ports.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import type { Tail } from "./tails.ts";

export interface Asked {
  run: string;
  n: number;
  tool: string;
  tier: string;
  input: Json;
}

/** `rewrite`: it is performed with another input. */
export type Judged =
  | { kind: "allow" }
  | { kind: "deny"; reason: string }
  | { kind: "rewrite"; input: Json; reason: string };

/** What was said of a call. */
export interface Verdict extends Asked {
  decision: Judged["kind"];
  reason: string | null;
  /** From when it was asked here until it was answered, in ms. */
  ms: number;
}

export interface Gates {
  /** Stands before the calls of a run for as long as somebody drives it. */
  ensure(tail: Tail): void;
  close(): void;
}

export interface GatesOptions {
  store: EmbeddedStore;
  /** What the gate asks and is told as. */
  params: { [key: string]: Json };
  judge(asked: Asked): Promise<Judged>;
  judged(verdict: Verdict): void;
}

/** So often it is tried whether a run that begins to be driven listens, in ms, and how often. */
const PAUSE = 20;
const TRIES = 250;

export function openGates({ store, params, judge, judged }: GatesOptions): Gates {
  let closed = false;
  const attached = new Set<string>();
  const open = new Set<Connection>();

  async function stand({ name, log }: Tail): Promise<void> {
    for (let tries = 0; tries < TRIES && !closed; tries++) {
      const owner = await connect(socketPath(store, log)).catch(() => null);
      if (owner) return follow(name, owner);
      await sleep(PAUSE, undefined, { ref: false });
    }
  }

  async function follow(run: string, owner: Connection): Promise<void> {
    const hear = async (event: GateEvent): Promise<void> => {
      if (event.type !== "ask") return;
      const began = performance.now();
      const { id, n, tool, tier, input } = event;
      const asked = { run, n, tool, tier, input };
      const said = await judge(asked).catch(failed);
      // Somebody else may have answered in between, or the run has ended: what counts stands in its log.
      await owner.request("answer", { id, answer: said as unknown as Json });
      const reason = said.kind === "allow" ? null : said.reason;
      judged({ ...asked, decision: said.kind, reason, ms: Math.round((performance.now() - began) * 100) / 100 });
    };
    try {
      await owner.request(
        "gate",
        { asks: true, ...params },
        (event) => void hear(event as unknown as GateEvent).catch(() => {}),
      );
    } finally {
      open.delete(owner);
      owner.close();
    }
  }
  return {
    ensure: (tail) => {
      if (attached.has(tail.name) || closed) return;
      attached.add(tail.name);
      void stand(tail)
        .catch(() => {})
        .finally(() => attached.delete(tail.name));
    },
    close: () => {
      closed = true;
      for (const owner of open) owner.close();
    },
  };
}

/** Where judging fails, nothing passes. */
const failed = (error: unknown): Judged => ({
  kind: "deny",
  reason: `the supervisor failed: ${error instanceof Error ? error.message : String(error)}`,
});
