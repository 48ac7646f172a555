import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryObjects } from "../../test/support/objects.ts";
import { params, runs } from "../../test/support/runs.ts";
import { inTemporary, look, program, run, settle } from "../../test/support/trees.ts";
import { capture } from "./capture.ts";
import { horizon, isTime, settled } from "./clock.ts";
import { closeDir, openRoot } from "./dirs.ts";
import { emptyCache, msOf } from "./statcache.ts";
import { encodeCache, loadCache, loadGround, saveCache } from "./statfile.ts";

describe("the racy rule", () => {
  it("trusts no stamp that a later write could make again, whatever the clock's tick", () => {
    // A clock with a tick (the kernel's, or a file system's that keeps whole seconds): stamps are its last tick.
    const clock = fc.record({
      tick: fc.constantFrom(1, 4, 10, 1000, 2000),
      start: fc.integer({ min: 1e12, max: 2e12 }),
    });
    const gap = fc.oneof(fc.integer({ max: 30, min: 0 }), fc.integer({ max: 5000, min: 0 }));
    fc.assert(
      fc.property(clock, gap, gap, gap, ({ tick, start }, toRead, toWrite, restored) => {
        const stamp = (at: number) => Math.floor(at / tick) * tick;
        const written = stamp(start);
        const read = start + toRead;
        const again = stamp(read + toWrite);
        // The writer sets the modification time back; the time of change he cannot set.
        const mtime = written - restored;
        const limit = stamp(read) - 20;
        if (settled(mtime, written, limit)) expect(again).not.toBe(written);
      }),
      params(20_000, 5000),
    );
  });

  it("trusts stamps once they are old, and none from the future", () => {
    expect(settled(1000.5, 1000.5, 1001)).toBe(true);
    expect(settled(1000.5, 1001.5, 1001)).toBe(false);
    expect(settled(1e9 + 0.5, 1000.5, 1001)).toBe(false);
    // Whole seconds may be those of a coarse clock.
    expect(settled(1000, 5000, 6000)).toBe(false);
    expect(settled(1000, 5000, 8000)).toBe(true);
  });

  it("goes by the clock of the file system", async () => {
    await inTemporary(async (path) => {
      const dir = openRoot(path);
      const now = horizon(dir);
      for (let i = 0; i < 20; i++) {
        const limit = now();
        fs.writeFileSync(`${path}/f`, String(i));
        expect(fs.statSync(`${path}/f`).ctimeMs).toBeGreaterThan(limit);
        expect(fs.readdirSync(path)).toEqual(["f"]);
      }
      // Nobody who watches the directory is told.
      const events: string[] = [];
      const watcher = fs.watch(path, (event, name) => events.push(`${event} ${name}`));
      await sleep(20);
      for (let i = 0; i < 20; i++) now();
      await sleep(20);
      watcher.close();
      expect(events).toEqual([]);
      await settle();
      expect(now()).toBeGreaterThan(fs.statSync(`${path}/f`).ctimeMs);
      closeDir(dir);
    });
  });

  it("finds each write that keeps the size and sets the time back, however quick", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const cache = emptyCache();
      const stamp = new Date(1e12);
      fs.writeFileSync(`${dir}/f`, "aaaa");
      for (let i = 0; i < runs(2000, 200); i++) {
        const fd = fs.openSync(`${dir}/f`, "r+");
        fs.writeSync(fd, String(i).padStart(4, "0"));
        fs.futimesSync(fd, stamp, stamp);
        fs.closeSync(fd);
        const known = await capture(dir, objects, { cache, generation: "one" });
        expect(known.tree).toBe((await capture(dir, memoryObjects())).tree);
      }
    });
  });

  it("reads a file that has settled only once", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const cache = emptyCache();
      for (let i = 0; i < 20; i++) fs.writeFileSync(`${dir}/f${i}`, String(i));
      fs.symlinkSync("nowhere", `${dir}/link`);
      await settle();
      expect((await capture(dir, objects, { cache })).stats).toMatchObject({ files: 21, read: 21 });
      expect((await capture(dir, objects, { cache })).stats).toMatchObject({ files: 21, read: 0, bytes: 0 });
      fs.chmodSync(`${dir}/f3`, 0o600);
      expect((await capture(dir, objects, { cache })).stats).toMatchObject({ read: 1 });
    });
  });
});

