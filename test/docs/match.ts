/**
 * Whether a command printed what a document shows. Ids and times may differ, and whatever an ellipsis stands for; but an id that is shown
 * twice is one id there too.
 */

/** Stands for any number of lines. */
const isEllipsis = (line: string): boolean => /^\s*(…|\.\.\.)\s*$/.test(line);

const ID = /\b[0-9a-f]{7,64}\b/;
const LOOSE: ReadonlyArray<[RegExp, (found: string) => string]> = [
  [/…|\.\.\./, () => ".*"],
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/, () => "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?Z"],
  [/\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?/, (found) => found.replace(/\d/g, "\\d")],
  [ID, (found) => `([0-9a-f]{${found.length}})`],
];
const ANY = new RegExp(LOOSE.map(([pattern]) => `(${pattern.source})`).join("|"), "g");

const exactly = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

interface Line {
  pattern: RegExp;
  /** Ids that it shows, in the order of the pattern's groups. */
  ids: string[];
}

function lineOf(shown: string): Line {
  const ids: string[] = [];
  let source = "";
  let from = 0;
  for (const found of shown.matchAll(ANY)) {
    const which = LOOSE.findIndex((_, at) => found[at + 1] !== undefined);
    if (LOOSE[which]![0] === ID) ids.push(found[0]);
    source += exactly(shown.slice(from, found.index)) + LOOSE[which]![1](found[0]);
    from = found.index + found[0].length;
  }
  return { pattern: new RegExp(`^${source}${exactly(shown.slice(from))}$`), ids };
}

const trimmed = (lines: readonly string[]): string[] => {
  const all = lines.map((line) => line.trimEnd());
  while (all.at(-1) === "") all.pop();
  return all;
};

/**
 * Null where all lines fit, else the first shown line that nothing fits. `known` holds what the ids that were shown before stand for, and
 * gets those that are shown here.
 */
export function misfit(
  expected: readonly string[],
  printed: readonly string[],
  known: Map<string, string> = new Map(),
): string | null {
  const wanted = trimmed(expected);
  const lines = trimmed(printed);
  const patterns = wanted.map((line) => (isEllipsis(line) ? null : lineOf(line)));
  let deepest = 0;
  /** What the ids stand for if `wanted` from `i` on fits `lines` from `j` on; null if it does not. */
  const fit = (i: number, j: number, before: ReadonlyMap<string, string>): ReadonlyMap<string, string> | null => {
    deepest = Math.max(deepest, i);
    if (i === wanted.length) return j === lines.length ? before : null;
    const line = patterns[i];
    if (!line) {
      for (let k = j; k <= lines.length; k++) {
        const ids = fit(i + 1, k, before);
        if (ids) return ids;
      }
      return null;
    }
    const found = j < lines.length ? line.pattern.exec(lines[j]!) : null;
    if (!found) return null;
    const ids = new Map(before);
    for (const [k, id] of line.ids.entries()) {
      if ((ids.get(id) ?? found[k + 1]) !== found[k + 1]) return null;
      ids.set(id, found[k + 1]!);
    }
    return fit(i + 1, j + 1, ids);
  };
  const ids = fit(0, 0, known);
  for (const [shown, stands] of ids ?? []) known.set(shown, stands);
  return ids ? null : (wanted[deepest] ?? "(the end)");
}
