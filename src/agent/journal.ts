/**
 * What a code body has done, as its log has it: each thing that it asks for has its place, counted from 0 as the body asks, and is a call whose id
 * says the place. A body that is run again asks for the same at the same places, and gets the outcomes in the order in which they came, so that
 * what follows from that order comes out the same, too.
 */
import type { LiveScope } from "../scope/scope.ts";
import { type Call, getBytes } from "../scope/thread.ts";
import { cameThrough, viewOf } from "../scope/view.ts";
import { decodeJson } from "../trace/bytes.ts";
import type { Json, Link } from "../trace/ports.ts";
import type { Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { lastTurnOver } from "./steps.ts";

export const placeId = (place: number): string => `op_${place}`;

export interface Recorded {
  place: number;
  call: Call;
  step: Step;
}

/** What is known of a body, and the order in which it came about. */
export interface History {
  known: ReadonlyMap<number, Recorded>;
  events: ReadonlyArray<{ place: number; is: "intent" | "outcome" }>;
}

export interface Journal {
  /** Tells that the body has come to a place. */
  arrive(place: number): void;
  /** Resolves when all that is recorded has been given to the body. */
  over: Promise<void>;
  /** What the body has not come to. */
  left(): Recorded[];
  /** Nothing is waited for any more. */
  close(): void;
}

/** What a step of a code body asks for; null for every other step. */
export async function placeOf(store: EmbeddedStore, { intent }: Step): Promise<{ place: number; call: Call } | null> {
  if ((intent.kind !== "effect" && intent.kind !== "tool") || typeof intent.agent !== "string") return null;
  const call = decodeJson(await getBytes(store, intent.what as Link)) as unknown as Call;
  return { place: Number(/^op_(\d+)$/.exec(call.id)?.[1] ?? -1), call };
}

/** The input with which a step acted last: the one that it was asked with, unless a gate had changed that. */
export async function actedOn(store: EmbeddedStore, log: string, { n, parts }: Step, asked: Json): Promise<Json> {
  if (parts === 0) return asked;
  let changed: Link | null = null;
  let acted: Link | null = null;
  for await (const { frame } of store.logs.readFrom(log, null)) {
    if (frame.n !== n) continue;
    if (frame.phase === "part" && frame.facts.part === "rewrite") changed = frame.facts.what as Link;
    if (frame.phase !== "note" || frame.facts.note !== "allowed") continue;
    // Each attempt is asked about anew.
    acted = changed;
    changed = null;
  }
  return acted === null ? asked : decodeJson(await getBytes(store, acted));
}

/** Whether its outcome came of the effect, and not of what stopped it: else it is asked for anew. */
const counts = ({ outcome, outcomeWitness }: Step): boolean =>
  outcome === null || outcomeWitness.inDoubt === true || (outcome.status !== "aborted" && outcome.status !== "not-run");

/** What stands in the log of a scope, and in those that it was forked from, of the body that is about a thread. */
export async function readHistory(scope: LiveScope, thread: string): Promise<History> {
  const { store, writer, ref } = scope;
  const since = lastTurnOver(writer.fold);
  const path = [
    ...(await cameThrough(store, viewOf(scope))).reverse(),
    ...writer.fold
      .pending()
      .filter((step) => step.intentSeq > since)
      .map((step) => ({ log: ref.log, step })),
  ].filter(({ step }) => step.intent.thread === thread && counts(step));
  const known = new Map<number, Recorded>();
  const events: Array<{ log: number; seq: number; place: number; is: "intent" | "outcome" }> = [];
  const logs: string[] = [];
  for (const { log, step } of path) {
    const found = await placeOf(store, step);
    if (!found) continue;
    known.set(found.place, { ...found, step });
    if (!logs.includes(log)) logs.push(log);
    const at = { log: logs.indexOf(log), place: found.place };
    events.push({ ...at, seq: step.intentSeq, is: "intent" });
    if (step.outcome) events.push({ ...at, seq: step.outcomeSeq, is: "outcome" });
  }
  events.sort((a, b) => a.log - b.log || a.seq - b.seq);
  return { known, events };
}

/** So long a body is waited for that does not come to what it came to before, in ms: then the rest of what is known is given to it. */
const PATIENCE = 30_000;

/** @param give gives a recorded outcome to the body, which has asked for it; resolves when the body has had the time to ask for more */
export function follow({ known, events }: History, give: (recorded: Recorded) => Promise<void>): Journal {
  const arrived = new Set<number>();
  let end = (): void => {};
  const over = new Promise<void>((resolve) => {
    end = resolve;
  });
  let next = 0;
  let going = false;
  let timer: NodeJS.Timeout | undefined;
  const go = async (patient: boolean): Promise<void> => {
    if (going) return;
    going = true;
    clearTimeout(timer);
    for (; next < events.length; next++) {
      const { place, is } = events[next]!;
      const here = arrived.has(place);
      if (is === "intent" && patient && !here) break;
      // What it never asked for cannot be given to it.
      if (is === "outcome" && here) await give(known.get(place)!);
    }
    going = false;
    if (next === events.length) end();
    else if (arrived.has(events[next]!.place)) void go(true);
    else timer = setTimeout(() => void go(false), PATIENCE).unref();
  };
  void go(true);
  return {
    arrive: (place) => {
      arrived.add(place);
      void go(true);
    },
    over,
    left: () => [...known.values()].filter(({ place }) => !arrived.has(place)),
    close: () => clearTimeout(timer),
  };
}
