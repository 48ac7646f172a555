import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { params, runs, seed } from "../../test/support/runs.ts";
import { cut } from "./cut.ts";
import { edits } from "./edits.ts";
import { conflictText, type LineMerge, mergeLines } from "./lines.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const merge = (base: string, ours: string, theirs: string): LineMerge =>
  mergeLines(bytes(base), bytes(ours), bytes(theirs));
const clean = (merged: LineMerge): string => {
  if (!merged.clean) throw new Error(`A conflict (${merged.why}).`);
  return Buffer.from(merged.bytes).toString("latin1");
};
const shown = (merged: LineMerge, labels = { ours: "ours", base: "base", theirs: "theirs" }): string => {
  if (merged.clean || merged.why !== "content") throw new Error("Not a conflict of lines.");
  return conflictText(merged, labels).toString("latin1");
};

// Cases: texts of few distinct lines, where merges differ most, and pieces of this repository's own source; with edits as people make them.

interface Case {
  base: string;
  ours: string;
  theirs: string;
}

const sources = fs
  .readdirSync(path.join(path.dirname(fileURLToPath(import.meta.url)), ".."), { recursive: true, withFileTypes: true })
  .filter((file) => file.isFile() && file.name.endsWith(".ts"))
  .map((file) => fs.readFileSync(path.join(file.parentPath, file.name), "latin1").split("\n"))
  .sort((a, b) => a.length - b.length || (a.join() < b.join() ? -1 : 1));

const vocabularies = [
  ["a", "b"],
  ["a", "b", "c"],
  ["{", "}", "", "  x();"],
  ["}", "", "  return;", "  if (a) {", "  }", "foo()", "bar()"],
];

const edit = fc.record({
  does: fc.constantFrom("insert", "remove", "replace", "move", "copy", "repeat", "blank", "write"),
  at: fc.nat(1e6),
  to: fc.nat(1e6),
  lines: fc.integer({ min: 1, max: 6 }),
  word: fc.nat(1e6),
});
type Change = typeof edit extends fc.Arbitrary<infer T> ? T : never;

function changed(lines: readonly string[], vocabulary: readonly string[], changes: readonly Change[]): string[] {
  const out = [...lines];
  for (const { does, at: where, to: whither, lines: n, word } of changes) {
    const at = where % (out.length + 1);
    const line = vocabulary[word % vocabulary.length]!;
    if (does === "insert") out.splice(at, 0, line);
    else if (does === "remove") out.splice(at, Math.ceil(n / 2));
    else if (does === "replace") out.splice(at, 1, line);
    else if (does === "move") {
      const moved = out.splice(at, n);
      out.splice(whither % (out.length + 1), 0, ...moved);
    } else if (does === "copy") out.splice(whither % (out.length + 1), 0, ...out.slice(at, at + n));
    else if (does === "repeat") out.splice(at, 0, ...out.slice(at, at + n));
    else if (does === "blank") out.splice(at, 0, "");
    else out.splice(at, 0, `new ${word}`);
  }
  return out;
}

const repetitive = fc.constantFrom(...vocabularies).chain((vocabulary) =>
  fc.record({
    vocabulary: fc.constant(vocabulary),
    lines: fc.array(fc.constantFrom(...vocabulary), { maxLength: 40 }),
  }),
);

const piece = (longest: number) =>
  fc.record({ file: fc.nat(1e6), from: fc.nat(1e6), length: fc.integer({ min: 1, max: longest }) }).map((p) => {
    const file = sources[p.file % sources.length]!;
    const from = p.from % file.length;
    return file.slice(from, from + p.length);
  });

const source = (longest: number, pieces: number) =>
  fc
    .array(piece(longest), { minLength: 1, maxLength: pieces, size: "max" })
    .map((texts) => ({ vocabulary: ["}", "", "  x();", "import y"], lines: texts.flat() }));

