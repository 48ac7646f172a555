/** Paths as people see them: odd bytes are quoted as Git quotes them. */
export function displayPath(path: Buffer): string {
  const text = path.toString("utf8");
  const odd =
    Buffer.from(text, "utf8").compare(path) !== 0 ||
    [...text].some((c) => c < " " || c === '"' || c === "\\" || c === "\x7f");
  if (!odd) return text;
  let quoted = "";
  for (const byte of path) {
    if (byte === 0x22 || byte === 0x5c) quoted += `\\${String.fromCharCode(byte)}`;
    else if (byte === 0x0a) quoted += "\\n";
    else if (byte === 0x09) quoted += "\\t";
    else if (byte < 0x20 || byte > 0x7e) quoted += `\\${byte.toString(8).padStart(3, "0")}`;
    else quoted += String.fromCharCode(byte);
  }
  return `"${quoted}"`;
}
