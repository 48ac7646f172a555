/** Paths for people. A path is bytes, and some of them would be lost, or do harm, on a terminal. */

const NAMED: { [byte: number]: string } = {
  7: "a",
  8: "b",
  9: "t",
  10: "n",
  11: "v",
  12: "f",
  13: "r",
  34: '"',
  92: "\\",
};
const BYTES: { [letter: string]: number } = { a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13, '"': 34, "\\": 92 };
// Control and format characters (among them those that turn the direction of writing), line separators, what is unassigned or private.
const HARMFUL = /[\p{C}\p{Zl}\p{Zp}"\\]/u;

/**
 * A path as text: as it is, or, if it has a byte that is not printable UTF-8, a quote or a backslash, in double quotes with C's escapes, as
 * Git does it (with `core.quotePath=false`). `unquotePath` gives the bytes back.
 */
export function quotePath(path: Uint8Array): string {
  const bytes = Buffer.from(path.buffer, path.byteOffset, path.length);
  const text = bytes.toString("utf8");
  // Most paths, and much quicker than the table of Unicode.
  if (/^[ !#-[\]-~]*$/.test(text)) return text;
  const valid = !text.includes("\ufffd") || Buffer.from(text).equals(bytes);
  if (valid && !HARMFUL.test(text)) return text;
  let out = "";
  for (let at = 0; at < bytes.length; ) {
    const char = characterAt(bytes, at);
    if (char && !HARMFUL.test(char)) {
      out += char;
      at += Buffer.byteLength(char);
      continue;
    }
    for (const end = at + (char ? Buffer.byteLength(char) : 1); at < end; at++) {
      const byte = bytes[at]!;
      out += `\\${NAMED[byte] ?? byte.toString(8).padStart(3, "0")}`;
    }
  }
  return `"${out}"`;
}

/** The bytes of a path that `quotePath` or Git wrote; text that does not start with a quote stands for itself. Throws a sentence if the quoting is broken. */
export function unquotePath(text: string): Buffer {
  if (!text.startsWith('"')) return Buffer.from(text);
  const parts: Buffer[] = [];
  let at = 1;
  while (text[at] !== '"') {
    if (at >= text.length) throw new Error(`The path ${JSON.stringify(text)} lacks its closing quote.`);
    if (text[at] !== "\\") {
      const char = String.fromCodePoint(text.codePointAt(at)!);
      parts.push(Buffer.from(char));
      at += char.length;
      continue;
    }
    const octal = /^[0-3][0-7]{2}/.exec(text.slice(at + 1, at + 4));
    const byte = octal ? Number.parseInt(octal[0], 8) : BYTES[text[at + 1] ?? ""];
    if (byte === undefined) throw new Error(`The path ${JSON.stringify(text)} has an unknown escape.`);
    parts.push(Buffer.from([byte]));
    at += octal ? 4 : 2;
  }
  if (at !== text.length - 1) throw new Error(`The path ${JSON.stringify(text)} goes on after its closing quote.`);
  return Buffer.concat(parts);
}

/** The character that starts at a byte, if it is valid UTF-8. */
function characterAt(bytes: Buffer, at: number): string | null {
  const first = bytes[at]!;
  const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  const slice = bytes.subarray(at, at + length);
  const text = slice.toString("utf8");
  return [...text].length === 1 && Buffer.from(text).equals(slice) ? text : null;
}

/** The path of an entry of `directory`; "" is the root. */
export const joinPath = (directory: Buffer, name: Buffer): Buffer =>
  directory.length === 0 ? Buffer.from(name) : Buffer.concat([directory, SLASH, name]);

const SLASH = Buffer.from("/");

/** As `joinPath`, for byte strings (see dirs.ts). */
export const inside = (directory: string, name: string): string => (directory === "" ? name : `${directory}/${name}`);
