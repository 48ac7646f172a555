import fc from "fast-check";
import { expect, test } from "vitest";
import { long, params } from "../../test/support/runs.ts";
import { Gone, randomFrom, type SimDisk, simDisk } from "../../test/support/simdisk.ts";
import { buildTraces, followers, type Op, ops, reachableFromLogs } from "../../test/support/traces.ts";
import { finishForget, forget, listForgotten } from "./forget.ts";
import { gc } from "./gc.ts";
import { Forgotten } from "./objects.ts";
import type { Hash } from "./ports.ts";
import { type EmbeddedStore, openStore } from "./store.ts";

const LIMIT = long ? 1_800_000 : 60_000;

const openIn = (disk: SimDisk, boot: string): Promise<EmbeddedStore> =>
  openStore("/store", {
    disk,
    owner: () => ({ boot, pid: 1, start: "1", ns: "ns" }),
    alive: (owner) => owner.boot === boot,
    followers,
  });

/** What fenced and killed writers leave is written past the disk, so not here. */
const honest = (script: readonly Op[]): Op[] => script.filter(({ kind }) => kind !== "stray" && kind !== "torn");

/** Runs `work` until the power goes out at its operation number `at`; gives whether it did. */
async function untilPowerFails(disk: SimDisk, at: number, work: () => Promise<unknown>): Promise<boolean> {
  let left = at;
  disk.faults.operating = () => {
    if (left-- <= 0) throw new Gone("The power is out.");
  };
  try {
    await work();
    return false;
  } catch (error) {
    if (error instanceof Gone) return true;
    throw error;
  } finally {
    disk.faults.operating = () => {};
  }
}

const countFrames = async (store: EmbeddedStore, logs: readonly string[]): Promise<number[]> => {
  const counts: number[] = [];
  for (const log of logs) counts.push((await store.logs.end(log)).seq);
  return counts;
};

test(
  "the power can fail at any moment of a collection: what was synced and is kept is there",
  async () => {
    await fc.assert(
      fc.asyncProperty(ops(12), fc.nat(60), fc.nat(), async (script, at, seed) => {
        const disk = simDisk();
        const store = await openIn(disk, "first");
        const traces = await buildTraces(store, [
          ...honest(script),
          { kind: "pack", a: 0, b: 0 },
          { kind: "fork", a: 1, b: 1 },
          { kind: "step", a: 3, b: 7 },
          { kind: "discard", a: 1, b: 1 },
        ]);
        await traces.close();
        for (const log of await store.logs.list()) await store.logs.sync(log);
        const live = traces.scopes.filter((scope) => scope.live).map(({ log }) => log);
        const needed = await reachableFromLogs(store, live);
        const frames = await countFrames(store, live);
        await untilPowerFails(disk, at, () => gc(store, { followers, least: 0, derivedLimit: 0, lives: () => true }));
        const after = disk.crash(randomFrom(seed));
        const next = await openIn(after, "second");
        expect(await countFrames(next, live)).toEqual(frames);
        for (const id of needed) expect((await next.objects.get(id)) !== null).toBe(true);
        expect((await gc(next, { followers, least: 0, lives: () => true })).stopped).toBe(null);
        expect(await countFrames(next, live)).toEqual(frames);
        for (const id of needed) expect((await next.objects.get(id)) !== null).toBe(true);
      }),
      params(2000, 60),
    );
  },
  LIMIT,
);

test(
  "the power can fail at any moment of forgetting: it is finished afterwards, and what was promised stays destroyed",
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 5 }), fc.nat(30), fc.nat(), async (many, at, seed) => {
        const disk = simDisk();
        const store = await openIn(disk, "first");
        const secrets: Hash[] = [];
        for (let k = 0; k < many; k++)
          secrets.push(await store.objects.put(Buffer.from(`secret ${k} `.repeat(k * 9 + 3))));
        const other = await store.objects.put(Buffer.from("other"));
        await store.objects.sync();
        const failed = await untilPowerFails(disk, at, () => forget(store, secrets, { reason: "a test" }));
        const left = disk.crash(randomFrom(seed));
        await finishForget(await openIn(left, "second"));
        const next = await openIn(left, "second");
        const gone = (await listForgotten(next)).length > 0;
        if (!failed) expect(gone).toBe(true);
        for (const id of secrets) {
          if (gone) await expect(next.objects.get(id)).rejects.toThrow(Forgotten);
          else expect(await next.objects.get(id)).not.toBe(null);
        }
        expect(await next.objects.get(other)).not.toBe(null);
      }),
      params(2000, 60),
    );
  },
  LIMIT,
);
