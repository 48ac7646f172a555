import { expect, test } from "vitest";
import { runs, seed } from "../../test/support/runs.ts";
import { randomFrom, type SimDisk, simDisk } from "../../test/support/simdisk.ts";
import { encodeJson } from "./bytes.ts";
import { encodeRecord, scan } from "./record.ts";
import { openRefs } from "./refs.ts";

const worst = () => 0.99;

test("files roll over when most of them is history, and versions go on", async () => {
  const disk = simDisk();
  const [a, b] = [await openRefs(disk, "/s", "refs", true, 600), await openRefs(disk, "/s", "refs", true, 600)];
  await a.cas("gone", 0, "x");
  await a.cas("gone", 1, null);
  await a.cas("kept", 0, "still");
  for (let i = 0; i < 100; i++) expect(await (i % 2 ? a : b).cas("n", i, String(i))).toBe(true);
  const files = disk.list("/s");
  expect(Number(files.at(-1)!.slice(5))).toBeGreaterThan(5);
  expect(files.length).toBeLessThan(3);
  for (const each of [a, b, await openRefs(disk, "/s", "refs")]) {
    expect(await each.get("n")).toEqual({ value: "99", version: 100 });
    expect(await each.get("kept")).toEqual({ value: "still", version: 1 });
    expect(await each.get("gone")).toBeNull();
    expect(await each.list("")).toHaveLength(2);
  }
  expect(await b.cas("gone", 0, "again")).toBe(true);
  expect((await a.get("gone"))!.version).toBe(3);
});

test("a file that many refs fill stays as it is", async () => {
  const disk = simDisk();
  const refs = await openRefs(disk, "/s", "refs", true, 600);
  for (let i = 0; i < 200; i++) await refs.cas(`ref ${i}`, 0, "x".repeat(50));
  const generation = Number(disk.list("/s").at(-1)!.slice(5));
  expect(generation).toBeLessThan(8);
  expect(await refs.list("")).toHaveLength(200);
});

test("of changes that race with the end of a file none is lost and none is counted twice", async () => {
  const random = randomFrom(seed);
  for (let round = runs(200, 8); round > 0; round--) {
    const disk = simDisk();
    disk.faults.syncing = async () => {
      for (let turns = Math.floor(random() * 4); turns > 0; turns--) await new Promise(setImmediate);
    };
    const handles = await Promise.all([1, 2, 3].map(() => openRefs(disk, "/s", "refs", true, 300)));
    const increment = async (by: (typeof handles)[0], name: string): Promise<void> => {
      for (;;) {
        const ref = await by.get(name);
        if (await by.cas(name, ref?.version ?? 0, String(Number(ref?.value ?? 0) + 1))) return;
      }
    };
    await Promise.all(Array.from({ length: 48 }, (_, i) => increment(handles[i % 3]!, `n${i % 2}`)));
    for (const each of [...handles, await openRefs(disk, "/s", "refs")])
      for (const name of ["n0", "n1"]) expect(await each.get(name)).toEqual({ value: "24", version: 24 });
    for (const each of handles) each.close();
  }
});

test("a change that is damaged takes none of the later ones with it", async () => {
  const disk = simDisk();
  const refs = await openRefs(disk, "/s", "refs");
  for (let i = 0; i < 5; i++) await refs.cas("n", i, `value ${i}`);
  const bytes = disk.read("/s/refs.1")!;
  bytes[bytes.indexOf("value 2")]! ^= 1;
  disk.put("/s/refs.1", bytes);
  const after = await openRefs(disk, "/s", "refs");
  expect(await after.get("n")).toEqual({ value: "value 4", version: 5 });
  expect(after.damage()).toHaveLength(1);
});

test("what cas has acknowledged is synced, and leases need not be", async () => {
  const disk = simDisk();
  const refs = await openRefs(disk, "/s", "refs", true, 300);
  const leases = await openRefs(disk, "/s", "leases", false);
  for (let i = 0; i < 20; i++) {
    await refs.cas("n", i, String(i));
    expect(await (await openRefs(disk.crash(worst), "/s", "refs")).get("n")).toEqual({
      value: String(i),
      version: i + 1,
    });
  }
  await leases.cas("n", 0, "held");
  expect(disk.syncs("leases.1")).toBe(0);
});

