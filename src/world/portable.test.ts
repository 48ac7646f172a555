import * as fs from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryObjects } from "../../test/support/objects.ts";
import { params } from "../../test/support/runs.ts";
import { as, inTemporary, isRoot, look, program, restorable, run } from "../../test/support/trees.ts";
import { capture } from "./capture.ts";
import { portableDriver } from "./portable.ts";
import { emptyCache } from "./statcache.ts";

describe("the portable driver", () => {
  it("gives each world files of its own, equal to the state it is opened from", async () => {
    await fc.assert(
      fc.asyncProperty(program(15), program(6), program(6), (ops, one, two) =>
        inTemporary(async (dir) => {
          const objects = memoryObjects();
          const driver = portableDriver({ store: `${dir}/store`, objects, generation: () => "one" });
          fs.mkdirSync(`${dir}/user`);
          run(`${dir}/user`, ops);
          const before = look(`${dir}/user`);
          const cache = emptyCache();
          const state = await capture(`${dir}/user`, objects, { cache });
          const from = { path: `${dir}/user`, cache };
          const [a, b] = [await driver.open({ id: "a.1", state, from }), await driver.open({ id: "b", state, from })];
          for (const world of [a, b]) expect(restorable(look(world.path()))).toEqual(restorable(before));
          run(a.path(), one);
          run(b.path(), two);
          const changed = await a.capture();
          expect(changed).toMatchObject({ tree: (await capture(a.path(), objects)).tree });
          expect(look(`${dir}/user`)).toEqual(before);
          // Fork, and back to the start.
          const fork = await driver.open({ id: "fork", state: changed, from: { path: a.path(), cache: emptyCache() } });
          expect(restorable(look(fork.path()))).toEqual(restorable(look(a.path())));
          await a.restore(state);
          expect(await a.capture()).toMatchObject({ tree: state.tree, vcs: state.vcs });
          expect(await fork.capture()).toMatchObject({ tree: changed.tree, vcs: changed.vcs });
          for (const world of [a, b, fork]) await world.dispose();
          expect(fs.readdirSync(`${dir}/store/work`)).toEqual([]);
        }),
      ),
      params(200, 10),
    );
  });

  it("finds its files again, whether it was closed or killed", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const driver = portableDriver({ store: dir, objects });
      const world = await driver.open({ id: "w" });
      expect(world.opened).toBe(null);
      run(world.path(), [{ op: "write", path: "a/b", content: "x", mode: 0o644 }]);
      const state = await world.capture();
      await world.close();
      await expect(world.capture()).rejects.toThrow(/closed/);
      const again = await driver.open({ id: "w" });
      expect(await again.capture()).toMatchObject({ tree: state.tree, mtimes: state.mtimes });
      // Nobody closes it.
      run(again.path(), [{ op: "write", path: "a/b", content: "y", mode: 0o644 }]);
      const after = await driver.open({ id: "w", state });
      expect(after.opened).toMatchObject({ written: 1 });
      expect(await after.capture()).toMatchObject({ tree: state.tree });
      await after.dispose();
    });
  });

  it("does one thing at a time", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const driver = portableDriver({ store: dir, objects });
      const world = await driver.open({ id: "w" });
      const states = [];
      for (const content of ["one", "two"]) {
        run(world.path(), [{ op: "write", path: "f", content, mode: 0o644 }]);
        states.push(await world.capture());
      }
      const [, first, , second] = await Promise.all([
        world.restore(states[0]!),
        world.capture(),
        world.restore(states[1]!),
        world.capture(),
      ]);
      expect([first.tree, second.tree]).toEqual(states.map(({ tree }) => tree));
      await world.dispose();
    });
  });

  it("refuses an id that is no name", async () => {
    const driver = portableDriver({ store: "/nowhere", objects: memoryObjects() });
    for (const id of ["", ".", "..", "../x", "a/b", ".hidden", "n".repeat(129)])
      await expect(driver.open({ id })).rejects.toThrow(/is not the id of a world/);
  });

  it.skipIf(!isRoot)("removes what its owner has shut", async () => {
    await inTemporary(async (dir) => {
      fs.chmodSync(dir, 0o755);
      await as(65534, dir, async () => {
        const world = await portableDriver({ store: dir, objects: memoryObjects() }).open({ id: "w" });
        run(world.path(), [
          { op: "write", path: "ro/sub/f", content: "", mode: 0o000 },
          { op: "chmod", path: "ro/sub", mode: 0o000 },
          { op: "chmod", path: "ro", mode: 0o555 },
        ]);
        await world.dispose();
      });
      expect(fs.readdirSync(`${dir}/work`)).toEqual([]);
    });
  });
});
