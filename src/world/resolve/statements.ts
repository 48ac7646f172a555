/**
 * A text as statements: lines, and lines that a bracket holds together. No language is known, only what nearly all have in common: brackets, quotes,
 * indentation. Where that is wrong, what is made of it is coarser. Texts are latin1 strings here, so that each byte is a character and comes back as it was.
 */
import { align, rising } from "./align.ts";

export interface Statement {
  /** All of its lines, with their ends. */
  readonly text: string;
  /** What stands in it, whatever its spaces, line breaks and trailing commas. Empty for a blank line. */
  readonly key: string;
  /** White space before its first line. */
  readonly indent: string;
  /** It starts within a text in triple quotes. */
  readonly quoted: boolean;
}

/** A bracket that is open longer than this many lines holds none of them together. */
const LONGEST = 24;

const TOKEN = /[A-Za-z0-9_$\x80-\xff]+|\s+|[\s\S]/g;

/** Words, stretches of white space, and single other characters. */
export const tokens = (text: string): string[] => text.match(TOKEN) ?? [];

export const isSpace = (token: string): boolean => token.trim() === "";

const isWord = (token: string): boolean => /^[A-Za-z0-9_$\x80-\xff]/.test(token);

const keyOf = (text: string): string =>
  tokens(text)
    .filter((token) => !isSpace(token))
    .join(" ")
    .replace(/, (?=[)\]}])/g, "");

/** The head of a definition, with its name. */
export const DEFINES =
  /^\s*(?:(?:export|default|async|public|private|protected|static|final|abstract|pub|override)\s+)*(?:def|class|function\*?|fn|func|interface|struct|enum|trait|module|type)\s+([A-Za-z0-9_$]+)/;

/** Columns of white space. */
export const columns = (indent: string): number => {
  let at = 0;
  for (const char of indent) at = char === "\t" ? at + 8 - (at % 8) : at + 1;
  return at;
};

/** @param whole whether lines that a bracket holds together are one statement. */
export function statements(text: string, whole = true): Statement[] {
  const lines = text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  const made: Statement[] = [];
  let quote = "";
  // A text of opening brackets alone would be looked through once for each.
  let ahead = 4 * lines.length;
  for (let at = 0; at < lines.length; ) {
    const quoted = quote !== "";
    let end = at + 1;
    let scanned = scan(lines[at]!, quote, 0);
    quote = scanned.quote;
    if (whole && !quoted && scanned.depth > 0) {
      let { depth } = scanned;
      let inner = quote;
      for (let next = end; next < lines.length && next - at < LONGEST && depth > 0 && ahead > 0; next++, ahead--) {
        scanned = scan(lines[next]!, inner, depth);
        ({ depth } = scanned);
        inner = scanned.quote;
        if (depth <= 0) {
          end = next + 1;
          quote = inner;
        }
      }
    }
    const here = lines.slice(at, end).join("");
    made.push({ text: here, key: keyOf(here), indent: /^[ \t]*/.exec(here)![0], quoted });
    at = end;
  }
  return made;
}

const QUOTED = { '"': /"(?:[^"\\\n]|\\.)*"/y, "'": /'(?:[^'\\\n]|\\.)*'/y, "`": /`(?:[^`\\\n]|\\.)*`/y };

/** How deep in round and square brackets a line ends that starts `depth` deep, and in which triple quotes. */
function scan(line: string, quote: string, depth: number): { depth: number; quote: string } {
  for (let at = 0; at < line.length; ) {
    if (quote) {
      const end = line.indexOf(quote, at);
      if (end < 0) return { depth, quote };
      at = end + 3;
      quote = "";
      continue;
    }
    const char = line[at]!;
    if ((char === '"' || char === "'") && line.startsWith(char.repeat(3), at)) {
      quote = char.repeat(3);
      at += 3;
    } else if (char === '"' || char === "'" || char === "`") {
      // One that has no end on its line is an apostrophe.
      const closed = QUOTED[char];
      closed.lastIndex = at;
      at = closed.test(line) ? closed.lastIndex : at + 1;
    } else if ((char === "#" || line.startsWith("//", at)) && (at === 0 || /\s/.test(line[at - 1]!))) {
      return { depth, quote };
    } else {
      if (char === "(" || char === "[") depth++;
      else if ((char === ")" || char === "]") && depth > 0) depth--;
      at++;
    }
  }
  return { depth, quote };
}

