/** What must hold of a text that was made of two by no one who understands it. */
import { spawn } from "node:child_process";
import { columns, correspond, DEFINES, type Statement, statements, tokens } from "./statements.ts";

/** Texts of one file, latin1. */
export interface Texts {
  readonly base: string;
  readonly ours: string;
  readonly theirs: string;
}

/**
 * Whether the language of `path`, as far as a parser of it is at hand, takes `text`; and whether its brackets are balanced. Where it does not take one
 * of the three either, it says nothing. The text is parsed, never run.
 */
export async function holds(path: string, text: string, of: Texts): Promise<boolean> {
  const all = [of.base, of.ours, of.theirs];
  if (all.every(balanced) && !balanced(text)) return false;
  const parser = parserOf(path);
  if (!parser || (await parser(text)) !== false) return true;
  return (await Promise.all(all.map(parser))).includes(false);
}

/** Whether one side has taken a name out of the file, or out of the head of a definition, that the other uses once more in there. */
export function losesName({ base, ours, theirs }: Texts): boolean {
  const [old, x, y] = [base, ours, theirs].map((text) => statements(text)) as [Statement[], Statement[], Statement[]];
  if (losesParameter(old, x, y) || losesParameter(old, y, x)) return true;
  const [was, a, b] = [base, ours, theirs].map(names) as [Names, Names, Names];
  for (const [name, n] of was) {
    const [x, y] = [a.get(name) ?? 0, b.get(name) ?? 0];
    if ((x === 0 && y > n) || (y === 0 && x > n)) return true;
  }
  return false;
}

function losesParameter(base: readonly Statement[], one: readonly Statement[], other: readonly Statement[]): boolean {
  const [here, there] = [correspond(base, one), correspond(base, other)];
  return base.some(({ text }, i) => {
    const [head, body] = [one[here[i]!], there[i]!];
    if (!DEFINES.test(text) || !head || body < 0 || head.text === text) return false;
    const left = names(head.text);
    const [before, after] = [names(below(base, i)), names(below(other, body))];
    return [...names(text).keys()].some((name) => !left.has(name) && (after.get(name) ?? 0) > (before.get(name) ?? 0));
  });
}

/** What is indented below a statement. */
function below(all: readonly Statement[], at: number): string {
  const end = all.findIndex(
    ({ key, indent }, i) => i > at && key !== "" && columns(indent) <= columns(all[at]!.indent),
  );
  return all
    .slice(at + 1, end < 0 ? all.length : end)
    .map(({ text }) => text)
    .join("");
}

type Names = ReadonlyMap<string, number>;

function names(text: string): Names {
  const found = new Map<string, number>();
  for (const token of tokens(text))
    if (/^[A-Za-z_$][\w$]{2}/.test(token)) found.set(token, (found.get(token) ?? 0) + 1);
  return found;
}

function balanced(text: string): boolean {
  const depth = { "(": 0, "[": 0, "{": 0 };
  for (const { text: line } of statements(text, false)) {
    for (const char of line) {
      if (char === "(" || char === "[" || char === "{") depth[char]++;
      else if (char === ")") depth["("]--;
      else if (char === "]") depth["["]--;
      else if (char === "}") depth["{"]--;
    }
  }
  return Object.values(depth).every((each) => each === 0);
}

/** Whether a text is one of its language; null where nobody can say. */
type Parser = (text: string) => boolean | null | Promise<boolean | null>;

function parserOf(path: string): Parser | null {
  const [, ending] = /\.([^./]+)$/.exec(path) ?? [];
  if (ending === "json") return (text) => isJson(text);
  if (ending === "py" || ending === "pyi") return (text) => accepts("python3", ["-I", "-S", "-c", PYTHON], text);
  if (ending === "mjs") return (text) => accepts(process.execPath, ["--check", "--input-type=module", "-"], text);
  if (ending === "cjs") return (text) => accepts(process.execPath, ["--check", "-"], text);
  if (ending === "js")
    return async (text) =>
      (await accepts(process.execPath, ["--check", "-"], text)) ||
      (await accepts(process.execPath, ["--check", "--input-type=module", "-"], text));
  return null;
}

const PYTHON = "import sys; compile(sys.stdin.buffer.read(), 'text', 'exec', dont_inherit=True)";

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** So long a parser may take, in ms. */
const PATIENCE = 20_000;

/** Whether a program ends well on a text; null where it is not there. */
function accepts(program: string, args: readonly string[], text: string): Promise<boolean | null> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: "/",
      stdio: ["pipe", "ignore", "ignore"],
      timeout: PATIENCE,
      killSignal: "SIGKILL",
    });
    child.on("error", () => resolve(null));
    child.on("close", (code) => resolve(code === 0));
    child.stdin.on("error", () => {});
    child.stdin.end(Buffer.from(text, "latin1"));
  });
}
