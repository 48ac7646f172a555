import { afterEach, expect, test, vi } from "vitest";
import { fold, makeOutput } from "./output.ts";

afterEach(() => void vi.useRealTimers());

test("a sentence is folded between words, and what is to be typed stays whole", () => {
  expect(fold("short", 10)).toBe("short");
  expect(fold("one two three four", 9)).toBe("one two\nthree\nfour");
  expect(fold("  one two three", 9)).toBe("  one two\n  three");
  expect(fold("ok  a sentence", 8, 4)).toBe("ok  a\n    sentence");
  expect(fold("type `shepherd log fix`, then go", 20)).toBe("type\n`shepherd log fix`,\nthen go");
  expect(fold("one ` two three", 9)).toBe("one ` two\nthree");
  expect(fold("averyveryverylongword and more", 10)).toBe("averyveryverylongword\nand more");
});

test("colours take no room, wide characters take two columns, and lines that are there stay", () => {
  expect(fold("\x1b[31mone two\x1b[39m", 7)).toBe("\x1b[31mone two\x1b[39m");
  expect(fold("漢字 漢字", 7)).toBe("漢字\n漢字");
  expect(fold("one\ntwo three", 5)).toBe("one\ntwo\nthree");
});

test("what takes longer is told on a terminal in one line, from 300 ms on, and nothing of it stays; through a pipe there is none", () => {
  vi.useFakeTimers();
  for (const isTTY of [true, false]) {
    const wrote: string[] = [];
    const stream = { isTTY, columns: 20, write: (text: string) => wrote.push(text) } as unknown as NodeJS.WriteStream;
    const progress = makeOutput(false, { stdout: stream, stderr: stream }).progress();
    for (const [ms, text] of [
      [299, "too early"],
      [1, "reading 1 of 1000000 files"],
      [79, "too soon"],
      [1, "reading 2"],
    ] as const) {
      vi.advanceTimersByTime(ms);
      progress.at(text);
    }
    progress.done();
    expect(wrote).toEqual(isTTY ? ["\r\x1b[2Kreading 1 of 100000", "\r\x1b[2Kreading 2", "\r\x1b[2K"] : []);
  }
});

test("a terminal that says it has no columns, as a serial line does, is taken for one of 80", () => {
  const wrote: string[] = [];
  const stream = {
    isTTY: true,
    columns: 0,
    write: (text: string) => wrote.push(text),
  } as unknown as NodeJS.WriteStream;
  const out = makeOutput(false, { stdout: stream, stderr: stream });
  out.say("a sentence of some words");
  out.flush();
  expect(out.width).toBe(80);
  expect(wrote.join("")).toBe("a sentence of some words\n");
});
