/** Calls a person who may look elsewhere. */

/** Rings the bell of a terminal; through a pipe nothing is written. */
export function ring(stream: Pick<NodeJS.WriteStream, "isTTY" | "write"> = process.stderr): void {
  if (stream.isTTY) stream.write("\x07");
}
