import fc from "fast-check";
import { expect, test } from "vitest";
import { params } from "../../../test/support/runs.ts";
import { clip, MAX_TEXT } from "./clip.ts";

test("a short output stays whole", () => {
  expect(clip("x".repeat(MAX_TEXT), "more")).toBe("x".repeat(MAX_TEXT));
});

test("of a long output the beginning and the end are given, with the count of what is left out and the way to it", () => {
  const text = clip(`start${"x".repeat(2 * MAX_TEXT)}end`, "Look elsewhere.");
  expect(text.startsWith("startxxx")).toBe(true);
  expect(text.endsWith("xxxend")).toBe(true);
  expect(text).toContain(`\n[${MAX_TEXT + 8} characters left out here. Look elsewhere.]\n`);
  expect(text.length).toBeLessThan(MAX_TEXT + 100);
});

test("no character is cut in two", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme", minLength: 8, maxLength: 20 }),
      fc.integer({ min: 2, max: 7 }),
      (text, limit) => {
        expect(clip(text, "", limit).isWellFormed()).toBe(true);
      },
    ),
    params(2000, 100),
  );
});
