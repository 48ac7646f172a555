/** Whether a command printed what a document shows: ids, times and what an ellipsis stands for may differ. */

/** Stands for any number of lines. */
const isEllipsis = (line: string): boolean => /^\s*(…|\.\.\.)\s*$/.test(line);

const LOOSE: ReadonlyArray<[RegExp, (found: string) => string]> = [
  [/…|\.\.\./, () => ".*"],
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/, () => "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?Z"],
  [/\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?/, (found) => found.replace(/\d/g, "\\d")],
  [/\b[0-9a-f]{7,64}\b/, (found) => `[0-9a-f]{${found.length}}`],
];
const ANY = new RegExp(LOOSE.map(([pattern]) => `(${pattern.source})`).join("|"), "g");

const exactly = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** What one shown line stands for. */
export function patternOf(line: string): RegExp {
  let source = "";
  let from = 0;
  for (const found of line.matchAll(ANY)) {
    const which = LOOSE.findIndex((_, at) => found[at + 1] !== undefined);
    source += exactly(line.slice(from, found.index)) + LOOSE[which]![1](found[0]);
    from = found.index + found[0].length;
  }
  return new RegExp(`^${source}${exactly(line.slice(from))}$`);
}

const trimmed = (lines: readonly string[]): string[] => {
  const all = lines.map((line) => line.trimEnd());
  while (all.at(-1) === "") all.pop();
  return all;
};

/** Null where all lines fit, else the first shown line that nothing fits. */
export function misfit(expected: readonly string[], printed: readonly string[]): string | null {
  const wanted = trimmed(expected);
  const lines = trimmed(printed);
  let deepest = 0;
  /** Whether `wanted` from `i` on fits `lines` from `j` on. */
  const fits = (i: number, j: number): boolean => {
    deepest = Math.max(deepest, i);
    if (i === wanted.length) return j === lines.length;
    if (isEllipsis(wanted[i]!)) {
      for (let k = j; k <= lines.length; k++) if (fits(i + 1, k)) return true;
      return false;
    }
    return j < lines.length && patternOf(wanted[i]!).test(lines[j]!) && fits(i + 1, j + 1);
  };
  return fits(0, 0) ? null : (wanted[deepest] ?? "(the end)");
}
