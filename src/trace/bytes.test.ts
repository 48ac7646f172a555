import fc from "fast-check";
import { expect, test } from "vitest";
import { params } from "../../test/support/runs.ts";
import { canonical, decodeJson, encodeJson, isHash, link, linksIn, parseLink, sha256, target } from "./bytes.ts";

test("the examples of RFC 8785 come out byte for byte", () => {
  const example = String.raw`{
    "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
    "literals": [null, true, false]
  }`;
  const hex =
    "7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b3333333333333333332e333333333333332c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e67223a22e282ac245c75303030665c6e4127425c225c5c5c5c5c222f227d";
  expect(encodeJson(decodeJson(Buffer.from(example))).toString("hex")).toBe(hex);
  const names = ["\u20ac", "\r", "\ufb33", "1", "\u{1f600}", "\u0080", "\u00f6"];
  const sorted = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\u{1f600}", "\ufb33"];
  const text = `{${sorted.map((name) => `${JSON.stringify(name)}:1`).join(",")}}`;
  expect(canonical(Object.fromEntries(names.map((name) => [name, 1])))).toBe(text);
});

test.each([
  ["0000000000000000", "0"],
  ["8000000000000000", "0"],
  ["0000000000000001", "5e-324"],
  ["8000000000000001", "-5e-324"],
  ["7fefffffffffffff", "1.7976931348623157e+308"],
  ["ffefffffffffffff", "-1.7976931348623157e+308"],
  ["4340000000000000", "9007199254740992"],
  ["c340000000000000", "-9007199254740992"],
  ["4430000000000000", "295147905179352830000"],
  ["44b52d02c7e14af5", "9.999999999999997e+22"],
  ["44b52d02c7e14af6", "1e+23"],
  ["44b52d02c7e14af7", "1.0000000000000001e+23"],
  ["444b1ae4d6e2ef4e", "999999999999999700000"],
  ["444b1ae4d6e2ef4f", "999999999999999900000"],
  ["444b1ae4d6e2ef50", "1e+21"],
  ["3eb0c6f7a0b5ed8c", "9.999999999999997e-7"],
  ["3eb0c6f7a0b5ed8d", "0.000001"],
  ["41b3de4355555553", "333333333.3333332"],
  ["41b3de4355555554", "333333333.33333325"],
  ["41b3de4355555555", "333333333.3333333"],
  ["41b3de4355555556", "333333333.3333334"],
  ["41b3de4355555557", "333333333.33333343"],
  ["becbf647612f3696", "-0.0000033333333333333333"],
  ["43143ff3c1cb0959", "1424953923781206.2"],
])("the number %s is %s", (hex, text) => {
  expect(canonical(Buffer.from(hex, "hex").readDoubleBE())).toBe(text);
});

test.each([
  ["NaN", Number.NaN],
  ["an infinite number", { a: [Number.POSITIVE_INFINITY] }],
  ["a lone surrogate", ["\ud800"]],
  ["a lone surrogate in a key", { "\udc00": 1 }],
  ["undefined in a list", [undefined]],
  // biome-ignore lint/suspicious/noSparseArray: that is the point
  ["a hole in a list", [1, , 2]],
  ["undefined", undefined],
  ["a function", { a: () => 1 }],
  ["a bigint", 1n],
  ["a symbol", Symbol()],
  ["a date", new Date(0)],
  ["a map", new Map()],
  ["bytes", Buffer.from("a")],
  ["an instance", new (class Thing {})()],
])("%s has no canonical form", (_, value) => {
  expect(() => canonical(value)).toThrow(/\.$/);
});

test("what is nested too deep is neither written nor read, and cycles end", () => {
  const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
  expect(decodeJson(encodeJson(nested(200)))).toEqual(nested(200));
  expect(() => canonical(nested(201))).toThrow(/nested more than 200 deep/);
  expect(() => decodeJson(Buffer.from(JSON.stringify(nested(201))))).toThrow(/nested more than 200 deep/);
  expect(() => decodeJson(Buffer.from("[".repeat(1_000_000)))).toThrow(/nested/);
  expect(() => decodeJson(Buffer.from(`${"]".repeat(500)}${"[".repeat(500)}`))).toThrow(/\.$/);
  expect(decodeJson(Buffer.from(JSON.stringify(`\\"${"[".repeat(500)}`)))).toHaveLength(502);
  const cycle: unknown[] = [];
  cycle.push(cycle);
  expect(() => canonical(cycle)).toThrow(/nested/);
});

test("what is no JSON in UTF-8 is refused in a sentence", () => {
  for (const bytes of [
    Buffer.from([0xff]),
    Buffer.from("{"),
    Buffer.from(""),
    Buffer.from("\ufeff1"),
    Buffer.from("{a:1}"),
    Buffer.from([0x22, 0xc3, 0x22]),
  ])
    expect(() => decodeJson(bytes)).toThrow(/^The (text|bytes) .*\.$/);
});

const json = fc.jsonValue({ maxDepth: 6, noUnicodeString: false });
/** Without the sign of zero, which canonical form does not keep. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value), (_, each) => (each === 0 ? 0 : each));

test("what is written is read again, and is written the same again", () => {
  fc.assert(
    fc.property(json, (value) => {
      fc.pre(JSON.stringify(value).isWellFormed() && !/\\ud[89a-f]/.test(JSON.stringify(value)));
      const text = canonical(value);
      expect(JSON.parse(text)).toEqual(plain(value));
      expect(canonical(decodeJson(Buffer.from(text)))).toBe(text);
    }),
    params(2000),
  );
});

test("the order of members and members that are undefined make no difference", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.nat()), fc.array(fc.string()), (members, absent) => {
      const shuffled = Object.fromEntries([
        ...Object.entries(members).reverse(),
        ...absent.filter((key) => !Object.hasOwn(members, key)).map((key) => [key, undefined]),
      ]);
      expect(canonical(shuffled)).toBe(canonical(members));
    }),
    params(1000),
  );
});

test("links are found wherever they stand, and only whole ones", () => {
  const id = sha256("x");
  const value = {
    a: [`blob:${id}`, { b: `tree:${id}` }],
    c: `other:${id}`,
    d: `blob:${id} `,
    e: `blob:${id.toUpperCase()}`,
    [`blob:${id}`]: 1,
  };
  expect([...linksIn(value)]).toEqual([`blob:${id}`, `tree:${id}`]);
  expect(parseLink(link("chunks", id))).toEqual({ kind: "chunks", id });
  expect(target(link("json", id))).toBe(id);
  expect(parseLink(`blob:${id}\n`)).toBeNull();
  expect(isHash(id)).toBe(true);
  expect(isHash(`${id}\n`)).toBe(false);
});
