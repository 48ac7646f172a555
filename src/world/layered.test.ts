import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { kinds } from "../../test/support/mounts.ts";
import { move } from "../../test/support/move.ts";
import { memoryObjects } from "../../test/support/objects.ts";
import { runs } from "../../test/support/runs.ts";
import { inTemporary } from "../../test/support/trees.ts";
import { thisOwner } from "../trace/owner.ts";
import { capture } from "./capture.ts";
import type { Mounts } from "./layered.ts";
import { portableDriver } from "./portable.ts";

const below = (path: string): string[] => fs.readdirSync(path, { recursive: true, encoding: "utf8" }).sort();

/** What worlds on a base promise as a driver is in test/conformance/driver.ts; this is what they do beyond. */
describe.each(kinds)("worlds that stand on a base, in $whose mounts,", ({ mounts }) => {
  const rigIn = (dir: string, given: () => Promise<Mounts | null> = async () => mounts) => {
    const [directory, bases] = ["worlds", "bases"].map((name) => join(dir, name)) as [string, string];
    for (const each of [directory, bases]) fs.mkdirSync(each, { recursive: true });
    const objects = memoryObjects();
    const layers = { bases, roots: ["files"], mounts: given };
    const driver = portableDriver({ directory, objects, generation: "one", layers, lag: 30 });
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
  const layersIn = (bases: string): string[] =>
    fs.existsSync(join(bases, "one"))
      ? fs.readdirSync(join(bases, "one")).filter((name) => /^[0-9a-f]{32}$/.test(name))
      : [];

  it("have it in common: another state costs what differs, and a capture reads nothing else", async () => {
    await inTemporary(async (dir) => {
      const { directory, bases, open, captured } = rigIn(dir);
      const first = await captured({ "a/1": "one", "a/2": "two", "b/c/3": "three" });
      const second = await captured({ "a/1": "one", "a/2": "other", "b/c/3": "three" });
      const one = await open("one", first);
      const [base, ...others] = layersIn(bases);
      expect(others).toEqual([]);
      const two = await open("two", second);
      const [layer] = layersIn(bases).filter((key) => key !== base);
      expect(below(join(bases, "one", layer!, "files"))).toEqual(["a", "a/2"]);
      // Whoever comes later finds all there.
      const three = await open("three", second);
      expect(layersIn(bases)).toHaveLength(2);
      for (const id of ["one", "two", "three"]) expect(below(join(directory, id, "files.upper"))).toEqual([]);
      expect((await three.capture()).files.tree).toBe(second.tree);
      await three.close();
      expect(fs.readFileSync(join(two.paths.files, "a/2"), "utf8")).toBe("other");
      expect((await one.capture()).files.tree).toBe(first.tree);
      expect((await two.capture()).files.tree).toBe(second.tree);
      // What a directory that nobody touched holds is not looked at again, and the base is nobody's to change.
      move(join(one.paths.files, "b"), join(one.paths.files, "moved"));
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

  it("stand on few layers however many steps were forked one after the other", async () => {
    await inTemporary(async (dir) => {
      const { bases, driver, open, captured } = rigIn(dir);
      const content: { [name: string]: string } = { "a/f": "0", "b/g": "untouched" };
      let state: Awaited<ReturnType<typeof captured>> = await captured(content);
      for (let n = 1; n <= runs(300, 40); n++) {
        const world = await driver.open({
          ...{ id: `w${n}`, family: "one", roots: { files: {} }, state: { files: state } },
          ...(n > 1 && { like: `w${n - 1}` }),
        });
        const at = world.paths.files;
        // Written anew, in place, renamed with all in it, and away.
        fs.writeFileSync(join(at, "a/f"), String(n));
        fs.writeFileSync(join(at, `a/f${n}`), "new");
        if (n % 3 === 0) move(join(at, "a"), join(at, "other"));
        if (n % 3 === 0) move(join(at, "other"), join(at, "a"));
        if (n > 5) fs.rmSync(join(at, `a/f${n - 5}`));
        fs.chmodSync(join(at, "b/g"), n % 2 ? 0o600 : 0o644);
        state = (await world.capture()).files as typeof state;
        expect(state.tree).toBe((await capture(at, memoryObjects())).tree);
        await world.close();
      }
      const depths = layersIn(bases).map(
        (key) => JSON.parse(fs.readFileSync(join(bases, "one", key, "about"), "utf8")).below.length as number,
      );
      expect(Math.max(...depths)).toBeLessThan(12);
      const last = await open("last", state);
      expect(below(join(last.paths.files, "a")).length).toBe(6);
      await last.close();
    });
  });

  it("share one that is made once, however many begin at once, and that goes when none needs it", async () => {
    await inTemporary(async (dir) => {
      const { bases, driver, open, captured } = rigIn(dir);
      const state = await captured({ f: "f" });
      const worlds = await Promise.all(["a", "b", "c", "d"].map((id) => open(id, state)));
      expect(layersIn(bases)).toHaveLength(1);
      await Promise.all(worlds.map((world) => world.close()));
      for (const id of ["a", "b", "c"]) await driver.dispose(id);
      await driver.tidy(0);
      expect(layersIn(bases)).toHaveLength(1);
      await driver.dispose("d");
      await driver.tidy(60_000);
      expect(layersIn(bases)).toHaveLength(1);
      await driver.tidy(0);
      expect(layersIn(bases)).toEqual([]);
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
      const about = join(bases, "one", layersIn(bases)[0]!, "about");
      fs.writeFileSync(
        about,
        JSON.stringify({ ...JSON.parse(fs.readFileSync(about, "utf8")), boot: "an earlier start" }),
      );
      const after = await open("a", state);
      expect(fs.readFileSync(about, "utf8")).not.toContain("an earlier start");
      expect(fs.readFileSync(join(after.paths.files, "f"), "utf8")).toBe("f");
      await after.close();
      fs.rmSync(join(bases, "one"), { recursive: true });
      const last = await open("a", state);
      expect((await last.capture()).files.tree).toBe(state.tree);
      await last.close();
    });
  });

  it("know a directory by its number: others in its place are looked into, however old all in them is", async () => {
    await inTemporary(async (dir) => {
      const { open, captured } = rigIn(dir);
      const world = await open("a", await captured({ "a/sub/f": "one", "b/sub/f": "two", "c/g": "g" }));
      const at = world.paths.files;
      const looks = async () => {
        const { tree } = (await world.capture()).files;
        expect(tree).toBe((await capture(at, memoryObjects())).tree);
      };
      const put = (from: string, to: string): void => move(join(at, from), join(at, to));
      await looks();
      await sleep(60);
      // Those of the layer below, then the same as those of the layer above.
      for (let round = 0; round < 3; round++) {
        put("a", "t");
        put("b", "a");
        put("t", "b");
        await looks();
        await sleep(60);
      }
      fs.mkdirSync(join(at, "new/sub"), { recursive: true });
      fs.writeFileSync(join(at, "new/sub/f"), "new");
      await looks();
      await sleep(60);
      put("a/sub", "old");
      put("new/sub", "a/sub");
      await looks();
      await world.close();
    });
  });

  it("look only where a stamp is new, tell again what was left out elsewhere, and look everywhere once the clock was set", async () => {
    await inTemporary(async (dir) => {
      const { open, captured } = rigIn(dir);
      const world = await open("a", await captured({ "a/f": "f", "b/g": "g", "c/h": "h" }));
      const at = world.paths.files;
      const now = vi.spyOn(Date, "now");
      try {
        execFileSync("mkfifo", [join(at, "a/pipe")]);
        fs.writeFileSync(join(at, "b/g"), "other");
        const told = (await world.capture()).files.skipped;
        expect(told.map(({ path }) => String(path))).toEqual(["a/pipe"]);
        await sleep(2100);
        fs.writeFileSync(join(at, "c/h"), "changed");
        move(join(at, "b"), join(at, "d"));
        // It is an hour later for whoever asks, and what is written later has an earlier stamp.
        now.mockImplementation(() => performance.timeOrigin + performance.now() + 3_600_000);
        const second = (await world.capture()).files;
        expect(second.tree).toBe((await capture(at, memoryObjects())).tree);
        expect(second.skipped).toEqual(told);
        expect((await world.capture()).files).toMatchObject({ tree: second.tree, skipped: told });
        now.mockRestore();
        fs.writeFileSync(join(at, "c/h"), "again");
        expect((await world.capture()).files.tree).toBe((await capture(at, memoryObjects())).tree);
      } finally {
        now.mockRestore();
        await world.close();
      }
    });
  });

  it("refuse what would take the empty place of a mount that is gone for the files", async () => {
    await inTemporary(async (dir) => {
      const { directory, open, captured } = rigIn(dir);
      const world = await open("a", await captured({ "a/f": "f" }));
      await mounts.unmount(join(directory, "a/files"));
      const gone = "went with the process that had mounted them";
      await expect(world.capture()).rejects.toThrow(gone);
      await expect(world.restore({})).rejects.toThrow(gone);
      await world.close();
    });
  });

  it("are told from directories of their own, also where their owner was killed before it said on what they stand", async () => {
    await inTemporary(async (dir) => {
      const { directory, driver, open, captured } = rigIn(dir);
      const state = await captured({ f: "f" });
      await (await open("one", state)).close();
      // A mount that its owner has not lived to note down: room of the kernel's, and nothing above.
      const [at, upper] = [join(directory, "two/files"), join(directory, "two/files.upper")];
      for (const each of [at, upper]) fs.mkdirSync(each, { recursive: true, mode: 0o700 });
      const lower = [join(dir, "from")];
      await mounts.overlay({ at, upper, work: at, lower });
      await mounts.unmount(at);
      expect(below(at)).toContain("work");
      expect(driver.kept("files", "two")).toBe(null);
      const world = await open("two", state);
      expect((await world.capture()).files.tree).toBe(state.tree);
      expect(fs.readdirSync(world.paths.files)).toEqual(["f"]);
      await world.close();
      await driver.dispose("two");
      await driver.tidy(0);
    });
  });

  it("lie apart on the disk, where it knows that", async () => {
    await inTemporary(async (dir) => {
      const { directory, open, captured } = rigIn(dir);
      const flags = (): string =>
        spawnSync("lsattr", ["-d", directory], { encoding: "utf8" }).stdout?.split(" ")[0] ?? "";
      const before = flags();
      await (await open("one", await captured({ f: "f" }))).close();
      const isKnown = spawnSync("chattr", ["+T", join(dir, "bases")]).status === 0;
      if (!isKnown)
        return console.log("skipped: this file system knows no directories that lie apart, or nothing here tells");
      expect(before).not.toContain("T");
      expect(flags()).toContain("T");
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
      expect(fs.readdirSync(join(bases, "one")).sort()).toEqual([layersIn(bases)[0], "usage"]);
      // Longer than any path may be.
      const name = "d".repeat(250);
      const deep = `cd "$1"; for i in {1..40}; do mkdir ${name}; cd ${name}; done; echo deep > f`;
      execFileSync("bash", ["-c", deep, "deep", world.paths.files]);
      const first = (await world.capture()).files.tree;
      const change = `cd "$1"; for i in {1..40}; do cd ${name}; done; echo other > f`;
      execFileSync("bash", ["-c", change, "deep", world.paths.files]);
      expect((await world.capture()).files.tree).not.toBe(first);
      await world.close();
      // Of an overlay's own directories one is closed to an ordinary user.
      execFileSync("chmod", ["-R", "u+rwX", join(dir, "worlds")]);
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
      const refusing = { ...mounts, overlay: () => Promise.reject(new Error("no")) };
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
