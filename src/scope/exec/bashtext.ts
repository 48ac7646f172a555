/**
 * Reading what bash prints about itself. Texts are byte strings (latin1). Every function here is strict: it throws on anything
 * that bash would not print.
 */
const SIMPLE: Record<string, string> = {
  a: "\x07",
  b: "\b",
  e: "\x1b",
  E: "\x1b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  "'": "'",
  '"': '"',
  "?": "?",
};

const bad = (at: number) => new Error(`not as bash prints it, at byte ${at}`);

/** Reads one quoted word, "…" or $'…', that begins at `from`. */
function readWord(text: string, from: number): { value: string; end: number } {
  let value = "";
  if (text.startsWith('"', from)) {
    for (let at = from + 1; at < text.length; at++) {
      const c = text[at]!;
      if (c === '"') return { value, end: at + 1 };
      if (c === "\\" && /[$`"\\\n]/.test(text[at + 1] ?? "")) value += text[++at];
      else value += c;
    }
  } else if (text.startsWith("$'", from)) {
    for (let at = from + 2; at < text.length; at++) {
      const c = text[at]!;
      if (c === "'") return { value, end: at + 1 };
      if (c !== "\\") {
        value += c;
        continue;
      }
      const octal = /^[0-7]{1,3}/.exec(text.slice(at + 1, at + 4))?.[0];
      if (octal) {
        value += String.fromCharCode(Number.parseInt(octal, 8) & 0xff);
        at += octal.length;
      } else {
        const simple = SIMPLE[text[++at] ?? ""];
        if (simple === undefined) throw bad(at);
        value += simple;
      }
    }
  }
  throw bad(from);
}

/** The end of a list, `([0]="a" [1]="b")`, that begins at `from`. */
export function readList(text: string, from: number): number {
  if (text[from] !== "(") throw bad(from);
  for (let at = from + 1; at < text.length; ) {
    if (text[at] === ")") return at + 1;
    if (text[at] === '"' || text.startsWith("$'", at)) at = readWord(text, at).end;
    else if (/[\w[\]= .:,/@%+-]/.test(text[at]!)) at++;
    else throw bad(at);
  }
  throw bad(from);
}

export interface Declared {
  name: string;
  /** Letters of `declare`. */
  attributes: string;
  /** The list as bash writes it where the attributes have `a` or `A`; null where the variable is not set. */
  value: string | null;
}

/** Reads the output of `declare -p`. */
export function readDeclared(text: string): Declared[] {
  const found: Declared[] = [];
  const head = /declare -([A-Za-z]+) ([A-Za-z_][A-Za-z0-9_]*)([=\n])/y;
  for (let at = 0; at < text.length; ) {
    head.lastIndex = at;
    const [whole, attributes, name, mark] = head.exec(text) ?? [];
    if (whole === undefined) throw bad(at);
    at += whole.length;
    const row = { name: name!, attributes: attributes! };
    if (mark === "\n") {
      found.push({ ...row, value: null });
      continue;
    }
    const list = /[aA]/.test(attributes!);
    const word = list ? { value: "", end: readList(text, at) } : readWord(text, at);
    found.push({ ...row, value: list ? text.slice(at, word.end) : word.value });
    if (text[word.end] !== "\n") throw bad(word.end);
    at = word.end + 1;
  }
  return found;
}

/** Options that a new shell has switched on. */
const ON = new Set(
  `braceexpand hashall interactive-comments checkwinsize cmdhist complete_fullquote extquote force_fignore globasciiranges
  globskipdots hostcomplete interactive_comments patsub_replacement progcomp promptvars sourcepath`.split(/\s+/),
);
/** Options that say how the shell was started. */
const FIXED = new Set(["login_shell", "restricted_shell"]);

/** From the output of `set +o` and `shopt -p`: the lines that a new shell needs, sorted; all of them in posix mode, which sets others. */
export function readOptions(set: string, shopt: string): string {
  const lines = [...set.split("\n"), ...shopt.split("\n")].filter((line) => line !== "");
  const all = lines.includes("set -o posix");
  const kept = lines.filter((line) => {
    const [, mode, name] = /^(set [-+]o|shopt -[su]) ([a-z0-9_-]+)$/.exec(line) ?? [];
    if (!mode || !name) throw new Error(`${JSON.stringify(line)} sets no option`);
    const on = mode === "set -o" || mode === "shopt -s";
    return !FIXED.has(name) && (all || on !== ON.has(name));
  });
  return kept.sort().join("\n");
}