describe("the stat cache", () => {
  it("comes back from its file as it was", async () => {
    await fc.assert(
      fc.asyncProperty(program(), (ops) =>
        inTemporary(async (dir) => {
          fs.mkdirSync(`${dir}/tree`);
          run(`${dir}/tree`, ops);
          const cache = emptyCache();
          await capture(`${dir}/tree`, memoryObjects(), { cache, generation: "gen" });
          saveCache(`${dir}/stat`, cache);
          const { dirs, ...loaded } = loadCache(`${dir}/stat`);
          expect([...dirs]).toEqual([...cache.dirs]);
          expect(loaded).toEqual({ nextSerial: cache.nextSerial, generation: "gen" });
          expect(fs.readdirSync(dir).sort()).toEqual(["stat", "tree"]);
        }),
      ),
      params(200, 20),
    );
  });

  it("is empty where its file is missing, torn, changed or something else", async () => {
    await inTemporary(async (dir) => {
      const cache = emptyCache();
      fs.mkdirSync(`${dir}/a/b`, { recursive: true });
      fs.writeFileSync(`${dir}/a/b/c`, "x");
      await capture(dir, memoryObjects(), { cache });
      const bytes = encodeCache(cache);
      expect(loadCache(`${dir}/nothing`)).toEqual(emptyCache());
      expect(loadCache(dir)).toEqual(emptyCache());
      fc.assert(
        fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, turn, cut) => {
          const harmed = cut ? bytes.subarray(0, at) : Buffer.from(bytes);
          if (!cut) harmed[at]! ^= turn;
          fs.writeFileSync(`${dir}/stat`, harmed);
          expect(loadCache(`${dir}/stat`)).toEqual(emptyCache());
        }),
        params(2000, 200),
      );
    });
  });

  it("reads of a large file what it is asked for, over what lies below, and keeps what has become known since", async () => {
    await inTemporary(async (dir) => {
      for (const name of ["a", "b"]) fs.mkdirSync(`${dir}/tree/${name}`, { recursive: true });
      fs.writeFileSync(`${dir}/tree/a/f`, "x");
      await settle();
      const cache = emptyCache();
      const objects = memoryObjects();
      const first = await capture(`${dir}/tree`, objects, { cache, generation: "one" });
      saveCache(`${dir}/below`, cache);
      const ground = loadGround(`${dir}/below`, null);
      const above = loadCache(`${dir}/above`, ground);
      const again = await capture(`${dir}/tree`, objects, { cache: above, generation: "one" });
      expect(again).toMatchObject({ tree: first.tree, stats: { read: 0 } });
      fs.writeFileSync(`${dir}/tree/a/f`, "y");
      const other = await capture(`${dir}/tree`, objects, { cache: above, generation: "one" });
      expect([...above.dirs.keys()].sort()).toEqual(["", "a"]);
      saveCache(`${dir}/above`, above);
      const loaded = loadCache(`${dir}/above`, ground);
      expect(loaded.dirs.get("")?.ids?.tree).toBe(other.tree);
      expect(loaded.dirs.get("b")).toEqual(cache.dirs.get("b"));
      // A record that is damaged is that of no directory, and all others are as they were.
      const bytes = fs.readFileSync(`${dir}/below`);
      const at = bytes.indexOf(Buffer.from(cache.dirs.get("a")!.rows));
      bytes[at]! ^= 1;
      fs.writeFileSync(`${dir}/below`, bytes);
      const harmed = loadGround(`${dir}/below`, null);
      expect([harmed.dirs.get("a"), harmed.dirs.get("b")]).toEqual([undefined, cache.dirs.get("b")]);
      const found = await capture(`${dir}/tree`, objects, { cache: loadCache(`${dir}/no`, harmed), generation: "one" });
      expect(found.tree).toBe(other.tree);
    });
  });

  it("does not trust, after a boot, what the disk may not have had before", async () => {
    await inTemporary(async (dir) => {
      fs.mkdirSync(`${dir}/tree`);
      fs.writeFileSync(`${dir}/tree/f`, "x");
      await settle();
      const cache = emptyCache();
      const objects = memoryObjects();
      await capture(`${dir}/tree`, objects, { cache, generation: "one" });
      const read = async (change: (text: string) => string, store = objects): Promise<number> => {
        const bytes = encodeCache(cache);
        const head = bytes.subarray(20, 20 + bytes.readUInt32LE(16));
        const text = change(head.toString());
        expect(text).toHaveLength(head.length);
        head.write(text);
        const end = 20 + head.length;
        const { length } = JSON.parse(text) as { length: number };
        createHash("sha256")
          .update(bytes.subarray(0, end))
          .update(bytes.subarray(end + length, -32))
          .digest()
          .copy(bytes, bytes.length - 32);
        fs.writeFileSync(`${dir}/stat`, bytes);
        const loaded = loadCache(`${dir}/stat`);
        expect([...loaded.dirs.keys()]).toEqual([""]);
        return (await capture(`${dir}/tree`, store, { cache: loaded, generation: "one" })).stats.read;
      };
      const other = (text: string): string => text.replace(/"boot":"./, '"boot":"_');
      const old = (text: string): string => other(text).replace(/"saved":\d/, '"saved":9');
      expect(await read((text) => text)).toBe(process.platform === "linux" ? 0 : 1);
      expect(await read(other)).toBe(1);
      expect(await read(old)).toBe(0);
      // Nor that the store has still got what it had only written.
      expect(await read(old, memoryObjects())).toBe(1);
    });
  });

  it("compares times exactly as the system tells them", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 61n), max: 2n ** 61n }), (ns) => {
        const nsec = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
        expect(msOf(ns)).toBe(Number((ns - nsec) / 1_000_000_000n) * 1000 + Number(nsec) / 1e6);
        expect(isTime((ns / 1000n) * 1000n, ns)).toBe(true);
      }),
      params(2000),
    );
  });

  it("gives the times that `lstat` gives", async () => {
    await inTemporary((dir) => {
      fs.writeFileSync(`${dir}/f`, "");
      for (const time of ["0", "-1.5", "-123456.789", "1700000000.123456", "4000000000.999999"]) {
        fs.utimesSync(`${dir}/f`, time, time);
        expect(msOf(fs.lstatSync(`${dir}/f`, { bigint: true }).mtimeNs)).toBe(fs.lstatSync(`${dir}/f`).mtimeMs);
      }
      expect(look(dir).size).toBe(2);
    });
  });
});

it("reads no cache from what is no file, and does not wait for a pipe", async () => {
  await inTemporary(async (dir) => {
    execFileSync("mkfifo", [`${dir}/pipe`]);
    for (const name of ["pipe", "", "none"]) expect(loadCache(`${dir}/${name}`).dirs.isEmpty).toBe(true);
  });
});
