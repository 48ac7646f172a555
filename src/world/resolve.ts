/**
 * A proposal for a text that both sides changed in the same places: what a careful reader would make of it who knows no more than the three texts. It
 * is never made unasked: until somebody asks, the conflict stands.
 */
import { holds, losesName } from "./resolve/checks.ts";
import { type How, weaveTexts } from "./resolve/weave.ts";

export type { How } from "./resolve/weave.ts";

/** Larger texts are not looked at. */
const MOST = 2 << 20;

/**
 * What both sides made of a text, in one: where both put something, both stand there (entries of a list, statements, functions), and where both
 * changed a statement, the words of each are changed. All that either put is in it. Null where they changed the same words, where a name that one
 * uses is gone in the other, or where the result is no text of its language, as far as a parser is at hand (Python, JavaScript, JSON). The sides may be
 * exchanged. Reads and writes no file; a parser runs as a process of its own.
 * @param path whose ending names the language
 */
export async function resolveText(
  path: string,
  base: Uint8Array,
  ours: Uint8Array,
  theirs: Uint8Array,
): Promise<{ bytes: Uint8Array; how: How[] } | null> {
  if (base.length + ours.length + theirs.length > MOST) return null;
  const [was, x, y] = [base, ours, theirs].map((bytes) => Buffer.from(bytes).toString("latin1")) as [
    string,
    string,
    string,
  ];
  const texts = { base: was, ours: x, theirs: y };
  if (losesName(texts)) return null;
  const woven = weaveTexts(was, x, y);
  if (!woven || !(await holds(path, woven.text, texts))) return null;
  return { bytes: Buffer.from(woven.text, "latin1"), how: woven.how };
}
