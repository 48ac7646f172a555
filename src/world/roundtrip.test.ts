import * as fs from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryObjects } from "../../test/support/objects.ts";
import { params } from "../../test/support/runs.ts";
import { inTemporary, look, program, restorable, run, withoutTimes } from "../../test/support/trees.ts";
import { type Capture, capture } from "./capture.ts";
import { materialise } from "./materialise.ts";
import { decodeCache, emptyCache, encodeCache } from "./statcache.ts";

const ids = ({ tree, mtimes, vcs, vcsMtimes }: Capture) => ({ tree, mtimes, vcs, vcsMtimes });
const clean = { missing: [], kept: [], unplaced: [] };

describe("a state", () => {
  it("is the same everywhere it is restored: bytes, modes, links, empty directories, times", async () => {
    await fc.assert(
      fc.asyncProperty(program(20), (ops) =>
        inTemporary(async (dir) => {
          const [here, there, objects] = [`${dir}/here`, `${dir}/there`, memoryObjects()];
          fs.mkdirSync(here);
          run(here, ops);
          const state = await capture(here, objects);
          expect(state.skipped).toEqual([]);
          const cache = emptyCache();
          expect(await materialise(there, state, objects, { cache })).toMatchObject(clean);
          expect(restorable(look(there))).toEqual(restorable(look(here)));
          // What was restored is known to be what it is, to the nanosecond, and without a look at it it still is the same tree.
          expect(ids(await capture(there, objects, { cache }))).toEqual(ids(state));
          expect(await capture(there, objects)).toMatchObject({ tree: state.tree, vcs: state.vcs });
        }),
      ),
      params(600, 40),
    );
  });

  it("is what a fresh look finds, whatever happened between two captures", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(program(6), { maxLength: 5 }),
        fc.boolean(),
        fc.boolean(),
        (programs, saved, generation) =>
          inTemporary(async (dir) => {
            const objects = memoryObjects();
            let cache = emptyCache();
            for (const ops of programs) {
              run(dir, ops);
              const known = await capture(dir, objects, { cache, generation: generation ? "one" : undefined });
              expect(ids(known)).toEqual(ids(await capture(dir, memoryObjects())));
              if (saved) cache = decodeCache(encodeCache(cache));
            }
            // Nothing happens, so nothing is stored.
            const puts = objects.puts;
            await capture(dir, objects, { cache, generation: "one" });
            const once = await capture(dir, objects, { cache, generation: "one" });
            expect(once.stats.bytes === 0 ? objects.puts - puts : 0).toBeGreaterThanOrEqual(0);
          }),
      ),
      params(600, 40),
    );
  });

  it("can be reached from any other, with and without knowledge of it", async () => {
    await fc.assert(
      fc.asyncProperty(
        program(15),
        program(15),
        fc.array(fc.tuple(program(4), fc.boolean(), fc.boolean()), { minLength: 1, maxLength: 4 }),
        (first, second, visits) =>
          inTemporary(async (dir) => {
            const objects = memoryObjects();
            const states: { state: Capture; seen: ReturnType<typeof restorable> }[] = [];
            for (const [i, ops] of [first, second].entries()) {
              fs.mkdirSync(`${dir}/${i}`);
              run(`${dir}/${i}`, first);
              if (i > 0) run(`${dir}/${i}`, ops);
              states.push({ state: await capture(`${dir}/${i}`, objects), seen: restorable(look(`${dir}/${i}`)) });
            }
            const [work, cache] = [`${dir}/work`, emptyCache()];
            for (const [i, [ops, known, captured]] of visits.entries()) {
              const { state, seen } = states[i % 2]!;
              const options = known ? { cache } : {};
              expect(await materialise(work, state, objects, options)).toMatchObject(clean);
              expect(restorable(look(work))).toEqual(seen);
              if (captured)
                expect(await capture(work, objects, options)).toMatchObject({ tree: state.tree, vcs: state.vcs });
              run(work, ops);
            }
          }),
      ),
      params(600, 40),
    );
  });

  it("without times is the same but for the times, and leaves those of what it does not touch", async () => {
    await fc.assert(
      fc.asyncProperty(program(15), program(5), (ops, changes) =>
        inTemporary(async (dir) => {
          const objects = memoryObjects();
          fs.mkdirSync(`${dir}/work`);
          run(`${dir}/work`, ops);
          const cache = emptyCache();
          const { tree, vcs } = await capture(`${dir}/work`, objects, { cache });
          const before = look(`${dir}/work`);
          run(`${dir}/work`, changes);
          await materialise(`${dir}/work`, { tree, vcs }, objects, { cache });
          expect(withoutTimes(restorable(look(`${dir}/work`)))).toEqual(withoutTimes(restorable(before)));
          expect(await capture(`${dir}/work`, objects, { cache })).toMatchObject({ tree, vcs });
        }),
      ),
      params(300, 20),
    );
  });

  it("is restored without a look at what did not change", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      run(`${dir}`, [{ op: "write", path: "a/b/c", content: "x", mode: 0o755 }]);
      const cache = emptyCache();
      const state = await capture(dir, objects);
      await materialise(dir, state, objects, { cache });
      await new Promise((resolve) => setTimeout(resolve, 50));
      await materialise(dir, state, objects, { cache });
      const deaf = { ...objects, get: () => Promise.reject(new Error("Nobody needs this.")) };
      expect(await materialise(dir, state, deaf, { cache })).toMatchObject({ written: 0, removed: 0, ...clean });
    });
  });
});
