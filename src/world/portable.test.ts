import * as fs from "node:fs";
import { describe, expect, it } from "vitest";
import { memoryObjects } from "../../test/support/objects.ts";
import { as, inTemporary, isRoot, run, settle } from "../../test/support/trees.ts";
import { type PortableOptions, portableDriver } from "./portable.ts";

/** What it promises as a driver is in test/conformance/driver.ts; this is what it does beyond. */
const roots = { files: {} };

const openIn = async (directory: string, options: Partial<PortableOptions> = {}) => {
  const driver = portableDriver({ directory, objects: memoryObjects(), ...options });
  return { driver, open: (id: string) => driver.open({ id, roots, state: {} }) };
};

describe("the portable driver", () => {
  it("uses the files that a killed owner left, and writes only what differs", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const { open } = await openIn(dir, { objects });
      const world = await open("w");
      for (const path of ["a/same", "a/other"])
        run(world.paths.files, [{ op: "write", path, content: "one", mode: 0o644 }]);
      const state = await world.capture();
      const inode = (name: string): number => fs.statSync(`${world.paths.files}/a/${name}`).ino;
      const before = [inode("same"), inode("other")];
      fs.writeFileSync(`${world.paths.files}/a/other`, "two");
      // Nobody closes it.
      const after = await (await openIn(dir, { objects })).driver.open({ id: "w", roots, state });
      expect(after.paths).toEqual(world.paths);
      expect(fs.readFileSync(`${world.paths.files}/a/other`, "utf8")).toBe("one");
      expect(inode("same")).toBe(before[0]);
      expect(inode("other")).not.toBe(before[1]);
      await after.close();
    });
  });

  it("reads nothing again of what it knows, also after it was closed", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const { driver, open } = await openIn(dir, { objects, generation: "one" });
      const world = await open("w");
      run(world.paths.files, [{ op: "write", path: "a/b", content: "x", mode: 0o644 }]);
      await settle();
      const state = await world.capture();
      await world.close();
      const deaf = { ...objects, get: () => Promise.reject(new Error("It is read.")) };
      const again = await portableDriver({ directory: dir, objects: deaf, generation: "one" }).open({
        id: "w",
        roots,
        state,
      });
      expect((await again.capture()).files.tree).toBe(state.files.tree);
      await again.close();
      await driver.dispose("w");
    });
  });

  it.skipIf(!isRoot)("removes what its owner has shut", async () => {
    await inTemporary(async (dir) => {
      fs.chmodSync(dir, 0o755);
      await as(65534, dir, async () => {
        const { driver, open } = await openIn(dir);
        const world = await open("w");
        run(world.paths.files, [
          { op: "write", path: "ro/sub/f", content: "", mode: 0o000 },
          { op: "chmod", path: "ro/sub", mode: 0o000 },
          { op: "chmod", path: "ro", mode: 0o555 },
        ]);
        await world.close();
        await driver.dispose("w");
        expect(await driver.list()).toEqual([]);
        await driver.tidy(0);
      });
      expect(fs.readdirSync(dir)).toEqual([]);
    });
  });
});
