import { expect, test } from "vitest";
import { shown } from "./blocks.ts";
import { misfit } from "./match.ts";

const fits = (expected: string, printed: string) => misfit(expected.split("\n"), printed.split("\n")) === null;

test("lines are compared as they are", () => {
  expect(fits("one\ntwo", "one\ntwo\n")).toBe(true);
  expect(fits("one\ntwo", "one\n2")).toBe(false);
  expect(fits("one", "one\ntwo")).toBe(false);
  expect(fits("", "one")).toBe(false);
  expect(fits("a.c (x)", "abc (x)")).toBe(false);
});

test("an ellipsis stands for any part of a line, and in a line of its own for any lines", () => {
  expect(fits("one … three", "one two three")).toBe(true);
  expect(fits("one ... three", "one two four")).toBe(false);
  expect(fits("one\n…\nfour", "one\n2\n3\nfour")).toBe(true);
  expect(fits("one\n...\nfour", "one\nfour")).toBe(true);
  expect(fits("...\nfour", "one\nfive")).toBe(false);
});

test("ids and times may differ, but not their form", () => {
  expect(fits("*  1  e8f1a2c  2026-11-21 11:25", "*  1  0000000  2031-01-02 00:00")).toBe(true);
  expect(fits("at 2026-11-21T11:25:57.000Z", "at 2031-01-02T00:00:00.123Z")).toBe(true);
  expect(fits("*  1  e8f1a2c", "*  1  0000000a")).toBe(false);
  expect(fits("*  1  e8f1a2c", "*  1  ·······")).toBe(false);
  expect(fits("*  1  e8f1a2c", "*  2  e8f1a2c")).toBe(false);
});

test("an id that is shown twice is one id", () => {
  expect(fits("e8f1a2c\ne8f1a2c", "0000000\n0000000")).toBe(true);
  expect(fits("e8f1a2c\ne8f1a2c", "0000000\n0000001")).toBe(false);
  expect(fits("e8f1a2c\n...\ne8f1a2c", "0000000\n0000001\n0000000")).toBe(true);
  const known = new Map<string, string>();
  expect(misfit(["at e8f1a2c"], ["at 0000000"], known)).toBe(null);
  expect(misfit(["e8f1a2c"], ["0000001"], known)).toBe("e8f1a2c");
  expect(misfit(["e8f1a2c"], ["0000000"], known)).toBe(null);
});

test("a document's commands are those of its blocks of sh and console, with what they print and how they end", () => {
  const text = [
    "```sh",
    "cd x",
    "ls",
    "```",
    "- in a list",
    "  ```console",
    "  $ cat <<END   # exit code 3",
    "  > a",
    "  > END",
    "  a",
    "  $ true",
    "  ```",
    "```js",
    "$ not a command",
    "```",
  ].join("\n");
  expect(shown(text)).toEqual([
    { line: 2, command: "cd x\nls", output: null, code: 0 },
    { line: 7, command: "cat <<END   # exit code 3\na\nEND", output: ["a"], code: 3 },
    { line: 11, command: "true", output: [], code: 0 },
  ]);
  expect(() => shown("```sh\nls")).toThrow("not closed");
});
