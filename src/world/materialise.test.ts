import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { memoryObjects } from "../../test/support/objects.ts";
import { runs } from "../../test/support/runs.ts";
import { as, inTemporary, isRoot, look, restorable, run, settle } from "../../test/support/trees.ts";
import { sha256 } from "../trace/bytes.ts";
import { Forgotten } from "../trace/objects.ts";
import type { Objects } from "../trace/ports.ts";
import { capture } from "./capture.ts";
import { materialise } from "./materialise.ts";
import { emptyCache } from "./statcache.ts";
import { writeTree } from "./tree.ts";

const put = (dir: string, path: string, content = path, mode = 0o644): void =>
  run(dir, [{ op: "write", path, content, mode }]);
const stateOf = async (dir: string, objects: Objects, paths: readonly string[]) => {
  const at = fs.mkdtempSync(`${dir}/state`);
  for (const path of paths) {
    if (path.endsWith("/")) fs.mkdirSync(`${at}/${path}`, { recursive: true });
    else put(at, path);
  }
  return capture(at, objects);
};
const text = (paths: readonly { path: Buffer; why?: string }[]): string[] =>
  paths.map(({ path, why }) => (why ? `${path}: ${why}` : String(path)));

describe("materialise", () => {
  it("does not touch what is as it should be", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const state = await stateOf(dir, objects, ["a/x", "a/y", "b/z", "empty/"]);
      const work = `${dir}/work`;
      await materialise(work, state, objects);
      const inode = (path: string) => fs.lstatSync(`${work}/${path}`, { bigint: true });
      const before = ["a", "a/x", "b", "b/z", "empty"].map(inode);
      put(work, "a/y", "changed");
      const report = await materialise(work, state, objects);
      expect(report).toMatchObject({ written: 1, removed: 0 });
      const after = ["a", "a/x", "b", "b/z", "empty"].map(inode);
      for (const [i, { ino, mtimeNs, ctimeNs }] of after.entries())
        expect({ ino, mtimeNs, ctimeNs: i === 0 ? 0n : ctimeNs }).toEqual({
          ino: before[i]!.ino,
          mtimeNs: before[i]!.mtimeNs,
          ctimeNs: i === 0 ? 0n : before[i]!.ctimeNs,
        });
    });
  });

  it("replaces a file, and never writes to one that somebody has open or that has another name", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const state = await stateOf(dir, objects, ["content", "mode", "time"]);
      const work = `${dir}/work`;
      fs.mkdirSync(work);
      for (const name of ["content", "mode", "time"]) {
        put(dir, `out-${name}`, name === "content" ? "other" : name, name === "mode" ? 0o600 : 0o644);
        fs.utimesSync(`${dir}/out-${name}`, 1, 1);
        fs.linkSync(`${dir}/out-${name}`, `${work}/${name}`);
      }
      const open = fs.openSync(`${work}/content`, "r");
      const before = restorable(look(dir)).filter(([path]) => path.startsWith("out-"));
      await materialise(work, state, objects);
      expect(restorable(look(dir)).filter(([path]) => path.startsWith("out-"))).toEqual(before);
      expect(fs.readFileSync(open, "utf8")).toBe("other");
      fs.closeSync(open);
      expect(await capture(work, objects)).toMatchObject({ tree: state.tree });
    });
  });

  it("takes links away that stand where directories belong, and does not go through them", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const state = await stateOf(dir, objects, ["a/b/file", "c"]);
      for (const path of ["out/b/file", "out/other", "out/file"]) put(dir, path, "untouched");
      const before = restorable(look(`${dir}/out`));
      const work = `${dir}/work`;
      fs.mkdirSync(work);
      fs.symlinkSync("../out", `${work}/a`);
      fs.symlinkSync(`${dir}/out/file`, `${work}/c`);
      fs.symlinkSync("../out", `${work}/extra`);
      await materialise(work, state, objects);
      expect(restorable(look(`${dir}/out`))).toEqual(before);
      expect(await capture(work, objects)).toMatchObject({ tree: state.tree });
      // A link in the state leads where it likes; nothing is written through it.
      fs.rmSync(`${work}/a`, { recursive: true });
      fs.symlinkSync("../out", `${work}/a`);
      const linked = await capture(work, objects);
      await materialise(`${dir}/again`, state, objects);
      await materialise(`${dir}/again`, linked, objects);
      await materialise(`${dir}/again`, state, objects);
      expect(restorable(look(`${dir}/out`))).toEqual(before);
    });
  });

  it("never writes out of the directory while somebody puts links in its way", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const one = await stateOf(dir, objects, ["a/x", "a/y/z", "b"]);
      const two = await stateOf(dir, objects, ["a/x", "b", "a/new", "a/w/q"]);
      put(dir, "out/x", "untouched");
      put(dir, "out/y/z", "untouched");
      const before = restorable(look(`${dir}/out`));
      fs.mkdirSync(`${dir}/work`);
      const swapper = spawn(process.execPath, ["-e", SWAP, dir], { stdio: ["ignore", "pipe", "inherit"] });
      try {
        await once(swapper.stdout, "data");
        for (let i = 0; i < runs(1000, 80); i++)
          await materialise(`${dir}/work`, i % 2 ? one : two, objects).catch(() => {});
      } finally {
        swapper.kill("SIGKILL");
        await once(swapper, "exit");
      }
      expect(restorable(look(`${dir}/out`))).toEqual(before);
      await materialise(`${dir}/work`, one, objects);
      expect(await capture(`${dir}/work`, objects)).toMatchObject({ tree: one.tree });
    });
  });

  it("takes away sockets and pipes, which have nothing in them", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const state = await stateOf(dir, objects, ["fifo", "d/"]);
      fs.mkdirSync(`${dir}/work/gone`, { recursive: true });
      for (const name of ["fifo", "d", "gone/fifo"]) execFileSync("mkfifo", [`${dir}/work/${name}`]);
      const server = createServer().listen(`${dir}/work/sock`);
      await once(server, "listening");
      await materialise(`${dir}/work`, state, objects);
      server.close();
      expect(restorable(look(`${dir}/work`)).map(([path]) => path)).toEqual(["", "d", "fifo"]);
      expect(fs.existsSync(`${dir}/work/sock`)).toBe(false);
    });
  });

  it("governs .git by `vcs`: leaves it, removes it, restores it", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const state = await stateOf(dir, objects, ["a", ".git/HEAD", "sub/.git/HEAD", "sub/b"]);
      const { tree, mtimes } = state;
      const work = `${dir}/work`;
      const cache = emptyCache();
      for (const known of [undefined, cache]) {
        const again = { cache: known, generation: "one" };
        await materialise(work, state, objects, again);
        put(work, ".git/config", "mine");
        put(work, "other/.git/HEAD", "theirs");
        expect(text((await materialise(work, { tree, mtimes }, objects, again)).kept)).toEqual(["other/.git: vcs"]);
        expect(fs.readFileSync(`${work}/.git/config`, "utf8")).toBe("mine");
        expect(fs.readFileSync(`${work}/other/.git/HEAD`, "utf8")).toBe("theirs");
        await materialise(work, { tree, vcs: null }, objects, again);
        expect(restorable(look(work)).map(([path]) => path)).toEqual(["", "a", "sub", "sub/b"]);
        await materialise(work, state, objects, again);
        const { vcs, vcsMtimes } = state;
        expect(await capture(work, objects, { cache })).toMatchObject({
          tree,
          vcs,
          mtimes: known ? mtimes : expect.any(String),
        });
        expect(vcs && vcsMtimes).toBeTruthy();
      }
    });
  });

  it("refuses to put a file where a .git is that nothing is known of", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const { tree } = await stateOf(dir, objects, ["repo"]);
      put(dir, "work/repo/.git/HEAD");
      await expect(materialise(`${dir}/work`, { tree }, objects)).rejects.toThrow(
        /^repo cannot be restored: .* Move it away/,
      );
      expect(fs.existsSync(`${dir}/work/repo/.git/HEAD`)).toBe(true);
    });
  });

  it("says which parts of `vcs` have no place in the tree", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const { vcs, vcsMtimes } = await stateOf(dir, objects, ["sub/.git/HEAD", ".git/HEAD"]);
      const { tree } = await stateOf(dir, objects, [".git", "a"]);
      const report = await materialise(`${dir}/work`, { tree, vcs, vcsMtimes }, objects);
      expect(text(report.unplaced.map((path) => ({ path })))).toEqual([".git", "sub"]);
      expect(await capture(`${dir}/work`, objects)).toMatchObject({ tree, vcs: null });
    });
  });

  it("refuses a tree that would plant a repository", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const empty = await writeTree(objects, { mode: 0o755, entries: [] });
      const tree = await writeTree(objects, {
        mode: 0o755,
        entries: [{ type: "d", mode: 0, name: Buffer.from(".git"), id: empty }],
      });
      await expect(materialise(`${dir}/work`, { tree }, objects)).rejects.toThrow(/named \.git/);
    });
  });

  it("names what the store lacks, or restores without it", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const paths = ["a/one", "a/two", "b/three", "odd\nname"];
      const state = await stateOf(dir, objects, paths);
      fs.writeFileSync(`${dir}/${fs.readdirSync(dir)[0]}/large`, Buffer.alloc(2 << 20, "x"));
      const large = await capture(`${dir}/${fs.readdirSync(dir)[0]}`, objects);
      const work = `${dir}/work`;
      await materialise(work, large, objects);
      objects.map.delete(sha256("a/two"));
      objects.map.delete(sha256("odd\nname"));
      objects.map.delete(sha256(Buffer.alloc(1 << 20, "x")));
      put(work, "a/two", "other");
      put(work, "odd\nname", "other");
      put(work, "large", "other");
      await expect(materialise(work, large, objects)).rejects.toThrow(
        /lacks the content \w{12} of (a\/two|large|"odd\\nname"): run/,
      );
      const cache = emptyCache();
      const report = await materialise(work, large, objects, { partial: true, cache, generation: "one" });
      expect(text(report.missing).sort()).toEqual(["a/two", "large", "odd\nname"]);
      expect(restorable(look(work)).map(([path]) => path)).toEqual(["", "a", "a/one", "b", "b/three"]);
      expect((await capture(work, objects, { cache, generation: "one" })).tree).not.toBe(large.tree);
      expect(state.tree).not.toBe(large.tree);
    });
  });

  it("restores without a directory that lacks, and without what was forgotten", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const below = await stateOf(dir, objects, ["x"]);
      const state = await stateOf(dir, objects, ["d/x", ".env", "kept"]);
      const forgetful: Objects = {
        ...objects,
        get: async (id) => {
          if (id === sha256(".env")) throw new Forgotten(id);
          return objects.get(id);
        },
      };
      await expect(materialise(`${dir}/work`, state, forgetful)).rejects.toThrow(/^\.env was forgotten on request/);
      for (const [id, bytes] of objects.map)
        if (Buffer.from(bytes).includes("shepherd tree") && id !== state.tree) objects.map.delete(id);
      expect(below.tree).not.toBe(state.tree);
      await expect(materialise(`${dir}/work`, state, objects)).rejects.toThrow(/lacks the tree \w{12} of d/);
      const report = await materialise(`${dir}/new`, state, forgetful, { partial: true });
      expect(text(report.missing).sort()).toEqual([".env", "d"]);
      expect(fs.readdirSync(`${dir}/new`)).toEqual(["kept"]);
    });
  });

  it("can be stopped and goes on from there", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const state = await stateOf(
        dir,
        objects,
        Array.from({ length: 300 }, (_, i) => `d${i % 7}/f${i}`),
      );
      const cache = emptyCache();
      for (const many of [1, 40, 150]) {
        const stop = new AbortController();
        let got = 0;
        const slow: Objects = {
          ...objects,
          get: async (id) => {
            if (++got === many) stop.abort(new Error("Enough."));
            if (got >= many) await new Promise((resolve) => setTimeout(resolve, 25));
            return objects.get(id);
          },
        };
        await expect(materialise(`${dir}/work`, state, slow, { cache, signal: stop.signal })).rejects.toThrow(
          "Enough.",
        );
      }
      await materialise(`${dir}/work`, state, objects, { cache });
      expect(await capture(`${dir}/work`, objects)).toMatchObject({ tree: state.tree });
    });
  });

  it.skipIf(!isRoot)("restores directories that their owner may not write to or look into", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const make = (at: string, content: string): void => {
        for (const path of ["ro/f", "ro/sub/g", "shut/h", "secret", "x/y"]) put(`${dir}/${at}`, path, content);
        for (const [path, mode] of [
          ["ro/sub", 0o500],
          ["ro", 0o555],
          ["shut", 0o000],
          ["secret", 0o000],
        ] as const)
          fs.chmodSync(`${dir}/${at}/${path}`, mode);
      };
      make("one", "one");
      make("two", "two");
      const [one, two] = [await capture(`${dir}/one`, objects), await capture(`${dir}/two`, objects)];
      fs.chmodSync(dir, 0o755);
      await as(65534, dir, async () => {
        for (const cache of [undefined, emptyCache()])
          for (const state of [one, two, one, two]) await materialise(`${dir}/work`, state, objects, { cache });
      });
      expect(restorable(look(`${dir}/work`))).toEqual(restorable(look(`${dir}/two`)));
    });
  });

  it.skipIf(!isRoot)(
    "keeps what it cannot read where the state has nothing, and tells the path where it may not write",
    async () => {
      await inTemporary(async (dir) => {
        const objects = memoryObjects();
        const state = await stateOf(dir, objects, ["f"]);
        put(dir, "work/unread", "precious", 0o000);
        put(dir, "work/shut/inner", "precious");
        put(dir, "work/gone/unread", "precious", 0o000);
        put(dir, "work/gone/read", "known");
        fs.chmodSync(`${dir}/work/shut`, 0o000);
        fs.chmodSync(dir, 0o755);
        const report = await as(65534, dir, () => materialise(`${dir}/work`, state, objects));
        expect(text(report.kept).sort()).toEqual(["gone/unread: unreadable", "shut: unreadable", "unread: unreadable"]);
        expect(fs.readFileSync(`${dir}/work/gone/unread`, "utf8")).toBe("precious");
        execFileSync("chown", ["-R", "0", `${dir}/work`]);
        fs.chmodSync(`${dir}/work`, 0o755);
        const other = await stateOf(dir, objects, ["g"]);
        process.seteuid!(65534);
        try {
          await expect(materialise(`${dir}/work`, other, objects)).rejects.toThrow(
            /^f cannot be restored \(unlink: EACCES/,
          );
        } finally {
          process.seteuid!(0);
        }
      });
    },
  );

  it.skipIf(!isRoot)("sets back a root that its owner has shut, and shuts one that the state has shut", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const state = await stateOf(dir, objects, ["f"]);
      fs.mkdirSync(`${dir}/from`, { recursive: true });
      fs.chmodSync(`${dir}/from`, 0o500);
      const shut = await capture(`${dir}/from`, objects);
      fs.chmodSync(dir, 0o755);
      const cache = emptyCache();
      await as(65534, dir, async () => {
        for (const mode of [0o000, 0o300, 0o444, 0o555]) {
          await materialise(`${dir}/work`, state, objects, { cache });
          fs.chmodSync(`${dir}/work`, mode);
          await materialise(`${dir}/work`, state, objects, { cache });
          expect(await capture(`${dir}/work`, objects)).toMatchObject({ tree: state.tree });
          await materialise(`${dir}/work`, shut, objects, { cache });
          expect(await capture(`${dir}/work`, objects, { cache })).toMatchObject({ tree: shut.tree });
        }
      });
    });
  });

  it.skipIf(!isRoot)("does not reach into what is mounted below it", async (test) => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const state = await stateOf(dir, objects, ["a/x", "b"]);
      put(dir, "out/precious");
      fs.mkdirSync(`${dir}/work/a/mnt`, { recursive: true });
      fs.mkdirSync(`${dir}/work/mnt`);
      if (spawnSync("mount", ["--bind", `${dir}/out`, `${dir}/work/a/mnt`]).status !== 0) return test.skip();
      spawnSync("mount", ["-t", "tmpfs", "none", `${dir}/work/mnt`]);
      try {
        fs.writeFileSync(`${dir}/work/mnt/precious`, "x");
        const report = await materialise(`${dir}/work`, state, objects);
        expect(text(report.kept).sort()).toEqual(["a/mnt: mounted", "mnt: mounted"]);
        expect(await capture(`${dir}/work`, objects)).toMatchObject({
          tree: state.tree,
          skipped: [{ why: "mounted" }, { why: "mounted" }].reverse(),
        });
        expect(fs.existsSync(`${dir}/out/precious`)).toBe(true);
        expect(fs.existsSync(`${dir}/work/mnt/precious`)).toBe(true);
      } finally {
        spawnSync("umount", [`${dir}/work/a/mnt`]);
        spawnSync("umount", [`${dir}/work/mnt`]);
      }
    });
  });

  it.skipIf(!isRoot)("tells where the system does not take a mode, and does not claim it", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      fs.mkdirSync(`${dir}/state`);
      put(`${dir}/state`, "f", "f", 0o2755);
      fs.chmodSync(`${dir}/state`, 0o755);
      const state = await capture(`${dir}/state`, objects);
      fs.mkdirSync(`${dir}/work`);
      const cache = emptyCache();
      await as(65534, dir, async () => {
        process.seteuid!(0);
        fs.chownSync(`${dir}/work`, 65534, 54321);
        fs.chmodSync(`${dir}/work`, 0o2755);
        process.seteuid!(65534);
        const report = await materialise(`${dir}/work`, state, objects, { cache, generation: "one" });
        expect(text(report.kept)).toEqual(["f: mode"]);
        expect((await capture(`${dir}/work`, objects, { cache, generation: "one" })).tree).not.toBe(state.tree);
      });
    });
  });

  it("leaves alone what is excluded", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const state = await stateOf(dir, objects, ["store/x", "a"]);
      put(dir, "work/store/mine");
      put(dir, "work/dir/store/mine");
      const exclude = [Buffer.from(`${dir}/work/store`), Buffer.from(`${dir}/work/dir/store`)];
      const report = await materialise(`${dir}/work`, state, objects, { exclude });
      expect(text(report.kept).sort()).toEqual(["dir/store: excluded", "store: excluded"]);
      expect(restorable(look(`${dir}/work`)).map(([path]) => path)).toEqual([
        "",
        "a",
        "dir",
        "dir/store",
        "dir/store/mine",
        "store",
        "store/mine",
      ]);
    });
  });

  it("removes what a crash left of itself", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const state = await stateOf(dir, objects, ["a/x"]);
      put(dir, "work/a/.shepherd-0123456789abcdef", "half");
      put(dir, "work/a/x", "half");
      await materialise(`${dir}/work`, state, objects);
      expect(await capture(`${dir}/work`, objects)).toMatchObject({ tree: state.tree });
    });
  });

  it("takes clones from a source only if they are what the state has", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const big = (at: string, path: string, fill: string): void => {
        fs.mkdirSync(`${dir}/${at}`, { recursive: true });
        fs.writeFileSync(`${dir}/${at}/${path}`, Buffer.alloc(10_000, fill));
      };
      for (const name of ["same", "changed", "gone", "link"]) big("from", name, name);
      await settle();
      const cache = emptyCache();
      const state = await capture(`${dir}/from`, objects, { cache });
      const stat = fs.statSync(`${dir}/from/changed`);
      big("from", "changed", "CHANGED");
      fs.utimesSync(`${dir}/from/changed`, stat.atime, stat.mtime);
      fs.rmSync(`${dir}/from/gone`);
      big("out", "link", "elsewhere");
      fs.rmSync(`${dir}/from/link`);
      fs.symlinkSync("../out/link", `${dir}/from/link`);
      const report = await materialise(`${dir}/work`, state, objects, { from: { path: `${dir}/from`, cache } });
      expect(report.written).toBe(4);
      // Whether blocks can be shared depends on the file system.
      expect(report.cloned).toBeLessThanOrEqual(1);
      expect(await capture(`${dir}/work`, objects)).toMatchObject({ tree: state.tree });
      await materialise(`${dir}/work2`, state, objects, { from: { path: `${dir}/nowhere`, cache } });
    });
  });
});

const SWAP = `
const fs = require("fs"), dir = process.argv[1];
const attempt = (f) => { try { f(); } catch {} };
process.stdout.write("ready");
for (;;) {
  attempt(() => fs.renameSync(dir + "/work/a", dir + "/real"));
  attempt(() => fs.symlinkSync("../out", dir + "/work/a"));
  attempt(() => fs.unlinkSync(dir + "/work/a"));
  attempt(() => fs.renameSync(dir + "/real", dir + "/work/a"));
  attempt(() => fs.rmSync(dir + "/real", { recursive: true }));
}`;
