import { expect, test } from "vitest";
import { foreignGrants } from "./foreign.ts";
import { gateName, lowerGuards } from "./guards.ts";
import { attenuate, NO_GRANTS } from "./registry.ts";

test("what goes on from a scope keeps its gates, has none with a laxer default, and no new one that lets pass", () => {
  const parent = { a: "allow", w: "wait", d: "deny" } as const;
  expect(lowerGuards(parent)).toEqual(parent);
  expect(lowerGuards(parent, { a: "wait", w: "deny", d: "allow" })).toEqual({ a: "wait", w: "deny", d: "deny" });
  expect(lowerGuards(parent, { w: "allow", d: "wait", a: "allow" })).toEqual(parent);
  expect(lowerGuards({}, { x: "allow", y: "wait", z: "deny" })).toEqual({ y: "wait", z: "deny" });
  // Names of what every object has are names like others.
  expect(lowerGuards({}, { constructor: "deny" })).toEqual({ constructor: "deny" });
  expect(attenuate({ ...NO_GRANTS, guards: parent }, {}).guards).toEqual(parent);
  expect(attenuate(NO_GRANTS, { guards: { x: "deny" } }).guards).toEqual({ x: "deny" });
  expect(attenuate(NO_GRANTS, {})).not.toHaveProperty("guards");
});

test("a run that came out of a file has its gates, as far as they are such and let nothing pass", () => {
  const guards = { a: "deny", b: "wait", c: "allow", d: "perhaps", "e f": "deny", __proto__: "deny" };
  expect(foreignGrants({ guards }).guards).toEqual({ a: "deny", b: "wait" });
  expect(foreignGrants({ guards: ["deny"] })).not.toHaveProperty("guards");
});

test("what is no name of a gate is refused in a sentence", () => {
  expect(gateName("docs-2_a")).toBe("docs-2_a");
  for (const name of ["", "Docs", "a b", "-a", "a=b", "a".repeat(49), "a\n"])
    expect(() => gateName(name), JSON.stringify(name)).toThrow("is no name for a gate");
});
