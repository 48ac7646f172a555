/** A model call of this process's own: it leaves as those of programs do, and its answer is read by the same readers. */
import type { Block } from "../scope/thread.ts";
import { secretsOf, without } from "./credentials.ts";
import { type Limiter, retryAfter } from "./limiter.ts";
import { isStream, Kept, readWhole } from "./pass.ts";
import { type AnswerReader, type End, type Protocol, parseMembers, type Usage } from "./protocol.ts";
import { sseReader } from "./sse.ts";
import { type Answer, LONGEST, mayHelp, type Send, type Upstream } from "./upstream.ts";

/** By what requests leave. */
export interface Line {
  send: Send;
  limiter: Limiter;
  /** Whose keys are taken out of all that a provider says. */
  env: NodeJS.ProcessEnv;
  /** How long a provider may say nothing, in ms. */
  silence?: number;
}

export interface OwnCall {
  protocol: Protocol;
  upstream: Upstream;
  /** Behind the upstream's base. */
  path: string;
  headers: { [name: string]: string };
  body: Buffer;
}

export interface Measured {
  /** Until the answer began, and how long the request was kept back; in ms. */
  first?: number;
  waited?: number;
}

export type CallEvent =
  /** Text of a block that still grows. */
  | { type: "said"; text: string }
  | { type: "block"; block: Block }
  /** The last one. `raw`: the answer as it came, without what may not be written down. */
  | { type: "end"; end: End; raw: Buffer; measured: Measured };

/** Thrown where a provider does not answer, or breaks off. Its words are without keys. */
export class CallError extends Error {
  constructor(
    message: string,
    /** Whether the same request may succeed later. */
    readonly mayHelp: boolean,
    readonly about: { retryAfterMs?: number | undefined; usage?: Usage | null; raw?: Buffer } = {},
  ) {
    super(message);
  }
}

/** As long as the clients of providers wait. */
const SILENCE = 600_000;
/** What comes behind the end of an answer is waited for as long, so that its connection can be used again. */
const REST = 1000;

/** Asks once. Throws a `CallError`; once `signal` aborts, whatever error that makes. */
export async function* callProvider(line: Line, call: OwnCall, signal: AbortSignal): AsyncGenerator<CallEvent> {
  const { protocol, upstream } = call;
  const secrets = secretsOf(call.headers, line.env);
  const { host } = upstream.base;
  const waited = await line.limiter.pass(host, signal);
  const begun = performance.now();
  const measured: Measured = waited > 0 ? { waited } : {};
  const kept = new Kept();
  const raw = (): Buffer => Buffer.from(without(kept.bytes().toString(), secrets));
  const broken = (why: string, about: CallError["about"] = {}): CallError => {
    signal.throwIfAborted();
    return new CallError(without(why, secrets), true, { raw: raw(), ...about });
  };
  const quiet = listenFor(line.silence ?? SILENCE);
  const both = AbortSignal.any([signal, quiet.signal]);
  let reader: AnswerReader | null = null;
  let coming: Answer | null = null;
  try {
    const { headers, body, path } = call;
    const answer = await line.send(upstream, { method: "POST", path, headers, body, signal: both });
    coming = answer;
    const status = answer.statusCode ?? 0;
    if (status < 200 || status > 299) throw await refusal(line, host, answer, secrets);
    const chunks = (answer as unknown as { iterator(options: object): AsyncIterable<Buffer> }).iterator({
      destroyOnReturn: false,
    });
    if (!isStream(answer)) {
      for await (const chunk of chunks) {
        kept.add(chunk);
        quiet.heard();
      }
      const read = readWhole(protocol, kept.bytes().toString());
      for (const { blocks, end } of read.all) {
        for (const block of blocks) yield { type: "block", block };
        if (end?.error !== undefined) throw broken(end.error, { usage: end.usage });
        if (end) return yield { type: "end", end, raw: raw(), measured };
      }
      throw broken("The answer cannot be read.", { usage: read.reader.usage });
    }
    const events = sseReader();
    reader = protocol.stream();
    const odd = oddities();
    for await (const chunk of chunks) {
      kept.add(chunk);
      quiet.heard();
      for (const { data } of events.push(chunk)) {
        if (odd.in(data)) throw broken("The answer has an event that cannot be read.", { usage: reader.usage });
        const grown: string[] = [];
        const heard = reader.take(data, (text) => grown.push(text));
        if (reader.begun) measured.first ??= Math.round(performance.now() - begun);
        for (const text of grown) yield { type: "said", text };
        for (const block of heard?.blocks ?? []) yield { type: "block", block };
        const end = heard?.end;
        if (end?.error !== undefined) throw broken(end.error, { usage: end.usage });
        if (end) {
          coming = null;
          leave(answer);
          return yield { type: "end", end, raw: raw(), measured };
        }
      }
    }
    const last = reader.close?.();
    for (const block of last?.blocks ?? []) yield { type: "block", block };
    if (!last?.end) throw broken("The answer ended before its end.", { usage: reader.usage });
    yield { type: "end", end: last.end, raw: raw(), measured };
  } catch (error) {
    if (error instanceof CallError) throw error;
    const { message } = error as Error;
    const why = quiet.signal.aborted ? "it said nothing for too long" : message;
    throw broken(`No answer from ${host}: ${why}.`, { usage: reader?.usage ?? null });
  } finally {
    quiet.end();
    coming?.destroy();
  }
}

/** Reads what a provider says that does not answer, and heeds what it asks for. */
async function refusal(line: Line, host: string, answer: Answer, secrets: readonly string[]): Promise<CallError> {
  const kept = new Kept();
  for await (const chunk of answer as AsyncIterable<Buffer>) kept.add(chunk);
  const status = answer.statusCode!;
  const after = retryAfter(answer.headers);
  if ((status === 429 || status === 529) && after !== null) await line.limiter.hold(host, after);
  const words = without(kept.bytes().toString(), secrets);
  return new CallError(`${status}: ${words.slice(0, LONGEST)}`, mayHelp(status, answer), {
    retryAfterMs: after ?? undefined,
    raw: Buffer.from(words),
  });
}

/** Lets an answer come to its end, whose words are all known. */
function leave(answer: Answer): void {
  answer.on("error", () => {});
  setTimeout(() => answer.destroy(), REST).unref();
  answer.resume();
}

/** Aborts when nothing was heard for a time. */
function listenFor(ms: number): { signal: AbortSignal; heard(): void; end(): void } {
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(), ms);
  return { signal: control.signal, heard: () => void timer.refresh(), end: () => clearTimeout(timer) };
}

/** Finds events that are no JSON. One whose data takes several lines is told line by line, and is one at its last. */
function oddities(): { in(data: string): boolean } {
  let open: string | null = null;
  return {
    in: (data) => {
      if (open !== null && !data.startsWith(`${open}\n`)) return true;
      open = data.trim() === "" || data.trim() === "[DONE]" || parseMembers(data) ? null : data;
      return false;
    },
  };
}
