/** Text of others as a string of JSON that stays one: cut, in one line, and with nothing in it that is not seen. */

/** Control, format and unassigned characters, private use, lone surrogates, separators of lines: what is not seen, or moves what is. */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]/u;

const escaped = (char: string): string =>
  [...Array(char.length).keys()].map((at) => `\\u${char.charCodeAt(at).toString(16).padStart(4, "0")}`).join("");

/** A character as it stands in a string of JSON. */
function inJson(char: string): string {
  if (char === '"' || char === "\\") return `\\${char}`;
  if (char === "\n") return "\\n";
  if (char === "\t") return "\\t";
  return UNSEEN.test(char) ? escaped(char) : char;
}

/**
 * `text` as a JSON string of at most `limit` bytes in UTF-8, quotes and all; what is cut ends with `…`. `limit` is at least 5. Bytes, since no
 * text has more tokens than bytes. What is longer than that costs no more.
 */
export function quote(text: string, limit: number): string {
  const room = limit - 2;
  let out = "";
  let bytes = 0;
  /** What stands if it must be cut: room for the mark is left. */
  let kept = "";
  for (const char of text.slice(0, limit)) {
    const put = inJson(char);
    bytes += Buffer.byteLength(put);
    if (bytes > room) return `"${kept}…"`;
    out += put;
    if (bytes <= room - 3) kept = out;
  }
  return `"${out}"`;
}
