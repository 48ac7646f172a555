/** Answers that a run was given, in the place of a provider: who is driven again gets what it got then. */
import { Readable } from "node:stream";
import { MAIN } from "../scope/thread.ts";
import type { Found } from "../scope/view.ts";
import type { Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { answerOf } from "./onrecord.ts";
import { errorBody, type Provider } from "./protocol.ts";
import type { Around } from "./session.ts";
import type { Answer, Sender, Upstream } from "./upstream.ts";

/** A request of the run that is driven, and the step that has the answer it got; null if there was none. */
export interface Served {
  what: Link;
  from: Found | null;
}

/**
 * Serves the answers of recorded steps, each once: to the very same request; to another one the next of its conversation.
 * @param path what the run came through, oldest first
 * @param served what was asked so far is added to it
 */
export function recordedAnswers(store: EmbeddedStore, path: readonly Found[], served: Served[]): Sender {
  const left = path.filter(({ step }) => step.intent.kind === "model" && step.outcome?.status !== "failed");
  return {
    send: async ({ provider }, { turn }) => {
      if (!turn) return refusal(provider, "Nothing but the record answers here.");
      const { what, thread } = turn;
      const same = left.findIndex(({ step }) => step.intent.what === what);
      const at = same >= 0 ? same : left.findIndex(({ step }) => (step.intent.thread ?? MAIN) === thread);
      const [from = null] = at < 0 ? [] : left.splice(at, 1);
      served.push({ what, from });
      const raw = from && (await answerOf(store, from.log, from.step));
      return raw ? answerFrom(raw) : refusal(provider, "The record has no answer to this request.");
    },
    close: () => {},
  };
}

/**
 * The answers of recorded steps, each once, for the very same requests. A conversation that has asked anything else gets none from then on: what it
 * asks is sent.
 */
export function recordedFor(store: EmbeddedStore, answers: readonly Found[]): NonNullable<Around["recorded"]> {
  const left = [...answers];
  const live = new Set<string>();
  return async (what, thread) => {
    const at = live.has(thread) ? -1 : left.findIndex(({ step }) => step.intent.what === what);
    const [from] = at < 0 ? [] : left.splice(at, 1);
    // What was forgotten is asked for again.
    const raw = from ? await answerOf(store, from.log, from.step).catch(() => null) : null;
    if (!raw) live.add(thread);
    return raw;
  };
}

const nowhere = (provider: Provider): Upstream => ({ provider, base: new URL("http://record.invalid"), own: false });

/** Where requests go that only the record answers. */
export const NOWHERE = { anthropic: nowhere("anthropic"), openai: nowhere("openai") };

/** Of an answer on record, of which only the body is kept. */
export const contentTypeOf = (raw: Buffer): string =>
  raw.subarray(0, 1).toString() === "{" ? "application/json" : "text/event-stream; charset=utf-8";

/** An answer on record as a provider would give it. */
export const answerFrom = (raw: Buffer): Answer => answer(200, contentTypeOf(raw), raw);

function answer(statusCode: number, type: string, body: Buffer): Answer {
  const rawHeaders = ["content-type", type, "x-should-retry", "false"];
  return Object.assign(Readable.from([body]), {
    statusCode,
    headers: { "content-type": type, "x-should-retry": "false" },
    rawHeaders,
  });
}

const refusal = (provider: Provider, sentence: string): Answer =>
  answer(404, "application/json", Buffer.from(errorBody(provider, "not_found_error", sentence)));
