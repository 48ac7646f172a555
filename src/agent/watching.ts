/** What can be read of a run, whoever drives it: from its log. */
import { framesToTheEnd } from "../run/follow.ts";
import { endOf, stateOf } from "../run/lifecycle.ts";
import { findScope, type ScopeRef } from "../scope/registry.ts";
import { getBytes, getItem, itemsOf, textOf } from "../scope/thread.ts";
import { readLog, type View } from "../scope/view.ts";
import { decodeJson } from "../trace/bytes.ts";
import { frameHash } from "../trace/logs.ts";
import type { Json, Link } from "../trace/ports.ts";
import { type Step as Recorded, startFold, tierOf } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import type { Definition } from "./agent.ts";
import type { Effects } from "./effect.ts";
import { Cancelled, Conflict, errorNamed, Invalid } from "./errors.ts";
import { outputOf } from "./fit.ts";
import type { Handle } from "./handle.ts";
import { answerOf } from "./instruct.ts";
import { placeOf } from "./journal.ts";
import type { ObserveOptions, Step } from "./run.ts";
import { useExisting, withStore } from "./stores.ts";
import { threadOf } from "./thread.ts";

export async function refOf(store: EmbeddedStore, name: string): Promise<ScopeRef> {
  const ref = await findScope(store, name);
  if (!ref) throw new Invalid(`There is no run ${name}.`, { run: name });
  return ref;
}

export async function* observe(handle: Handle, options: ObserveOptions<Effects>): AsyncGenerator<Step> {
  const name = await handle.named;
  const { store, close } = await useExisting(handle.directory);
  try {
    yield* observeIn(store, await refOf(store, name), options);
  } finally {
    await close();
  }
}

/** The sealed steps of a run as they come, until it has ended. */
export async function* observeIn(
  store: EmbeddedStore,
  { log }: ScopeRef,
  { from = 0, filter = () => true }: ObserveOptions<Effects>,
): AsyncGenerator<Step> {
  const stop = new AbortController();
  const fold = startFold((await store.logs.header(log))!);
  try {
    for await (const frame of framesToTheEnd(store, log, stop.signal)) {
      for (const step of fold.push(frame, frameHash(frame))) {
        if (step.n < from) continue;
        const shown = await stepOf(store, step);
        if (filter(shown)) yield shown;
      }
      const ended = frame.phase === "note" && frame.facts.note === "run" && frame.facts.state === "ended";
      // Unless somebody has gone on with it since.
      if (ended && (await store.logs.end(log)).seq === frame.seq + 1) return;
    }
  } finally {
    stop.abort();
  }
}

export const stepsOf = async (handle: Handle): Promise<Step[]> => {
  const name = await handle.named;
  return withStore(handle.directory, async (store) => stepsIn(store, await viewIn(store, name)));
};

/** The own steps of a run, by number. */
export const stepsIn = async (store: EmbeddedStore, { fold }: View): Promise<Step[]> =>
  Promise.all([...fold.steps.values()].map((step) => stepOf(store, step)));

export const viewIn = async (store: EmbeddedStore, name: string): Promise<View> => {
  const ref = await refOf(store, name);
  return readLog(store, ref.log, ref);
};

export const headOf = async (handle: Handle): Promise<{ n: number; id: string } | null> => {
  const name = await handle.named;
  return withStore(handle.directory, async (store) => headIn(await viewIn(store, name)));
};

export const headIn = ({ fold }: View): { n: number; id: string } | null => {
  const { n, id } = fold.head();
  return id === null ? null : { n, id };
};

/** The result of a run that another process drives, or that has ended. */
export async function resultOf(handle: Handle): Promise<unknown> {
  const name = await handle.named;
  const { store, close } = await useExisting(handle.directory);
  try {
    for await (const _ of observeIn(store, await refOf(store, name), { filter: () => false }));
    const view = await viewIn(store, name);
    if (handle.definition.outside) return await (await import("./outside.ts")).outsideResult(store, view);
    const json = await resultIn(store, view, handle.definition);
    return await outputOf(handle.definition, json, name);
  } finally {
    await close();
  }
}

