import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { params } from "../../test/support/runs.ts";
import { randomFrom, simDisk } from "../../test/support/simdisk.ts";
import { sha256 } from "./bytes.ts";
import { openObjects } from "./objects.ts";
import { BESIDE, openPack } from "./pack.ts";
import { emptyIndex, encodeIndex, extendIndex, parseIndex } from "./packindex.ts";
import { encodeRecord, MAGIC } from "./record.ts";

const text = (bytes: Uint8Array | null): string | undefined => bytes?.toString();
/** Loses all that was not synced. */
const worst = () => 0.99;

test("packs roll over when they are full, beside each other in two processes, and all of it is found", async () => {
  const disk = simDisk();
  const [a, b] = [await openObjects(disk, "/o", 5000), await openObjects(disk, "/o", 5000)];
  const ids: string[] = [];
  for (let i = 0; i < 100; i++) ids.push(await (i % 3 ? a : b).put(randomBytes(300)));
  expect(disk.list("/o").length).toBeGreaterThan(4);
  for (const each of [a, b, await openObjects(disk, "/o", 5000)]) {
    expect(await each.has(ids)).toEqual(ids.map(() => true));
    for (const id of ids) expect(sha256((await each.get(id))!)).toBe(id);
  }
});

test("large objects are deflated beside each other, each is written once, and all of them are found", async () => {
  const disk = simDisk();
  const objects = await openObjects(disk, "/o", 2 << 20);
  const large = Array.from({ length: 12 }, (_, i) => Buffer.from(`line ${i} `.repeat(BESIDE / (i < 6 ? 4 : 12))));
  large.push(randomBytes(BESIDE), Buffer.concat([MAGIC, randomBytes(BESIDE)]));
  const ids = await Promise.all([...large, ...large].map((bytes) => objects.put(bytes)));
  expect(ids).toEqual([...large, ...large].map(sha256));
  const written = objects.packs().flatMap((pack) => [...pack.entries()].map(([id]) => id));
  expect(written.sort()).toEqual(large.map(sha256).sort());
  const after = await openObjects(disk, "/o");
  for (const [i, bytes] of large.entries()) expect(Buffer.compare((await after.get(ids[i]!))!, bytes)).toBe(0);
});

test("an index is only made of what is synced, so that after a power loss it leads nowhere wrong", async () => {
  const disk = simDisk();
  const objects = await openObjects(disk, "/o");
  const ids: string[] = [];
  for (let i = 0; i < 5000; i++) ids.push(await objects.put(Buffer.from(`object ${i}`)));
  await objects.close();
  expect(disk.list("/o")).toEqual(["000001.idx", "000001.pack"]);
  const after = await openObjects(disk.crash(worst), "/o");
  for (const id of ids) expect(sha256((await after.get(id))!)).toBe(id);
});

test("an index leads to the same places as the records themselves, also after it was extended", async () => {
  const disk = simDisk();
  const objects = await openObjects(disk, "/o");
  const ids: string[] = [];
  for (let i = 0; i < 9000; i++) {
    ids.push(await objects.put(Buffer.from(`object ${i}`)));
    if (i % 4500 === 4499) await objects.sync();
  }
  const indexed = openPack(disk, "/o/000001.pack", 1)!;
  expect(indexed.covered()).toBe(indexed.segment.size());
  const entries = [...indexed.entries()];
  expect(entries.map(([id]) => id)).toEqual([...ids].sort());
  disk.remove("/o/000001.idx");
  const scanned = openPack(disk, "/o/000001.pack", 1)!;
  scanned.refresh();
  for (const [id, place] of entries) expect(scanned.find(id)).toEqual(place);
});

test("an index extended step by step finds what a map finds, the newest place of each", () => {
  const key = fc.nat(60).map((n) => Buffer.from(sha256(String(n)), "hex").toString("latin1"));
  const steps = fc.array(fc.array(fc.tuple(key, fc.nat(1e9), fc.nat(1e6)), { maxLength: 20 }), { maxLength: 6 });
  fc.assert(
    fc.property(steps, (lists) => {
      const all = new Map<string, { offset: number; length: number }>();
      let index = emptyIndex(16);
      lists.forEach((list, i) => {
        const recent = new Map(list.map(([each, offset, length]) => [each, { offset, length }]));
        for (const [each, place] of recent) all.set(each, place);
        index = parseIndex(encodeIndex(extendIndex(index, recent, i)))!;
        expect(index.covers).toBe(i);
      });
      expect(index.count).toBe(all.size);
      for (let n = 0; n < 64; n++) {
        const id = sha256(String(n));
        expect(index.find(id)).toEqual(all.get(Buffer.from(id, "hex").toString("latin1")) ?? null);
      }
    }),
    params(1000),
  );
});

test("a damaged index is as good as none", async () => {
  const disk = simDisk();
  const objects = await openObjects(disk, "/o");
  const id = await objects.put(Buffer.from("kept"));
  for (let i = 0; i < 5000; i++) await objects.put(Buffer.from(`object ${i}`));
  await objects.close();
  const whole = disk.read("/o/000001.idx")!;
  const random = randomFrom(1);
  for (let i = 0; i < 60; i++) {
    const bytes = Buffer.from(whole);
    bytes[Math.floor(i < 30 ? i * 2 : random() * bytes.length)]! ^= 1 << Math.floor(random() * 8);
    expect(parseIndex(bytes)).toBeNull();
    expect(parseIndex(bytes.subarray(0, Math.floor(random() * bytes.length)))).toBeNull();
  }
  disk.put("/o/000001.idx", whole.subarray(0, 100));
  expect(text(await (await openObjects(disk, "/o")).get(id))).toBe("kept");
});