/** It says something: a line of brackets or a blank one may stand for any other. */
export const telling = ({ key }: Statement): boolean => /[A-Za-z0-9_]{2}/.test(key);

/**
 * For each statement of `a` the one of `b` that it became, or -1: unchanged ones first (of those the ones that there is only one of), then, between
 * them, those that are alike.
 */
export function correspond(a: readonly Statement[], b: readonly Statement[]): Int32Array {
  const partner = new Int32Array(a.length).fill(-1);
  const words = new Map<Statement, Map<string, number>>();
  const wordsOf = (statement: Statement): Map<string, number> => {
    let found = words.get(statement);
    if (!found) {
      found = new Map();
      for (const token of statement.key.split(" ")) found.set(token, (found.get(token) ?? 0) + 1);
      words.set(statement, found);
    }
    return found;
  };
  const ranges: Array<[number, number, number, number, boolean]> = [[0, a.length, 0, b.length, true]];
  while (ranges.length > 0) {
    let [a0, a1, b0, b1] = ranges.at(-1)!;
    const fresh = ranges.pop()![4];
    while (a0 < a1 && b0 < b1 && a[a0]!.key === b[b0]!.key) partner[a0++] = b0++;
    while (a0 < a1 && b0 < b1 && a[a1 - 1]!.key === b[b1 - 1]!.key) partner[--a1] = --b1;
    if (a0 === a1 || b0 === b1 || !fresh) continue;
    let pairs = rising(unique(a, a0, a1, b, b0, b1));
    const exact = pairs.length > 0;
    if (!exact) {
      const found = align(a1 - a0, b1 - b0, (i, j) => alike(a[a0 + i]!, b[b0 + j]!, wordsOf), 0.1);
      pairs = [...found].flatMap((j, i) => (j < 0 ? [] : [[a0 + i, b0 + j] as const]));
    }
    let from: readonly [number, number] = [a0, b0];
    for (const [i, j] of [...pairs, [a1, b1] as const]) {
      if (i < a1) partner[i] = j;
      ranges.push([from[0], i, from[1], j, exact]);
      from = [i + 1, j + 1];
    }
  }
  return partner;
}

/** Pairs of equal statements of which there is one in each range. */
function unique(
  a: readonly Statement[],
  a0: number,
  a1: number,
  b: readonly Statement[],
  b0: number,
  b1: number,
): Array<readonly [number, number]> {
  const count = (of: readonly Statement[], from: number, to: number) => {
    const places = new Map<string, number>();
    for (let i = from; i < to; i++) places.set(of[i]!.key, places.has(of[i]!.key) ? -1 : i);
    return places;
  };
  const there = count(b, b0, b1);
  return [...count(a, a0, a1)].flatMap(([key, i]) => {
    const j = there.get(key) ?? -1;
    return i >= 0 && j >= 0 && telling(a[i]!) ? [[i, j] as const] : [];
  });
}

/** What it is worth that `b` is what `a` became; 0 where it is something else. */
function alike(a: Statement, b: Statement, wordsOf: (of: Statement) => ReadonlyMap<string, number>): number {
  if (!telling(a) || !telling(b)) return 0;
  // Of several the one that stands as far in as it did, or nearly so.
  const near = 0.1 / (1 + Math.abs(columns(a.indent) - columns(b.indent)));
  if (a.key === b.key) return 2 + near;
  const weight = (token: string): number => (isWord(token) ? 1 : 0.25);
  let common = 0;
  let all = 0;
  const there = wordsOf(b);
  for (const [token, n] of wordsOf(a)) {
    common += weight(token) * Math.min(n, there.get(token) ?? 0);
    all += weight(token) * n;
  }
  for (const [token, n] of there) all += weight(token) * n;
  const share = (2 * common) / all;
  return share >= ALIKE ? share + near : 0;
}

/** Two statements are alike that have this share of their words in common. */
const ALIKE = 0.55;