function cases(text: fc.Arbitrary<{ vocabulary: string[]; lines: string[] }>, most: number): fc.Arbitrary<Case> {
  const changes = fc.array(edit, { maxLength: most, size: "max" });
  return fc
    .record({
      text,
      ours: changes,
      theirs: changes,
      both: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, changes),
      crlf: fc.nat(11).map((n) => n === 0),
      open: fc.array(
        fc.nat(7).map((n) => n === 0),
        { minLength: 3, maxLength: 3 },
      ),
    })
    .map(({ text: { lines, vocabulary }, ours, theirs, both, crlf, open }) => {
      const eol = crlf ? "\r\n" : "\n";
      const written = (text: string[], unended: boolean) => text.join(eol) + (text.length > 0 && !unended ? eol : "");
      const shared = changed(lines, vocabulary, both);
      return {
        base: written(lines, open[0]!),
        ours: written(changed(shared, vocabulary, ours), open[1]!),
        theirs: written(changed(shared, vocabulary, theirs), open[2]!),
      };
    });
}

const small = fc.oneof(cases(repetitive, 8), cases(source(60, 2), 10));

/** A number below n, reproducibly. Quicker than an arbitrary for each of thousands of lines. */
type Dice = (n: number) => number;
type Sides = { base: string[]; ours: string[]; theirs: string[] };
function dice(salt: number): Dice {
  let state = salt | 0;
  return (n) => {
    state = (state + 0x9e3779b9) | 0;
    let x = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return ((x ^ (x >>> 15)) >>> 0) % n;
  };
}
const times = <T>(n: number, of: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => of(i));

/** Runs of unchanged lines, and between them lines that one or both sides made anew. */
function patchwork(roll: Dice, patches: number, run: number, noise: number): Sides {
  const kinds = patches + roll(300);
  const anew = () => times(noise + roll(noise * 2), () => `noise ${roll(kinds)}`);
  const kept = times(patches, (patch) => times(run + roll(run * 4), (i) => `kept ${patch} ${i}`));
  const between = times(patches, anew);
  const side = (percent: number) =>
    kept.flatMap((lines, i) => [...lines, ...(roll(100) < percent ? anew() : between[i]!)]);
  return { base: side(0), ours: side(roll(101)), theirs: side(roll(101)) };
}

/** Texts with changes so large that Git, and so this, stops short of the shortest script. */
const hardSorts: ((roll: Dice) => Sides)[] = [
  // Random lines of a few or many kinds, a stretch of them new on one side, the whole turned round on the other.
  (roll) => {
    const kinds = [3, 40, 500, 4000][roll(4)]!;
    const random = (n: number) => times(n, () => `l${roll(kinds)}`);
    const base = random(2500);
    const [at, cut] = [roll(2500), roll(2500)];
    return {
      base,
      ours: [...base.slice(0, at), ...random(900), ...base.slice(at + 700)],
      theirs: [...base.slice(cut), ...random(900), ...base.slice(0, cut)],
    };
  },
  (roll) => patchwork(roll, 20 + roll(40), 10, 20),
  // Functions whose braces and blank lines are frequent, with others written, removed and rewritten among them.
  (roll) => {
    const frequent = ["}", "", "  }", "    return;"];
    const block = (word: string) => {
      const dense = 2 + roll(14);
      return times(4 + roll(60), (i) => (roll(dense) === 0 ? frequent[roll(4)]! : `${word} ${i}`));
    };
    const functions = times(60 + roll(60), (i) => [...block(`f${i}`), "}", ""]);
    const side = (word: string) =>
      functions.flatMap((body, i) => {
        const does = roll(8);
        if (does === 0) return block(`${word}${i}`);
        if (does === 1) return [...block(`${word}${i}`), ...body];
        if (does === 2) return [];
        if (does === 3) return body.map((line) => (roll(3) === 0 ? `${word} ${roll(1e6)}` : line));
        return body;
      });
    return { base: functions.flat(), ours: side("o"), theirs: side("t") };
  },
];