test("a pack that lost its end is scanned anew, whatever its index says", async () => {
  const disk = simDisk();
  const objects = await openObjects(disk, "/o");
  const ids: string[] = [];
  for (let i = 0; i < 5000; i++) ids.push(await objects.put(Buffer.from(`object ${i}`)));
  await objects.close();
  disk.put("/o/000001.pack", disk.read("/o/000001.pack")!.subarray(0, 10_000));
  const after = await openObjects(disk, "/o");
  const there = await after.has(ids);
  expect(there.filter(Boolean).length).toBeGreaterThan(50);
  expect(there.lastIndexOf(true)).toBeLessThan(500);
  expect(await after.put(Buffer.from("object 4999"))).toBe(ids[4999]);
  expect(text(await after.get(ids[4999]!))).toBe("object 4999");
});

test("no record contains what looks like another, so that a torn one hides nothing and reveals nothing", async () => {
  const inner = (content: string, codec: number): Buffer =>
    encodeRecord(Buffer.from(sha256(content), "hex"), Buffer.of(codec), Buffer.from(codec ? "" : content));
  // Too random to be deflated, so it is kept as it is.
  const evil = Buffer.concat([randomBytes(700), inner("victim", 3), inner("stranger", 0), MAGIC, randomBytes(700)]);
  const disk = simDisk();
  const objects = await openObjects(disk, "/o");
  const victim = await objects.put(Buffer.from("victim"));
  await objects.put(evil);
  const bytes = disk.read("/o/000001.pack")!;
  expect(bytes.indexOf(evil)).toBe(-1);
  for (const end of [bytes.length - 1, bytes.length - 400, bytes.length - 800]) {
    const torn = await openObjects(simDisk(new Map([["/o/000001.pack", bytes.subarray(0, end)]])), "/o");
    expect(text(await torn.get(victim))).toBe("victim");
    expect(await torn.has([sha256("stranger"), sha256(evil)])).toEqual([false, false]);
    expect(Buffer.from((await torn.get(await torn.put(evil)))!).equals(evil)).toBe(true);
  }
});

test("an object whose bytes were damaged is missing, and can be put again", async () => {
  const disk = simDisk();
  const first = await openObjects(disk, "/o");
  for (let i = 0; i < 5000; i++) await first.put(Buffer.from(`object ${i}`));
  const id = await first.put(Buffer.from("precious"));
  await first.close();
  const bytes = disk.read("/o/000001.pack")!;
  bytes[bytes.indexOf("precious")]! ^= 1;
  disk.put("/o/000001.pack", bytes);
  const objects = await openObjects(disk, "/o");
  expect(await objects.get(id)).toBeNull();
  expect(await objects.has([id])).toEqual([false]);
  expect(await objects.put(Buffer.from("precious"))).toBe(id);
  expect(text(await objects.get(id))).toBe("precious");
  expect(text(await (await openObjects(disk, "/o")).get(id))).toBe("precious");
});

test("a pack that is none hides its own objects only", async () => {
  const disk = simDisk();
  const first = await openObjects(disk, "/o", 1000);
  const ids: string[] = [];
  for (let i = 0; i < 8; i++) ids.push(await first.put(randomBytes(900)));
  const packs = disk.list("/o");
  for (const bad of [packs[0]!, packs.at(-1)!]) {
    const damaged = disk.copy();
    damaged.put(`/o/${bad}`, Buffer.from("something else"));
    const objects = await openObjects(damaged, "/o", 1000);
    const there = await objects.has(ids);
    expect(there.filter((each) => !each).length).toBeLessThan(3);
    const id = await objects.put(randomBytes(900));
    expect(await (await openObjects(damaged, "/o", 1000)).has([id])).toEqual([true]);
    expect(text(damaged.read(`/o/${bad}`))).toBe("something else");
  }
});

test("sync covers what another process put, since a frame may name it", async () => {
  const disk = simDisk();
  const [a, b] = [await openObjects(disk, "/o"), await openObjects(disk, "/o")];
  const id = await a.put(Buffer.from("of a"));
  await b.sync();
  expect(text(await (await openObjects(disk.crash(worst), "/o")).get(id))).toBe("of a");
  expect(await b.has([id])).toEqual([true]);
  const before = disk.syncs(".pack");
  await Promise.all([a.sync(), b.sync(), b.sync()]);
  expect(disk.syncs(".pack")).toBeLessThanOrEqual(before + 1);
});

test("a sync of objects that are synced costs none, and one of others covers what was put before them, by whom ever", async () => {
  const disk = simDisk();
  const [a, b] = [await openObjects(disk, "/o", 300), await openObjects(disk, "/o", 300)];
  const old = await b.put(randomBytes(400));
  await b.sync();
  const before = disk.syncs(".pack");
  await b.sync([old]);
  expect(disk.syncs(".pack")).toBe(before);
  // In a pack that `b` has not seen, and only written; what `b` puts next lies in that pack or a newer one.
  const part = await a.put(randomBytes(400));
  const whole = await b.put(Buffer.from(`it names ${part}`));
  await b.sync([old, whole]);
  expect(disk.syncs(".pack")).toBeGreaterThan(before);
  const left = await openObjects(disk.crash(worst), "/o");
  expect(await left.has([old, part, whole])).toEqual([true, true, true]);
  // The same bytes of another process, known and not yet synced.
  const again = await a.put(Buffer.from("only written"));
  expect(await b.put(Buffer.from("only written"))).toBe(again);
  await b.sync([again]);
  expect(await (await openObjects(disk.crash(worst), "/o")).has([again])).toEqual([true]);
  const there = disk.syncs(".pack");
  await b.sync([again, whole, part, old]);
  expect(disk.syncs(".pack")).toBe(there);
});
