/**
 * Quotes bytes as one word of bash source. The result is ASCII, whatever the bytes are, so that a script means the same in every
 * locale. Throws where a NUL byte stands: no argument, variable or path can hold one.
 */
export function quote(text: string | Uint8Array): string {
  const bytes = typeof text === "string" ? Buffer.from(text) : text;
  let word = "";
  let plain = bytes.length > 0;
  for (const byte of bytes) {
    if (byte === 0) throw new TypeError("A NUL byte cannot be part of a command, a variable or a path; remove it.");
    const char = String.fromCharCode(byte);
    plain &&= /[\w./:=@%+,-]/.test(char);
    if (byte < 0x20 || byte > 0x7e) word += `\\${byte.toString(8).padStart(3, "0")}`;
    else word += char === "'" || char === "\\" ? `\\${char}` : char;
  }
  return plain ? word : `$'${word}'`;
}

/** Several words, separated by spaces. */
export const quoteAll = (words: readonly (string | Uint8Array)[]): string => words.map(quote).join(" ");
