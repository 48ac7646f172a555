import { expect, test } from "vitest";
import { linesOf } from "./rows.ts";

test("lines that are not counted are not told as if they had been", () => {
  expect(linesOf({ files: 2, added: 3, removed: 1 })).toBe("+3 -1");
  expect(linesOf({ files: 8000, added: 200, removed: 0 })).toBe("+200 -0 in 200 of them");
});
