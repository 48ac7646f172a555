import * as fs from "node:fs";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import {
  type Bench,
  bench,
  type Dir,
  dir,
  file,
  flatten,
  linkTo,
  onDisk,
  trees,
} from "../../../test/support/landing.ts";
import { params } from "../../../test/support/runs.ts";
import { land } from "./land.ts";
import { invert } from "./plan.ts";
import { leftLandings, recoverLanding } from "./recover.ts";

describe("nobody interferes", () => {
  test("a landing makes exactly the wanted tree, and its inverse the old one again", async () => {
    await fc.assert(
      fc.asyncProperty(trees, trees, async (from, to) => {
        const { root, options, remove } = await bench(from, to);
        try {
          const done = await land(options);
          expect(done.conflicts).toEqual([]);
          expect(onDisk(root)).toEqual(flatten(to));
          const undone = await land({
            ...options,
            id: `${options.id}u`,
            changes: invert(done.landed),
          });
          expect(undone.conflicts).toEqual([]);
          expect(onDisk(root)).toEqual(flatten(from));
        } finally {
          remove();
        }
      }),
      params(1000, 100),
    );
  });
});
