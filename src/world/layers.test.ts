import fc from "fast-check";
import { expect, it } from "vitest";
import { params } from "../../test/support/runs.ts";
import { DEEP, type Layer, placeOver } from "./layers.ts";

/** Made one upon the other, each with so many bytes: what they stand on, and how often each byte was written. */
function pile(sizes: readonly number[]): { depth: number; written: number } {
  const of = (below: readonly Layer[], rank: number, bytes: number): Layer => ({
    ...{ key: "", path: "", exact: true, ground: { dirs: { get: () => undefined }, nextSerial: 1, generation: null } },
    ...{ below, rank, bytes },
  });
  let top = of([], Number.POSITIVE_INFINITY, 1e9);
  let [depth, written] = [0, 0];
  for (const size of sizes) {
    const { under, rank } = placeOver(top);
    const taken = [top, ...top.below].slice(0, top.below.length - under!.below.length);
    const bytes = taken.reduce((sum, each) => sum + each.bytes, size);
    top = of([under!, ...under!.below], rank, bytes);
    depth = Math.max(depth, top.below.length);
    written += bytes;
  }
  return { depth, written };
}

it("of layers that are made one upon the other about log n are left, and each byte is written log n times", () => {
  for (const n of [10, 100, 1000, 10_000]) {
    const { depth, written } = pile(new Array(n).fill(1000));
    expect(depth).toBeLessThanOrEqual(Math.ceil(Math.log2(n)) + 1);
    expect(written / (1000 * n)).toBeLessThanOrEqual(Math.ceil(Math.log2(n)) + 1);
  }
});

it("however large they are, no more lie upon each other than can be named", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(1, 1000, 1e6, 63e6, 70e6, 1e10), { minLength: 100, maxLength: 300 }),
      (sizes) => {
        expect(pile(sizes).depth).toBeLessThanOrEqual(DEEP + 1);
      },
    ),
    params(500, 50),
  );
});
