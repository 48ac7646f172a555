import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { buildChildren } from "../../test/support/children.ts";
import { killedEverywhere } from "../../test/support/crashing-disk.ts";
import { fastDisk } from "../../test/support/fast-disk.ts";
import { long, params, runs } from "../../test/support/runs.ts";
import { followers } from "../../test/support/traces.ts";
import { encodeJson, link, sha256 } from "./bytes.ts";
import { findContaining } from "./containing.ts";
import { pieces } from "./examine.ts";
import { finishForget, forget, listForgotten } from "./forget.ts";
import { fsck } from "./fsck.ts";
import { gc } from "./gc.ts";
import { Forgotten } from "./objects.ts";
import { TOMBSTONE } from "./pack.ts";
import { type Hash, MAX_OBJECT } from "./ports.ts";
import { encodeRecord } from "./record.ts";
import { makePack } from "./salvage.ts";
import { type EmbeddedStore, newLogId, openStore } from "./store.ts";
import { openWriters, storeGeneration } from "./writers.ts";

const LIMIT = long ? 1_800_000 : 60_000;

let directory: string;
let store: EmbeddedStore;
beforeEach(async () => {
  directory = fs.mkdtempSync(`${tmpdir()}/shepherd-forget-`);
  store = await openStore(`${directory}/store`, { disk: fastDisk });
});
afterEach(async () => {
  await store.close();
  fs.rmSync(directory, { recursive: true });
});

const REASON = { reason: "it is a secret" };
const packs = (in_: string): string[] =>
  fs
    .readdirSync(`${in_}/objects`)
    .filter((name) => name.endsWith(".pack"))
    .map((name) => `${in_}/objects/${name}`);

/** Whether any byte behind the hash of a record of `id` is left anywhere, and how many tombstones of it there are. */
function remains(in_: string, id: Hash): { bytes: boolean; tombstones: number } {
  let bytes = false;
  let tombstones = 0;
  for (const path of packs(in_)) {
    const file = fastDisk.open(path)!;
    for (const piece of pieces(file, 16)) {
      const payload = piece.what === "record" ? piece.payload : file.read(piece.offset, piece.end - piece.offset);
      const at = payload.indexOf(Buffer.from(id, "hex"));
      if (at < 0) continue;
      if (piece.what === "record" && payload[32] === TOMBSTONE) tombstones++;
      if (payload.subarray(at + 33).some((byte) => byte !== 0)) bytes = true;
    }
    file.close();
  }
  return { bytes, tombstones };
}

/** Appends a record to the newest pack as another process would that put the same at the same moment. */
function twin(in_: string, id: Hash): void {
  for (const path of packs(in_)) {
    const file = fastDisk.open(path)!;
    for (const piece of pieces(file, 16))
      if (piece.what === "record" && piece.payload.toString("hex", 0, 32) === id) {
        fs.appendFileSync(packs(in_).at(-1)!, encodeRecord(piece.payload));
        file.close();
        return;
      }
    file.close();
  }
}

test(
  "what is forgotten is destroyed in every pack, and nothing else is touched",
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            size: fc.nat(3000),
            random: fc.boolean(),
            twins: fc.nat(2),
            pack: fc.boolean(),
            secret: fc.boolean(),
          }),
          { minLength: 1, maxLength: 12 },
        ),
        async (plan) => {
          const inner = fs.mkdtempSync(`${directory}/p-`);
          const own = await openStore(inner, { disk: fastDisk });
          const all: { id: Hash; secret: boolean; bytes: Buffer }[] = [];
          for (const { size, random, twins, pack, secret } of plan) {
            const bytes = random ? randomBytes(size + 8) : Buffer.from(`${all.length} ${"secret ".repeat(size / 7)}`);
            const id = await own.objects.put(bytes);
            all.push({ id, secret, bytes });
            if (pack) await makePack(own);
            for (let k = 0; k < twins; k++) twin(inner, id);
          }
          const ids = all.filter(({ secret }) => secret).map(({ id }) => id);
          const report = await forget(own, ids, REASON);
          expect(report.unknown).toEqual([]);
          const other = await openStore(inner, { disk: fastDisk });
          for (const { id, secret, bytes } of all) {
            for (const each of [own, other]) {
              if (secret) await expect(each.objects.get(id)).rejects.toThrow(Forgotten);
              else expect(Buffer.from((await each.objects.get(id))!).equals(bytes)).toBe(true);
            }
            expect(await own.objects.has([id])).toEqual([!secret]);
            if (secret)
              expect(remains(inner, id)).toEqual({
                bytes: false,
                tombstones: 1 + plan[all.findIndex((each) => each.id === id)]!.twins,
              });
          }
          // Who works again with the same bytes stores them anew, whatever was known of them before.
          for (const { id, bytes } of all) {
            for (const each of [own, other]) {
              expect(await each.objects.put(bytes)).toBe(id);
              expect(Buffer.from((await each.objects.get(id))!).equals(bytes)).toBe(true);
            }
          }
          await own.close();
          await other.close();
          fs.rmSync(inner, { recursive: true });
        },
      ),
      params(300),
    );
  },
  LIMIT,
);