// Git's answers, by one shell for many cases.

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "lines-"));
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }));
const env = { PATH: process.env.PATH, HOME: scratch, GIT_CONFIG_NOSYSTEM: "1", GIT_CEILING_DIRECTORIES: scratch };
const git = spawnSync("git", ["--version"], { env }).status === 0;

interface Answer {
  /** As `git merge` has it, without base in the markers. */
  code: number;
  text: Buffer;
  /** With `--diff3`. */
  diff3: string;
}

function askGit(batch: readonly Case[]): Answer[] {
  for (const [i, c] of batch.entries()) {
    fs.writeFileSync(path.join(scratch, `${i}.base`), bytes(c.base));
    fs.writeFileSync(path.join(scratch, `${i}.ours`), bytes(c.ours));
    fs.writeFileSync(path.join(scratch, `${i}.theirs`), bytes(c.theirs));
  }
  const labels = "-L ours -L base -L theirs";
  // What is clean with `--diff3` is clean without it, by the same hunks.
  const script = `i=0; while [ $i -lt ${batch.length} ]; do
    git merge-file -p --diff3 ${labels} $i.ours $i.base $i.theirs > $i.diff3 2>/dev/null; code=$?; file=diff3
    [ $code = 0 ] || { git merge-file -p ${labels} $i.ours $i.base $i.theirs > $i.plain 2>/dev/null; code=$?; file=plain; }
    echo $code $file > $i.code; i=$((i+1)); done`;
  spawnSync("sh", ["-c", script], { cwd: scratch, env });
  return batch.map((_, i) => {
    const read = (what: string) => fs.readFileSync(path.join(scratch, `${i}.${what}`));
    const [code, file] = read("code").toString().trim().split(" ");
    return { code: Number(code), text: read(file!), diff3: read("diff3").toString("latin1") };
  });
}

/** Replaces conflicts whose sides are equal by the one side: Git shows these with `--diff3`, and without it finds them clean. */
function withoutAgreed(diff3: string): string {
  const block =
    /^<<<<<<< ours\r?\n(?<ours>(?:(?!\|{7} base)[^\n]*\n)*)\|{7} base\r?\n(?:(?!={7}\r?\n)[^\n]*\n)*={7}\r?\n(?<theirs>(?:(?!>{7} theirs)[^\n]*\n)*)>{7} theirs\r?\n/gm;
  return diff3.replace(block, (all, ours, theirs) => (ours === theirs ? ours : all));
}