test("also of changes made at once each is synced when it is acknowledged", async () => {
  const disk = simDisk();
  disk.faults.syncing = () => new Promise((resolve) => setTimeout(resolve, 1));
  const refs = await openRefs(disk, "/s", "refs", true, 2000);
  await Promise.all(
    Array.from({ length: 60 }, async (_, i) => {
      for (let turns = i % 9; turns > 0; turns--) await new Promise(setImmediate);
      expect(await refs.cas(`ref ${i}`, 0, "x")).toBe(true);
      expect(await (await openRefs(disk.crash(worst), "/s", "refs")).get(`ref ${i}`)).not.toBeNull();
    }),
  );
});

test("processes that change the same ref at once sync together", async () => {
  const disk = simDisk();
  disk.faults.syncing = () => new Promise((resolve) => setTimeout(resolve, 1));
  const refs = await openRefs(disk, "/s", "refs");
  await Promise.all(Array.from({ length: 50 }, (_, i) => refs.cas(`ref ${i}`, 0, "x")));
  expect(disk.syncs("refs.1")).toBeLessThan(5);
});

test("on a disk that takes no more writes, a closed file can still be read", async () => {
  const disk = simDisk();
  const refs = await openRefs(disk, "/s", "refs");
  await refs.cas("n", 0, "value");
  disk.put("/s/refs.1", Buffer.concat([disk.read("/s/refs.1")!, encodeRecord(encodeJson({ closed: 1 }))]));
  for (const fault of ["readOnly", "space"] as const) {
    const poor = disk.copy();
    if (fault === "space") poor.faults.space = 3;
    else poor.faults.readOnly = true;
    const after = await openRefs(poor, "/s", "refs");
    expect(await after.get("n")).toEqual({ value: "value", version: 1 });
    await expect(after.cas("n", 1, "other")).rejects.toThrow(/disk is full|mounted read-only/);
    if (fault === "readOnly") continue;
    poor.faults.space = 1e6;
    expect(await after.cas("n", 1, "other")).toBe(true);
    expect([...scan(poor.open("/s/refs.2")!, 0)]).toHaveLength(2);
  }
});

test("after a power loss at any moment, also while files roll over, no acknowledged change is lost", async () => {
  const random = randomFrom(seed);
  let states = 0;
  for (const wanted = runs(10_000, 500); states < wanted; ) {
    const disk = simDisk();
    const told = new Map<string, number>();
    const left: Array<{ disk: SimDisk; told: Map<string, number> }> = [];
    disk.faults.operating = () => {
      if (random() < 0.2) left.push({ disk: disk.crash(random), told: new Map(told) });
    };
    disk.faults.syncing = async () => {
      for (let turns = Math.floor(random() * 3); turns > 0; turns--) await new Promise(setImmediate);
    };
    const handles = [await openRefs(disk, "/s", "refs", true, 400), await openRefs(disk, "/s", "refs", true, 400)];
    await Promise.all(
      Array.from({ length: 16 }, async (_, i) => {
        const name = `n${i % 3}`;
        const by = handles[i % 2]!;
        for (;;) {
          const ref = await by.get(name);
          const next = Number(ref?.value ?? 0) + 1;
          if (!(await by.cas(name, ref?.version ?? 0, String(next)))) continue;
          told.set(name, Math.max(next, told.get(name) ?? 0));
          return;
        }
      }),
    );
    states += left.length;
    for (const each of left) {
      const refs = await openRefs(each.disk, "/s", "refs", true, 400);
      for (const [name, least] of each.told) {
        const ref = (await refs.get(name))!;
        expect(Number(ref.value)).toBeGreaterThanOrEqual(least);
        expect(ref).toEqual({ value: String(ref.version), version: ref.version });
        expect(await refs.cas(name, ref.version, "next")).toBe(true);
      }
      refs.close();
    }
  }
});
