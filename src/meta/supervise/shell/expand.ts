/** Words of a shell as the arguments that they become, as far as that is known without running anything. */
import type { Part, Script, Word } from "./syntax.ts";

/** An argument. */
export interface Arg {
  /** With nothing where it is not known; with `?` where that is not known, but not empty. */
  text: string;
  /** Whether a part is not known. */
  unknown: boolean;
  /** Whether an unquoted `*`, `?` or `[` stands in it: it may be several paths. */
  glob: boolean;
}

export const arg = (text: string): Arg => ({ text, unknown: false, glob: false });
const UNKNOWN: Arg = { text: "", unknown: true, glob: false };
const FILLED: Arg = { text: "?", unknown: true, glob: false };

export interface Scope {
  /** What a variable may hold: one text, or several that it has one after the other. Undefined: not known. */
  variable(name: string): readonly Arg[] | undefined;
  /** What a script prints, without the line ends behind it; null where that is not known. Its commands count as performed. */
  output(script: Script): readonly Arg[] | null;
  home: string;
}

/** So many arguments come of one word. */
const MOST = 64;

/** So many arguments of a command are followed. */
const MOST_ARGS = 1000;

/** Arguments of words, in order. */
export const expandAll = (words: readonly Word[], scope: Scope): Arg[] =>
  words
    .slice(0, MOST_ARGS)
    .flatMap((word) => expand(word, scope))
    .slice(0, MOST_ARGS);

interface Piece extends Arg {
  quoted: boolean;
}

/** A word as a text that is not cut into several. */
export function expandOne(word: Word, scope: Scope): Arg {
  const [first = arg("")] = joined(tilded(word, scope).map((part) => piecesOf(part, scope)));
  return { text: first.text, unknown: first.unknown, glob: first.glob };
}

export function expand(word: Word, scope: Scope): Arg[] {
  const all: Arg[] = [];
  for (const braced of braces(word))
    for (const whole of joined(tilded(braced, scope).map((part) => piecesOf(part, scope)))) all.push(...whole.fields);
  return all.slice(0, MOST);
}

interface Whole extends Arg {
  fields: Arg[];
}

/** So long a text is followed, in UTF-16 units: variables can double one with each assignment. */
const MOST_TEXT = 16_384;

/** Each way to take one of the pieces of each part, as a text and as what is left of it where blanks outside of quotes cut. */
function joined(parts: readonly (readonly Piece[])[]): Whole[] {
  let ways: Piece[][] = [[]];
  for (const pieces of parts) {
    if (pieces.length === 1) for (const way of ways) way.push(pieces[0]!);
    else ways = ways.flatMap((way) => pieces.map((piece) => [...way, piece])).slice(0, MOST);
  }
  return ways.map((way) => {
    const text = way.map((piece) => piece.text).join("");
    const whole = {
      text: text.slice(0, MOST_TEXT),
      unknown: text.length > MOST_TEXT || way.some(({ unknown }) => unknown),
      glob: way.some(({ glob }) => glob),
    };
    return { ...whole, fields: text.length > MOST_TEXT ? [whole] : fieldsOf(way) };
  });
}

function fieldsOf(pieces: readonly Piece[]): Arg[] {
  const fields: Arg[] = [];
  let field: Arg | null = null as Arg | null;
  const grow = (text: string, unknown: boolean, glob: boolean): void => {
    const { text: before = "", unknown: was = false, glob: had = false } = field ?? {};
    field = { text: before + text, unknown: unknown || was, glob: glob || had };
  };
  for (const { text, unknown, glob, quoted } of pieces) {
    if (quoted) {
      grow(text, unknown, glob);
      continue;
    }
    for (const [at, cut] of text.split(/[ \t\n]+/).entries()) {
      if (at > 0 && field) {
        fields.push(field);
        field = null;
      }
      if (cut !== "" || (unknown && at === 0)) grow(cut, unknown, glob);
    }
  }
  if (field) fields.push(field);
  return fields;
}

