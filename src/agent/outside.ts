/** Driving workers that the library does not define, by the command `shepherd`. */

import { resumeElsewhere } from "../run/child.ts";
import { connect } from "../run/connect.ts";
import type { Control } from "../run/control.ts";
import { framesToTheEnd } from "../run/follow.ts";
import { endOf } from "../run/lifecycle.ts";
import { socketPath } from "../run/socket.ts";
import { type Task, taskOf } from "../run/start.ts";
import { getBytes } from "../scope/thread.ts";
import type { View } from "../scope/view.ts";
import { frameHash } from "../trace/logs.ts";
import type { Json } from "../trace/ports.ts";
import { type Step, startFold } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { Cancelled, Conflict, Failed, Invalid, ShepherdError } from "./errors.ts";
import { stopRun } from "./operations.ts";
import type { Spending } from "./spending.ts";
import { refOf, resultIn, viewIn } from "./watching.ts";

export interface Following {
  signal: AbortSignal;
  /** Shared with all that it calls, or of its own. */
  budget: Spending;
  instruction?: string | undefined;
  model?: string | undefined;
  land?: "never" | "auto" | "live";
  /** Who stops it, where it is stopped. */
  who: string;
  /** Called once it is driven. */
  begun?(): void;
}

/**
 * Drives a run to its end in another process, and gives its result. Where somebody drives it already, that is waited for. Rejects once `signal` aborts,
 * when the run stands.
 */
export async function driveOutside(store: EmbeddedStore, name: string, following: Following): Promise<Json> {
  const { signal, budget, begun = () => {}, who, ...options } = following;
  const { log } = await refOf(store, name);
  signal.throwIfAborted();
  const driven = async (): Promise<boolean> => (await store.leases.holder(`log/${log}`)) !== null;
  const taken = await driven();
  // A body that is run again comes here for a run that is done: an agent finds that out, a command would be started anew.
  const view = await viewIn(store, name);
  if (!taken && endOf(view) === "done" && (await taskOf(store, name)).worker === "command")
    return outsideResult(store, view);
  const child = taken ? null : resumeElsewhere(store, name, options);
  const over = new AbortController();
  const stop = (why: Error): Promise<void> =>
    stopRun(store, name, why.message, { by: { who, right: "cancel" } }).catch(() => {});
  const onAbort = (): void => void stop(signal.reason instanceof Error ? signal.reason : new Error("stopped"));
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  const seen = (await store.logs.end(log)).seq;
  const counted = (async () => {
    const fold = startFold((await store.logs.header(log))!);
    for await (const frame of framesToTheEnd(store, log, over.signal)) {
      fold.push(frame, frameHash(frame));
      if (frame.seq < seen || frame.phase === "part") continue;
      if (frame.phase === "note" && frame.facts.note === "run" && frame.facts.state === "started") begun();
      if (frame.phase !== "outcome" || fold.steps.get(frame.n)?.intent.kind !== "model") continue;
      budget.add(frame.facts, frame.witness ?? {});
      const decided = await budget.handler.handle({ kind: "model", n: frame.n } as never, over.signal);
      if (decided.kind === "deny") void stop(new Error(decided.reason));
    }
  })();
  counted.catch(() => {});
  try {
    const end = child ? await child.ended : await untilFree(driven, signal);
    // What it wrote last is counted too.
    const late = setTimeout(() => over.abort(), 1000);
    await counted.catch(() => {});
    clearTimeout(late);
    if (signal.aborted) throw signal.reason;
    if (budget.over) throw budget.over;
    return await resultOr(store, name, end);
  } finally {
    over.abort();
    signal.removeEventListener("abort", onAbort);
  }
}

const LOOK = 100;

async function untilFree(driven: () => Promise<boolean>, signal: AbortSignal): Promise<null> {
  while (await driven()) {
    await new Promise((resolve) => setTimeout(resolve, LOOK));
    if (signal.aborted && !(await driven())) break;
  }
  return null;
}

/** The result of a run that has ended; where there is none, what the command said of that. */
async function resultOr(store: EmbeddedStore, name: string, end: { code: number; said: string } | null): Promise<Json> {
  try {
    return await outsideResult(store, await viewIn(store, name));
  } catch (error) {
    if (!end || end.code === 0 || end.said === "" || !(error instanceof Failed || error instanceof Conflict))
      throw error;
    const about = { run: name, cause: error };
    if (end.code === 2) throw new Invalid(end.said, about);
    if (end.code === 3) throw new Conflict(end.said, about);
    throw new Failed(end.said, about);
  }
}

/** What a run came to that no program has defined: what its agent said last, or what its command printed. */
export async function outsideResult(store: EmbeddedStore, view: View): Promise<Json> {
  const name = view.ref!.name;
  const task: Task = await taskOf(store, name);
  const about = { name: task.agent?.name ?? name, output: null, ...(task.agent?.body && { body: true }) };
  if (task.worker !== "command" && task.worker !== "gateway") return resultIn(store, view, about);
  const last = view.fold.sealed.findLast(({ intent }) => intent.kind === "command");
  // Throws where it has not ended well, and why.
  await resultIn(store, view, about).catch(async (error: unknown) => {
    if (!(error instanceof ShepherdError) || error instanceof Cancelled || !last) throw error;
    const { code } = last.outcome!;
    if (typeof code !== "number" || code === 0) throw error;
    const words = (await printed(store, last)).trim().slice(-MOST_WORDS).toWellFormed();
    const said = words === "" ? "." : `:\n${words}`;
    throw new Failed(`The command of ${name} ended with code ${code}${said}`, {
      run: name,
      step: last.n,
      cause: error,
    });
  });
  return last ? printed(store, last) : "";
}

/** More of what a command that failed has printed is not told, in characters. */
const MOST_WORDS = 4000;

const printed = async (store: EmbeddedStore, { outcome }: Step): Promise<string> =>
  outcome?.result ? (await getBytes(store, outcome.result)).toString() : "";

/** What gates that are set on a handle need of whoever drives the run: its socket, as if it were here. */
export function controlOf(store: EmbeddedStore, log: string): Control["methods"] {
  let owner: ReturnType<typeof connect> | null = null;
  return {
    gate: async (params, send, closed) => {
      owner = connect(socketPath(store, log), closed);
      const to = await owner;
      return to.request("gate", params, (event) => void send(event)).finally(() => to.close());
    },
    answer: async (params) => (await owner!).request("answer", params),
  };
}
