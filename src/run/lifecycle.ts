/** The life of a run, as it is written down: notes in its log, and whether somebody drives it now. */

import type { LiveScope } from "../scope/scope.ts";
import { putBytes } from "../scope/thread.ts";
import type { View } from "../scope/view.ts";
import type { Frame } from "../trace/frame.ts";
import type { Json, Owner } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import type { Writer } from "../trace/writer.ts";

/** How a run ended: `done`, `failed` (the work), `aborted` (the user), `error` (the model or the host). */
export type Ending = "done" | "failed" | "aborted" | "error";

export type RunState = "running" | "paused" | "waiting" | "idle" | "interrupted" | "discarded" | Ending;

export const noteStarted = (writer: Writer, by: string): Promise<void> =>
  writer.note(null, { note: "run", state: "started", by });

export const noteEnded = (writer: Writer, ending: Ending): Promise<void> =>
  writer.note(null, { note: "run", state: "ended", ending });

/** Who does something, by which right, and why: members of a witness. */
type Said = { [key: string]: Json };

export const notePaused = (writer: Writer, witness: Said): Promise<void> =>
  writer.note(null, { note: "run", state: "paused" }, { witness });

export const noteResumed = (writer: Writer, witness: Said): Promise<void> =>
  writer.note(null, { note: "run", state: "resumed" }, { witness });

/** Who has ended a run before it was done, and why: in their words. */
export async function noteCancelled({ store, writer }: LiveScope, witness: Said, reason: string): Promise<void> {
  const why = await putBytes(store, Buffer.from(reason.toWellFormed()));
  await writer.note(null, { note: "cancelled", why }, { witness });
}

/** Why a run failed: the name of an error, and its words. */
export async function noteFailed({ store, writer }: LiveScope, code: string, message: string): Promise<void> {
  const why = await putBytes(store, Buffer.from(message.toWellFormed()));
  await writer.note(null, { note: "failed", code, why });
}

/** What calls wait for: their steps, and names of gates that are not there. No steps: nothing waits any more. */
export interface Waiting {
  steps: number[];
  gates: string[];
}

export const noteWaiting = (writer: Writer, { steps, gates }: Waiting): Promise<void> =>
  writer.note(null, { note: "waiting", steps, ...(gates.length > 0 && { gates }) });

/** What a frame says to wait for a person, or a gate; null for every other frame. */
export const waitingIn = ({ phase, facts }: Pick<Frame, "phase" | "facts">): Waiting | null =>
  phase === "note" && facts.note === "waiting"
    ? { steps: facts.steps as number[], gates: Array.isArray(facts.gates) ? (facts.gates as string[]) : [] }
    : null;

/** Whether the run lands as it goes on: who reverts it later then sets the user's directory back too. */
export const noteLand = (writer: Writer, how: "live" | "ask"): Promise<void> =>
  writer.note(null, { note: "land", how });

export const landsLive = ({ fold }: Pick<View, "fold">): boolean => fold.notes.get("land")?.facts.how === "live";

/** How a run ended whose owner has gone, or is about to. */
export function endOf({ fold }: View): RunState {
  const last = fold.notes.get("run")?.facts;
  if (!last) return "idle";
  return last.state === "ended" ? (last.ending as Ending) : "interrupted";
}

/** How a run stands: from its notes, and from whether its owner lives. `waits`: for what, where it waits. */
export async function stateOf(
  store: EmbeddedStore,
  view: View,
): Promise<{ state: RunState; owner: Owner | null; waits?: Waiting }> {
  if (view.ref?.discarded) return { state: "discarded", owner: null };
  const owner = await store.leases.holder(`log/${view.log}`);
  const last = view.fold.notes.get("run")?.facts;
  if (owner && last?.state === "paused") return { state: "paused", owner };
  if (!owner) return { state: endOf(view), owner };
  const waits = waitsNow(view);
  return waits ? { state: "waiting", owner, waits } : { state: "running", owner };
}

/** What an earlier owner waited for does not count. */
function waitsNow({ fold }: View): Waiting | null {
  const waiting = fold.notes.get("waiting");
  if (waiting === undefined || waiting.epoch !== fold.notes.get("run")?.epoch) return null;
  const waits = waitingIn(waiting)!;
  return waits.steps.length > 0 ? waits : null;
}
