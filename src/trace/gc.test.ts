import * as fs from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { expect, test } from "vitest";
import { killedEverywhere } from "../../test/support/crashing-disk.ts";
import { fastDisk } from "../../test/support/fast-disk.ts";
import { long, params } from "../../test/support/runs.ts";
import { buildTraces, followers, ops, reachableFromLogs } from "../../test/support/traces.ts";
import { target } from "./bytes.ts";
import { realDisk } from "./disk.ts";
import { type Finding, fsck } from "./fsck.ts";
import { gc } from "./gc.ts";
import { isWhole, packShelf } from "./reach.ts";
import { type EmbeddedStore, openStore } from "./store.ts";
import { openWriters, readGcState } from "./writers.ts";

const LIMIT = long ? 1_800_000 : 60_000;

async function inStore(work: (store: EmbeddedStore) => Promise<void>): Promise<void> {
  const directory = fs.mkdtempSync(`${tmpdir()}/shepherd-gc-`);
  try {
    const store = await openStore(`${directory}/store`, { disk: fastDisk });
    await work(store);
    await store.close();
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

async function wrongIn(directory: string): Promise<Finding[]> {
  const found: Finding[] = [];
  for await (const finding of fsck({ disk: realDisk, directory }, { followers, full: true }))
    if (finding.severity !== "note") found.push(finding);
  return found;
}

/** All objects in the packs of a store, as another process finds them. */
async function idsIn(directory: string): Promise<Set<string>> {
  const fresh = await openStore(directory, { disk: fastDisk });
  const ids = new Set<string>();
  for (const pack of fresh.objects.packs()) for (const [id] of pack.entries()) ids.add(id);
  await fresh.close();
  return ids;
}

test(
  "everything that a live ref reaches stays, all else goes",
  async () => {
    await fc.assert(
      fc.asyncProperty(ops(25), fc.boolean(), async (script, twice) => {
        await inStore(async (store) => {
          const traces = await buildTraces(store, script);
          await traces.close();
          const live = traces.scopes.filter((scope) => scope.live).map(({ log }) => log);
          const needed = await reachableFromLogs(store, live);
          const report = await gc(store, { followers, least: 0 });
          expect(report.stopped).toBe(null);
          if (twice) expect((await gc(store, { followers, least: 0 })).freed).toBe(0);
          expect(await wrongIn(store.directory)).toEqual([]);
          const there = await idsIn(store.directory);
          for (const id of needed) expect(there.has(id)).toBe(true);
          const kept = new Set(await store.logs.list());
          for (const log of live) expect(kept.has(log)).toBe(true);
          // What was put and never named is gone, unless something else has the same content.
          const all = await reachableFromLogs(store);
          for (const id of there) expect(all.has(id)).toBe(true);
          for (const link of traces.garbage) if (!all.has(target(link))) expect(there.has(target(link))).toBe(false);
          expect(
            await isWhole(
              packShelf(store.objects),
              followers,
              traces.scopes.flatMap(({ live, writer }) => {
                const { state } = writer.fold.head();
                return live && state ? [state.roots.workspace] : [];
              }),
            ),
          ).toBe(true);
        });
      }),
      { ...params(400), endOnFailure: true },
    );
  },
  LIMIT,
);

test(
  "killed at any moment, a collection loses nothing that is kept, and the next one ends it",
  async () => {
    await fc.assert(
      fc.asyncProperty(ops(15), fc.constantFrom(0, 0.5, 0.99), async (script, part) => {
        await inStore(async (store) => {
          const traces = await buildTraces(store, [
            ...script,
            { kind: "fork", a: 1, b: 1 },
            { kind: "discard", a: 1, b: 1 },
          ]);
          await traces.close();
          const needed = await reachableFromLogs(
            store,
            traces.scopes.filter(({ live }) => live).map(({ log }) => log),
          );
          await store.close();
          await killedEverywhere(
            store.directory,
            1,
            part,
            (dying) => gc(dying, { followers, least: 0, derivedLimit: 0 }),
            async (next) => {
              const left = await idsIn(next.directory);
              for (const id of needed) expect(left.has(id)).toBe(true);
              expect((await gc(next, { followers, least: 0 })).stopped).toBe(null);
              const there = await idsIn(next.directory);
              for (const id of needed) expect(there.has(id)).toBe(true);
              expect(await wrongIn(next.directory)).toEqual([]);
              expect(readGcState(next)).toMatchObject({ packs: [], logs: [] });
            },
          );
        });
      }),
      { ...params(60, 3), endOnFailure: true },
    );
  },
  LIMIT,
);

test(
  "beside writers that store the same things again and again, a collection takes nothing that a frame names",
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(ops(12), { minLength: 2, maxLength: 3 }),
        fc.infiniteStream(fc.nat(3)),
        async (scripts, pauses) => {
          await inStore(async (store) => {
            const first = await buildTraces(store, scripts[0]!);
            await first.close();
            let writing = scripts.length;
            const others = scripts.map(async (script) => {
              const own = await openStore(store.directory, { disk: fastDisk });
              const writers = openWriters(own);
              await writers.register();
              const pause = async (): Promise<void> => {
                for (let turns = pauses.next().value!; turns > 0; turns--)
                  await new Promise((resolve) => setImmediate(resolve));
              };
              const put = own.objects.put;
              // What is put and not yet named has time to be collected.
              Object.assign(own.objects, {
                put: async (bytes: Uint8Array) => {
                  await pause();
                  return put(bytes);
                },
              });
              const traces = await buildTraces(own, script, {
                during: async (work) => {
                  const done = await writers.during(work);
                  await pause();
                  return done;
                },
              });
              await traces.close();
              await writers.unregister();
              await own.close();
              writing--;
            });
            const failed: unknown[] = [];
            for (const other of others) other.catch((error: unknown) => failed.push(error, writing--));
            let rounds = 0;
            while (writing > 0) {
              const report = await gc(store, { followers, least: 0, derivedLimit: 0 });
              expect(report.stopped).toBe(null);
              rounds++;
              await new Promise((resolve) => setTimeout(resolve, 1));
            }
            expect(failed).toEqual([]);
            expect(rounds).toBeGreaterThan(0);
            expect(await wrongIn(store.directory)).toEqual([]);
          });
        },
      ),
      { ...params(200, 8), endOnFailure: true },
    );
  },
  LIMIT,
);
