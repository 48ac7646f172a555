/**
 * Answers on record. A program whose conversation was cut before an answer asks for that again; where its calls are still to be performed, it
 * gets the answer that it had, and no provider is asked.
 */

import { nextAttempt } from "../scope/attempt.ts";
import type { LiveScope } from "../scope/scope.ts";
import { type Call, getBytes, getItem, putBytes } from "../scope/thread.ts";
import { cameThrough, viewOf } from "../scope/view.ts";
import { encodeJson } from "../trace/bytes.ts";
import type { Link } from "../trace/ports.ts";
import type { Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import type { Calls } from "./calls.ts";
import type { Canonical } from "./protocol.ts";
import { type Asked, readRequest, recordRequest } from "./request.ts";
import { type Sent, same, type Thread } from "./threads.ts";

interface OnRecord {
  thread: Thread;
  /** The model step whose answer it is. */
  step: Step;
  calls: Call[];
  /** As it came. */
  raw: Buffer;
}

/** The answer to a request that ends where a thread stands but for its last message, none of whose calls has begun; null if there is none. */
export async function onRecord(
  scope: LiveScope,
  threads: Iterable<Thread>,
  request: Canonical,
  sent: readonly Sent[],
  asked: Asked,
): Promise<OnRecord | null> {
  const { store } = scope;
  for (const thread of threads) {
    const { entries } = thread;
    const last = entries.at(-1);
    if (!last?.assistant || thread.turn || thread.open.size > 0 || sent.length !== entries.length - 1) continue;
    if (!sent.every((each, at) => same(entries[at]!, each))) continue;
    const item = await getItem(store, last.link);
    const calls = item.content.filter((block): block is Call => block.type === "call");
    if (calls.length === 0) continue;
    const view = viewOf(scope);
    const found = (await cameThrough(store, view)).find(
      ({ step }) =>
        step.intent.kind === "model" && step.intent.thread === thread.name && step.outcome?.result === last.link,
    );
    const what = found?.step.intent.what;
    if (!found || !what) continue;
    const { items, edits } = await readRequest(store, what);
    if ((await recordRequest(store, request, asked, items, edits ?? null)) !== what) continue;
    const raw = await answerOf(store, found.log, found.step);
    if (raw) return { thread, step: found.step, calls, raw };
  }
  return null;
}

/** The answer of a model step, as it came; null where it was not kept. */
export async function answerOf(store: EmbeddedStore, log: string, { n, intentSeq }: Step): Promise<Buffer | null> {
  let what: Link | null = null;
  for await (const frame of store.logs.read(log, intentSeq)) {
    if (frame.n !== n) continue;
    if (frame.phase === "part" && frame.facts.part === "answer") what = frame.facts.what as Link;
    if (frame.phase === "outcome") break;
  }
  return what && getBytes(store, what);
}

/** Writes that its calls are asked for once more: another attempt of those whose intent stands in this log, intents for all others. */
export async function askAgain(scope: LiveScope, { thread, step, calls }: OnRecord, performer: Calls): Promise<void> {
  const { writer, store } = scope;
  for (const call of calls) {
    const what = await putBytes(store, encodeJson(call));
    const waits = writer.fold
      .pending()
      .find(({ intent, links, outcome }) => !outcome && intent.what === what && links.turn === step.n);
    if (waits) await nextAttempt(scope, waits.n, "the process ended before the call had its outcome");
    const n =
      waits?.n ??
      (await writer.intent(
        { kind: "tool", tier: "reversible", thread: thread.name, what, ...performer.facts(call) },
        { links: { turn: step.n } },
      ));
    thread.open.set(call.id, n);
    performer.asked(n, call);
  }
  await writer.note(step.n, { note: "served" });
}
