import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import * as fs from "node:fs";
import { describe, expect, it } from "vitest";
import { mountNew, unmount, usedBytes } from "../../test/support/filesystem.ts";
import { memoryObjects } from "../../test/support/objects.ts";
import { inTemporary, look, restorable, settle } from "../../test/support/trees.ts";
import { capture } from "./capture.ts";
import type { Driver } from "./driver.ts";
import { portableDriver } from "./portable.ts";
import { emptyCache } from "./statcache.ts";

const SIZE = 48 << 20;

describe.each(["btrfs", "xfs"] as const)("on %s the portable driver", (kind) => {
  const mounted = (
    body: (at: string, driver: Driver, objects: ReturnType<typeof memoryObjects>) => Promise<void>,
  ): Promise<void> =>
    inTemporary(async (dir) => {
      const at = `${dir}/mnt`;
      const why = mountNew(kind, at);
      if (why !== null) return console.log(`skipped: no ${kind} can be mounted here (${why})`);
      try {
        fs.mkdirSync(`${at}/user`);
        fs.mkdirSync(`${at}/work`);
        const objects = memoryObjects();
        await body(at, portableDriver({ directory: `${at}/work`, objects }), objects);
      } finally {
        unmount(at);
      }
    });

  it("shares the blocks of the user's files, and no later write", async () => {
    await mounted(async (at, driver, objects) => {
      for (let i = 0; i < 48; i++) fs.writeFileSync(`${at}/user/${i}`, randomBytes(SIZE / 48));
      await settle();
      const cache = emptyCache();
      const state = { files: await capture(`${at}/user`, objects, { cache }) };
      const open = (id: string) =>
        driver.open({ id, roots: { files: {} }, state, seeds: { files: { path: `${at}/user`, cache } } });
      const before = usedBytes(at);
      const world = await open("a");
      expect(usedBytes(at) - before).toBeLessThan(SIZE / 10);
      const same = restorable(look(`${at}/user`));
      expect(restorable(look(world.paths.files))).toEqual(same);
      const fd = fs.openSync(`${world.paths.files}/7`, "r+");
      fs.writeSync(fd, Buffer.from("changed"), 0, 7, 1000);
      fs.closeSync(fd);
      expect(restorable(look(`${at}/user`))).toEqual(same);
      // And the other way: the file is as the state has it, though the seed is not.
      fs.copyFileSync(`${world.paths.files}/7`, `${at}/user/7`);
      const other = await open("b");
      expect(restorable(look(other.paths.files))).toEqual(same);
      // A fork shares with its parent, as far as it is known what that holds.
      await settle();
      const captured = await world.capture();
      const wanted = restorable(look(world.paths.files));
      await world.close();
      const taken = usedBytes(at);
      const fork = await driver.open({ id: "fork", roots: { files: {} }, state: captured, like: "a" });
      expect(usedBytes(at) - taken).toBeLessThan(SIZE / 10);
      expect(restorable(look(fork.paths.files))).toEqual(wanted);
      for (const each of [other, fork]) await each.close();
    });
  });

  it("is not taken in by a store through a mapping, which leaves no stamp", async () => {
    await mounted(async (at, driver, objects) => {
      fs.writeFileSync(`${at}/user/mapped`, Buffer.alloc(8192, "a"));
      const python = spawn("python3", ["-c", MAPPING, `${at}/user/mapped`], { stdio: ["pipe", "pipe", "ignore"] });
      const answers = await Promise.race([
        once(python.stdout, "data").then(() => true),
        once(python, "error").then(() => false),
        once(python, "exit").then(() => false),
      ]);
      if (!answers) return console.log("skipped: there is no python3 here to map a file with");
      try {
        await settle();
        const cache = emptyCache();
        const state = { files: await capture(`${at}/user`, objects, { cache }) };
        python.stdin.write("go\n");
        await once(python.stdout, "data");
        expect(fs.readFileSync(`${at}/user/mapped`, "latin1").startsWith("bc")).toBe(true);
        const world = await driver.open({
          id: "a",
          roots: { files: {} },
          state,
          seeds: { files: { path: `${at}/user`, cache } },
        });
        expect(fs.readFileSync(`${world.paths.files}/mapped`, "latin1").startsWith("ba")).toBe(true);
        await world.close();
      } finally {
        python.kill("SIGKILL");
      }
    });
  });
});

const MAPPING = `
import mmap, sys
f = open(sys.argv[1], "r+b"); m = mmap.mmap(f.fileno(), 8192)
m[0:1] = b"b"; print("mapped", flush=True); sys.stdin.readline()
m[1:2] = b"c"; print("stored", flush=True); sys.stdin.readline()
`;
