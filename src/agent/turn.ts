/** A model call as an effect of the scope: its answer is recorded block by block, and its calls begin while it still streams. */

import { nextAttempt } from "../scope/attempt.ts";
import type { Effect, Performed } from "../scope/effect.ts";
import { plainBlock } from "../scope/plain.ts";
import type { LiveScope } from "../scope/scope.ts";
import { type Block, type Call, type Item, putBytes, putItem } from "../scope/thread.ts";
import { encodeJson } from "../trace/bytes.ts";
import type { Json, Link } from "../trace/ports.ts";
import type { Emit } from "./events.ts";
import { type About, ModelError, type ModelEvent, type ModelPort, type ModelRequest } from "./model.ts";
import { putBlock } from "./steps.ts";

/** How a model is asked again that failed before its first block, or broke off before it asked for anything. */
export interface Retry {
  /** Attempts in all. */
  attempts: number;
  /** How long to wait after attempt `k` (from 1), in ms. */
  delay: (k: number) => number;
}

/** Doubling from a second, with jitter, so that runs that failed together do not come back together: two minutes in all. */
export const RETRY: Retry = {
  attempts: 8,
  delay: (k) => Math.min(60_000, 1000 * 2 ** (k - 1)) * (0.5 + Math.random() / 2),
};

export interface TurnOptions {
  thread: string;
  model: ModelPort;
  request: ModelRequest;
  /** The object that stands for the request. */
  what: Link;
  retry: Retry;
  emit: Emit;
  /** Begins a call of step `n`; resolves when its intent is written. */
  start(call: Call, n: number): Promise<void>;
}

export function turnEffect(scope: LiveScope, options: TurnOptions): Effect {
  return {
    intent: { kind: "model", tier: "repeatable", thread: options.thread, what: options.what },
    lock: "none",
    name: "model",
    input: options.request as unknown as Json,
    run: ({ n, input, signal }) => ask(scope, n, input as unknown as ModelRequest, options, signal),
    refused: async (reason) => ({
      status: "denied",
      facts: { error: await putBytes(scope.store, Buffer.from(reason)) },
    }),
  };
}

async function ask(
  scope: LiveScope,
  n: number,
  request: ModelRequest,
  options: TurnOptions,
  signal: AbortSignal,
): Promise<Performed> {
  const { model, retry, thread, emit } = options;
  const blocks: Block[] = [];
  const ids = new Set<string>();
  const pass = async (given: Block): Promise<void> => {
    const block = plainBlock(given, ids);
    const what = await putBlock(scope, block);
    await scope.writer.part(n, { part: "block", what, ...(block.type === "call" && { call: true }) });
    blocks.push(block);
    if (block.type === "call") await options.start(block, n);
    emit({ type: "block", n, block });
  };
  const started = performance.now();
  // What attempts cost that came to nothing.
  let sunk = 0;
  const witness = ({ cost, first, waited }: About = {}) => ({
    ms: Math.round(performance.now() - started),
    ...(first !== undefined && { first }),
    ...(waited && { waited }),
    ...((cost !== undefined || sunk > 0) && { cost: sunk + (cost ?? 0) }),
  });
  /** The answer as it came stands beside what was read of it. */
  const keep = async ({ raw }: About): Promise<void> => {
    if (raw && raw.length > 0) await scope.writer.part(n, { part: "answer", what: await putBytes(scope.store, raw) });
  };

  for (let k = 1; ; k++) {
    const stream = listen(model, request, signal);
    let heard: Heard;
    try {
      for (heard = await stream.next(); "event" in heard && heard.event.type !== "end"; heard = await stream.next()) {
        if (heard.event.type === "block") await pass(heard.event.block);
        else emit({ type: "delta", n, text: heard.event.text });
      }
    } finally {
      stream.close();
    }
    if ("event" in heard) {
      const { stop, usage, tokens, ...about } = heard.event as ModelEvent & { type: "end" };
      await keep(about);
      const told = tokens && (await putBytes(scope.store, encodeJson(tokens)));
      const facts = { stop, usage: { ...usage }, ...(told && { tokens: told }) };
      return { ...(await whole(scope, thread, blocks)), facts, witness: witness(about) };
    }
    const error = "error" in heard ? heard.error : null;
    const why = error === null ? "aborted" : wordsOf(error);
    const about = error instanceof ModelError ? error.about : {};
    if (blocks.length > 0) {
      await keep(about);
      const facts = {
        ...(error !== null && { error: await putBytes(scope.store, Buffer.from(why)) }),
        ...(about.usage && { usage: { ...about.usage } }),
      };
      return { ...(await cut(scope, thread, blocks)), facts, witness: witness(about) };
    }
    sunk += about.cost ?? 0;
    if (signal.aborted) return { status: "aborted", witness: witness() };
    const again = !(error instanceof ModelError) || error.retryable;
    if (!again || k >= retry.attempts)
      return { status: "failed", facts: { error: await putBytes(scope.store, Buffer.from(why)) }, witness: witness() };
    const asked = error instanceof ModelError ? error.retryAfterMs : undefined;
    await pause(Math.max(retry.delay(k), asked ?? 0), signal);
    if (signal.aborted) return { status: "aborted", witness: witness() };
    emit({ type: "attempt", n, attempt: await nextAttempt(scope, n, why), why });
  }
}

/** What a message that came to its end leaves in its thread. */
async function whole(scope: LiveScope, thread: string, blocks: Block[]): Promise<Performed> {
  const result = await putMessage(scope, blocks);
  return { status: "done", result, threads: { [thread]: { append: [result] } } };
}

/**
 * What a message leaves that was cut off. Its calls count. A message without any asks for nothing, and so would end the run: it stays
 * the step's result, and the same request is made again.
 */
export async function cut(scope: LiveScope, thread: string, blocks: Block[]): Promise<Performed> {
  const result = await putMessage(scope, blocks);
  const counts = blocks.some((block) => block.type === "call");
  return { status: "cut", result, ...(counts && { threads: { [thread]: { append: [result] } } }) };
}

const putMessage = (scope: LiveScope, content: Block[]): Promise<Link> => {
  const item: Item = { role: "assistant", content };
  return putItem(scope.store, item);
};

type Heard = { event: ModelEvent } | { error: unknown } | { aborted: true };

/** A port's events one by one. An error is a value; neither a port that hangs nor one that passes over `signal` holds us up. */
function listen(
  model: ModelPort,
  request: ModelRequest,
  signal: AbortSignal,
): { next(): Promise<Heard>; close(): void } {
  let iterator: AsyncIterator<ModelEvent> | null = null;
  let end = (): void => {};
  const aborted = new Promise<Heard>((resolve) => {
    const abort = (): void => resolve({ aborted: true });
    end = () => signal.removeEventListener("abort", abort);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
  const take = async (): Promise<Heard> => {
    try {
      iterator ??= model.call(request, signal)[Symbol.asyncIterator]();
      const { done, value } = await iterator.next();
      return done ? { error: new ModelError("The model's answer broke off.", true) } : { event: value };
    } catch (error) {
      return signal.aborted ? { aborted: true } : { error };
    }
  };
  return {
    next: () => (signal.aborted ? Promise.resolve({ aborted: true }) : Promise.race([take(), aborted])),
    close: () => {
      end();
      void iterator?.return?.().then(
        () => {},
        () => {},
      );
    },
  };
}

/** Waits, but not beyond an abort. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    if (signal.aborted) done();
    else signal.addEventListener("abort", done, { once: true });
  });
}

export const wordsOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).toWellFormed();
