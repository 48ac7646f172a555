import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fastDisk } from "../../test/support/fast-disk.ts";
import { checkQuota, explainQuota, parseSize, requireRoom, StoreFull } from "./quota.ts";
import { type EmbeddedStore, openStore } from "./store.ts";
import { inWords, usageBelow } from "./usage.ts";

let directory: string;
let store: EmbeddedStore;
beforeEach(async () => {
  directory = fs.mkdtempSync(`${tmpdir()}/shepherd-quota-`);
  store = await openStore(`${directory}/store`, { disk: fastDisk });
});
afterEach(async () => {
  await store.close();
  fs.rmSync(directory, { recursive: true });
});

const disk = { free: 1e12, total: 2e12 };
const env = {};

test("the limit is 20 GB, or a tenth of what the disk has free without the store", async () => {
  const { used, limit } = await checkQuota(store, { env, disk });
  expect(limit).toBe(20e9);
  expect(used).toBeGreaterThan(0);
  const small = await checkQuota(store, { env, disk: { free: 50e9 - used, total: 2e12 } });
  expect(small.limit).toBe(5e9);
});

test("the variable comes before the configuration, and both before the default", async () => {
  expect((await checkQuota(store, { env, disk, configured: "3GB" })).limit).toBe(3e9);
  expect((await checkQuota(store, { env: { SHEPHERD_QUOTA: "1GiB" }, disk, configured: "3GB" })).limit).toBe(2 ** 30);
  expect((await checkQuota(store, { env: { SHEPHERD_QUOTA: "none" }, disk })).limit).toBe(Number.POSITIVE_INFINITY);
  await expect(checkQuota(store, { env: { SHEPHERD_QUOTA: "lots" }, disk })).rejects.toThrow(
    'SHEPHERD_QUOTA="lots" is no size: write it like 20GB, 512MiB or none.',
  );
});

test("it warns from four fifths on and refuses new work when the store is full, with what to type", async () => {
  const { used } = await checkQuota(store, { env, disk });
  const at = (limit: number) => checkQuota(store, { env: { SHEPHERD_QUOTA: String(limit) }, disk });
  expect((await at(used * 2)).state).toBe("ok");
  expect((await at(Math.floor(used * 1.2))).state).toBe("warn");
  expect((await at(used)).state).toBe("full");
  const advised = /SHEPHERD_QUOTA=(\S+)/.exec(explainQuota(await at(1)))![1]!;
  expect((await checkQuota(store, { env: { SHEPHERD_QUOTA: advised }, disk })).state).toBe("ok");
  const refused = requireRoom(store, { env: { SHEPHERD_QUOTA: String(used) }, disk });
  await expect(refused).rejects.toThrow(StoreFull);
  await expect(refused).rejects.toThrow(/`shepherd gc`.*`shepherd du`.*SHEPHERD_QUOTA=/);
  expect((await requireRoom(store, { env: { SHEPHERD_QUOTA: String(used * 2) }, disk })).used).toBe(used);
});

test("it refuses new work while the disk still has some room, whatever the store takes", async () => {
  const at = (free: number, total: number) =>
    checkQuota(store, { env: { SHEPHERD_QUOTA: "none" }, disk: { free, total } });
  expect((await at(199e6, 1e9)).state).toBe("full");
  expect((await at(300e6, 1e9)).state).toBe("warn");
  // Two per cent of a large disk, but not more than 2 GB.
  expect((await at(900e6, 50e9)).state).toBe("full");
  expect((await at(3e9, 2e12)).state).toBe("warn");
  expect((await at(5e9, 2e12)).state).toBe("ok");
  expect(explainQuota(await at(100e6, 1e9))).toMatch(/^The disk has 100 MB left.*`shepherd gc`/);
  // The limit is a tenth of nothing there, and none that the user has set.
  expect(explainQuota(await checkQuota(store, { env, disk: { free: 0, total: 1e9 } }))).toContain(
    "The disk has 0 B left",
  );
});

test("what lies in work directories counts, and is not looked through at each call", async () => {
  const work = `${store.cache("work")}/a`;
  fs.mkdirSync(`${work}/deep/deeper`, { recursive: true });
  const before = await checkQuota(store, { env, disk });
  fs.writeFileSync(`${work}/deep/deeper/file`, Buffer.alloc(1 << 20, 1));
  expect((await checkQuota(store, { env, disk })).used - before.used).toBeLessThan(1 << 16);
  // What was remembered long ago is looked at again.
  const memory = `${store.directory}/cache/usage.json`;
  fs.writeFileSync(memory, fs.readFileSync(memory, "utf8").replace(/"at":\d+/g, '"at":5'));
  expect((await checkQuota(store, { env, disk })).used - before.used).toBeGreaterThan(1 << 19);
  fs.writeFileSync(memory, "nonsense");
  expect((await checkQuota(store, { env, disk })).used - before.used).toBeGreaterThan(1 << 19);
});

test("the disk of the store is asked", async () => {
  const { free, floor, state } = await checkQuota(store, { env });
  expect(free).toBeGreaterThan(0);
  expect(floor).toBeGreaterThan(0);
  expect(["ok", "warn", "full"]).toContain(state);
});

test.each([
  ["20GB", 20e9],
  ["20 gb", 20e9],
  ["20G", 20e9],
  ["1.5 TB", 1.5e12],
  ["512MiB", 512 * 2 ** 20],
  ["2k", 2000],
  ["0", 0],
  ["123456", 123456],
  ["unlimited", Number.POSITIVE_INFINITY],
])("%s is a size", (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(["", "GB", "-1", "20 apples", "1e9", "0x10", "20GBB"])("%j is none", (text) => {
  expect(() => parseSize(text)).toThrow("is no size");
});

test("bytes are told as people read them", () => {
  expect([0, 999, 1000, 1450, 9949, 10_000, 999_499, 999_500, 20e9, 3e15].map(inWords)).toEqual([
    "0 B",
    "999 B",
    "1.0 kB",
    "1.4 kB",
    "9.9 kB",
    "10 kB",
    "999 kB",
    "1.0 MB",
    "20 GB",
    "3000 TB",
  ]);
});

test("a file with two names counts once, and names may be anything", () => {
  const below = `${directory}/tree`;
  fs.mkdirSync(below);
  fs.writeFileSync(`${below}/a`, Buffer.alloc(50_000, 1));
  const one = usageBelow(below);
  fs.linkSync(`${below}/a`, `${below}/b`);
  fs.writeFileSync(Buffer.concat([Buffer.from(`${below}/`), Buffer.from([0xff, 0x0a])]), "");
  fs.symlinkSync("/", `${below}/root`);
  expect(usageBelow(below).bytes - one.bytes).toBeLessThan(5000);
  expect(usageBelow(`${directory}/nothing`)).toEqual({ bytes: 0, files: 0, whole: true });
  for (let k = 0; k < 30; k++) fs.mkdirSync(`${below}/d${k}`);
  expect(usageBelow(below, 10).whole).toBe(false);
});