describe.skipIf(!git)("a merge by lines agrees with `git merge-file`", { timeout: 600_000 }, () => {
  /**
   * Where it does not, and why:
   * 1. Binary: `git merge-file` refuses any; here, as in `git merge`, a side that is unchanged gives way to the other.
   * 2. Both sides came to the same lines by different hunks: clean, as for `git merge`. `git merge-file --diff3` shows two equal sides.
   * 3. Markers in a text with CR LF whose base has no line end are written with CR LF like the rest; Git writes them with LF.
   * 4. Changes so large that the comparison is given up (see `edits.ts`): a conflict may be larger than Git's. Not among these cases.
   */
  function check(batch: Case[]) {
    const counts = { clean: 0, conflict: 0 };
    for (const [i, answer] of askGit(batch).entries()) {
      const c = batch[i]!;
      const merged = merge(c.base, c.ours, c.theirs);
      expect(merged.clean, `case ${JSON.stringify(c)}`).toBe(answer.code === 0);
      if (merged.clean) {
        counts.clean++;
        if (!answer.text.equals(merged.bytes))
          expect(clean(merged), JSON.stringify(c)).toBe(answer.text.toString("latin1"));
      } else {
        counts.conflict++;
        // Ours too: sides that differ in the LF at their end alone look equal.
        const plain = (text: string) => withoutAgreed(!c.base.includes("\n") ? text.replaceAll("\r", "") : text);
        expect(plain(shown(merged)), JSON.stringify(c)).toBe(plain(answer.diff3));
      }
    }
    return counts;
  }

  test("on small texts, repetitive ones and pieces of source: clean or conflict, the merged bytes, and the conflict's text", () => {
    const counts = check(fc.sample(small, { numRuns: runs(6000, 600), seed }));
    expect(Math.min(counts.clean, counts.conflict)).toBeGreaterThan(100);
  });

  test("but for binary contents, which that command always refuses", () => {
    const one = { base: "a\n\0\nb\n", ours: "A\n\0\nb\n", theirs: "a\n\0\nb\n" };
    const both = { ...one, theirs: "a\n\0\nB\n" };
    expect(askGit([one, both]).map(({ code }) => code > 127)).toEqual([true, true]);
    expect([one, both].map((c) => merge(c.base, c.ours, c.theirs).clean)).toEqual([true, false]);
  });

  test("on thousands of lines with up to hundreds of edits, where Git's comparison takes short cuts", () => {
    const large = fc.oneof(cases(source(400, 40), 12), cases(source(40, 100), 400));
    check(fc.sample(large, { numRuns: runs(300, 15), seed }));
    const hard = (...sorts: typeof hardSorts) =>
      fc.record({ sort: fc.constantFrom(...sorts), salt: fc.integer() }).map(({ sort, salt }) => {
        const { base, ours, theirs } = sort(dice(salt));
        const text = (lines: string[]) => `${lines.join("\n")}\n`;
        return { base: text(base), ours: text(ours), theirs: text(theirs) };
      });
    check(fc.sample(hard(...hardSorts), { numRuns: runs(400, 40), seed }));
    // Only in texts of tens of thousands of lines does Git settle for a path that merely looks good.
    check(
      fc.sample(
        hard((roll) => patchwork(roll, 250, 60, 6)),
        { numRuns: runs(40, 3), seed },
      ),
    );
  });
});

test("what one side changed is taken, and so is what both changed alike", () => {
  fc.assert(
    fc.property(small, ({ base, ours, theirs }) => {
      expect(clean(merge(base, ours, base))).toBe(ours);
      expect(clean(merge(base, base, theirs))).toBe(theirs);
      expect(clean(merge(base, ours, ours))).toBe(ours);
    }),
    params(2000),
  );
});

test("the sides can be exchanged: the same bytes where it is clean, else conflicts in the same places", () => {
  fc.assert(
    fc.property(small, ({ base, ours, theirs }) => {
      const there = merge(base, ours, theirs);
      const back = merge(base, theirs, ours);
      expect(back.clean).toBe(there.clean);
      if (there.clean) {
        expect(clean(back)).toBe(clean(there));
        return;
      }
      if (there.why !== "content" || back.clean || back.why !== "content") throw new Error("Not a conflict of lines.");
      const exchanged = back.hunks.map((hunk) =>
        hunk.kind === "merged"
          ? hunk
          : {
              ...hunk,
              ours: hunk.theirs,
              theirs: hunk.ours,
              line: { ...hunk.line, ours: hunk.line.theirs, theirs: hunk.line.ours },
            },
      );
      expect(exchanged).toEqual(there.hunks);
    }),
    params(2000),
  );
});

test("changes that keep an unchanged line between them are both in the result", () => {
  const text = (lines: string[]) => lines.map((line) => `${line}\n`).join("");
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 20 }),
      fc.integer({ min: 0, max: 20 }),
      fc.array(fc.string(), { maxLength: 5 }),
      fc.array(fc.string(), { maxLength: 5 }),
      (above, below, first, second) => {
        const numbered = (n: number, word: string) => Array.from({ length: n }, (_, i) => `${word} ${i}`);
        const encode = (lines: string[]) => lines.map((line) => JSON.stringify(line));
        const top = numbered(above, "above");
        const bottom = numbered(below, "below");
        const merged = merge(
          text([...top, "between", ...bottom]),
          text([...encode(first), "between", ...bottom]),
          text([...top, "between", ...encode(second)]),
        );
        expect(clean(merged)).toBe(text([...encode(first), "between", ...encode(second)]));
      },
    ),
    params(2000),
  );
});

