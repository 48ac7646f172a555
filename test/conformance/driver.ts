/**
 * What every driver of files must do. A new one runs this suite with a `Garage` of its own:
 *
 *     driverConformance("overlay", async (directory) => ({ driver, end }));
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Objects } from "../../src/trace/ports.ts";
import { capture } from "../../src/world/capture.ts";
import type { Driver, World, WorldSpec } from "../../src/world/driver.ts";
import type { FileState } from "../../src/world/materialise.ts";
import { emptyCache } from "../../src/world/statcache.ts";
import { CHANGES, makeEverything } from "../support/everything.ts";
import { hostile, SENTENCE } from "../support/hostile.ts";
import { memoryObjects } from "../support/objects.ts";
import { params } from "../support/runs.ts";
import { inTemporary, look, program, restorable, run, withoutTimes } from "../support/trees.ts";

/** Where drivers of one kind come from; all share what they keep. */
export interface Garage {
  /** One as another process would have it. Those before are not closed: their processes may have been killed. */
  driver(objects: Objects): Driver;
  /** Takes down what still stands. */
  end(): Promise<void>;
}

const ROOTS = { files: {}, tmp: { mode: 0o1777, exclude: ["ours"] } };
type Root = keyof typeof ROOTS;
type Worlds = (id: string, state?: WorldSpec<Root>["state"], more?: Partial<WorldSpec<Root>>) => Promise<World<Root>>;

const opener =
  (driver: Driver): Worlds =>
  (id, state = {}, more = {}) =>
    driver.open({ id, roots: ROOTS, state, ...more });

const seen = (path: string) => restorable(look(path));

