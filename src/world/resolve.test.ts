import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { params } from "../../test/support/runs.ts";
import { weaveTexts } from "./resolve/weave.ts";
import { resolveText } from "./resolve.ts";

const lines = (...all: string[]): string => all.map((line) => `${line}\n`).join("");

/** What is made of two texts, the same whichever side is which; null where nothing is. */
async function both(path: string, base: string, ours: string, theirs: string): Promise<string | null> {
  const made = await resolveText(path, Buffer.from(base), Buffer.from(ours), Buffer.from(theirs));
  const exchanged = await resolveText(path, Buffer.from(base), Buffer.from(theirs), Buffer.from(ours));
  expect(exchanged).toEqual(made);
  return made && Buffer.from(made.bytes).toString();
}

describe("what both put at the same place stands there", () => {
  test("functions, whole, one after the other", async () => {
    const base = lines("import a", "", "", "def f():", "    return 1");
    const more = (name: string) =>
      lines("", "", `def ${name}(x):`, "    if x:", "        return x", "", "    return 0");
    const made = await both("a.py", base, base + more("g"), base + more("h"));
    expect(made).toBe(base + more("g") + more("h"));
  });

  test("arguments, one on a line and all on one line", async () => {
    const head = (...args: string[]) => lines("def f(", ...args.map((arg) => `    ${arg},`), "):", "    pass");
    expect(
      await both(
        "a.py",
        head("a: bool = False"),
        head("a: bool = False", "b: bool = False"),
        head("a: bool = False", "c=1"),
      ),
    ).toBe(head("a: bool = False", "b: bool = False", "c=1"));
    expect(await both("a.c", "f(a, b);\n", "f(a, b, c);\n", "f(a, b, d);\n")).toBe("f(a, b, c, d);\n");
    expect(await both("a.py", "from x import B\n", "from x import A, B\n", "from x import B, C\n")).toBe(
      "from x import A, B, C\n",
    );
  });

  test("an argument where the other side has put each argument on a line", async () => {
    const spread = lines("go(", "    a=a,", "    b=b,", "    c=c,", ")");
    expect(await both("a.py", "go(a=a, b=b)\n", spread, "go(a=a, b=b, d=d)\n")).toBe(
      lines("go(", "    a=a,", "    b=b,", "    d=d,", "    c=c,", ")"),
    );
  });

  test("the same line once", async () => {
    expect(await both("a.py", "x = 1\n", "import re\nimport os\nx = 1\n", "import re\nimport sys\nx = 1\n")).toBe(
      lines("import re", "import os", "import sys", "x = 1"),
    );
  });

  test("what belongs to the block above before what ends it", async () => {
    const base = lines("class A:", "    def f(self):", "        self.a = 1");
    expect(
      await both(
        "a.py",
        base,
        `${base}${lines("        self.b = 2", "", "    def g(self):", "        return 3")}`,
        `${base}${lines("        self.c = 4")}`,
      ),
    ).toBe(`${base}${lines("        self.b = 2", "        self.c = 4", "", "    def g(self):", "        return 3")}`);
  });

  test("entries of JSON, with a comma between", async () => {
    const json = (...more: string[]) => `{\n  "a": 1${more.map((each) => `,\n  ${each}`).join("")}\n}\n`;
    expect(await both("a.json", json(), json('"b": 2'), json('"c": 3'))).toBe(json('"b": 2', '"c": 3'));
  });

  test("entries of a changelog", async () => {
    const base = lines("# Changes", "", "- one");
    expect(await both("CHANGES.md", base, `${base}- two\n`, `${base}- three\n`)).toBe(`${base}- three\n- two\n`);
  });
});

