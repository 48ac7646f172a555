import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { memoryObjects } from "../../test/support/objects.ts";
import { runs } from "../../test/support/runs.ts";
import { as, inTemporary, isRoot, look, restorable, run, settle } from "../../test/support/trees.ts";
import { sha256 } from "../trace/bytes.ts";
import type { Objects } from "../trace/ports.ts";
import { capture } from "./capture.ts";
import { lookup } from "./lookup.ts";
import { materialise } from "./materialise.ts";
import { emptyCache } from "./statcache.ts";
import { readTree, writeTree } from "./tree.ts";

const names = async (objects: Objects, tree: string): Promise<string[]> =>
  (await readTree(objects, tree)).entries.map(({ name }) => name.toString("latin1"));
const put = (dir: string, path: string, content = path): void =>
  run(dir, [{ op: "write", path, content, mode: 0o644 }]);

describe("capture", () => {
  it("takes everything, ignored and untracked or not, and no directory named .git", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      for (const path of [".env", ".gitignore", "node_modules/x/index.js", ".git/HEAD", "sub/.git/HEAD", "sub/a"])
        put(dir, path);
      put(dir, "worktree/.git", "gitdir: /elsewhere/.git/worktrees/w\n");
      fs.symlinkSync("../.git", `${dir}/node_modules/.git`);
      const state = await capture(dir, objects);
      expect(await names(objects, state.tree)).toEqual([".env", ".gitignore", "node_modules", "sub", "worktree"]);
      const at = async (path: string) => (await lookup(objects, state.tree, Buffer.from(path)))?.type ?? null;
      expect(await at("node_modules/.git")).toBe("l");
      expect(await at("worktree/.git")).toBe("f");
      expect(await at("sub/.git")).toBe(null);
      expect(await names(objects, state.vcs!)).toEqual([".git", "sub"]);
      expect(await names(objects, (await lookup(objects, state.vcs!, Buffer.from("sub")))!.id)).toEqual([".git"]);
      // The history changes, and what is worked on does not.
      put(dir, "sub/.git/index");
      const later = await capture(dir, objects);
      expect(later.tree).toBe(state.tree);
      expect(later.vcs).not.toBe(state.vcs);
      fs.rmSync(`${dir}/sub/.git`, { recursive: true });
      fs.rmSync(`${dir}/.git`, { recursive: true });
      expect(await capture(dir, objects)).toMatchObject({ tree: state.tree, vcs: null, vcsMtimes: null });
    });
  });

  it("keeps what is named .git inside a .git", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      put(dir, ".git/modules/sub/.git/config");
      const { vcs } = await capture(dir, objects);
      expect((await lookup(objects, vcs!, Buffer.from(".git/modules/sub/.git/config")))?.type).toBe("f");
    });
  });

  it("takes a real repository, and gives it back as git wants it", async () => {
    await inTemporary(async (dir) => {
      const git = (at: string, ...args: string[]): string =>
        execFileSync("git", ["-C", at, "-c", "user.name=n", "-c", "user.email=e", ...args], {
          encoding: "utf8",
          env: { ...process.env, GIT_CONFIG_GLOBAL: "/dev/null" },
        });
      fs.mkdirSync(`${dir}/a`);
      git(`${dir}/a`, "init", "-q");
      put(`${dir}/a`, "one");
      git(`${dir}/a`, "add", ".");
      git(`${dir}/a`, "commit", "-qm", "first");
      git(`${dir}/a`, "worktree", "add", "-q", "tree");
      put(`${dir}/a`, "two");
      const objects = memoryObjects();
      await materialise(`${dir}/b`, await capture(`${dir}/a`, objects), objects);
      expect(git(`${dir}/b`, "log", "--format=%s").trim()).toBe("first");
      expect(git(`${dir}/b`, "status", "--short")).toBe(git(`${dir}/a`, "status", "--short"));
      git(`${dir}/b`, "fsck", "--strict");
    });
  });

  it("tells what it leaves out", async () => {
    await inTemporary(async (dir) => {
      execFileSync("mkfifo", [`${dir}/fifo`]);
      fs.mkdirSync(`${dir}/deep`);
      const server = createServer().listen(`${dir}/deep/sock`);
      await once(server, "listening");
      put(dir, "kept");
      put(dir, "private/x");
      const objects = memoryObjects();
      const cache = emptyCache();
      const exclude = [Buffer.from(`${dir}/private`)];
      for (let again = 0; again < 2; again++) {
        const { tree, skipped } = await capture(dir, objects, { cache, exclude, generation: "one" });
        expect(skipped).toEqual([
          { path: Buffer.from("private"), why: "excluded" },
          { path: Buffer.from("deep/sock"), why: "socket" },
          { path: Buffer.from("fifo"), why: "fifo" },
        ]);
        expect(await names(objects, tree)).toEqual(["deep", "kept"]);
      }
      server.close();
    });
  });

  it.runIf(process.platform === "linux")("leaves out other file systems and devices", async () => {
    const { skipped } = await capture("/dev", memoryObjects());
    const why = new Map(skipped.map(({ path, why }) => [path.toString(), why]));
    expect(why.get("null")).toBe("device");
    const mounts = fs.readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    for (const line of mounts) {
      const name = /^\/dev\/([a-z]+)$/.exec(line.split(" ")[4] ?? "")?.[1];
      if (name) expect(why.get(name)).toBe("mounted");
    }
  });

  it.skipIf(!isRoot)(
    "takes in a directory of ours also what its owner may not read, and a restore is as exact",
    async () => {
      await inTemporary(async (dir) => {
        const objects = memoryObjects();
        for (const path of ["work/shut/inner", "work/listed/inner", "work/secret", "work/open"]) put(dir, path);
        const modes = { "shut/inner": 0o000, shut: 0o000, listed: 0o444, secret: 0o200 };
        for (const [path, mode] of Object.entries(modes)) fs.chmodSync(`${dir}/work/${path}`, mode);
        const before = restorable(look(`${dir}/work`));
        await as(65534, dir, async () => {
          const cache = emptyCache();
          const own = { own: true, cache };
          const state = await capture(`${dir}/work`, objects, own);
          expect([state.skipped, await names(objects, state.tree)]).toEqual([[], ["listed", "open", "secret", "shut"]]);
          const empty = await writeTree(objects, { mode: 0o755, entries: [] });
          expect((await materialise(`${dir}/work`, { tree: empty }, objects, own)).kept).toEqual([]);
          expect(fs.readdirSync(`${dir}/work`)).toEqual([]);
          await materialise(`${dir}/work`, state, objects, own);
          expect((await capture(`${dir}/work`, objects, own)).tree).toBe(state.tree);
          fs.chmodSync(`${dir}/work`, 0o200);
          const shut = await capture(`${dir}/work`, objects, own);
          expect([(await readTree(objects, shut.tree)).mode, fs.statSync(`${dir}/work`).mode & 0o7777]).toEqual([
            0o200, 0o200,
          ]);
          fs.chmodSync(`${dir}/work`, 0o755);
          await materialise(`${dir}/work`, state, objects, own);
        });
        expect(restorable(look(`${dir}/work`))).toEqual(before);
      });
    },
  );

  it.skipIf(!isRoot)("leaves out and reports what may not be read", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      for (const path of ["shut/inner", "listed/inner", "secret", "open"]) put(dir, path);
      fs.chmodSync(`${dir}/shut`, 0o000);
      fs.chmodSync(`${dir}/listed`, 0o444);
      fs.chmodSync(`${dir}/secret`, 0o000);
      const state = await as(65534, dir, () => capture(dir, objects));
      expect(state.skipped.map(({ path, why }) => `${path} ${why}`).sort()).toEqual([
        "listed/inner unreadable",
        "secret unreadable",
        "shut unreadable",
      ]);
      expect(await names(objects, state.tree)).toEqual(["listed", "open"]);
    });
  });

  it("does not follow links, dangling, absolute, to directories or in circles", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      fs.mkdirSync(`${dir}/in`);
      put(dir, "out/secret", "not for you");
      fs.symlinkSync("../out", `${dir}/in/dir`);
      fs.symlinkSync(`${dir}/out/secret`, `${dir}/in/file`);
      fs.symlinkSync("nowhere", `${dir}/in/dangling`);
      fs.symlinkSync(".", `${dir}/in/circle`);
      const { tree, skipped } = await capture(`${dir}/in`, objects);
      expect(skipped).toEqual([]);
      for (const { type, id, name } of (await readTree(objects, tree)).entries) {
        expect(type).toBe("l");
        expect(id).toBe(sha256(fs.readlinkSync(`${dir}/in/${name}`)));
      }
      expect(objects.map.has(sha256("not for you"))).toBe(false);
    });
  });

  it("never reads out of the tree while somebody puts links in its way", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      for (const path of ["out/x/secret", "out/secret"]) put(dir, path, "not for you");
      for (const path of ["in/a/x/secret", "in/a/secret", "in/b/y"]) put(dir, path, "mine");
      const swapper = spawn(process.execPath, ["-e", SWAP, dir], { stdio: ["ignore", "pipe", "inherit"] });
      try {
        await once(swapper.stdout, "data");
        for (let i = 0; i < runs(2000, 150); i++) await capture(`${dir}/in`, objects);
      } finally {
        swapper.kill("SIGKILL");
        await once(swapper, "exit");
      }
      expect(objects.map.has(sha256("mine"))).toBe(true);
      expect(objects.map.has(sha256("not for you"))).toBe(false);
    });
  });

  it("never reads out of the tree, whatever is exchanged for a link after it was looked at", async () => {
    for (const change of ["file", "directory", "parent", "above"]) {
      await inTemporary(async (dir) => {
        const objects = memoryObjects();
        const inside = `${dir}/in/top/d`;
        for (const path of ["d/large", "d/x", "d/y/z", "large", "x", "y/z"]) put(dir, `out/${path}`, "not for you");
        for (const path of ["in/top/d/x", "in/top/d/y/z"]) put(dir, path, "mine");
        fs.writeFileSync(`${inside}/large`, Buffer.alloc(2 << 20, "l"));
        let done = false;
        // Everything in `d` has been looked at when the first chunk of the large file is put.
        const swap = (path: string, target: string): void => {
          fs.renameSync(path, `${dir}/aside`);
          fs.symlinkSync(target, path);
        };
        const putting: Objects["put"] = async (bytes) => {
          if (!done && bytes.length === 1 << 20) {
            done = true;
            if (change === "file") swap(`${inside}/x`, `${dir}/out/x`);
            if (change === "directory") swap(`${inside}/y`, `${dir}/out/y`);
            if (change === "parent") swap(inside, `${dir}/out`);
            if (change === "above") swap(`${dir}/in/top`, `${dir}/out`);
          }
          return objects.put(bytes);
        };
        const state = await capture(`${dir}/in`, { ...objects, put: putting });
        expect(done).toBe(true);
        expect(objects.map.has(sha256("not for you"))).toBe(false);
        const at = async (path: string) => (await lookup(objects, state.tree, Buffer.from(path)))?.type;
        expect(await at("top/d/x")).toBe(change === "file" ? "l" : "f");
        expect(await at("top/d/y")).toBe(change === "directory" ? "l" : "d");
      });
    }
  });

  it("forgets what is excluded from now on", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      for (const path of ["a/x", "b"]) put(dir, path);
      await settle();
      const cache = emptyCache();
      await capture(dir, objects, { cache, generation: "one" });
      const exclude = [Buffer.from(`${dir}/a`)];
      const { tree } = await capture(dir, objects, { cache, generation: "one", exclude });
      expect(await names(objects, tree)).toEqual(["b"]);
    });
  });

  it("takes what others remove and make meanwhile, or not, and never fails", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      for (let i = 0; i < 40; i++) put(dir, `d${i % 8}/f${i}`);
      const churn = spawn(process.execPath, ["-e", CHURN, dir], { stdio: ["ignore", "pipe", "inherit"] });
      const cache = emptyCache();
      try {
        await once(churn.stdout, "data");
        for (let i = 0; i < runs(1000, 80); i++) await capture(dir, objects, { cache });
      } finally {
        churn.kill("SIGKILL");
        await once(churn, "exit");
      }
      const { tree, mtimes } = await capture(dir, objects, { cache });
      expect(await capture(dir, memoryObjects())).toMatchObject({ tree, mtimes });
    });
  });

  it("takes a tree that is deeper than the longest path", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const name = "d".repeat(100);
      // Deeper and deeper by moving what there is into a new directory.
      for (let i = 0; i < 120; i++) {
        fs.mkdirSync(`${dir}/new`);
        if (i > 0) fs.renameSync(`${dir}/${name}`, `${dir}/new/${name}`);
        else put(dir, "new/file", "deep down");
        fs.renameSync(`${dir}/new`, `${dir}/${name}`);
      }
      const state = await capture(dir, objects);
      expect(objects.map.has(sha256("deep down"))).toBe(true);
      await materialise(`${dir}/${name}`, state, objects);
      const empty = await capture(fs.mkdtempSync(`${dir}/empty`), objects);
      await materialise(dir, empty, objects);
      expect(fs.readdirSync(dir)).toEqual([]);
    });
  });

  it("can be stopped, keeps what it has learned, and lets others run", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      for (let i = 0; i < 400; i++) put(dir, `d${i % 20}/f${i}`);
      await settle();
      const cache = emptyCache();
      const stop = new AbortController();
      let seen = 0;
      const slow: Objects = {
        ...objects,
        put: async (bytes) => {
          if (++seen === 200) stop.abort(new Error("Enough."));
          if (seen >= 200) await sleep(25);
          return objects.put(bytes);
        },
      };
      await expect(capture(dir, slow, { cache, signal: stop.signal })).rejects.toThrow("Enough.");
      const { stats, tree } = await capture(dir, objects, { cache });
      expect(stats.read).toBeLessThan(400 - 100);
      expect(await capture(dir, objects)).toMatchObject({ tree });
      await expect(capture(dir, objects, { signal: AbortSignal.abort(new Error("Too late.")) })).rejects.toThrow(
        "Too late.",
      );
    });
  });

  it("tells its progress after 300 ms, and not before", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      for (let i = 0; i < 300; i++) put(dir, `d${i}/f`);
      const start = performance.now();
      const slow: Objects = {
        ...objects,
        put: async (bytes) => {
          if (performance.now() < start + 450) await sleep(5);
          return objects.put(bytes);
        },
      };
      const first: number[] = [];
      await capture(dir, slow, { onProgress: () => first.push(performance.now() - start) });
      expect(first.length).toBeGreaterThan(0);
      expect(Math.min(...first)).toBeGreaterThanOrEqual(300);
    });
  });

  it("asks the store for what it did not read, unless nothing can have been collected", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      for (const path of ["a/x", "a/y", "b/z"]) put(dir, path);
      fs.writeFileSync(`${dir}/large`, Buffer.alloc(3 << 20, "l"));
      await settle();
      const cache = emptyCache();
      const { tree } = await capture(dir, objects, { cache, generation: "one" });
      for (const lost of [sha256("a/y"), tree, sha256(Buffer.alloc(1 << 20, "l"))]) {
        objects.map.delete(lost);
        await capture(dir, objects, { cache, generation: "one" });
        expect(objects.map.has(lost)).toBe(false);
        expect(await capture(dir, objects, { cache, generation: "two" })).toMatchObject({ tree });
        expect(objects.map.has(lost)).toBe(true);
        await capture(dir, objects, { cache, generation: "one" });
      }
      const puts = objects.puts;
      await capture(dir, objects, { cache, generation: "one" });
      expect(objects.puts).toBe(puts);
    });
  });

  it("passes errors of the store on, and never takes them for the tree's", async () => {
    await inTemporary(async (dir) => {
      put(dir, "a/b");
      fs.writeFileSync(`${dir}/large`, Buffer.alloc(2 << 20));
      for (const code of ["EACCES", "ENOENT", "ENOSPC"]) {
        const broken: Objects = {
          ...memoryObjects(),
          put: () => Promise.reject(Object.assign(new Error("The store."), { code })),
        };
        await expect(capture(dir, broken)).rejects.toThrow("The store.");
      }
    });
  });

  it("takes a directory whose own name is not UTF-8", async () => {
    await inTemporary(async (dir) => {
      const path = Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0xff, 0x0a])]);
      fs.mkdirSync(path);
      fs.writeFileSync(Buffer.concat([path, Buffer.from("/f")]), "x");
      const objects = memoryObjects();
      const state = await capture(path, objects, { exclude: [Buffer.concat([path, Buffer.from("/nothing")])] });
      expect(await names(objects, state.tree)).toEqual(["f"]);
      await materialise(Buffer.concat([path, Buffer.from("2")]), state, objects);
      expect(fs.readFileSync(Buffer.concat([path, Buffer.from("2/f")]), "utf8")).toBe("x");
    });
  });
});

