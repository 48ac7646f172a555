/** Output as the model gets it: whole where it is short, else its beginning and its end. */

/** UTF-16 units of a result's text. */
export const MAX_TEXT = 30_000;

/** `text`, or its head and tail with a mark between them that counts what was left out and says, by `more`, how to get at it. */
export function clip(text: string, more?: string, limit = MAX_TEXT): string {
  if (text.length <= limit) return text;
  const half = Math.floor(limit / 2);
  const head = text.slice(0, boundary(text, half));
  const tail = text.slice(boundary(text, text.length - half));
  return `${head}\n[${text.length - head.length - tail.length} characters left out here.${more ? ` ${more}` : ""}]\n${tail}`;
}

/** `at`, or one less where that would cut a character in two. */
export function boundary(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff ? at - 1 : at;
}
