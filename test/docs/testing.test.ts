/** What `docs/testing.md` shows is typed, and what it names is there. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as testing from "../../src/testing/index.ts";
import { ROOT, read } from "./reader.ts";

test("who types what docs/testing.md shows gets what it says", async () => {
  expect((await read("docs/testing.md")).join("\n\n")).toBe("");
}, 300_000);

test("it has a section for each function, and for no other", () => {
  const titles = [...readFileSync(join(ROOT, "docs/testing.md"), "utf8").matchAll(/^## (.*)$/gm)].flatMap(([, title]) =>
    [...title!.matchAll(/`(\w+)`/g)].map(([, name]) => name!),
  );
  expect(titles.sort()).toEqual(Object.keys(testing).sort());
});
