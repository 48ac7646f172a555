/**
 * Server-sent events, read beside the bytes that pass. What an event says is known at the end of its line of data, so it is given with the
 * place of that end: who holds back what follows, holds back the event. Nothing is written anew.
 */
export interface Told {
  data: string;
  /** Bytes of the chunk that come before the end of the event's line. */
  at: number;
}

export interface SseReader {
  /** The events whose data ends in this chunk. However the bytes are cut into chunks, the data is the same. */
  push(chunk: Uint8Array): Told[];
}

const LF = 0x0a;
const CR = 0x0d;

/** A line is at most this long; what is longer says nothing. */
const LONGEST = 64 << 20;

export function sseReader(): SseReader {
  let pieces: Uint8Array[] = [];
  let length = 0;
  let data: string[] = [];
  let afterCr = false;

  const lineEnds = (): string => {
    const line = Buffer.concat(pieces).toString("utf8");
    pieces = [];
    length = 0;
    return line;
  };
  const add = (piece: Uint8Array): void => {
    if (piece.length === 0 || length > LONGEST) return;
    // The chunk is the caller's.
    pieces.push(Uint8Array.prototype.slice.call(piece));
    length += piece.length;
  };

  /** Providers write an event's data in one line. Where it takes several, what is told grows with each, and reads only when it is whole. */
  const take = (line: string): string | null => {
    if (line === "") data = [];
    if (!line.startsWith("data:")) return null;
    data.push(line.slice(line[5] === " " ? 6 : 5));
    return data.join("\n");
  };

  return {
    push: (chunk) => {
      const told: Told[] = [];
      let from = 0;
      for (let at = 0; at < chunk.length; at++) {
        const byte = chunk[at]!;
        if (byte !== LF && byte !== CR) {
          afterCr = false;
          continue;
        }
        if (byte === LF && afterCr) {
          afterCr = false;
          from = at + 1;
          continue;
        }
        afterCr = byte === CR;
        add(chunk.subarray(from, at));
        from = at + 1;
        const event = take(lineEnds());
        if (event !== null) told.push({ data: event, at });
      }
      add(chunk.subarray(from));
      return told;
    },
  };
}
