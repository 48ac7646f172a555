import * as fs from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryObjects } from "../../test/support/objects.ts";
import { long, params } from "../../test/support/runs.ts";
import { inTemporary } from "../../test/support/trees.ts";
import { sha256 } from "../trace/bytes.ts";
import { MAX_OBJECT, type Objects } from "../trace/ports.ts";
import { capture } from "./capture.ts";
import { decodeChunks, encodeChunks, MAX_FILE, readContent, takeFile } from "./content.ts";
import { closeDir, openRoot } from "./dirs.ts";
import { materialise } from "./materialise.ts";
import { pace } from "./pace.ts";
import { readTree } from "./tree.ts";

const all = async (objects: Objects, type: "f" | "F", id: string): Promise<Buffer> => {
  const pieces: Uint8Array[] = [];
  for await (const piece of readContent(objects, type, id)) pieces.push(Uint8Array.from(piece));
  return Buffer.concat(pieces);
};

const noise = (size: number): Buffer => {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += 32) Buffer.from(sha256(String(at)), "hex").copy(bytes, at);
  return bytes;
};

describe("the content of a file", () => {
  it("is one object up to the limit, a list of chunks beyond it, and comes back", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const sizes = [0, 1, MAX_OBJECT - 1, MAX_OBJECT, MAX_OBJECT + 1, 2 * MAX_OBJECT, 3 * MAX_OBJECT + 5];
      const bytes = noise(Math.max(...sizes));
      for (const size of sizes) fs.writeFileSync(`${dir}/${String(size).padStart(8, "0")}`, bytes.subarray(0, size));
      const { entries } = await readTree(objects, (await capture(dir, objects)).tree);
      for (const [i, size] of sizes.entries()) {
        const { type, id } = entries[i]!;
        expect(type).toBe(size > MAX_OBJECT ? "F" : "f");
        if (type === "f") expect(id).toBe(sha256(bytes.subarray(0, size)));
        expect((await all(objects, type as "f", id)).equals(bytes.subarray(0, size))).toBe(true);
      }
      await materialise(`${dir}/copy`, await capture(dir, objects), objects);
      for (const name of fs.readdirSync(`${dir}/copy`))
        expect(fs.readFileSync(`${dir}/copy/${name}`).equals(fs.readFileSync(`${dir}/${name}`))).toBe(true);
    });
  });

  it("is read no further where one of its chunks cannot be put, and each that was begun has ended then", async () => {
    await inTemporary(async (dir) => {
      fs.writeFileSync(`${dir}/large`, noise(12 * MAX_OBJECT));
      let [begun, ended] = [0, 0];
      const put = async (bytes: Uint8Array): Promise<string> => {
        const at = ++begun;
        await new Promise((resolve) => setTimeout(resolve, at === 3 ? 5 : 20));
        ended++;
        if (at === 3) throw new Error("The disk is full.");
        return sha256(bytes);
      };
      await expect(capture(dir, { ...memoryObjects(), put })).rejects.toThrow("The disk is full.");
      expect(begun).toBeLessThan(12);
      expect(ended).toBe(begun);
    });
  });

  it("may be large and sparse, and is sparse again", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      const size = long ? 2 ** 30 : 64 << 20;
      fs.mkdirSync(`${dir}/a`);
      const fd = fs.openSync(`${dir}/a/sparse`, "w");
      fs.writeSync(fd, "start");
      fs.writeSync(fd, "middle", size / 2 - 3);
      fs.ftruncateSync(fd, size);
      fs.closeSync(fd);
      const state = await capture(`${dir}/a`, objects);
      await materialise(`${dir}/b`, state, objects);
      const stat = fs.statSync(`${dir}/b/sparse`);
      expect(stat.size).toBe(size);
      // Nothing can be said of a file system without holes.
      if (fs.statSync(`${dir}/a/sparse`).blocks * 512 < size / 2) expect(stat.blocks * 512).toBeLessThan(1 << 20);
      expect(await capture(`${dir}/b`, objects)).toMatchObject({ tree: state.tree });
      // One chunk of zeroes serves for all.
      expect(objects.map.size).toBeLessThan(12);
    });
  }, 300_000);

  it("of zeroes at either end, or but for one byte, is as it was", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      fs.mkdirSync(`${dir}/a`);
      for (const [i, at] of [0, 65535, 65536, 131072, 199999].entries()) {
        const bytes = Buffer.alloc(200_000);
        bytes[at] = 1;
        fs.writeFileSync(`${dir}/a/${i}`, bytes);
      }
      fs.writeFileSync(`${dir}/a/zero`, Buffer.alloc(3 * 65536));
      const state = await capture(`${dir}/a`, objects);
      await materialise(`${dir}/b`, state, objects);
      expect(await capture(`${dir}/b`, objects)).toMatchObject({ tree: state.tree });
    });
  });

  it("that somebody writes to during each reading is taken as it was last, and told", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      fs.writeFileSync(`${dir}/log`, noise(MAX_OBJECT + 10));
      const put: Objects["put"] = async (bytes) => {
        fs.appendFileSync(`${dir}/log`, "more\n");
        return objects.put(bytes);
      };
      const root = openRoot(dir);
      const taken = await takeFile(root, "log", put, pace({}));
      expect(taken).toMatchObject({ steady: false, type: "F" });
      const state = await capture(dir, { ...objects, put });
      expect(state.unsteady.map(String)).toEqual(["log"]);
      closeDir(root);
    });
  });

  it("that changes once during reading is read again", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      fs.writeFileSync(`${dir}/log`, noise(2 * MAX_OBJECT));
      let changes = 0;
      const put: Objects["put"] = async (bytes) => {
        if (changes++ === 0) fs.writeFileSync(`${dir}/log`, Buffer.alloc(2 * MAX_OBJECT, "x"));
        return objects.put(bytes);
      };
      const root = openRoot(dir);
      const taken = await takeFile(root, "log", put, pace({}));
      closeDir(root);
      if (typeof taken === "string" || !("id" in taken)) throw new Error("It was not read.");
      expect(taken.steady).toBe(true);
      expect((await all(objects, taken.type, taken.id)).equals(Buffer.alloc(2 * MAX_OBJECT, "x"))).toBe(true);
    });
  });

  it("that is too large is left out and told, and not taken away", async () => {
    await inTemporary(async (dir) => {
      const objects = memoryObjects();
      fs.mkdirSync(`${dir}/a`);
      const empty = await capture(`${dir}/a`, objects);
      fs.writeFileSync(`${dir}/a/disk.img`, "");
      fs.truncateSync(`${dir}/a/disk.img`, MAX_FILE + 1);
      expect(await capture(`${dir}/a`, objects)).toMatchObject({
        tree: empty.tree,
        skipped: [{ path: Buffer.from("disk.img"), why: "too large" }],
      });
      expect((await materialise(`${dir}/a`, empty, objects)).kept).toEqual([
        { path: Buffer.from("disk.img"), why: "too large" },
      ]);
      expect(() => encodeChunks(MAX_FILE + 1, [])).toThrow(/over the limit/);
    });
  });
});

