/**
 * Globs of patterns, for the whole of a text: `*`, `**` and `?`; `\` takes what follows as it is, and ` *` at the end may be nothing at all. They
 * are matched in one pass: a regular expression with some stars takes seconds for a text of some kilobytes, and an agent writes the texts.
 */

/** Whether a star takes the character at that place of the text. */
export type Takes = (text: string, at: number) => boolean;

export interface Stars {
  star: Takes;
  /** What `?` takes. */
  one: Takes;
  /** What `**` takes, and `**` with a slash behind it, which then may be nothing. Without it they are as `*`. */
  deep?: Takes;
}

export const any: Takes = () => true;

interface Part {
  takes: Takes;
  /** Any number of times, also none. */
  many?: boolean;
  /** Stands before two that may both be left out, and takes nothing itself. */
  pair?: boolean;
}

const PAIR: Part = { takes: () => false, pair: true };

const literal = (char: string): Part => ({ takes: (text, at) => text[at] === char });

export function glob(text: string, stars: Stars): (text: string) => boolean {
  const parts = partsOf(text, stars);
  return (text) => {
    // How many parts may stand before the place that is reached.
    let reached = closed(parts, new Uint8Array(parts.length + 1).fill(1, 0, 1));
    for (let at = 0; at < text.length && reached.includes(1); at++) {
      const next = new Uint8Array(parts.length + 1);
      for (const [i, { takes, many }] of parts.entries()) if (reached[i] && takes(text, at)) next[many ? i : i + 1] = 1;
      reached = closed(parts, next);
    }
    return reached[parts.length] === 1;
  };
}

function partsOf(text: string, { star, one, deep }: Stars): Part[] {
  const tail = text.endsWith(" *");
  const parts: Part[] = [];
  for (const [found, taken] of (tail ? text.slice(0, -2) : text).matchAll(/\\(.)|\*\*\/|\*\*|./gs)) {
    if (taken !== undefined) parts.push(literal(taken));
    else if (found === "**/") parts.push(...(deep ? [PAIR] : []), { takes: deep ?? star, many: true }, literal("/"));
    else if (found === "**") parts.push({ takes: deep ?? star, many: true });
    else if (found === "*") parts.push({ takes: star, many: true });
    else parts.push(found === "?" ? { takes: one } : literal(found));
  }
  if (tail) parts.push(PAIR, literal(" "), { takes: star, many: true });
  return parts;
}

/** With what is reached as well, since parts may take nothing. */
function closed(parts: readonly Part[], reached: Uint8Array): Uint8Array {
  for (const [i, { many, pair }] of parts.entries()) {
    if (!reached[i]) continue;
    if (many || pair) reached[i + 1] = 1;
    if (pair) reached[i + 3] = 1;
  }
  return reached;
}
