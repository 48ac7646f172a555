/** What `docs/testing.md` names is there. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as testing from "../../src/testing/index.ts";
import { ROOT } from "./reader.ts";

test("it has a section for each function, and for no other", () => {
  const titles = [...readFileSync(join(ROOT, "docs/testing.md"), "utf8").matchAll(/^## (.*)$/gm)].flatMap(([, title]) =>
    [...title!.matchAll(/`(\w+)`/g)].map(([, name]) => name!),
  );
  expect(titles.sort()).toEqual(Object.keys(testing).sort());
});
