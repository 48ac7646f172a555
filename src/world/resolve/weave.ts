/** Merging a text by statements, where merging it by lines conflicts. */
import { joinRuns, type Weave } from "./inserted.ts";
import { columns, correspond, type Statement, statements, telling } from "./statements.ts";
import { mergeWords } from "./words.ts";
import { type Side, sideOf, zones } from "./zones.ts";

/**
 * How a place that both changed was settled:
 * - `beside`: they changed different statements that touch;
 * - `both`: what each put there stands there, one after the other;
 * - `words`: they changed different words of it;
 * - `definition`: both made a definition of the same name, and what each has in it stands in it.
 */
export type How = "beside" | "both" | "words" | "definition";

/** Texts are latin1. Null where a place is left that both changed in ways that do not go together. Symmetric. */
export function weaveTexts(base: string, ours: string, theirs: string): { text: string; how: How[] } | null {
  const how = new Set<How>();
  const woven = weave(statements(base), statements(ours), statements(theirs), how);
  if (!woven) return null;
  const all = woven.filter(({ text }) => text !== "");
  const last = all.pop();
  const text = all.map((each) => (each.text.endsWith("\n") ? each.text : `${each.text}\n`)).join("");
  return { text: text + (last?.text ?? ""), how: how.size > 0 ? [...how].sort() : ["beside"] };
}

/** @param fine whether each line is a statement of its own */
function weave(
  base: readonly Statement[],
  ours: readonly Statement[],
  theirs: readonly Statement[],
  how: Set<How>,
  fine = false,
): Statement[] | null {
  const a = sideOf(correspond(base, ours), ours);
  const b = sideOf(correspond(base, theirs), theirs);
  const define: Weave = (x, y) => {
    how.add("definition");
    return weave(common(x, y), x, y, how, fine);
  };
  const made: Statement[] = [];
  const light = (at: number) => base[at]!.key === "";
  for (const zone of zones(base.length, a, b, light)) {
    if (zone.kind === "gap") {
      const x = moved(zone.a, zone.at, base, a, b);
      const y = moved(zone.b, zone.at, base, b, a);
      const above = [a, b].map(({ kept }) => (zone.at > 0 ? (kept[zone.at - 1] ?? undefined) : undefined));
      if (x.length > 0 && y.length > 0) how.add("both");
      const opens = [opensBlock(zone.a, zone.at, base, a), opensBlock(zone.b, zone.at, base, b)];
      const joined =
        x.length > 0 && y.length > 0 && opens[0] !== opens[1]
          ? opens[0]
            ? [...y, ...x]
            : [...x, ...y]
          : joinRuns(x, y, above as [Statement | undefined, Statement | undefined], define);
      if (!joined) return null;
      made.push(...joined);
      continue;
    }
    const text = (of: readonly Statement[]) => of.map((each) => each.text).join("");
    const [was, x, y] =
      zone.kind === "one"
        ? [base[zone.at]!.text, zone.a.text, zone.b.text]
        : [text(base.slice(zone.from, zone.to)), text(zone.a), text(zone.b)];
    const settled = x === y || y === was ? x : x === was ? y : null;
    if (settled !== null) {
      made.push(...statements(settled));
      continue;
    }
    const merged = (fine ? null : byLines(was, x, y, how)) ?? mergeWords(was, x, y);
    if (merged === null) return null;
    how.add("words");
    made.push(...statements(merged));
  }
  return made;
}

/** Merges statements of several lines line by line. */
function byLines(was: string, ours: string, theirs: string, how: Set<How>): string | null {
  const [base, x, y] = [was, ours, theirs].map((text) => statements(text, false)) as [
    Statement[],
    Statement[],
    Statement[],
  ];
  if (base.length < 2 || x.length < 2 || y.length < 2) return null;
  return (
    weave(base, x, y, how, true)
      ?.map(({ text }) => text)
      .join("") ?? null
  );
}

/** Whether a run ends in the head of a block, and what is behind it in the base has come to stand in that. */
function opensBlock(run: readonly Statement[], at: number, base: readonly Statement[], side: Side<Statement>): boolean {
  const further = (i: number) => columns(side.kept[i]!.indent) - columns(base[i]!.indent);
  if (run.length === 0) return false;
  const next = told(base, at, 1);
  if (!base[next] || !side.kept[next] || further(next) <= 0) return false;
  const above = told(base, at - 1, -1);
  return !base[above] || !side.kept[above] || further(above) < further(next);
}

/** What two runs have in common, as a base of both. */
function common(a: readonly Statement[], b: readonly Statement[]): Statement[] {
  const partner = correspond(a, b);
  return a.filter(
    (each, i) => partner[i]! >= 0 && each.key === b[partner[i]!]!.key && (telling(each) || each.key !== ""),
  );
}

/** A run that one side put before statement `at`, indented as the other side has indented what it belongs to. */
function moved(
  run: readonly Statement[],
  at: number,
  base: readonly Statement[],
  mine: Side<Statement>,
  other: Side<Statement>,
): readonly Statement[] {
  const first = run.find(({ key }) => key !== "");
  if (!first) return run;
  const beside = [told(base, at - 1, -1), told(base, at, 1)].filter((i) => base[i] && mine.kept[i] && other.kept[i]);
  const next = beside.find((i) => mine.kept[i]!.indent === first.indent) ?? beside[0];
  if (next === undefined) return run;
  const [was, now] = [mine.kept[next]!.indent, other.kept[next]!.indent];
  if (was === now || base[next]!.indent !== was) return run;
  return run.map((each) => {
    if (each.key === "") return each;
    const text = each.text
      .split(/(?<=\n)/)
      .map((line) => {
        if (line.trim() === "") return line;
        if (now.startsWith(was)) return now.slice(was.length) + line;
        return was.startsWith(now) && line.startsWith(was.slice(now.length))
          ? line.slice(was.length - now.length)
          : line;
      })
      .join("");
    return { ...each, text, indent: /^[ \t]*/.exec(text)![0] };
  });
}

/** The next statement from `at` on, in a direction, that is no blank line; beyond the ends where there is none. */
function told(base: readonly Statement[], at: number, step: -1 | 1): number {
  while (base[at]?.key === "") at += step;
  return at;
}