test("what was left of the object by a killed writer, or by a flipped bit, is destroyed too", async () => {
  const secret = randomBytes(4000);
  const id = await store.objects.put(secret);
  const [pack] = packs(store.directory);
  const record = fs.readFileSync(pack!).subarray(16);
  const other = await store.objects.put(Buffer.from("other"));
  // The beginning of a record, another with a bit flipped in its hash, another with a bit flipped in its length, then something that stays.
  const flipped = (at: number): Buffer => {
    const copy = Buffer.from(record);
    copy[at]! ^= 4;
    return copy;
  };
  fs.appendFileSync(pack!, Buffer.concat([record.subarray(0, 2000), flipped(20), flipped(5), record.subarray(0, 30)]));
  const last = await store.objects.put(Buffer.from("the last"));
  fs.appendFileSync(pack!, record.subarray(0, 1000));
  await forget(store, [id], REASON);
  const bytes = fs.readFileSync(pack!);
  for (let at = 0; at + 16 <= secret.length; at += 16) expect(bytes.includes(secret.subarray(at, at + 16))).toBe(false);
  expect(await store.objects.get(other)).not.toBe(null);
  expect(await store.objects.get(last)).not.toBe(null);
});

test("frames that name it stay, and a check of the store explains it", async () => {
  const secret = Buffer.from("a secret");
  const id = await store.objects.put(secret);
  const log = newLogId();
  await store.logs.create({ v: 1, type: "log", id: log, origin: null, meta: { secret: link("blob", id) } });
  await store.refs.cas("scope/s", 0, log);
  const before = storeGeneration(store);
  await forget(store, [id], REASON);
  // Whoever remembers objects across operations asks for them anew.
  expect(storeGeneration(store)).not.toBe(before);
  const found = [];
  for await (const finding of fsck(store, { followers, full: true })) found.push(finding);
  expect(found).toEqual([expect.objectContaining({ severity: "note", what: "forgotten", log, id })]);
  expect(await listForgotten(store)).toEqual([
    expect.objectContaining({ n: 1, ids: [id], reason: REASON.reason, done: true }),
  ]);

  // A collection moves the tombstone with what is kept.
  await makePack(store);
  await gc(store, { followers, least: 0 });
  await expect(store.objects.get(id)).rejects.toThrow(Forgotten);
  // And when nothing names it any more, it goes too.
  await store.refs.cas("scope/s", 1, null);
  await gc(store, { followers, least: 0 });
  expect(await store.objects.get(id)).toBe(null);
});

test(
  "killed at any moment, forgetting is finished by whoever comes next",
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (many, part) => {
          const template = fs.mkdtempSync(`${directory}/t-`);
          const own = await openStore(template, { disk: fastDisk });
          const secrets: Hash[] = [];
          for (let k = 0; k < many; k++) {
            secrets.push(await own.objects.put(randomBytes(700)));
            if (k % 2) await makePack(own);
          }
          const other = await own.objects.put(Buffer.from("other"));
          await own.close();
          let planned = 0;
          await killedEverywhere(
            template,
            1,
            part,
            (dying) => forget(dying, secrets, REASON),
            async (next) => {
              const open = (await listForgotten(next)).filter(({ done }) => !done);
              planned += open.length;
              await finishForget(next);
              await finishForget(next);
              const done = await listForgotten(next);
              for (const id of secrets) {
                // All or nothing: what was not planned is still whole.
                if (done.length > 0) expect(remains(next.directory, id)).toEqual({ bytes: false, tombstones: 1 });
                else expect(await next.objects.get(id)).not.toBe(null);
              }
              expect(await next.objects.get(other)).not.toBe(null);
              await forget(next, secrets, REASON);
              for (const id of secrets) expect(remains(next.directory, id).bytes).toBe(false);
            },
          );
          expect(planned).toBeGreaterThan(0);
        },
      ),
      params(60, 4),
    );
  },
  LIMIT,
);

const children = buildChildren("gc-child.mjs");
afterAll(() => children.end());