describe("what both changed in different words has both changes", () => {
  test("a call", async () => {
    expect(
      await both(
        "a.py",
        "c = Popen(cmd, shell=True)\n",
        "c = Popen(args, shell=True)\n",
        "c = Popen(cmd, shell=True, cwd=d)\n",
      ),
    ).toBe("c = Popen(args, shell=True, cwd=d)\n");
    expect(await both("a.py", "c.wait(1)\n", "c.wait(2)\n", "c.wait(3)\n")).toBeNull();
  });

  test("a block that one side has indented, with what the other put into it", async () => {
    const base = lines("def f():", "    a = one()", "    b = two()", "    return a + b");
    const ours = lines("def f():", "    with lock:", "        a = one()", "        b = two()", "        return a + b");
    const theirs = lines("def f():", "    a = one()", "    check(a)", "    b = two(a)", "    return a + b");
    expect(await both("a.py", base, ours, theirs)).toBe(
      lines(
        "def f():",
        "    with lock:",
        "        a = one()",
        "        check(a)",
        "        b = two(a)",
        "        return a + b",
      ),
    );
  });
});

describe("a conflict stays one", () => {
  test("where one side removed what the other changed", async () => {
    const base = lines("a = 1", "b = compute(2)", "c = 3");
    expect(await both("a.py", base, lines("a = 1", "c = 3"), lines("a = 1", "b = compute(4)", "c = 3"))).toBeNull();
  });

  test("where both define the same name in different ways", async () => {
    const base = "x = 1\n";
    expect(await both("a.py", base, `${base}def f(a):\n    return a\n`, `${base}def f(b):\n    return b\n`)).toBeNull();
  });

  test("where one side has taken a name away that the other uses", async () => {
    const base = lines("def total(x):", "    return x", "", "", "print(total(1))");
    const renamed = base.replaceAll("total", "sum_up");
    expect(await both("a.py", base, renamed, `${base}print(total(2))\n`)).toBeNull();
    const head = lines("def f(name):", "    return read(name)");
    const theirs = lines("def f(name, n=1):", "    log(name)", "    return read(name)");
    expect(await both("a.py", head, lines("def f(names):", "    return read(names[0])"), theirs)).toBeNull();
  });

  const python = spawnSync("python3", ["--version"]).status === 0;
  if (!python) console.log("Python is not parsed here: there is no python3 on the PATH.");
  test.skipIf(!python)("where the result is no Python", async () => {
    const base = lines("if a:", "    b()");
    const otherwise = (what: string) => `${base}${lines("else:", `    ${what}()`)}`;
    expect(await both("a.py", base, otherwise("c"), otherwise("d"))).toBeNull();
    // One that is none to begin with is not held against it.
    expect(await both("a.py", "print 1\n", "print 1\nprint 2\n", "print 1\nprint 3\n")).toBe(
      "print 1\nprint 2\nprint 3\n",
    );
  });

  test("where the result is no JSON, or no JavaScript", async () => {
    const json = (...all: string[]) => `{${all.map((each) => `\n  ${each}`).join(",")}\n}\n`;
    const nested = '"b": {\n    "c": 1\n  }';
    expect(await both("a.json", json('"a": 1'), json('"a": 1', nested), json('"a": 1', '"d": 2'))).toBe(
      json('"a": 1', nested, '"d": 2'),
    );
    expect(await both("a.json", "[1]\n", "[1,]\n", "[1]\n\n")).toBe("[1,]\n\n");
    expect(await both("a.json", "{}\n", '{}\n"a"\n', '{}\n"b"\n')).toBe('{}\n"a"\n"b"\n');
    const js = (name: string) => `let x = 1;\nlet ${name} = 2;\n`;
    expect(await both("a.mjs", "let x = 1;\n", js("y"), js("z"))).toBe("let x = 1;\nlet y = 2;\nlet z = 2;\n");
    expect(await both("a.mjs", "let x = 1;\n", js("y"), js("y /* his */"))).toBeNull();
  });

  test("where both leave the block", async () => {
    const base = lines("def f():", "    a()");
    expect(await both("a.py", base, `${base}    return 1\n`, `${base}    return 2\n`)).toBeNull();
  });
});

// Texts as programs are: lines at several depths, with brackets, blank lines, lists and quotes.

