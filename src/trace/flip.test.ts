import fc from "fast-check";
import { expect, test } from "vitest";
import { params } from "../../test/support/runs.ts";
import { flippedIn, unflip } from "./flip.ts";
import { encodeRecord } from "./record.ts";

test("one flipped bit anywhere in a record is found and undone", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.nat(), (payload, where) => {
      const record = encodeRecord(payload);
      const broken = Buffer.from(record);
      const bit = where % (record.length * 8);
      broken[bit >> 3]! ^= 1 << (bit & 7);
      const flip = unflip(broken);
      expect(flip?.record.equals(record)).toBe(true);
      expect([flip!.at, flip!.byte]).toEqual([bit >> 3, record[bit >> 3]]);
    }),
    params(20_000, 1000),
  );
});

test("what more than one flipped bit did is not guessed at", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.nat(), fc.nat(), (payload, a, b) => {
      const record = encodeRecord(payload);
      const bits = [a % (record.length * 8), b % (record.length * 8)] as const;
      fc.pre(bits[0] !== bits[1]);
      for (const bit of bits) record[bit >> 3]! ^= 1 << (bit & 7);
      expect(unflip(record)).toBe(null);
    }),
    params(20_000, 1000),
  );
});

test("a flipped bit in a line that is known is found", () => {
  const line = Buffer.from("shepherd log 1\n");
  for (let bit = 0; bit < line.length * 8; bit++) {
    const broken = Buffer.from(line);
    broken[bit >> 3]! ^= 1 << (bit & 7);
    expect(flippedIn(broken, line)).toBe(bit >> 3);
  }
  expect(flippedIn(Buffer.from("shepherd log"), line)).toBe(-1);
  expect(flippedIn(line, line)).toBe(-1);
});
