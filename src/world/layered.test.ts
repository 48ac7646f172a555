import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { memoryObjects } from "../../test/support/objects.ts";
import { inTemporary } from "../../test/support/trees.ts";
import { mountsOf } from "../scope/driver.ts";
import { thisOwner } from "../trace/owner.ts";
import { capture } from "./capture.ts";
import type { Mounts } from "./layered.ts";
import { portableDriver } from "./portable.ts";

const mounts = await mountsOf();

const below = (path: string): string[] => fs.readdirSync(path, { recursive: true, encoding: "utf8" }).sort();

/** What worlds on a base promise as a driver is in test/conformance/driver.ts; this is what they do beyond. */
describe.skipIf(!mounts)("worlds that stand on a base", () => {
  const rigIn = (dir: string, given: () => Promise<Mounts | null> = async () => mounts) => {
    const [directory, bases] = ["worlds", "bases"].map((name) => join(dir, name)) as [string, string];
    for (const each of [directory, bases]) fs.mkdirSync(each, { recursive: true });
    const objects = memoryObjects();
    const layers = { bases, roots: ["files"], mounts: given };
    const driver = portableDriver({ directory, objects, generation: "one", layers });
    const open = (id: string, files: Awaited<ReturnType<typeof captured>>) =>
      driver.open({ id, family: "one", roots: { files: {} }, state: { files } });
    const captured = async (content: { [name: string]: string }) => {
      const from = join(dir, "from");
      fs.rmSync(from, { recursive: true, force: true });
      for (const [name, text] of Object.entries(content)) {
        fs.mkdirSync(join(from, name, ".."), { recursive: true });
        fs.writeFileSync(join(from, name), text);
      }
      for (const name of below(from).reverse()) fs.utimesSync(join(from, name), 1e9, 1e9);
      fs.utimesSync(from, 1e9, 1e9);
      return capture(from, objects);
    };
    return { directory, bases, driver, open, captured };
  };
  const numbers = (bases: string): string[] =>
    fs.existsSync(join(bases, "one")) ? fs.readdirSync(join(bases, "one")).filter((name) => /^\d+$/.test(name)) : [];

  it("have it in common: another state costs what differs, and a capture reads nothing else", async () => {
    await inTemporary(async (dir) => {
      const { directory, bases, open, captured } = rigIn(dir);
      const first = await captured({ "a/1": "one", "a/2": "two", "b/c/3": "three" });
      const second = await captured({ "a/1": "one", "a/2": "other", "b/c/3": "three" });
      const [one, two] = [await open("one", first), await open("two", second)];
      expect(numbers(bases)).toEqual(["1"]);
      expect(below(join(directory, "one/files.upper"))).toEqual([]);
      expect(below(join(directory, "two/files.upper"))).toEqual(["a", "a/2"]);
      expect(fs.readFileSync(join(two.paths.files, "a/2"), "utf8")).toBe("other");
      expect((await one.capture()).files.tree).toBe(first.tree);
      expect((await two.capture()).files.tree).toBe(second.tree);
      // What a directory that nobody touched holds is not looked at again, and the base is nobody's to change.
      fs.renameSync(join(one.paths.files, "b"), join(one.paths.files, "moved"));
      fs.writeFileSync(join(one.paths.files, "moved/c/4"), "four");
      const moved = (await one.capture()).files.tree;
      expect(moved).toBe(
        (await captured({ "a/1": "one", "a/2": "two", "moved/c/3": "three", "moved/c/4": "four" })).tree,
      );
      expect((await two.capture()).files.tree).toBe(second.tree);
      await one.close();
      await two.close();
    });
  });

  it("share one that is made once, however many begin at once, and that goes when none needs it", async () => {
    await inTemporary(async (dir) => {
      const { bases, driver, open, captured } = rigIn(dir);
      const state = await captured({ f: "f" });
      const worlds = await Promise.all(["a", "b", "c", "d"].map((id) => open(id, state)));
      expect(numbers(bases)).toEqual(["1"]);
      await Promise.all(worlds.map((world) => world.close()));
      for (const id of ["a", "b", "c"]) await driver.dispose(id);
      await driver.tidy(0);
      expect(numbers(bases)).toEqual(["1"]);
      await driver.dispose("d");
      await driver.tidy(60_000);
      expect(numbers(bases)).toEqual(["1"]);
      await driver.tidy(0);
      expect(numbers(bases)).toEqual([]);
      const again = await open("a", state);
      expect(fs.readFileSync(join(again.paths.files, "f"), "utf8")).toBe("f");
      await again.close();
    });
  });

  it("are made anew where it is gone, or was not on the disk when the machine went down", async () => {
    await inTemporary(async (dir) => {
      const { bases, open, captured } = rigIn(dir);
      const state = await captured({ f: "f" });
      const world = await open("a", state);
      fs.writeFileSync(join(world.paths.files, "f"), "changed");
      await world.close();
      fs.writeFileSync(join(bases, "one/1/boot"), "an earlier start");
      const after = await open("a", state);
      expect(numbers(bases)).toEqual(["1", "2"]);
      expect(fs.readFileSync(join(after.paths.files, "f"), "utf8")).toBe("f");
      await after.close();
      fs.rmSync(join(bases, "one"), { recursive: true });
      const last = await open("a", state);
      expect((await last.capture()).files.tree).toBe(state.tree);
      await last.close();
    });
  });

  it("refuse what would take the empty place of a mount that is gone for the files", async () => {
    await inTemporary(async (dir) => {
      const { directory, open, captured } = rigIn(dir);
      const world = await open("a", await captured({ "a/f": "f" }));
      await mounts!.unmount(join(directory, "a/files"));
      const gone = "went with the process that had mounted them";
      await expect(world.capture()).rejects.toThrow(gone);
      await expect(world.restore({})).rejects.toThrow(gone);
      await world.close();
    });
  });

  it("find what has changed however deep it lies, and make a base that a killed process had begun", async () => {
    await inTemporary(async (dir) => {
      const { bases, open, captured } = rigIn(dir);
      fs.mkdirSync(join(bases, "one/new/files"), { recursive: true });
      // Its number may be another process's by now.
      const dead = { ...thisOwner(), start: "1" };
      fs.writeFileSync(join(bases, "one/making"), JSON.stringify(dead));
      const world = await open("a", await captured({ f: "f" }));
      expect(fs.readdirSync(join(bases, "one")).sort()).toEqual(["1", "usage"]);
      // Longer than any path may be.
      const name = "d".repeat(250);
      const deep = `cd "$1"; for i in {1..40}; do mkdir ${name}; cd ${name}; done; echo deep > f`;
      execFileSync("bash", ["-c", deep, "deep", world.paths.files]);
      const first = (await world.capture()).files.tree;
      const change = `cd "$1"; for i in {1..40}; do cd ${name}; done; echo other > f`;
      execFileSync("bash", ["-c", change, "deep", world.paths.files]);
      expect((await world.capture()).files.tree).not.toBe(first);
      await world.close();
      execFileSync("rm", ["-rf", join(dir, "worlds")]);
    });
  });

  it("say what a base takes as long as it is there", async () => {
    await inTemporary(async (dir) => {
      const { directory, bases, driver, open, captured } = rigIn(dir);
      const usage = (): number => Number(fs.readFileSync(join(bases, "one/usage"), "utf8"));
      const world = await open("a", await captured({ large: "x".repeat(100_000) }));
      expect(usage()).toBeGreaterThan(100_000);
      fs.writeFileSync(join(world.paths.files, "more"), "y".repeat(50_000));
      await world.capture();
      await world.close();
      const own = Number(fs.readFileSync(join(directory, "a/usage"), "utf8"));
      expect(own).toBeGreaterThan(50_000);
      await driver.dispose("a");
      // Nor does it remove what somebody makes just now.
      fs.mkdirSync(join(bases, "one/new"));
      await driver.tidy(0);
      expect(usage()).toBe(0);
      expect(fs.existsSync(join(bases, "one/new"))).toBe(true);
    });
  });

  it("have directories of their own where there are no overlays, also if they had them before", async () => {
    await inTemporary(async (dir) => {
      const { open, captured } = rigIn(dir);
      const state = await captured({ "a/f": "f" });
      await (await open("a", state)).close();
      // Where overlays lie on one, as in a container, the kernel refuses.
      const refusing = { ...mounts!, overlay: () => Promise.reject(new Error("no")) };
      for (const none of [async () => null, async () => refusing]) {
        const plain = rigIn(join(dir, "."), none);
        fs.renameSync(plain.bases, `${plain.bases}-${Math.random()}`);
        fs.mkdirSync(plain.bases);
        const world = await portableDriver({
          directory: plain.directory,
          objects: memoryObjects(),
          generation: "one",
          layers: { bases: `${plain.bases}`, roots: ["files"], mounts: none },
        }).open({ id: "b", family: "two", roots: { files: {} }, state: {} });
        expect(world.paths.files).toBe(join(plain.directory, "b/files"));
        await world.close();
      }
    });
  });
});
