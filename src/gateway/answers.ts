/** Answers that a run was given, in the place of a provider: who is driven again gets what it got then, and nothing leaves. */
import type { IncomingHttpHeaders } from "node:http";
import { Readable } from "node:stream";
import { MAIN } from "../scope/thread.ts";
import type { Found } from "../scope/view.ts";
import type { Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { answerOf } from "./onrecord.ts";

/** What comes back for a request, from wherever. */
export type Answer = Readable & {
  statusCode?: number | undefined;
  statusMessage?: string | undefined;
  headers: IncomingHttpHeaders;
  rawHeaders: string[];
};

export interface Answers {
  /** The answer to a request; null if there is none left for it. */
  next(asks: { what: Link; thread: string }): Promise<Answer | null>;
}

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
export function recordedAnswers(store: EmbeddedStore, path: readonly Found[], served: Served[]): Answers {
  const left = path.filter(({ step }) => step.intent.kind === "model" && step.outcome?.status !== "failed");
  return {
    next: async ({ what, thread }) => {
      const same = left.findIndex(({ step }) => step.intent.what === what);
      const at = same >= 0 ? same : left.findIndex(({ step }) => (step.intent.thread ?? MAIN) === thread);
      const [from = null] = at < 0 ? [] : left.splice(at, 1);
      served.push({ what, from });
      const raw = from && (await answerOf(store, from.log, from.step));
      return raw && answer(raw);
    },
  };
}

/** Of an answer on record, of which only the body is kept. */
export const contentTypeOf = (raw: Buffer): string =>
  raw.subarray(0, 1).toString() === "{" ? "application/json" : "text/event-stream; charset=utf-8";

function answer(raw: Buffer): Answer {
  const type = contentTypeOf(raw);
  return Object.assign(Readable.from([raw]), {
    statusCode: 200,
    headers: { "content-type": type },
    rawHeaders: ["content-type", type],
  });
}