/** @param where all lies; with other temporary files without it */
export function driverConformance(name: string, make: (directory: string) => Promise<Garage>, where?: string): void {
  /** `dir` is for the test; what the drivers keep lies elsewhere. */
  const withDriver = (
    body: (given: {
      dir: string;
      objects: ReturnType<typeof memoryObjects>;
      garage: Garage;
      open: Worlds;
    }) => Promise<void>,
  ): Promise<void> =>
    inTemporary(
      (place) =>
        inTemporary(async (dir) => {
          const garage = await make(place);
          const objects = memoryObjects();
          try {
            await body({ dir, objects, garage, open: opener(garage.driver(objects)) });
          } finally {
            await garage.end();
          }
        }, where),
      where,
    );

  /** A directory with something in it, and its state. */
  const user = async (dir: string, objects: Objects, fill: (root: string) => void) => {
    fs.mkdirSync(`${dir}/user`);
    fill(`${dir}/user`);
    const cache = emptyCache();
    const state = await capture(`${dir}/user`, objects, { cache });
    return { path: `${dir}/user`, state, seed: { path: `${dir}/user`, cache } };
  };

  describe(`${name} conforms`, () => {
    test("a world is at rest while no process of an earlier owner can reach its files", async () => {
      await withDriver(async ({ objects, garage, open }) => {
        const asked = garage.driver(objects);
        expect(asked.isAtRest("w")).toBe(true);
        const world = await open("w");
        expect(asked.isAtRest("w")).toBe(false);
        await world.close({ inUse: true });
        expect(asked.isAtRest("w")).toBe(false);
        await (await open("w")).close();
        expect(asked.isAtRest("w")).toBe(true);
      });
    });

    describe("a state is set exactly", () => {
      test.each(Object.keys(CHANGES))("%s", async (change) => {
        await withDriver(async ({ dir, objects, open }) => {
          const { path, state, seed } = await user(dir, objects, makeEverything);
          const before = seen(path);
          fs.mkdirSync(`${dir}/outside`);
          fs.writeFileSync(`${dir}/outside/f`, "untouched");
          const outside = seen(`${dir}/outside`);
          const world = await open("w", { files: state }, { seeds: { files: seed } });
          const at = world.paths.files;
          expect(seen(at)).toEqual(before);
          CHANGES[change]!(at, `${dir}/outside`);
          const changed = seen(at);
          const captured = await world.capture();
          expect(seen(at)).toEqual(changed);
          // Back, and forth, and by another world, with and without a seed.
          await world.restore({ files: state });
          expect(seen(at)).toEqual(before);
          await world.restore({ files: captured.files });
          expect(seen(at)).toEqual(changed);
          expect((await world.capture()).files.tree).toBe(captured.files.tree);
          await world.restore({ files: state }, { seeds: { files: seed } });
          expect(seen(at)).toEqual(before);
          const other = await open("other", { files: captured.files }, { seeds: { files: seed } });
          expect(seen(other.paths.files)).toEqual(changed);
          expect(seen(path)).toEqual(before);
          expect(seen(`${dir}/outside`)).toEqual(outside);
          for (const each of [world, other]) {
            expect(each.missing).toEqual([]);
            await each.close();
          }
        });
      });

      test("without times, if the state has none", async () => {
        await withDriver(async ({ dir, objects, open }) => {
          const { path, state } = await user(dir, objects, makeEverything);
          const world = await open("w", { files: { tree: state.tree, vcs: state.vcs } });
          expect(withoutTimes(seen(world.paths.files))).toEqual(withoutTimes(seen(path)));
          await world.close();
        });
      });
    });

    test("a capture finds every change, and says what a walk from scratch says", async () => {
      await fc.assert(
        fc.asyncProperty(program(20), fc.array(program(5), { minLength: 1, maxLength: 5 }), (first, later) =>
          withDriver(async ({ open, objects }) => {
            const world = await open("w");
            for (const ops of [first, ...later]) {
              run(world.paths.files, ops);
              const { stats: _, young: __, ...expected } = await capture(world.paths.files, objects);
              expect((await world.capture()).files).toMatchObject(expected);
            }
            await world.close();
          }),
        ),
        params(500, 15),
      );
    });

    test("so does one of files that were set, and of changes long after another one", async () => {
      await fc.assert(
        fc.asyncProperty(program(20), fc.array(program(5), { minLength: 1, maxLength: 5 }), (first, later) =>
          withDriver(async ({ dir, open, objects }) => {
            const { state } = await user(dir, objects, (root) => run(root, first));
            const world = await open("w", { files: state });
            for (const ops of later) {
              // Of what is older than the last capture a driver may know that it has not changed.
              await sleep(60);
              run(world.paths.files, ops);
              const { tree, vcs, skipped } = await capture(world.paths.files, objects);
              const found = (await world.capture()).files;
              const paths = (all: typeof skipped): string[] => all.map(({ path }) => path.toString("latin1")).sort();
              expect({ tree: found.tree, vcs: found.vcs }).toEqual({ tree, vcs });
              expect(paths(found.skipped)).toEqual(paths(skipped));
            }
            await world.close();
          }),
        ),
        params(200, 12),
      );
    });

    test("worlds do not see each other, nor does a fork its parent, and nobody's change reaches a seed", async () => {
      await fc.assert(
        fc.asyncProperty(program(15), program(6), program(6), (ops, one, two) =>
          withDriver(async ({ dir, objects, open }) => {
            const { path, state, seed } = await user(dir, objects, (root) => run(root, ops));
            const before = seen(path);
            const [a, b] = await Promise.all(
              ["a.1", "b"].map((id) => open(id, { files: state }, { seeds: { files: seed } })),
            );
            run(a!.paths.files, one);
            const ofA = seen(a!.paths.files);
            run(b!.paths.files, two);
            expect(seen(a!.paths.files)).toEqual(ofA);
            const captured = await a!.capture();
            // What the parent does behind its capture is not the child's.
            run(a!.paths.files, two);
            const later = seen(a!.paths.files);
            const fork = await open("fork", captured, { like: "a.1" });
            expect(seen(fork.paths.files)).toEqual(ofA);
            run(fork.paths.files, one);
            expect(seen(a!.paths.files)).toEqual(later);
            await a!.close();
            const late = await open("late", captured, { like: "gone" });
            expect(seen(late.paths.files)).toEqual(ofA);
            expect(seen(path)).toEqual(before);
            for (const world of [b!, fork, late]) await world.close();
          }),
        ),
        params(200, 10),
      );
    });

    test("roots are set in one step; one that is left out stays; what is excluded is in no state", async () => {
      await withDriver(async ({ open }) => {
        const world = await open("w");
        expect(fs.statSync(world.paths.tmp).mode & 0o7777).toBe(0o1777);
        const put = (text: string): void => {
          for (const path of [world.paths.files, world.paths.tmp]) fs.writeFileSync(`${path}/f`, text);
          fs.mkdirSync(`${world.paths.tmp}/ours`, { recursive: true });
          fs.writeFileSync(`${world.paths.tmp}/ours/cache`, text);
        };
        const texts = (of: World<Root> = world): string[] =>
          [`${of.paths.files}/f`, `${of.paths.tmp}/f`, `${of.paths.tmp}/ours/cache`].map((path) =>
            fs.existsSync(path) ? fs.readFileSync(path, "utf8") : "",
          );
        put("one");
        const one = await world.capture();
        put("two");
        const two = await world.capture();
        await world.restore(one);
        expect(texts()).toEqual(["one", "one", "two"]);
        await world.restore({ files: two.files });
        expect(texts()).toEqual(["two", "one", "two"]);
        await world.restore({ tmp: two.tmp });
        expect(texts()).toEqual(["two", "two", "two"]);
        const fork = await open("fork", one);
        expect(texts(fork)).toEqual(["one", "one", ""]);
        expect(fs.statSync(fork.paths.tmp).mode & 0o7777).toBe(0o1777);
        const bare = await open("bare", { files: two.files });
        expect([texts(bare), fs.readdirSync(bare.paths.tmp)]).toEqual([["two", "", ""], []]);
        for (const each of [world, fork, bare]) await each.close();
      });
    });

    test("a process that stands in a root goes on there, and sees what was restored", async () => {
      await withDriver(async ({ open }) => {
        const world = await open("w");
        const path = (file: string): string => `${world.paths.files}/${file}`;
        fs.mkdirSync(path("d"));
        fs.writeFileSync(path("f"), "one");
        const one = await world.capture();
        const shell = spawn("/bin/sh", [], { cwd: world.paths.files, stdio: ["pipe", "pipe", "inherit"] });
        try {
          const says = async (command: string): Promise<string> => {
            let said = "";
            shell.stdin.write(`${command}; echo .\n`);
            while (!said.endsWith(".\n")) said += ((await once(shell.stdout, "data")) as [Buffer])[0].toString();
            return said.slice(0, -2).trim();
          };
          fs.writeFileSync(path("f"), "two");
          fs.rmdirSync(path("d"));
          const two = await world.capture();
          for (const [state, content] of [
            [one, "one d f"],
            [two, "two f"],
            [one, "one d f"],
          ] as const) {
            await world.restore(state);
            expect(await says('echo "$(cat f)" *')).toBe(content);
          }
          await says("echo three > f; mkdir e");
          expect(fs.readFileSync(path("f"), "utf8")).toBe("three\n");
          expect((await world.capture()).files.tree).toBe((await capture(world.paths.files, memoryObjects())).tree);
        } finally {
          shell.kill("SIGKILL");
          await once(shell, "exit");
        }
        await world.close();
      });
    });

    test("what is brought changes nothing else, neither what a process goes on writing to nor what no capture has seen", async () => {
      await withDriver(async ({ dir, objects, open }) => {
        const { path, state } = await user(dir, objects, makeEverything);
        const world = await open("w", { files: state });
        const at = world.paths.files;
        fs.writeFileSync(`${at}/log`, "one\n");
        const { tree: from } = (await world.capture()).files;
        const writer = fs.openSync(`${at}/log`, "a");
        fs.writeSync(writer, "two\n");
        fs.writeFileSync(`${at}/unseen`, "unseen");
        fs.writeFileSync(`${path}/log`, "one\n");
        fs.writeFileSync(`${path}/new`, "new");
        const { tree: to } = await capture(path, objects);
        await world.bring("files", from, to);
        fs.writeSync(writer, "three\n");
        fs.closeSync(writer);
        const wanted = look(path);
        const file = (bytes: string) => expect.objectContaining({ type: "file", bytes });
        const found = look(at);
        expect([...found.keys()].filter((name) => !wanted.has(name))).toEqual(["unseen"]);
        expect(found.get("log")).toEqual(file("one\ntwo\nthree\n"));
        expect(found.get("new")).toEqual(file("new"));
        fs.rmSync(`${at}/unseen`);
        fs.writeFileSync(`${at}/log`, "one\n");
        expect((await world.capture()).files.tree).toBe(to);
      });
    });

    test("what a process writes behind a capture is in none before, and tears no file that rests", async () => {
      await withDriver(async ({ open }) => {
        const world = await open("w");
        const path = world.paths.files;
        fs.writeFileSync(`${path}/still`, "still");
        const first = await world.capture();
        const writer = spawn(process.execPath, ["-e", WRITER], { cwd: path, stdio: ["ignore", "pipe", "inherit"] });
        const captures = [];
        const forks: World<Root>[] = [];
        try {
          await once(writer.stdout, "data");
          for (let i = 0; i < 6; i++) {
            captures.push(await world.capture());
            // From the last state, while the parent is being written to.
            forks.push(await open(`fork-${i}`, captures[i], { like: "w" }));
            await sleep(20);
          }
        } finally {
          writer.kill("SIGKILL");
          await once(writer, "exit");
        }
        const end = fs.readFileSync(`${path}/log`, "utf8");
        const lengths: number[] = [];
        for (const [i, fork] of forks.entries()) {
          const text = (file: string): string => fs.readFileSync(`${fork.paths.files}/${file}`, "utf8");
          expect(text("still")).toBe("still");
          expect(end.startsWith(text("log"))).toBe(true);
          lengths.push(text("log").length);
          // Replaced by rename: one or the other, whole.
          if (fs.existsSync(`${fork.paths.files}/saved`)) expect(text("saved")).toMatch(/^(\d+)(,\1){999}$/);
          expect(await fork.capture()).toMatchObject({ files: { tree: captures[i]!.files.tree } });
          await fork.close();
        }
        expect(lengths).toEqual([...lengths].sort((a, b) => a - b));
        expect(lengths[0]).toBeLessThan(end.length);
        const last = await world.capture();
        expect(last.files.tree).toBe((await capture(path, memoryObjects())).tree);
        await world.restore(first);
        expect(fs.readdirSync(path)).toEqual(["still"]);
        await world.restore(last);
        expect(fs.readFileSync(`${path}/log`, "utf8")).toBe(end);
        await world.close();
      });
    });

    test("a restore or open that fails or is stopped halfway is gone on with, by itself or after a kill", async () => {
      const how = fc.constantFrom("fails", "stopped");
      const next = fc.constantFrom("again", "back", "killed", "closed");
      await fc.assert(
        fc.asyncProperty(program(15), program(10), fc.nat(25), how, next, (ops, more, fuse, how, next) =>
          withDriver(async ({ dir, objects, garage }) => {
            const { path, state: one } = await user(dir, objects, (root) => run(root, ops));
            const before = seen(path);
            run(path, more);
            const two = await capture(path, objects);
            const after = seen(path);
            let left = Number.POSITIVE_INFINITY;
            let stop = new AbortController();
            const burning: Objects = {
              ...objects,
              get: async (id) => {
                if (left-- <= 0) {
                  if (how === "fails") throw new Error("Enough.");
                  stop.abort(new Error("Enough."));
                  // As an object that comes late.
                  await sleep(0);
                }
                return objects.get(id);
              },
            };
            const open = opener(garage.driver(burning));
            const light = (): { signal: AbortSignal } => {
              left = fuse;
              stop = new AbortController();
              return { signal: stop.signal };
            };
            const enough = (error: Error): void => expect(error.message).toBe("Enough.");
            await open("opened", { files: two }, light()).then((world) => world.close(), enough);
            left = Number.POSITIVE_INFINITY;
            const opened = await open("opened", { files: two });
            expect(seen(opened.paths.files)).toEqual(after);
            await opened.close();
            let world = await open("w", { files: one });
            await world.restore({ files: two }, light()).catch(enough);
            left = Number.POSITIVE_INFINITY;
            if (next === "closed") await world.close();
            if (next === "closed" || next === "killed")
              world = await opener(garage.driver(objects))("w", { files: one });
            else await world.restore({ files: next === "back" ? one : two });
            expect(seen(world.paths.files)).toEqual(next === "again" ? after : before);
            await world.close();
          }),
        ),
        params(300, 15),
      );
    });

    test("a state from outside is set or refused with a sentence, and nothing is written elsewhere", async () => {
      await fc.assert(
        fc.asyncProperty(program(8), hostile, hostile, (ops, one, two) =>
          withDriver(async ({ dir, objects, open }) => {
            fs.mkdirSync(`${dir}/out`);
            fs.writeFileSync(`${dir}/out/f`, "untouched");
            const before = seen(`${dir}/out`);
            const [opened, set] = [await one(objects), await two(objects)];
            const attempt = async (state: FileState, work: () => Promise<World<Root>>): Promise<void> => {
              try {
                const world = await work();
                const captured = await world.capture();
                // Without `vcs` a repository that is there stays, and with it the directories above.
                if (world.missing.length === 0 && state.vcs) expect(captured.files.tree).toBe(state.tree);
              } catch (error) {
                expect((error as Error).message).toMatch(SENTENCE);
              }
            };
            await attempt(opened, async () => open("one", { files: opened }));
            const world = await open("two");
            run(world.paths.files, ops);
            const good = await world.capture();
            for (const state of [set, { tree: set.tree }])
              await attempt(state, async () => {
                await world.restore({ files: state });
                return world;
              });
            await world.restore(good);
            expect((await world.capture()).files.tree).toBe(good.files.tree);
            expect(seen(`${dir}/out`)).toEqual(before);
            expect(fs.readdirSync(dir)).toEqual(["out"]);
            await world.close();
          }),
        ),
        params(1500, 35),
      );
    });

    test("what the store lacks is told, and the rest is exact", async () => {
      await withDriver(async ({ dir, objects, garage, open }) => {
        const { path, state } = await user(dir, objects, (root) => {
          for (const file of ["lost", "kept"]) fs.writeFileSync(`${root}/${file}`, file);
        });
        const { tree: id } = await capture(path, objects);
        const content = [...objects.map].find(([, bytes]) => Buffer.from(bytes).toString() === "lost")!;
        objects.map.delete(content[0]);
        const world = await opener(garage.driver(objects))("w", { files: state });
        expect(world.missing).toEqual([{ root: "files", path: Buffer.from("lost"), id: content[0] }]);
        expect(fs.readdirSync(world.paths.files)).toEqual(["kept"]);
        objects.map.set(...content);
        await world.restore({ files: state });
        expect(world.missing).toEqual([]);
        expect((await world.capture()).files.tree).toBe(id);
        await world.close();
        await (await open("other", { files: state })).close();
      });
    });

    test("a world is found again as it was left, whether it was closed or killed, until it is disposed of", async () => {
      await withDriver(async ({ objects, garage, open }) => {
        const driver = garage.driver(objects);
        const started = Date.now();
        const world = await open("w");
        run(world.paths.files, [{ op: "write", path: "a/b", content: "x", mode: 0o644 }]);
        const state = await world.capture();
        await world.close();
        await expect(world.capture()).rejects.toThrow(/closed/);
        await expect(world.restore(state)).rejects.toThrow(/closed/);
        const again = await open("w");
        expect(await again.capture()).toMatchObject({
          files: { tree: state.files.tree, mtimes: state.files.mtimes },
          tmp: { tree: state.tmp.tree },
        });
        run(again.paths.files, [{ op: "write", path: "a/b", content: "y", mode: 0o644 }]);
        // Nobody closes it.
        const after = await opener(driver)("w", state);
        expect(fs.readFileSync(`${after.paths.files}/a/b`, "utf8")).toBe("x");
        await after.close();
        const [kept, ...others] = await driver.list();
        expect([kept?.id, others]).toEqual(["w", []]);
        // Within what clocks of a file system and of a process may differ.
        expect(kept!.used).toBeGreaterThan(started - 1000);
        await driver.dispose("w");
        await driver.dispose("w");
        expect(await driver.list()).toEqual([]);
        const anew = await open("w");
        expect(fs.readdirSync(anew.paths.files)).toEqual([]);
        await anew.close();
      });
    });

    test("where a root lies is told whoever has its world open, and nothing is made by asking", async () => {
      await withDriver(async ({ objects, garage, open }) => {
        const asked = garage.driver(objects);
        const text = (id: string): string => fs.readFileSync(`${asked.kept("files", id)}/f`, "utf8");
        expect([asked.kept("files", "w"), await asked.list()]).toEqual([null, []]);
        // One that stands on layers is seen by its owner alone.
        const world = await open("w", {}, { family: undefined });
        fs.writeFileSync(`${world.paths.files}/f`, "one");
        expect(text("w")).toBe("one");
        const fork = await open("fork", await world.capture(), { like: "w", family: undefined });
        fs.writeFileSync(`${world.paths.files}/f`, "two");
        expect([text("w"), text("fork")]).toEqual(["two", "one"]);
        await world.close();
        await fork.close();
        expect([text("w"), text("fork")]).toEqual(["two", "one"]);
        expect([asked.kept("other", "w"), asked.kept("files", "none")]).toEqual([null, null]);
        await asked.dispose("w");
        expect([asked.kept("files", "w"), text("fork")]).toEqual([null, "one"]);
      });
    });

    test("a root that is handed over is the other world's from then on, and nothing else of it", async () => {
      await withDriver(async ({ dir, objects, garage, open }) => {
        const { path, state } = await user(dir, objects, makeEverything);
        fs.writeFileSync(`${path}/more`, "more");
        const other = await capture(path, objects);
        const world = await open("old", { files: state });
        const first = seen(world.paths.files);
        fs.writeFileSync(`${world.paths.tmp}/mine`, "mine");
        const driver = garage.driver(objects);
        await world.close({ inUse: true });
        expect(await driver.handOver("files", "old", "new")).toBe(false);
        await (await open("old", { files: state })).close();
        // Where it spares nothing a driver may keep its own; both worlds are exact all the same.
        await driver.handOver("files", "old", "new");
        const taken = await open("new", { files: other });
        expect(seen(taken.paths.files)).toEqual(seen(path));
        expect(fs.readdirSync(taken.paths.tmp)).toEqual([]);
        await taken.close();
        const again = await open("old", { files: state });
        expect(seen(again.paths.files)).toEqual(first);
        expect(fs.readdirSync(again.paths.tmp)).toEqual(["mine"]);
      });
    });

    test("one thing is done at a time", async () => {
      await withDriver(async ({ open }) => {
        const world = await open("w");
        const states = [];
        for (const content of ["one", "two"]) {
          run(world.paths.files, [{ op: "write", path: "f", content, mode: 0o644 }]);
          states.push(await world.capture());
        }
        const [, first, , second] = await Promise.all([
          world.restore(states[0]!),
          world.capture(),
          world.restore(states[1]!),
          world.capture(),
        ]);
        expect([first.files.tree, second.files.tree]).toEqual(states.map(({ files }) => files.tree));
        await world.close();
      });
    });

    test("an id that is no name is refused", async () => {
      await withDriver(async ({ objects, garage, open }) => {
        for (const id of ["", ".", "..", "../x", "a/b", ".hidden", "n".repeat(129)]) {
          await expect(open(id)).rejects.toThrow(/is not the id of a world/);
          await expect(garage.driver(objects).dispose(id)).rejects.toThrow(/is not the id of a world/);
          expect(() => garage.driver(objects).kept("files", id)).toThrow(/is not the id of a world/);
        }
      });
    });
  });
}

/** Writes into its directory in every way until it is killed: appends, in place, by rename, directories that come and go. */
const WRITER = `
const fs = require("node:fs");
const log = fs.openSync("log", "a");
const slot = fs.openSync("slot", "w+");
const nap = new Int32Array(new SharedArrayBuffer(4));
for (let i = 0; ; i++) {
  fs.writeSync(log, i + "\\n");
  fs.writeSync(slot, String(i).padStart(12), 0);
  fs.writeFileSync("draft", Array(1000).fill(i).join(","));
  fs.renameSync("draft", "saved");
  fs.mkdirSync("d" + (i % 3), { recursive: true });
  fs.writeFileSync("d" + (i % 3) + "/f", String(i));
  if (i % 3 === 2) fs.rmSync("d0", { recursive: true });
  if (i === 3) console.log("up");
  Atomics.wait(nap, 0, 0, 1);
}`;