test(
  "kill -9 of a process that forgets leaves all of it or none",
  async () => {
    for (let round = 0; round < runs(100, 3); round++) {
      const home = `${children.directory}/f${round}`;
      const own = await openStore(home);
      const ids: Hash[] = [];
      for (let k = 0; k < 40; k++) ids.push(await own.objects.put(randomBytes(20_000)));
      await own.close();
      const child = children.start("forget", home, ...ids);
      while (child.lines.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      await new Promise((resolve) => setTimeout(resolve, round % 25));
      child.process.kill("SIGKILL");
      await child.ended;
      const next = await openStore(home);
      await finishForget(next);
      const gone = (await listForgotten(next)).length > 0;
      for (const id of ids) expect(remains(home, id)).toEqual({ bytes: !gone, tombstones: gone ? 1 : 0 });
      await next.close();
      fs.rmSync(home, { recursive: true });
    }
  },
  LIMIT,
);

test("a plan that does not fit what lies there destroys nothing", async () => {
  const id = await store.objects.put(randomBytes(100));
  const victim = await store.objects.put(randomBytes(100));
  const { place } = store.objects.locate(victim)!;
  const plan = (...spots: unknown[]) => JSON.stringify({ v: 1, ids: [id], reason: "", at: 0, spots });
  await store.refs.cas("forget/0000000001", 0, plan(["objects/000001.pack", place.offset, place.length, 0]));
  await store.refs.cas("forget/0000000002", 0, plan(["objects/000001.pack", place.offset, place.length - 3, 0]));
  await store.refs.cas("forget/0000000003", 0, plan(["objects/000001.pack", 1e9, place.length, 0]));
  await store.refs.cas("forget/0000000004", 0, plan(["../000001.pack", place.offset, place.length, 0]));
  await store.refs.cas("forget/0000000005", 0, plan(["objects/000009.pack", place.offset, place.length, 0]));
  await store.refs.cas("forget/0000000006", 0, "nonsense");
  await finishForget(store);
  expect(await store.objects.get(victim)).not.toBe(null);
  expect(await store.objects.get(id)).not.toBe(null);
});

test("only one process forgets or collects at a time, and the other is told who", async () => {
  await store.leases.acquire("gc");
  await expect(forget(store, [], REASON)).rejects.toThrow(`Process ${process.pid} collects garbage`);
  await expect(gc(store, { followers })).rejects.toThrow(`Process ${process.pid} collects garbage`);
});

test("a writer that is in the middle of an operation finds the forgotten object missing, and stores it anew", async () => {
  const writers = openWriters(store);
  await writers.register();
  const bytes = randomBytes(100);
  await writers.during(async () => {
    const id = await store.objects.put(bytes);
    await forget(store, [id], REASON);
    expect(await store.objects.has([id])).toEqual([false]);
    await store.objects.put(bytes);
    expect(await store.objects.has([id])).toEqual([true]);
  });
  await writers.unregister();
});

const all = async (needles: Buffer | Buffer[]): Promise<Hash[]> => {
  const found: Hash[] = [];
  for await (const id of findContaining(store, needles, { followers })) found.push(id);
  return found;
};

test("what contains some bytes is found: plain, deflated, in several packs, in any of several forms", async () => {
  const secret = Buffer.from("hunter2-hunter2");
  const plain = await store.objects.put(Buffer.concat([randomBytes(100), secret]));
  const deflated = await store.objects.put(Buffer.from(`${"x".repeat(5000)}hunter2-hunter2${"y".repeat(5000)}`));
  await makePack(store);
  const json = await store.objects.put(encodeJson({ password: "hunter2-hunter2" }));
  const base64 = await store.objects.put(Buffer.from(secret.toString("base64")));
  await store.objects.put(Buffer.from("hunter2-hunter"));
  expect((await all(secret)).sort()).toEqual([plain, deflated, json].sort());
  expect((await all([secret, Buffer.from(secret.toString("base64"))])).sort()).toEqual(
    [plain, deflated, json, base64].sort(),
  );
  await forget(store, await all(secret), REASON);
  expect(await all(secret)).toEqual([]);
  await expect(all(Buffer.alloc(0))).rejects.toThrow("at least one byte");
});

test("what lies across the border of two chunks of a large file is found in both", async () => {
  const secret = Buffer.from("across the border");
  const content = Buffer.alloc(2 * MAX_OBJECT + 100, 7);
  secret.copy(content, MAX_OBJECT - 5);
  secret.copy(content, 2 * MAX_OBJECT - 1);
  const ids: Hash[] = [];
  for (let at = 0; at < content.length; at += MAX_OBJECT)
    ids.push(await store.objects.put(content.subarray(at, at + MAX_OBJECT)));
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(content.length));
  await store.objects.put(
    Buffer.concat([Buffer.from("shepherd chunks 1\n"), size, ...ids.map((id) => Buffer.from(id, "hex"))]),
  );
  expect((await all(secret)).sort()).toEqual([...ids].sort());
  expect(await all(Buffer.from("across the order"))).toEqual([]);
  expect(sha256(content.subarray(0, MAX_OBJECT))).toBe(ids[0]);
});
