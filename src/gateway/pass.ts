/** Passing an answer on as it comes, with what ends a block held back until the block is written down. */
import type { ServerResponse } from "node:http";
import { promisify } from "node:util";
import { brotliDecompress, unzip } from "node:zlib";
import type { AnswerReader, Heard, Protocol } from "./protocol.ts";
import { sseReader } from "./sse.ts";
import type { Turn } from "./turn.ts";
import type { Answer } from "./upstream.ts";

/** What is kept of an answer as it came, at most. */
const MOST = 32 << 20;

/** The bytes of an answer, as far as they are kept. */
export class Kept {
  private chunks: Buffer[] = [];
  private size = 0;
  add(chunk: Buffer): void {
    if (this.size + chunk.length > MOST) return;
    this.chunks.push(chunk);
    this.size += chunk.length;
  }
  bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
  clear(): void {
    this.chunks = [];
    this.size = 0;
  }
}

export interface Passing {
  answer: Answer;
  response: ServerResponse;
  protocol: Protocol;
  turn: Turn;
  kept: Kept;
  signal: AbortSignal;
  /** Called once, when the answer itself begins. */
  first(): void;
  /** Writes the step's outcome. */
  ended(heard: Heard): Promise<void>;
}

export interface Passed {
  /** Whether the answer came to its end. */
  whole: boolean;
  reader: AnswerReader;
}

export const pass = (passing: Passing): Promise<Passed> =>
  isStream(passing.answer) ? passStream(passing) : passWhole(passing);

const packing = ({ headers }: Answer): string => headers["content-encoding"]?.toLowerCase() ?? "identity";

export const isStream = (answer: Answer): boolean =>
  /^text\/event-stream/i.test(answer.headers["content-type"] ?? "") && packing(answer) === "identity";

async function record({ turn, ended }: Passing, heard: Heard): Promise<boolean> {
  for (const block of heard.blocks) await turn.block(block);
  if (heard.end) await ended(heard);
  return heard.end !== undefined;
}

async function passStream(passing: Passing): Promise<Passed> {
  const { answer, response, protocol, kept, signal } = passing;
  const events = sseReader();
  const reader = protocol.stream();
  let whole = false;
  let begun = false;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    kept.add(chunk);
    let from = 0;
    for (const { data, at } of events.push(chunk)) {
      const heard = whole ? null : reader.take(data);
      if (!begun && reader.begun) {
        begun = true;
        passing.first();
      }
      if (!heard) continue;
      await write(response, chunk.subarray(from, at), signal);
      from = at;
      whole = await record(passing, heard);
    }
    await write(response, chunk.subarray(from), signal);
  }
  const last = whole ? null : (reader.close?.() ?? null);
  if (last) whole = await record(passing, last);
  return { whole, reader };
}

/** An answer in one piece is none before its last byte: the chunk that came last is held back until more comes. */
async function passWhole(passing: Passing): Promise<Passed> {
  const { answer, response, protocol, kept, signal } = passing;
  let held: Buffer | null = null;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    kept.add(chunk);
    if (held) await write(response, held, signal);
    held = chunk;
  }
  const { all, reader } = readWhole(protocol, await unpacked(kept.bytes(), packing(answer)));
  let whole = false;
  for (const heard of all) whole ||= await record(passing, heard);
  if (held) await write(response, held, signal);
  return { whole, reader };
}

/** What an answer says that came in one piece, up to its end. It may be a stream under another name, or one that was packed. */
export function readWhole(protocol: Protocol, text: string): { all: Heard[]; reader: AnswerReader } {
  const whole = protocol.whole();
  const heard = whole.take(text);
  if (heard || !/^(event|data):/.test(text)) return { all: heard ? [heard] : [], reader: whole };
  const reader = protocol.stream();
  const all: Heard[] = [];
  for (const { data } of sseReader().push(Buffer.from(text))) {
    const each = reader.take(data);
    if (each) all.push(each);
    if (each?.end) return { all, reader };
  }
  const last = reader.close?.();
  return { all: last ? [...all, last] : all, reader };
}

async function unpacked(bytes: Buffer, how: string): Promise<string> {
  try {
    if (how === "gzip" || how === "deflate") return (await promisify(unzip)(bytes)).toString();
    if (how === "br") return (await promisify(brotliDecompress)(bytes)).toString();
  } catch {
    // Cut or broken: it reads as no answer.
  }
  return bytes.toString();
}

/** Writes, and waits while the client does not read. */
export async function write(response: ServerResponse, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  if (bytes.length === 0) return;
  signal.throwIfAborted();
  if (response.write(bytes)) return;
  await new Promise<void>((resolve, reject) => {
    const done = (end: () => void) => (): void => {
      response.off("drain", drained);
      signal.removeEventListener("abort", stopped);
      end();
    };
    const drained = done(resolve);
    const stopped = done(() => reject(signal.reason));
    response.on("drain", drained);
    signal.addEventListener("abort", stopped, { once: true });
  });
}
