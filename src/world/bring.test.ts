import * as fs from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryObjects } from "../../test/support/objects.ts";
import { params } from "../../test/support/runs.ts";
import { inTemporary, look, program, run } from "../../test/support/trees.ts";
import { bringFiles } from "./bring.ts";
import { capture } from "./capture.ts";
import { materialise } from "./materialise.ts";
import { emptyCache } from "./statcache.ts";

describe("the difference of two trees", () => {
  it("makes one of the other, also for whoever looks by the stat cache of before", async () => {
    await fc.assert(
      fc.asyncProperty(program(15), program(10), (first, then) =>
        inTemporary(async (dir) => {
          const objects = memoryObjects();
          const [ours, theirs] = [`${dir}/ours`, `${dir}/theirs`];
          for (const each of [ours, theirs]) fs.mkdirSync(each);
          run(theirs, first);
          const from = (await capture(theirs, objects)).tree;
          run(theirs, then);
          const to = (await capture(theirs, objects)).tree;
          const cache = emptyCache();
          await materialise(ours, { tree: from }, objects, { cache });
          await bringFiles(ours, from, to, objects);
          expect((await capture(ours, objects, { cache })).tree).toBe(to);
        }),
      ),
      params(600, 40),
    );
  });

  it("touches nothing else: files that a process goes on writing to, new ones, and .git", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const [ours, theirs] = [`${dir}/ours`, `${dir}/theirs`];
      for (const each of [ours, theirs]) {
        fs.mkdirSync(`${each}/logs`, { recursive: true });
        for (const name of ["a", "b", "logs/server"]) fs.writeFileSync(`${each}/${name}`, "one\n");
      }
      const from = (await capture(theirs, objects)).tree;
      fs.writeFileSync(`${theirs}/a`, "two\n");
      fs.rmSync(`${theirs}/b`);
      fs.writeFileSync(`${theirs}/logs/new`, "new\n");
      const to = (await capture(theirs, objects)).tree;

      fs.mkdirSync(`${ours}/.git`);
      fs.writeFileSync(`${ours}/.git/HEAD`, "x");
      fs.writeFileSync(`${ours}/mine`, "mine");
      const server = fs.openSync(`${ours}/logs/server`, "a");
      fs.writeSync(server, "two\n");
      await bringFiles(ours, from, to, objects);
      fs.writeSync(server, "three\n");
      fs.closeSync(server);
      const files = [...look(ours)].filter(([, { type }]) => type === "file").map(([path, { bytes }]) => [path, bytes]);
      expect(Object.fromEntries(files)).toEqual({
        a: "two\n",
        "logs/new": "new\n",
        "logs/server": "one\ntwo\nthree\n",
        mine: "mine",
        ".git/HEAD": "x",
      });
    });
  });
});