const isGlob = (text: string): boolean => /[*?[]/.test(text);

/** `~` and `~/` at the beginning of a word. */
function tilded(word: Word, scope: Scope): Word {
  const [first, ...rest] = word;
  if (first?.kind !== "text" || first.quoted || !/^~(?:$|\/)/.test(first.text)) return word;
  return [{ kind: "text", text: scope.home, quoted: true }, { ...first, text: first.text.slice(1) }, ...rest];
}

function piecesOf(part: Part, scope: Scope): Piece[] {
  switch (part.kind) {
    case "text":
      return [{ text: part.text, unknown: false, glob: !part.quoted && isGlob(part.text), quoted: true }];
    case "unknown":
      return [{ ...FILLED, quoted: true }];
    case "process":
      scope.output(part.script);
      return [{ ...FILLED, quoted: true }];
    case "command": {
      const given = scope.output(part.script) ?? [UNKNOWN];
      return given.map((each) => ({ ...each, quoted: part.quoted }));
    }
    case "variable":
      return valuesOf(part, scope).map((each) => ({
        ...each,
        glob: each.glob || (!part.quoted && isGlob(each.text)),
        quoted: part.quoted,
      }));
  }
}

/** What a variable stands for, with what is done to it in braces. */
function valuesOf({ name, op, word = [] }: Extract<Part, { kind: "variable" }>, scope: Scope): Arg[] {
  const held = scope.variable(name);
  const known = held ?? [UNKNOWN];
  const isSet = held?.some(({ text, unknown }) => unknown || text !== "") ?? false;
  const given = (): Arg => expandOne(word, scope);
  switch (op) {
    case undefined:
      return known.slice(0, MOST);
    case ":-":
    case "-":
    case ":=":
    case "=":
      return isSet ? [...known] : [given()];
    case ":+":
    case "+":
      return [given(), arg("")];
    case ":?":
    case "?":
      return isSet ? [...known] : [FILLED];
    case "#":
    case "##":
    case "%":
    case "%%": {
      if (held === undefined && word.length === 0) return [FILLED];
      return known.map((each) => (each.unknown ? each : { ...each, text: trimmed(each.text, given().text, op) }));
    }
    case "/":
    case "//": {
      const [from = "", to = ""] = given().text.split("/", 2);
      if (isGlob(from)) return [UNKNOWN];
      return known.map((each) => ({
        ...each,
        text: op === "//" ? each.text.replaceAll(from, to) : each.text.replace(from, () => to),
      }));
    }
    case "^^":
    case ",,":
      return known.map((each) => ({ ...each, text: op === "^^" ? each.text.toUpperCase() : each.text.toLowerCase() }));
    case ":": {
      const cut = /^ ?(-?\d+)(?::(-?\d+))?$/.exec(given().text);
      if (!cut) return [UNKNOWN];
      const from = Number(cut[1]);
      return known.map((each) => {
        const rest = each.text.slice(from);
        const size = cut[2] === undefined ? rest.length : Number(cut[2]);
        return { ...each, text: size < 0 ? rest.slice(0, size) : rest.slice(0, size) };
      });
    }
    case "!":
      return known.flatMap(({ text }) => scope.variable(text) ?? [UNKNOWN]);
    default:
      return [held === undefined ? UNKNOWN : FILLED];
  }
}

/** A text without what a pattern takes at its beginning or end. */
function trimmed(text: string, pattern: string, op: string): string {
  const fits = (part: string): boolean => matches(pattern, part);
  const sizes = [...Array(Math.min(text.length, 512) + 1).keys()];
  if (op.length === 2) sizes.reverse();
  const front = op.startsWith("#");
  const size = sizes.find((each) => fits(front ? text.slice(0, each) : text.slice(text.length - each)));
  if (size === undefined) return text;
  return front ? text.slice(size) : text.slice(0, text.length - size);
}

/** Whether a pattern of `*` and `?` takes the whole of a text; in one pass, since a worker writes both. */
export function matches(pattern: string, text: string): boolean {
  let reached = new Set([0]);
  const over = (places: Set<number>): Set<number> => {
    for (const at of places) if (pattern[at] === "*") places.add(at + 1);
    return places;
  };
  reached = over(reached);
  for (const char of text) {
    const next = new Set<number>();
    for (const at of reached) {
      if (pattern[at] === "*") next.add(at);
      else if (pattern[at] === "?" || pattern[at] === char) next.add(at + 1);
    }
    reached = over(next);
    if (reached.size === 0) return false;
  }
  return reached.has(pattern.length);
}

/** A word as one for each choice in its braces: `{a,b}c` is `ac` and `bc`. */
function braces(word: Word): Word[] {
  for (const [at, part] of word.entries()) {
    if (part.kind !== "text" || part.quoted) continue;
    const open = /\{([^{}]*(?:,|\.\.)[^{}]*)\}/.exec(part.text);
    if (!open) continue;
    const range = /^(-?\d+)\.\.(-?\d+)$/.exec(open[1]!);
    const choices = range ? numbers(Number(range[1]), Number(range[2])) : open[1]!.split(",");
    if (!range && choices.length < 2) continue;
    const before = part.text.slice(0, open.index);
    const after = part.text.slice(open.index + open[0].length);
    return choices
      .slice(0, MOST)
      .flatMap((choice) =>
        braces([...word.slice(0, at), { ...part, text: before + choice + after }, ...word.slice(at + 1)]),
      )
      .slice(0, MOST);
  }
  return [word];
}

const numbers = (from: number, to: number): string[] =>
  [...Array(Math.min(Math.abs(to - from) + 1, MOST)).keys()].map((at) => String(from <= to ? from + at : from - at));
