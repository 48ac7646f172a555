import * as fs from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { expect, test } from "vitest";
import { fastDisk } from "../../test/support/fast-disk.ts";
import { long, params } from "../../test/support/runs.ts";
import { buildTraces, followers, ops, reachableFromLogs } from "../../test/support/traces.ts";
import { du } from "./du.ts";
import { type EmbeddedStore, openStore } from "./store.ts";

const LIMIT = long ? 1_800_000 : 60_000;

async function inStore(work: (store: EmbeddedStore) => Promise<void>): Promise<void> {
  const directory = fs.mkdtempSync(`${tmpdir()}/shepherd-du-`);
  const store = await openStore(`${directory}/store`, { disk: fastDisk });
  try {
    await work(store);
  } finally {
    await store.close();
    fs.rmSync(directory, { recursive: true });
  }
}

test(
  "each log is told what only it needs and what others need too, as it is stored",
  async () => {
    await fc.assert(
      fc.asyncProperty(ops(15), async (script) => {
        await inStore(async (store) => {
          const traces = await buildTraces(
            store,
            script.filter(({ kind }) => kind !== "stray"),
          );
          const report = await du(store, { followers });
          const sizeOf = (id: string): number => {
            let bytes = 0;
            for (const pack of store.objects.packs()) {
              const place = pack.find(id);
              if (place) bytes += 16 + place.length;
            }
            return bytes;
          };
          const reached = new Map<string, Set<string>>();
          for (const log of await store.logs.list()) reached.set(log, await reachableFromLogs(store, [log]));
          for (const { log, own, shared, objects, frames } of report.logs) {
            const ids = [...reached.get(log)!];
            const others = new Set([...reached].filter(([other]) => other !== log).flatMap(([, set]) => [...set]));
            const sum = (some: string[]): number => some.reduce((bytes, id) => bytes + sizeOf(id), 0);
            expect(own).toBe(sum(ids.filter((id) => !others.has(id))));
            expect(shared).toBe(sum(ids.filter((id) => others.has(id))));
            expect(objects).toBe(ids.length);
            expect(frames).toBe(fs.statSync(`${store.directory}/logs/${log}.log`).size);
          }
          const all = new Set([...reached.values()].flatMap((set) => [...set]));
          expect(report.packs - report.unreached).toBe([...all].reduce((bytes, id) => bytes + sizeOf(id), 0));
          expect(report.total).toBeGreaterThanOrEqual(report.packs);
          await traces.close();
        });
      }),
      params(200),
    );
  },
  LIMIT,
);

test("caches and whatever else lies in the store are told", async () => {
  await inStore(async (store) => {
    const before = await du(store, { followers });
    fs.writeFileSync(`${store.cache("work")}/x`, Buffer.alloc(100_000, 1));
    fs.mkdirSync(`${store.directory}/run`);
    fs.writeFileSync(`${store.directory}/run/y`, Buffer.alloc(100_000, 1));
    const report = await du(store, { followers });
    expect(report.caches.map(({ kind }) => kind)).toEqual(["work"]);
    expect(report.caches[0]!.bytes).toBeGreaterThanOrEqual(100_000);
    expect(report.other - before.other).toBeGreaterThanOrEqual(100_000);
    expect(report.total - before.total).toBeGreaterThanOrEqual(200_000);
  });
});
