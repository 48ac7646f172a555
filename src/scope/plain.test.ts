import fc from "fast-check";
import { expect, test } from "vitest";
import { params } from "../../test/support/runs.ts";
import { canonical, decodeJson, encodeJson } from "../trace/bytes.ts";
import { plain, plainBlock } from "./plain.ts";
import type { Block } from "./thread.ts";

test("whatever a model sends gets a canonical form that the store can read back", () => {
  fc.assert(
    fc.property(
      fc.anything({ withBigInt: true, withNullPrototype: true, withSparseArray: true, maxDepth: 5 }),
      (value) => {
        const once = plain(value);
        expect(canonical(decodeJson(encodeJson(once)))).toBe(canonical(once));
        expect(plain(once)).toEqual(once);
      },
    ),
    params(2000, 200),
  );
});

test("a value that has a canonical form stays as it is", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      // JSON has no negative zero of its own, and canonical JSON no integer beyond 2^53.
      const given = JSON.parse(JSON.stringify(value), (_, each) =>
        Number.isInteger(each) && !Number.isSafeInteger(each) ? 0 : each,
      );
      expect(plain(given)).toEqual(given);
    }),
    params(1000, 100),
  );
});

test("lone surrogates, numbers beyond a double and bottomless nesting become what JSON can hold", () => {
  expect(plain("a\ud800b")).toBe("a\ufffdb");
  expect(plain(JSON.parse("[1e400,12345678901234567890,0.5]"))).toEqual(["Infinity", "12345678901234567000", 0.5]);
  let deep: unknown = 1;
  for (let at = 0; at < 300; at++) deep = [deep];
  expect(() => decodeJson(encodeJson(plain(deep)))).not.toThrow();
  expect(canonical(plain(deep))).toContain("nested more than 100 deep");
});

test("two calls of one message never share an id, and each has one", () => {
  const taken = new Set<string>();
  const block = (id: unknown) => ({ type: "call", id, name: "bash", input: {} }) as Block;
  const ids = ["a", "a", "", undefined, "a", "a_2"]
    .map((id) => plainBlock(block(id), taken))
    .map((each) => each.type === "call" && each.id);
  expect(ids).toEqual(["a", "a_2", "call", "call_2", "a_3", "a_2_2"]);
});
