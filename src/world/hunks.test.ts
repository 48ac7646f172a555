import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { expect, test } from "vitest";
import { params } from "../../test/support/runs.ts";
import { countLines, hunks } from "./hunks.ts";

const text = fc
  .array(fc.constantFrom("a\n", "b\n", "c\n", "{\n", "}\n", "\n", "last"), { maxLength: 30 })
  .map((lines) => lines.join("").replaceAll("last", "last\n"));

const show = (before: string, after: string): string =>
  hunks(Buffer.from(before), Buffer.from(after))
    .map((hunk) => {
      const range = (start: number, lines: number) => (lines === 1 ? `${start}` : `${start},${lines}`);
      const body = hunk.lines.map(({ sign, bytes }) => `${sign}${bytes}`).join("");
      return `@@ -${range(hunk.oldStart, hunk.oldLines)} +${range(hunk.newStart, hunk.newLines)} @@\n${body}`;
    })
    .join("");

test("hunks turn one text into the other when they are applied by `git apply`", () => {
  const directory = mkdtempSync(`${tmpdir()}/shepherd-hunks-`);
  try {
    fc.assert(
      fc.property(text, text, (before, after) => {
        fc.pre(before !== after && before !== "" && after !== "");
        writeFileSync(`${directory}/f`, before);
        writeFileSync(`${directory}/p`, `--- a/f\n+++ b/f\n${show(before, after)}`);
        execFileSync("git", ["apply", "--unidiff-zero", "p"], { cwd: directory });
        expect(execFileSync("cat", ["f"], { cwd: directory, encoding: "utf8" })).toBe(after);
      }),
      params(500, 40),
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("lines are counted as added and removed", () => {
  expect(countLines(Buffer.from("a\nb\nc\n"), Buffer.from("a\nX\nY\nc\n"))).toEqual({ added: 2, removed: 1 });
  expect(countLines(Buffer.from(""), Buffer.from("a\n"))).toEqual({ added: 1, removed: 0 });
  expect(countLines(Buffer.from("same"), Buffer.from("same"))).toEqual({ added: 0, removed: 0 });
});
