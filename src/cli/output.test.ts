import { expect, test } from "vitest";
import { fold } from "./output.ts";

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
