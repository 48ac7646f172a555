/** What the library exports is what its document has a contract for, and little. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "./reader.ts";

const text = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** The names in the braces of export statements. */
const exported = [...text("src/index.ts").matchAll(/export (?:type )?\{([^}]*)\}/g)].flatMap(([, names]) =>
  names!
    .split(",")
    .map((name) => name.trim().replace(/^type /, ""))
    .filter(Boolean),
);

test("docs/library.md has a contract for each exported name, and for no other", () => {
  const sections = text("docs/library.md")
    .split(/^### `/m)
    .slice(1);
  const documented = sections.map((section) => section.slice(0, section.indexOf("`")));
  expect([...documented].sort()).toEqual([...exported].sort());
  for (const section of sections) expect(section.split("\n").slice(1).join("").length).toBeGreaterThan(15);
});

test("at most 40 names are exported, and those that are values are there", async () => {
  expect(exported.length).toBeLessThanOrEqual(40);
  const values = Object.keys(await import("../../src/index.ts"));
  expect(values.filter((name) => !exported.includes(name))).toEqual([]);
  expect(values.length).toBeGreaterThan(10);
});