const SWAP = `
const fs = require("fs"), dir = process.argv[1];
process.stdout.write("ready");
for (;;) {
  fs.renameSync(dir + "/in/a", dir + "/in/real");
  fs.symlinkSync("../out", dir + "/in/a");
  fs.unlinkSync(dir + "/in/a");
  fs.renameSync(dir + "/in/real", dir + "/in/a");
  fs.renameSync(dir + "/in/a/secret", dir + "/in/a/kept");
  fs.symlinkSync("../../out/secret", dir + "/in/a/secret");
  fs.unlinkSync(dir + "/in/a/secret");
  fs.renameSync(dir + "/in/a/kept", dir + "/in/a/secret");
}`;

const CHURN = `
const fs = require("fs"), dir = process.argv[1];
process.stdout.write("ready");
for (let i = 0; ; i++) {
  const path = dir + "/d" + (i % 8) + "/f" + (i % 40);
  fs.rmSync(path, { force: true, recursive: true });
  if (i % 3 === 0) fs.mkdirSync(path + "/sub", { recursive: true });
  else if (i % 3 === 1) fs.symlinkSync("nowhere", path);
  else fs.writeFileSync(path, "v" + i);
  if (i % 50 === 0) { fs.renameSync(dir + "/d1", dir + "/moved"); fs.renameSync(dir + "/moved", dir + "/d1"); }
}`;