describe("a list of chunks", () => {
  const list = fc.integer({ min: MAX_OBJECT + 1, max: 20 * MAX_OBJECT }).map((size) => ({
    size,
    ids: Array.from({ length: Math.ceil(size / MAX_OBJECT) }, (_, i) => sha256(String(i))),
  }));

  it("comes back; damaged it is refused with a sentence or is another one", () => {
    fc.assert(
      fc.property(list, fc.nat(), fc.nat(255), ({ size, ids }, at, value) => {
        const bytes = encodeChunks(size, ids);
        expect(decodeChunks(bytes)).toEqual({ size, ids });
        for (const harmed of [
          bytes.subarray(0, at % bytes.length),
          Buffer.concat([bytes, bytes.subarray(at % bytes.length)]),
        ])
          if (harmed.length !== bytes.length)
            expect(() => decodeChunks(harmed)).toThrow(/^This is not a list of chunks/);
        bytes[at % bytes.length] = value;
        try {
          const read = decodeChunks(bytes);
          expect(encodeChunks(read.size, read.ids).equals(bytes)).toBe(true);
        } catch (error) {
          expect((error as Error).message).toMatch(/^This is not a list of chunks: .*\.$/);
        }
      }),
      params(2000, 300),
    );
  });

  it("whose chunks have other sizes, or lack, is refused", async () => {
    const objects = memoryObjects();
    const chunk = await objects.put(Buffer.alloc(MAX_OBJECT));
    const short = await objects.put(Buffer.alloc(7));
    const read = async (size: number, ids: string[]) => all(objects, "F", await objects.put(encodeChunks(size, ids)));
    await expect(read(MAX_OBJECT + 7, [chunk, short])).resolves.toHaveLength(MAX_OBJECT + 7);
    await expect(read(MAX_OBJECT + 8, [chunk, short])).rejects.toThrow(/wrong size/);
    await expect(read(MAX_OBJECT + 7, [short, chunk])).rejects.toThrow(/wrong size/);
    await expect(read(MAX_OBJECT + 7, [chunk, "00".repeat(32)])).rejects.toThrow(/lacks the content 000000000000/);
  });
});
