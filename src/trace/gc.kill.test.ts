import { afterAll, expect, test } from "vitest";
import { buildChildren, type Child } from "../../test/support/children.ts";
import { long, runs } from "../../test/support/runs.ts";
import { realDisk } from "./disk.ts";
import { type Finding, fsck } from "./fsck.ts";
import { gc } from "./gc.ts";
import { type Followers, traceFollowers } from "./reach.ts";
import { openStore } from "./store.ts";
import { listWriters } from "./writers.ts";

const children = buildChildren("gc-child.mjs");
afterAll(() => children.end());

const none = (): [] => [];
const followers: Followers = { ...traceFollowers, tree: none, mtimes: none, chunks: none };
const LIMIT = long ? 600_000 : 120_000;
let serial = 0;

async function wrongIn(directory: string): Promise<Finding[]> {
  const found: Finding[] = [];
  for await (const finding of fsck({ disk: realDisk, directory }, { followers, full: true }))
    if (finding.severity !== "note") found.push(finding);
  return found;
}

const said = async (child: Child, lines: number): Promise<void> => {
  while (child.lines.length < lines) {
    if (child.process.exitCode !== null) await child.ended;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
};

const kill = async (child: Child): Promise<void> => {
  child.process.kill("SIGKILL");
  await child.ended;
};

test(
  "beside processes that go on writing, each collection ends and takes nothing that they named",
  async () => {
    const directory = `${children.directory}/store${serial++}`;
    const store = await openStore(directory);
    const writers = [children.start("work", directory), children.start("work", directory)];
    for (const writer of writers) await said(writer, 10);
    let freed = 0;
    for (let round = 0; round < runs(100, 4); round++) {
      const report = await gc(store, { followers, least: 0, waitMs: LIMIT });
      expect(report.stopped).toBe(null);
      freed += report.freed;
      for (const writer of writers) await said(writer, writer.lines.length + 5);
    }
    for (const writer of writers) await kill(writer);
    expect(freed).toBeGreaterThan(0);
    expect(await wrongIn(directory)).toEqual([]);
    // The registrations of the dead are no obstacle, and go.
    expect(listWriters(store).length).toBe(2);
    expect((await gc(store, { followers, least: 0 })).stopped).toBe(null);
    expect(listWriters(store)).toEqual([]);
    expect(await wrongIn(directory)).toEqual([]);
    await store.close();
  },
  LIMIT,
);

test(
  "a collector killed again and again, beside a writer that goes on, loses nothing",
  async () => {
    const directory = `${children.directory}/store${serial++}`;
    await (await openStore(directory)).close();
    const writer = children.start("work", directory);
    await said(writer, 10);
    for (let round = 0; round < runs(100, 4); round++) {
      const collector = children.start("collect", directory);
      await said(collector, 1 + (round % 3));
      await new Promise((resolve) => setTimeout(resolve, (round * 7) % 31));
      await kill(collector);
      await said(writer, writer.lines.length + 3);
      // Also while the writer goes on.
      expect(await wrongIn(directory)).toEqual([]);
    }
    await kill(writer);
    const store = await openStore(directory);
    expect((await gc(store, { followers, least: 0 })).stopped).toBe(null);
    expect(await wrongIn(directory)).toEqual([]);
    await store.close();
  },
  LIMIT,
);