/** What a run that has ended came to, as plain data. Throws why there is none. */
export async function resultIn(
  store: EmbeddedStore,
  view: View,
  definition: Pick<Definition, "name" | "output"> & { body?: unknown },
): Promise<Json> {
  const run = view.ref!.name;
  const { fold } = view;
  const end = endOf(view);
  // Who drove it may still be closing it.
  const ended = end !== "interrupted" && end !== "idle" && !view.ref?.discarded;
  const state = ended ? end : (await stateOf(store, view)).state;
  const words = async (note: string): Promise<string> => {
    const why = fold.notes.get(note)?.facts.why;
    return typeof why === "string" ? (await getBytes(store, why as Link)).toString() : "";
  };
  if (state === "failed" || state === "error")
    throw errorNamed(String(fold.notes.get("failed")?.facts.code), (await words("failed")) || `${run} has failed.`, {
      run,
    });
  if (state === "aborted" || state === "discarded")
    throw new Cancelled((await words("cancelled")) || `${run} was stopped.`, { run, hint: "resume goes on with it." });
  if (state !== "done")
    throw new Conflict(`${run} has not ended: it is ${state}.`, {
      run,
      hint: state === "interrupted" ? "resume goes on with it." : "",
    });
  const thread = threadOf(fold.header.meta);
  if (definition.body) {
    const last = fold.sealed.findLast(
      ({ intent, outcome }) => intent.thread === thread && outcome?.status === "done" && outcome.result,
    );
    const found = last && (await placeOf(store, last));
    if (last && found?.call.name === "return") return decodeJson(await getBytes(store, last.outcome!.result!));
    throw new Conflict(`${run} has ended, and something has changed it since.`, {
      run,
      hint: "resume goes on with it.",
    });
  }
  const answer = await answerOf(definition, await itemsOf(store, fold.head().state?.threads[thread]));
  if ("wrong" in answer) throw new Invalid(`The answer of ${definition.name} does not fit: ${answer.wrong}.`, { run });
  return answer.value;
}

/** A step as users of the library see it. */
export async function stepOf(store: EmbeddedStore, step: Recorded): Promise<Step> {
  const { n, intent, outcome, sealed, at, links } = step;
  const words = async (of: unknown): Promise<string> =>
    typeof of === "string" ? (await getBytes(store, of as Link)).toString() : "";
  const base = {
    n,
    id: sealed?.id ?? null,
    tier: tierOf(step),
    status: outcome?.status ?? "intent",
    at,
    thread: intent.thread ?? null,
    inside: links.inside ?? null,
    error: typeof outcome?.error === "string" ? await words(outcome.error) : null,
  };
  const found = await placeOf(store, step);
  if (intent.kind === "effect" && found) {
    const { name, input } = found.call;
    const given = outcome?.status === "done" && outcome.result;
    const output = given ? (name === "fetch" ? outcome.result : decodeJson(await getBytes(store, given))) : undefined;
    const { child } = step.outcomeWitness;
    if (intent.container) return { ...base, kind: "call", name, input, output, child: (child as string) ?? null };
    return { ...base, kind: "effect", name, input, output } as Step;
  }
  if (intent.kind === "tool") {
    const call = (found?.call ?? JSON.parse(await words(intent.what))) as { name: string; input: unknown };
    const item = Object.values(outcome?.threads ?? {})[0]?.append?.[0];
    const text = item ? textOf(await getItem(store, item), "") : found ? await words(outcome?.result) : "";
    return { ...base, kind: "tool", name: call.name, input: call.input, text };
  }
  const last = Object.values(outcome?.threads ?? {})[0]?.append?.at(-1);
  const text = last ? textOf(await getItem(store, last), "") : "";
  if (intent.kind !== "model") return { ...base, kind: intent.kind, text } as Step;
  const { cost } = step.outcomeWitness;
  return {
    ...base,
    kind: "model",
    text,
    usage: (outcome?.usage ?? {}) as { [kind: string]: number },
    cost: typeof cost === "number" ? cost : null,
  };
}
