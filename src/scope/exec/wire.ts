/** Messages to and from the scope helper: a length (u32, little endian) and that many bytes, words of which each is ended by a zero byte. */

/** Words are byte strings (latin1) without zero bytes. */
export function message(words: readonly string[]): Buffer {
  const wrong = words.find((word) => word.includes("\0"));
  if (wrong !== undefined) throw new TypeError(`${JSON.stringify(wrong)} has a zero byte in it.`);
  const body = Buffer.from(words.map((word) => `${word}\0`).join(""), "latin1");
  const head = Buffer.alloc(4);
  head.writeUInt32LE(body.length);
  return Buffer.concat([head, body]);
}

/** Takes bytes as they come, and gives the words of each message that is whole. */
export function reader(give: (words: string[]) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32LE()) {
      const end = 4 + rest.readUInt32LE();
      const body = rest.toString("latin1", 4, end);
      rest = rest.subarray(end);
      give(body.split("\0").slice(0, -1));
    }
  };
}
