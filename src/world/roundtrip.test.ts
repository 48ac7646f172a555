import * as fs from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryObjects } from "../../test/support/objects.ts";
import { params } from "../../test/support/runs.ts";
import {
  inTemporary,
  look,
  type Op,
  program,
  restorable,
  run,
  settle,
  withoutTimes,
} from "../../test/support/trees.ts";
import type { Objects } from "../trace/ports.ts";
import { type Capture, capture } from "./capture.ts";
import { materialise } from "./materialise.ts";
import { emptyCache } from "./statcache.ts";
import { decodeCache, encodeCache } from "./statfile.ts";

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
    const step = fc.record({ ops: program(6), saved: fc.boolean(), later: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(program(10), fc.array(step, { maxLength: 5 }), fc.boolean(), (first, steps, generation) =>
        inTemporary(async (dir) => {
          const objects = memoryObjects();
          let cache = emptyCache();
          run(dir, first);
          for (const { ops, saved, later } of steps) {
            // Long enough for stamps to count.
            if (later) await settle();
            const known = await capture(dir, objects, { cache, generation: generation ? "one" : undefined });
            expect(ids(known)).toEqual(ids(await capture(dir, memoryObjects())));
            if (saved) cache = decodeCache(encodeCache(cache));
            run(dir, ops);
          }
          const { tree, mtimes } = await capture(dir, objects, { cache, generation: "one" });
          expect(await capture(dir, memoryObjects())).toMatchObject({ tree, mtimes });
        }),
      ),
      params(600, 40),
    );
  });

  it("is another one after each single change, and after that only", async () => {
    const changes: Op[] = [
      { op: "write", path: "a/b/new", content: "", mode: 0o644 },
      { op: "write", path: "a/b/f", content: "sxi\n", mode: 0o644 },
      { op: "overwrite", path: "a/b/f", content: "y" },
      { op: "append", path: "a/b/f", content: "y" },
      { op: "mkdir", path: "a/b/new" },
      { op: "remove", path: "a/b/f" },
      { op: "remove", path: "a/b/empty" },
      { op: "link", path: "a/b/new", target: "f" },
      { op: "rename", path: "a/b/f", to: "a/b/g" },
      { op: "hardlink", path: "a/b/f", to: "a/b/g" },
      { op: "swap", path: "a/b/f" },
      { op: "swap", path: "a/b/empty" },
      { op: "chmod", path: "a/b/f", mode: 0o600 },
      { op: "chmod", path: "a/b", mode: 0o700 },
      { op: "chmod", path: "a/b/empty", mode: 0o700 },
      { op: "touch", path: "a/b/f", ns: 10n ** 18n },
      { op: "touch", path: "a/b/l", ns: 10n ** 18n },
      { op: "touch", path: "a/b", ns: 10n ** 18n },
      { op: "touch", path: "a/b/empty", ns: 10n ** 18n },
      { op: "overwrite", path: "a/.git/HEAD", content: "y" },
    ];
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const work = `${dir}/work`;
      fs.mkdirSync(work);
      run(work, [
        { op: "write", path: "a/b/f", content: "six\n", mode: 0o644 },
        { op: "link", path: "a/b/l", target: "f" },
        { op: "mkdir", path: "a/b/empty" },
        { op: "write", path: "a/.git/HEAD", content: "six\n", mode: 0o644 },
      ]);
      const cache = emptyCache();
      const known = { cache, generation: "one" };
      const before = restorable(look(work));
      const state = await capture(work, objects, known);
      for (const change of changes) {
        await materialise(work, state, objects, known);
        expect(restorable(look(work))).toEqual(before);
        await settle();
        await capture(work, objects, known);
        expect((await capture(work, objects, known)).stats.read).toBe(0);
        run(work, [change]);
        const after = await capture(work, objects, known);
        expect(ids(after)).not.toEqual(ids(state));
        const fresh = await capture(work, memoryObjects());
        expect(after).toMatchObject({ tree: fresh.tree, vcs: fresh.vcs });
        await settle();
        // Both ways from what is known for certain.
        const changed = restorable(look(work));
        await capture(work, objects, known);
        await materialise(work, state, objects, known);
        expect(restorable(look(work))).toEqual(before);
        await settle();
        await capture(work, objects, known);
        await materialise(work, after, objects, known);
        expect(restorable(look(work))).toEqual(changed);
        expect(ids(await capture(work, objects, known))).toEqual(ids(after));
        await settle();
        await capture(work, objects, known);
      }
    });
  });

  it("can be reached from any other, with and without knowledge of it", async () => {
    const visit = fc.record({ ops: program(4), known: fc.boolean(), captured: fc.boolean(), later: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(
        program(15),
        program(6),
        fc.array(visit, { minLength: 1, maxLength: 4 }),
        (first, second, visits) =>
          inTemporary(async (dir) => {
            const objects = memoryObjects();
            const states: { state: Capture; seen: ReturnType<typeof restorable> }[] = [];
            for (const [i, ops] of [[], second].entries()) {
              fs.mkdirSync(`${dir}/${i}`);
              run(`${dir}/${i}`, first);
              run(`${dir}/${i}`, ops);
              states.push({ state: await capture(`${dir}/${i}`, objects), seen: restorable(look(`${dir}/${i}`)) });
            }
            const [work, cache] = [`${dir}/work`, emptyCache()];
            for (const [i, { ops, known, captured, later }] of visits.entries()) {
              const { state, seen } = states[i % 2]!;
              const options = known ? { cache, generation: "one" } : {};
              expect(await materialise(work, state, objects, options)).toMatchObject(clean);
              expect(restorable(look(work))).toEqual(seen);
              if (later) await settle();
              if (captured)
                expect(await capture(work, objects, options)).toMatchObject({ tree: state.tree, vcs: state.vcs });
              run(work, ops);
            }
          }),
      ),
      params(600, 40),
    );
  });

  it("can be reached after a stop on the way to another one", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const states: Capture[] = [];
      for (const content of ["one", "two"]) {
        const at = `${dir}/${content}`;
        fs.mkdirSync(at);
        for (let i = 0; i < 10; i++)
          run(at, [{ op: "write", path: `a/${i}/f`, content: `${content}${i}`, mode: 0o644 }]);
        // Nothing in the directories themselves tells them apart.
        for (const path of ["", "/a", ...Array.from({ length: 10 }, (_, i) => `/a/${i}`)])
          fs.utimesSync(at + path, 1, 1);
        states.push(await capture(at, objects));
      }
      const work = `${dir}/work`;
      const cache = emptyCache();
      for (let stop = 1; stop < 20; stop += 3) {
        await materialise(work, states[0]!, objects, { cache });
        await settle();
        let got = 0;
        const failing: Objects = {
          ...objects,
          get: async (id) => {
            if (++got > stop) throw new Error("Enough.");
            return objects.get(id);
          },
        };
        await expect(materialise(work, states[1]!, failing, { cache })).rejects.toThrow("Enough.");
        await settle();
        await materialise(work, states[0]!, objects, { cache });
        expect(restorable(look(work))).toEqual(restorable(look(`${dir}/one`)));
      }
    });
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
      await settle();
      await materialise(dir, state, objects, { cache });
      const deaf = { ...objects, get: () => Promise.reject(new Error("Nobody needs this.")) };
      expect(await materialise(dir, state, deaf, { cache })).toMatchObject({ written: 0, removed: 0, ...clean });
    });
  });
});