const word = fc.constantFrom("a", "bb", "count", "name", "value", "self", "x1");
const line = fc
  .tuple(
    fc.nat(3),
    fc.constantFrom(
      "W = W",
      "W(W, W)",
      "def W(W):",
      "if W:",
      "",
      "return W",
      "W,",
      "}",
      "{",
      "'W",
      '"""',
      "# W W",
      "import W",
      "@W",
      "else:",
      "W(",
      ")",
    ),
    word,
    word,
    word,
  )
  .map(([depth, shape, ...words]) =>
    shape === "" ? "" : "    ".repeat(depth) + shape.replace(/W/g, () => words.shift() ?? "w"),
  );
const text = fc.array(line, { maxLength: 25 });
const edit = fc.record({
  does: fc.constantFrom("insert", "remove", "change", "indent"),
  at: fc.nat(40),
  line,
  more: fc.array(line, { maxLength: 4 }),
});

function changed(
  base: readonly string[],
  edits: readonly { does: string; at: number; line: string; more: string[] }[],
): string[] {
  const out = [...base];
  for (const { does, at: where, line, more } of edits) {
    const at = where % (out.length + 1);
    if (does === "insert") out.splice(at, 0, line, ...more);
    else if (does === "remove") out.splice(at, 1 + more.length);
    else if (does === "change") out.splice(at, 1, `${out[at] ?? ""} ${line.trim()}`);
    else for (let i = at; i < Math.min(out.length, at + 3); i++) out[i] = `    ${out[i]}`;
  }
  return out;
}
const sides = fc
  .record({ base: text, a: fc.array(edit, { maxLength: 4 }), b: fc.array(edit, { maxLength: 4 }), open: fc.nat(7) })
  .map(({ base, a, b, open }) => {
    const written = (all: readonly string[], bit: number) =>
      all.join("\n") + (open & bit || all.length === 0 ? "" : "\n");
    return { base: written(base, 1), ours: written(changed(base, a), 2), theirs: written(changed(base, b), 4) };
  });

describe("for any texts", () => {
  test("the sides may be exchanged", () => {
    fc.assert(
      fc.property(sides, ({ base, ours, theirs }) => {
        expect(weaveTexts(base, theirs, ours)).toEqual(weaveTexts(base, ours, theirs));
      }),
      params(4000, 400),
    );
  });

  test("a side that changed nothing, or the same, changes nothing", () => {
    fc.assert(
      fc.property(sides, ({ base, ours }) => {
        expect(weaveTexts(base, ours, base)?.text).toBe(ours);
        expect(weaveTexts(base, base, ours)?.text).toBe(ours);
        expect(weaveTexts(base, ours, ours)?.text).toBe(ours);
      }),
      params(2000, 300),
    );
  });

  test("every line that either put is there, and every line of before, in order", () => {
    const plain = fc.array(fc.tuple(fc.nat(2), word), { minLength: 1, maxLength: 12 });
    const puts = fc.array(fc.tuple(fc.nat(12), fc.nat(2)), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(plain, puts, puts, (base, a, b) => {
        const old = base.map(([depth, name], i) => `${"    ".repeat(depth)}${name}${i}()`);
        const put = (side: string, where: ReadonlyArray<readonly [number, number]>) => {
          const at = where.map(([to, depth], i) => ({
            to: to % (old.length + 1),
            text: `${"    ".repeat(depth)}${side}${i}_${side}()`,
          }));
          return [...old.keys(), old.length].flatMap((i) => [
            ...at.filter(({ to }) => to === i).map((each) => each.text),
            ...(i < old.length ? [old[i]!] : []),
          ]);
        };
        const [ours, theirs] = [put("left", a), put("right", b)];
        const made = weaveTexts(lines(...old), lines(...ours), lines(...theirs))!
          .text.split("\n")
          .slice(0, -1);
        expect([...made].sort()).toEqual([...ours, ...theirs.filter((each) => !old.includes(each))].sort());
        expect(made.filter((each) => old.includes(each))).toEqual(old);
      }),
      params(3000, 300),
    );
  });
});
