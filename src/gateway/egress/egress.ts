/** What a scope may reach outside while it is driven, and what of it is written down. */
import type { Socket } from "node:net";
import type { Place } from "../../scope/network.ts";
import type { Grants } from "../../scope/registry.ts";
import type { LiveScope } from "../../scope/scope.ts";
import type { Tier } from "../../trace/frame.ts";
import { type Entry, makeLedger } from "./ledger.ts";
import { judge } from "./policy.ts";
import { makeReach, type Reach, Unreachable } from "./reach.ts";

/** A connection that was made. */
export interface Outside {
  socket: Socket;
  entry: Entry;
  /** Aborts when the scope is not driven any more. */
  signal: AbortSignal;
}

export interface Egress {
  /**
   * Runs `work` with a connection to a place, which is closed behind it. Throws `Unreachable` where it may not be made or cannot: then `work` has
   * not begun.
   */
  to(place: Place, signal: AbortSignal, work: (outside: Outside) => Promise<void>): Promise<void>;
  /** The highest tier of what a call did outside, which has ended. */
  observed(n: number): Tier | undefined;
  /** Ends all connections; at return what they did is written down. */
  close(): Promise<void>;
}

export interface EgressOptions {
  /** Numbers of the calls that are being performed. */
  running: () => number[];
  /** Called with a sentence, once for each place that is refused. */
  onRefused?: ((sentence: string) => void) | undefined;
  reach?: Reach;
  /** Where less is granted than those it stands for had: what these refuse it refuses in the same words. */
  instead?: Grants | undefined;
}

/** Of so many places that are refused the user hears at most. */
const MOST_TOLD = 50;
/** So many connections at once, which is far more than anybody needs, and leaves files for the gateway itself. */
const MOST = 256;

export function openEgress(
  scope: LiveScope,
  { running, onRefused, reach = makeReach(), instead }: EgressOptions,
): Egress {
  const ledger = makeLedger(scope, running);
  const closing = new AbortController();
  const open = new Set<Promise<void>>();
  const told = new Set<string>();

  /** Tells the user of a place that is refused, once. */
  const tell = (error: Error): Error => {
    if (!(error instanceof Unreachable) || error.status !== 403) return error;
    if (told.size >= MOST_TOLD || told.has(error.message)) return error;
    told.add(error.message);
    onRefused?.(error.message);
    if (told.size === MOST_TOLD)
      onRefused?.("More places that are refused are not told here: `shepherd show` has them.");
    return error;
  };

  const to: Egress["to"] = async (place, left, work) => {
    const signal = AbortSignal.any([closing.signal, left]);
    signal.throwIfAborted();
    const verdict = judge(place, scope.grants);
    if (!verdict.allowed) {
      await ledger.refused(place, verdict);
      const was = instead && judge(place, instead);
      throw tell(new Unreachable(403, was && !was.allowed ? was.sentence : verdict.sentence));
    }
    if (open.size >= MOST) throw new Unreachable(503, `A run has at most ${MOST} connections at once: close some.`);
    const run = async (): Promise<void> => {
      const entry = await ledger.allowed(place, verdict);
      let socket: Socket | null = null;
      try {
        socket = await reach(place, verdict.named, signal);
        await work({ socket, entry, signal });
      } catch (error) {
        throw tell(error as Error);
      } finally {
        socket?.destroy();
        await entry.end(socket?.bytesWritten ?? 0, socket?.bytesRead ?? 0);
      }
    };
    const done = run();
    open.add(done);
    return done.finally(() => open.delete(done));
  };

  return {
    to,
    observed: ledger.observed,
    close: async () => {
      closing.abort(new Error("The run is over."));
      while (open.size > 0) await Promise.allSettled([...open]);
      await ledger.close();
    },
  };
}