test("any bytes go through: each hunk is what its text has at that line, and the parts with one side chosen hold all of that side's conflicts", () => {
  const any = fc
    .array(fc.constantFrom(..."ab\n\n\r\u00ff\u0080\u0000"), { maxLength: 30 })
    .map((chars) => chars.join(""));
  const lineAt = (text: string, line: number) =>
    text
      .split(/(?<=\n)/)
      .slice(line)
      .join("");
  fc.assert(
    fc.property(any, any, any, (base, ours, theirs) => {
      const merged = merge(base, ours, theirs);
      if (merged.clean) return;
      if (merged.why === "binary") {
        expect(base + ours + theirs).toContain("\0");
        return;
      }
      for (const hunk of merged.hunks) {
        if (hunk.kind === "merged") continue;
        for (const [side, text] of Object.entries({ base, ours, theirs })) {
          const part = Buffer.from(hunk[side as "ours"]).toString("latin1");
          expect(lineAt(text, hunk.line[side as "ours"]).startsWith(part)).toBe(true);
        }
        expect(Buffer.compare(hunk.ours, hunk.theirs)).not.toBe(0);
      }
    }),
    params(4000),
  );
});

test("line ends: a missing one at the end, CR LF and lone CR are kept as they are", () => {
  expect(clean(merge("a\nb\nc", "A\nb\nc", "a\nb\nC"))).toBe("A\nb\nC");
  expect(clean(merge("a\nb\nc", "A\nb\nc", "a\nb\nc\n"))).toBe("A\nb\nc\n");
  expect(clean(merge("a\r\nb\r\nc\r\n", "A\r\nb\r\nc\r\n", "a\r\nb\r\nC\r\n"))).toBe("A\r\nb\r\nC\r\n");
  // One side changed all line ends, the other one line: no line is left that is common.
  expect(merge("a\nb\nc\n", "a\r\nb\r\nc\r\n", "a\nB\nc\n").clean).toBe(false);
  expect(clean(merge("a\rb", "a\rb\rc", "a\rb"))).toBe("a\rb\rc");
  expect(merge("a\rb", "a\rb\rc", "x\ra\rb").clean).toBe(false);
  expect(shown(merge("a", "b", "c"))).toBe("<<<<<<< ours\nb\n||||||| base\na\n=======\nc\n>>>>>>> theirs\n");
  expect(shown(merge("a\r\nx", "a\r\nb", "a\r\nc"))).toBe(
    "a\r\n<<<<<<< ours\r\nb\r\n||||||| base\r\nx\r\n=======\r\nc\r\n>>>>>>> theirs\r\n",
  );
});

test("empty texts: emptied on one side and changed on the other is a conflict, emptied on both is not", () => {
  expect(clean(merge("", "", "a\n"))).toBe("a\n");
  expect(clean(merge("a\n", "", ""))).toBe("");
  expect(clean(merge("a\n", "", "a\n"))).toBe("");
  expect(shown(merge("a\n", "", "b\n"))).toBe("<<<<<<< ours\n||||||| base\na\n=======\nb\n>>>>>>> theirs\n");
  expect(shown(merge("", "a\n", "b\n"))).toBe("<<<<<<< ours\na\n||||||| base\n=======\nb\n>>>>>>> theirs\n");
});

