/** What docs/cli.md says about the verbs, read back from it: their usage, their options, the objects that they print. */

export interface Field {
  /** `changes`, `changes.files`, `items[].role`. */
  path: string;
  /** `string`, `null`, `object[]`, `facts` (anything), `absent`, …: one of them. */
  types: string[];
}

/** One sort of object: the fields of a table. */
export interface Kind {
  /** Of the document, from 1. */
  line: number;
  fields: Field[];
}

export interface Section {
  verb: string;
  text: string;
  usage: string;
  /** All long and short options, with what stands behind them: `--count K`, `-k`. */
  options: Set<string>;
  kinds: Kind[];
}

const cells = (row: string): string[] =>
  row
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim());
const code = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, text]) => text!);

/** Rows of the tables whose first row begins with `head`. */
function tables(text: string, first: number, head: string[]): Array<{ line: number; rows: string[][] }> {
  const found: Array<{ line: number; rows: string[][] }> = [];
  let open: { line: number; rows: string[][] } | null = null;
  for (const [at, line] of text.split("\n").entries()) {
    if (!line.startsWith("|")) open = null;
    else if (head.every((word, i) => cells(line)[i] === word)) {
      open = { line: first + at, rows: [] };
      found.push(open);
    } else if (open && !/^\|[-|]+$/.test(line)) open.rows.push(cells(line));
  }
  return found;
}

const kindsOf = (text: string, first: number): Kind[] =>
  tables(text, first, ["field", "type", "meaning"]).map(({ line, rows }) => ({
    line,
    fields: rows.map((row) => ({ path: code(row[0]!)[0]!, types: row[1]!.split(" or ") })),
  }));

/**
 * What a verb prints: its own tables, those of another section that it links to (`Objects: a [row](#rows) …`), and errors. A table behind
 * `with more:` goes on where that of rows ends.
 */
export function kindsFor(sections: ReadonlyMap<string, Section>, verb: string): Kind[] {
  const { text, kinds } = sections.get(verb)!;
  const objects = /^Objects: .*$/m.exec(text)?.[0] ?? "";
  const [row, end, error] = ["Rows", "run", "JSON"].map((name) => sections.get(name)!.kinds[0]!) as [Kind, Kind, Kind];
  const first = kinds[0];
  if (objects.endsWith("with more:") && first)
    return [{ line: first.line, fields: [...row.fields, ...first.fields] }, ...kinds.slice(1), error];
  return [...kinds, ...(objects.includes("(#rows)") ? [row] : []), ...(objects.includes("(#run)") ? [end] : []), error];
}

/** The sections of the page, by the names of their headings. */
export function sectionsOf(markdown: string): Map<string, Section> {
  const found = new Map<string, Section>();
  let line = 1;
  for (const part of markdown.split(/^(?=#{1,2} )/m)) {
    const verb = /^## (.+)/.exec(part)?.[1];
    if (verb !== undefined)
      found.set(verb, {
        verb,
        text: part,
        usage: /```text\n(.*)\n```/.exec(part)?.[1] ?? "",
        options: new Set(tables(part, line, ["option"]).flatMap(({ rows }) => rows.flatMap((row) => code(row[0]!)))),
        kinds: kindsOf(part, line),
      });
    line += part.split("\n").length - 1;
  }
  return found;
}

const typeOf = (value: unknown): string => {
  if (value === undefined) return "absent";
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
};

const isOf = (value: unknown, type: string): boolean => {
  if (type === "facts") return value !== undefined;
  if (type.endsWith("[]")) return Array.isArray(value) && value.every((each) => isOf(each, type.slice(0, -2)));
  return typeOf(value) === type;
};

/** What about an object is not as a kind says: a sentence each. `seen` gets the paths of the fields that it has. */
export function misfits(value: object, { fields }: Kind, seen: Set<string> = new Set()): string[] {
  const wrong: string[] = [];
  const known = new Map(fields.map((field) => [field.path, field]));
  const look = (object: { [key: string]: unknown }, prefix: string): void => {
    for (const key of Object.keys(object))
      if (!known.has(prefix + key)) wrong.push(`${prefix}${key} is not in the table`);
    for (const { path, types } of fields) {
      const key = path.slice(prefix.length);
      if (!path.startsWith(prefix) || /[.[]/.test(key)) continue;
      const each = object[key];
      if (!types.some((type) => isOf(each, type))) wrong.push(`${path} is ${typeOf(each)}, not ${types.join(" or ")}`);
      if (each === undefined) continue;
      seen.add(path);
      if (types.includes("facts")) continue;
      if (types.includes("object[]") && Array.isArray(each)) for (const one of each) look(one, `${path}[].`);
      else if (types.includes("object") && each !== null) look(each as { [key: string]: unknown }, `${path}.`);
    }
  };
  look(value as { [key: string]: unknown }, "");
  return wrong;
}
