import * as fs from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mountsOf } from "../../src/scope/driver.ts";
import { portableDriver } from "../../src/world/portable.ts";
import { mountNew, unmount } from "../support/filesystem.ts";
import { long, params } from "../support/runs.ts";
import { as, inTemporary, isRoot } from "../support/trees.ts";
import type { Garage } from "./driver.ts";
import { runProgram, startWriters, steps, type Writers, withRoom } from "./programs.ts";

const mounts = await mountsOf();
if (!mounts) console.log("Programs on layers are skipped: there are no overlays here.");

const portable = async (directory: string): Promise<Garage> => ({
  driver: (objects) => portableDriver({ directory, objects, generation: "one", worth: 0 }),
  end: async () => {},
});
const layered = async (place: string): Promise<Garage> => {
  const [directory, bases] = ["worlds", "bases"].map((name) => join(place, name)) as [string, string];
  for (const each of [directory, bases]) fs.mkdirSync(each, { recursive: true });
  const layers = { bases, roots: ["files"], mounts: async () => mounts! };
  return {
    driver: (objects) => portableDriver({ directory, objects, generation: "one", worth: 0, layers, lag: 30 }),
    end: async () => {},
  };
};

let writers: Writers;
beforeAll(() => {
  writers = startWriters();
});
afterAll(() => writers.end());

/** 2,000 of them in the long run, of which each driver has a part. */
describe("random programs of work, forks, reverts and writers beside them leave what plain directories have", () => {
  const holds = (make: (place: string) => Promise<Garage>, full: number, at?: string): Promise<void> =>
    fc.assert(
      fc.asyncProperty(steps, (all) =>
        withRoom(async (place, plain) => {
          const own = at ? fs.mkdtempSync(join(at, "p-")) : place;
          try {
            const garage = await make(own);
            await runProgram(garage, plain, all, writers);
            await garage.end();
          } finally {
            if (at) fs.rmSync(own, { recursive: true, force: true });
          }
        }),
      ),
      params(full, 10),
    );

  test("with directories of their own", () => holds(portable, 900));

  test.skipIf(!mounts)("on layers", () => holds(layered, 400));

  test.skipIf(!isRoot)("of an ordinary user", () =>
    inTemporary((dir) => as(1000, dir, () => holds(portable, 500, dir))),
  );

  // Who makes such a file system is root; `npm test` looks at them elsewhere.
  test.skipIf(!long || !isRoot).each(["btrfs", "xfs"] as const)("where blocks are shared, on %s", (kind) =>
    inTemporary(async (dir) => {
      const at = `${dir}/mnt`;
      const why = mountNew(kind, at);
      if (why !== null) return console.log(`skipped: no ${kind} can be mounted here (${why})`);
      try {
        await holds(portable, 100, at);
        expect(fs.readdirSync(at)).toEqual([]);
      } finally {
        unmount(at);
      }
    }),
  );
});