test("binary contents are never merged by lines: one side's change is taken, two are a conflict", () => {
  const base = "a\nb\nc\nd\0\n";
  expect(merge(base, "A\nb\nc\nd\0\n", "a\nb\nC\nd\0\n")).toEqual({ clean: false, why: "binary" });
  expect(merge("a\nb\nc\n", "A\nb\nc\n", "a\nb\nc\n\0")).toEqual({ clean: false, why: "binary" });
  expect(clean(merge(base, "A\0", base))).toBe("A\0");
  expect(clean(merge(base, "A\0", "A\0"))).toBe("A\0");
  // As for Git, only the first 8000 bytes are looked at.
  const long = "x".repeat(7999);
  expect(merge(`${long}\0\nb\nc\n`, `${long}\0\nB\nc\n`, `${long}\0\nb\nC\n`)).toMatchObject({ why: "binary" });
  expect(clean(merge(`${long}\n\0\nb\nc\nd\n`, `${long}\n\0\nB\nc\nd\n`, `${long}\n\0\nb\nc\nD\n`))).toBe(
    `${long}\n\0\nB\nc\nD\n`,
  );
});

test("a label can not break out of its marker, and markers can be made longer", () => {
  const merged = merge("a\n", "b\n", "c\n");
  expect(shown(merged, { ours: "x\n=======", base: "", theirs: "y\r\nz" })).toBe(
    "<<<<<<< x?=======\nb\n|||||||\na\n=======\nc\n>>>>>>> y??z\n",
  );
  if (merged.clean || merged.why !== "content") throw new Error("Not a conflict of lines.");
  expect(conflictText(merged, { ours: "o", base: "b", theirs: "t" }, 9).toString()).toBe(
    "<<<<<<<<< o\nb\n||||||||| b\na\n=========\nc\n>>>>>>>>> t\n",
  );
});

describe("edits", () => {
  test("turn the old text into the new one, with a common line between two of them, however few steps are allowed", () => {
    fc.assert(
      fc.property(small, fc.constantFrom(0, 1, 10, 100, 1e9), ({ base, ours }, steps) => {
        const { lines, kinds } = cut([bytes(base), bytes(ours)]);
        const [old, now] = lines as [(typeof lines)[0], (typeof lines)[0]];
        const line = (text: typeof old, i: number) =>
          Buffer.from(text.bytes.subarray(text.starts[i]!, text.starts[i + 1]!)).toString("latin1");
        let out = "";
        let done = 0;
        for (const [i, e] of edits(old, now, kinds, steps).entries()) {
          expect(e.removed + e.added).toBeGreaterThan(0);
          expect(i === 0 || e.at > done).toBe(true);
          for (; done < e.at; done++) out += line(old, done);
          for (let j = e.to; j < e.to + e.added; j++) out += line(now, j);
          done += e.removed;
        }
        for (; done < old.ids.length; done++) out += line(old, done);
        expect(out).toBe(ours);
      }),
      params(4000),
    );
  });

  test("texts of many equal, reversed, rotated or random lines are compared in bounded work", () => {
    const of = (n: number, line: (i: number) => string) => Array.from({ length: n }, (_, i) => `${line(i)}\n`);
    const numbered = of(30_000, String);
    const random = (kinds: number, salt: number) => of(30_000, (i) => String(Math.imul(i + salt, 0x9e3779b1) % kinds));
    const base = numbered.join("");
    const hostile: Case[] = [
      {
        base,
        ours: numbered.toReversed().join(""),
        theirs: [...numbered.slice(9000), ...numbered.slice(0, 9000)].join(""),
      },
      { base: random(2, 1).join(""), ours: random(2, 77).join(""), theirs: random(3, 5).join("") },
      { base: random(900, 1).join(""), ours: random(900, 77).join(""), theirs: random(800, 5).join("") },
      {
        base: "\n".repeat(500_000),
        ours: `${"\n".repeat(250_000)}x${"\n".repeat(250_000)}`,
        theirs: `y${"\n".repeat(500_001)}`,
      },
    ];
    for (const c of hostile) {
      const merged = merge(c.base, c.ours, c.theirs);
      const again = merge(c.base, c.theirs, c.ours);
      expect(again.clean).toBe(merged.clean);
    }
  });
});
