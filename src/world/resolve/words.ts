/** Merging a statement word by word, where both sides changed it. */
import { align } from "./align.ts";
import { isSpace, tokens } from "./statements.ts";
import { type Side, sideOf, zones } from "./zones.ts";

/**
 * Merges what two sides made of a text where they changed different words of it, or both put entries into the same list. Null where they did
 * not. White space that both changed is that of the side with more of it. Symmetric.
 */
export function mergeWords(base: string, ours: string, theirs: string): string | null {
  const old = tokens(base);
  const a = wordsOf(old, ours);
  const b = wordsOf(old, theirs);
  if (!a || !b) return null;
  let out = "";
  for (const zone of zones(old.length, a, b, () => false)) {
    let [x, y] = zone.kind === "one" ? [zone.a, zone.b] : [zone.a.join(""), zone.b.join("")];
    let merged: string | null;
    if (zone.kind === "gap") merged = x === "" || y === "" ? x + y : joined(x, y);
    else {
      const was = zone.kind === "one" ? old[zone.at]! : old.slice(zone.from, zone.to).join("");
      if (isSpace(was) && x !== was && y !== was) [x, y] = wider(x, y) ? [x, x] : [y, y];
      merged = x === y || y === was ? x : x === was ? y : null;
    }
    if (merged === null) return null;
    out += merged;
  }
  return out;
}

function wordsOf(base: readonly string[], text: string): Side<string> | null {
  const now = tokens(text);
  const partner = align(
    base.length,
    now.length,
    (i, j) => {
      if (isSpace(base[i]!)) return isSpace(now[j]!) ? 0.3 : 0;
      if (base[i] !== now[j]) return 0;
      return /^\w\w/.test(base[i]!) ? 3 : /^\w/.test(base[i]!) ? 2 : 1;
    },
    0.5,
  );
  if (partner.every((j) => j < 0)) return null;
  slide(base, now, partner);
  return sideOf(partner, now);
}

/**
 * Of `a, b` in `(x, a, b)` nobody can say whether it is `a, b` or `, a` that has come. Moves each stretch that has come, as far as that changes
 * nothing, to where it starts with a separator, or else ends with one.
 */
function slide(base: readonly string[], now: readonly string[], partner: Int32Array): void {
  const at = (i: number) => (i === base.length ? now.length : (partner[i] ?? -1));
  for (let i = 1; i <= base.length; i++) {
    const [from, to] = [at(i - 1) + 1, at(i)];
    if (from === 0 || to <= from) continue;
    let best = 0;
    let most = -1;
    const look = (by: number) => {
      const run = now.slice(from + by, to + by).join("");
      const worth = FIRST.test(run) ? 2 : LAST.test(run) ? 1 : 0;
      if (worth > most) [best, most] = [by, worth];
    };
    look(0);
    for (let k = 1; at(i - k) === from - k && i - k >= 0 && now[from - k] === now[to - k]; k++) look(-k);
    for (let k = 0; i + k < base.length && at(i + k) === to + k && now[from + k] === now[to + k]; k++) look(k + 1);
    for (let k = 1; k <= -best; k++) partner[i - k] = to - k;
    for (let k = 0; k < best; k++) partner[i + k] = from + k;
  }
}

const wider = (x: string, y: string): boolean => x.length > y.length || (x.length === y.length && x > y);

const FIRST = /^\s*(,|;|\|\||&&|\||\+|and\b|or\b)/;
const LEAD = /^\s*(?:,|;|\|\||&&|\||\+|and\b|or\b)\s*/;
const LAST = /(,|;|\|\||&&|\|)\s*$/;

interface Entry {
  readonly text: string;
  /** The separators that it starts and ends with. */
  readonly starts: string | null;
  readonly ends: string | null;
}

/** What both put at the same place: entries of one list, one after the other. Null where they are no such entries. */
function joined(x: string, y: string): string | null {
  if (x === y) return x;
  if (isSpace(x) && isSpace(y)) return wider(x, y) ? x : y;
  if (isSpace(x) || isSpace(y)) {
    const [said, space] = isSpace(x) ? [y, x] : [x, y];
    return FIRST.test(said) ? said + space : said;
  }
  // What closes a bracket belongs to what was put before it, and what opens one to what is put behind it.
  const loose = [open(x), open(y)] as const;
  if (loose[0] !== loose[1]) {
    if (loose[0] < 0 && loose[1] === 0) return x + y;
    if (loose[1] < 0 && loose[0] === 0) return y + x;
    if (loose[0] > 0 && loose[1] === 0) return y + x;
    if (loose[1] > 0 && loose[0] === 0) return x + y;
  }
  if (loose[0] !== 0 || loose[1] !== 0) return null;
  const entry = (text: string): Entry => ({
    text,
    starts: FIRST.exec(text)?.[1] ?? null,
    ends: LAST.exec(text)?.[1] ?? null,
  });
  // What ends with a separator of its own, or with a line, is followed by what closes the list.
  const closing = ({ text, starts, ends }: Entry) => (starts && ends ? 2 : 0) + (/\n\s*$/.test(text) ? 1 : 0);
  const [first, second] = [entry(x), entry(y)].sort(
    (p, q) => closing(p) - closing(q) || (p.text < q.text ? -1 : 1),
  ) as [Entry, Entry];
  if (first.starts !== null && first.starts === second.starts) {
    const entries = first.ends === null ? first.text : first.text.replace(LAST, "");
    // A line each, if that is how the other's stand.
    const [lead] = LEAD.exec(second.text)!;
    return (lead.includes("\n") ? entries.replace(LEAD, () => lead) : entries) + second.text;
  }
  if (first.starts === null && second.starts === null && first.ends !== null && first.ends === second.ends)
    return first.text + second.text;
  return null;
}

/** How many brackets more it opens than closes. */
function open(text: string): number {
  let depth = 0;
  for (const char of text) depth += "([{".includes(char) ? 1 : ")]}".includes(char) ? -1 : 0;
  return depth;
}
