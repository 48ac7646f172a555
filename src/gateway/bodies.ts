/** Bodies of requests, which are read whole. */
import type { Readable } from "node:stream";

/** One is at most this large, and all that are in hand together. */
const LARGEST = 256 << 20;
const ROOM = 512 << 20;

/** Thrown for a body that is not read, with the status that says so over HTTP. */
export class TooMuch extends Error {
  constructor(
    readonly status: 413 | 503,
    sentence: string,
  ) {
    super(sentence);
  }
}

/** Runs `work` with the body of a request, which takes room until it is done. Throws `TooMuch` where there is none. */
export type Whole = <T>(request: Readable, work: (body: Buffer) => Promise<T>) => Promise<T>;

/** For requests that share the room. */
export function makeWhole(largest = LARGEST, room = ROOM): Whole {
  let held = 0;
  return async (request, work) => {
    const chunks: Buffer[] = [];
    let size = 0;
    try {
      // The client must still hear why it is refused.
      for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        size += chunk.length;
        held += chunk.length;
        if (size > largest) throw new TooMuch(413, "The request is too large for Shepherd.");
        if (held > room) throw new TooMuch(503, "Shepherd has no room for this request beside others: try again.");
        chunks.push(chunk);
      }
      return await work(Buffer.concat(chunks.splice(0)));
    } finally {
      held -= size;
    }
  };
}
