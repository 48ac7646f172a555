/** Messages that are lines: the bytes of a stream, cut at each newline. */

/**
 * Takes the bytes as they come, however they are cut into chunks.
 * @param longest bytes of a line at most
 * @param hear gets each whole line; null for one that was too long, of which nothing is kept
 */
export function lineReader(longest: number, hear: (line: string | null) => void): (chunk: Buffer) => void {
  let pieces: Buffer[] = [];
  let length = 0;
  const add = (piece: Buffer): void => {
    length += piece.length;
    if (length > longest) pieces = [];
    // The chunk is the caller's.
    else if (piece.length > 0) pieces.push(Buffer.from(piece));
  };
  return (chunk) => {
    let from = 0;
    for (let at = chunk.indexOf(0x0a); at >= 0; at = chunk.indexOf(0x0a, from)) {
      add(chunk.subarray(from, at));
      from = at + 1;
      const line = length > longest ? null : Buffer.concat(pieces).toString();
      pieces = [];
      length = 0;
      hear(line);
    }
    add(chunk.subarray(from));
  };
}
