import { expect, test } from "vitest";
import { type SimDisk, simDisk } from "../../test/support/simdisk.ts";
import { encodeJson, link, sha256 } from "./bytes.ts";
import { leasesOver } from "./leases.ts";
import type { Leases, Link, LogHeader } from "./ports.ts";
import { encodeRecord, scan } from "./record.ts";
import { openRecovery } from "./recover.ts";
import { openRefs } from "./refs.ts";
import { type EmbeddedStore, newLogId, openStore } from "./store.ts";
import { tombstone } from "./tombstone.ts";
import { openWriter } from "./writer.ts";

const LOG = newLogId();
const header: LogHeader = { v: 1, type: "log", id: LOG, origin: null, meta: {} };
const PATH = `/store/logs/${LOG}.log`;
const PACK = "/store/objects/000001.pack";

let pids = 0;
/** Opens the store as a process of a boot, all of whose processes live. */
const openIn = (disk: SimDisk, boot: string, dead: number[] = []): Promise<EmbeddedStore> => {
  const pid = ++pids;
  return openStore("/store", {
    disk,
    owner: () => ({ boot, pid, start: "1", ns: "ns" }),
    alive: (owner) => owner.boot === boot && !dead.includes(owner.pid),
    followers: { tree: (bytes) => [link("blob", Buffer.from(bytes).toString())] },
  });
};

/** A log of four notes, each of which names an object, the last two not synced. */
async function fourNotes(
  disk: SimDisk,
  of: (store: EmbeddedStore, i: number) => Promise<Link>,
): Promise<EmbeddedStore> {
  const store = await openIn(disk, "first");
  await store.logs.create(header);
  const writer = await openWriter(store, LOG, 1);
  for (let i = 0; i < 4; i++) {
    await writer.note(null, { note: `n${i}`, of: await of(store, i) });
    if (i === 1) await writer.sync();
  }
  return store;
}

const blobOf = async (store: EmbeddedStore, i: number): Promise<Link> =>
  link("blob", await store.objects.put(Buffer.from(`content ${i}`)));

/** Makes the record of an object unreadable. */
function damage(disk: SimDisk, content: string): void {
  const bytes = disk.read(PACK)!;
  bytes[bytes.indexOf(content)]! ^= 0xff;
  disk.put(PACK, bytes);
}

const count = async (store: EmbeddedStore): Promise<number> => (await store.logs.end(LOG)).seq;

test("a log is cut before the first frame that lacks an object, and goes on from there", async () => {
  const before = simDisk();
  await fourNotes(before, blobOf);
  // All that was written is on the disk now.
  const disk = before.crash(() => 0);
  damage(disk, "content 2");
  const store = await openIn(disk, "second");
  expect(await count(store)).toBe(2);
  expect([...scan(disk.open(PATH)!, 0)]).toHaveLength(3);
  expect(disk.crash(() => 0.99).read(PATH)!.length).toBe(disk.read(PATH)!.length);
  await (await openWriter(store, LOG, 2)).note(null, { note: "next", of: await blobOf(store, 2) });
  expect(await count(await openIn(disk, "second"))).toBe(3);
});

test("what was synced is never cut, whatever is missing", async () => {
  const disk = simDisk();
  const first = await fourNotes(disk, blobOf);
  await first.close();
  damage(disk, "content 0");
  damage(disk, "content 3");
  expect(await count(await openIn(disk, "second"))).toBe(4);
  expect(await count(await openIn(disk, "third"))).toBe(4);
});

test("nothing is cut as long as the power has not been out", async () => {
  const disk = simDisk();
  await fourNotes(disk, blobOf);
  damage(disk, "content 3");
  expect(await count(await openIn(disk, "first"))).toBe(4);
});

test("it is done once in a boot: what is written afterwards is not looked at again", async () => {
  const disk = simDisk();
  await fourNotes(disk, blobOf);
  const store = await openIn(disk, "second");
  const writer = await openWriter(store, LOG, 2);
  await writer.note(null, { note: "of nothing", of: link("blob", sha256("nothing")) });
  expect(await count(await openIn(disk, "second"))).toBe(5);
  expect(await count(await openIn(disk, "third"))).toBe(4);
});

test("who waits for another to put a log in order does not do it again", async () => {
  const disk = simDisk();
  await fourNotes(disk, blobOf);
  // Something to be cut, so that it takes its time.
  damage(disk, "content 3");
  disk.faults.syncing = () => new Promise((resolve) => setTimeout(resolve, 2));
  const [first, second] = [await openIn(disk, "second"), await openIn(disk, "second")];
  const waiting = (async () => {
    await Promise.resolve();
    return count(second);
  })();
  const writer = await openWriter(first, LOG, 2);
  await writer.note(null, { note: "of nothing", of: link("blob", sha256("nothing")) });
  await waiting;
  expect(await count(await openIn(disk, "second"))).toBe(4);
});

test("it is not done again by who was about to begin when another was done", async () => {
  const disk = simDisk();
  const { objects } = await fourNotes(disk, blobOf);
  const me = () => ({ boot: "second", pid: 0, start: "1", ns: "ns" });
  const refs = await openRefs(disk, "/store", "leases", false);
  const leases = leasesOver(refs, me, () => false);
  const quicker: Leases = {
    ...leases,
    acquire: async (key) => {
      const writer = await openWriter(await openIn(disk, "second"), LOG, 2);
      await writer.note(null, { note: "of nothing", of: link("blob", sha256("nothing")) });
      return leases.acquire(key);
    },
  };
  const recovery = openRecovery({ disk, directory: "/store/logs", objects, refs, leases: quicker, me });
  expect(await recovery.recover(LOG)).toBeNull();
  expect(await count(await openIn(disk, "second"))).toBe(5);
});

test("objects in objects count, as far as somebody says what they name", async () => {
  for (const kind of ["json", "tree"] as const) {
    const disk = simDisk();
    await fourNotes(disk, async (store, i) => {
      const inner = await blobOf(store, i);
      const bytes = kind === "json" ? encodeJson({ inner }) : Buffer.from(inner.slice(5));
      return link(kind, await store.objects.put(bytes));
    });
    damage(disk, "content 3");
    expect(await count(await openIn(disk, "second"))).toBe(3);
  }
});

test("what was forgotten, and what follows from the logs, is no reason to cut", async () => {
  const disk = simDisk();
  const items = link("items", sha256("derived"));
  await fourNotes(disk, async (store, i) => (i === 2 ? items : blobOf(store, i)));
  const file = disk.open(PACK)!;
  for (const { offset, payload } of scan(file, 0))
    if (payload.includes("content 3"))
      file.overwrite(offset, encodeRecord(tombstone(sha256("content 3"), payload.length)));
  expect(await count(await openIn(disk, "second"))).toBe(4);
});

test("processes that open a log at the same time see the same", async () => {
  const disk = simDisk();
  await fourNotes(disk, blobOf);
  damage(disk, "content 3");
  disk.faults.syncing = () => new Promise((resolve) => setTimeout(resolve, 3));
  const stores = await Promise.all(Array.from({ length: 6 }, () => openIn(disk, "second")));
  expect(await Promise.all(stores.flatMap((store) => [count(store), count(store)]))).toEqual(Array(12).fill(3));
});

test("a process that dies while it puts a log in order is followed by another", async () => {
  for (let moment = 0; moment < 12; moment++) {
    const disk = simDisk();
    await fourNotes(disk, blobOf);
    damage(disk, "content 2");
    const dead: number[] = [];
    const { disk: mine, kill } = disk.process();
    const first = await openIn(mine as SimDisk, "second", dead);
    const pid = pids;
    let left = moment;
    disk.faults.operating = () => {
      if (left-- === 0) kill();
    };
    await count(first).catch(() => {});
    kill();
    dead.push(pid);
    disk.faults.operating = () => {};
    expect(await count(await openIn(disk, "second", dead))).toBe(2);
  }
});

test("marks that are lost, or say nonsense, only mean more to look at", async () => {
  for (const leases of [null, "shepherd leases 1\n", encodeRecord(Buffer.from("x"))]) {
    const disk = simDisk();
    await (await fourNotes(disk, blobOf)).close();
    if (leases) disk.put("/store/leases.1", Buffer.concat([Buffer.from("shepherd leases 1\n"), Buffer.from(leases)]));
    else disk.remove("/store/leases.1");
    expect(await count(await openIn(disk, "second"))).toBe(4);
  }
});

test("a mark that is lost while the power is on says nothing of what is synced", async () => {
  const disk = simDisk();
  await fourNotes(disk, blobOf);
  disk.remove("/store/leases.1");
  expect(await count(await openIn(disk, "first"))).toBe(4);
  damage(disk, "content 3");
  expect(await count(await openIn(disk, "second"))).toBe(3);
});

test("a log that could only be read is put in order as soon as it can be written", async () => {
  const disk = simDisk();
  await fourNotes(disk, blobOf);
  damage(disk, "content 3");
  disk.faults.readOnly = true;
  const store = await openIn(disk, "second");
  expect(await count(store)).toBe(4);
  const end = await store.logs.end(LOG);
  await expect(store.logs.append(LOG, 4, 2, [])).rejects.toThrow(/mounted read-only/);
  disk.faults.readOnly = false;
  expect(await store.logs.append(LOG, end.seq, 2, [])).toBe(false);
  await (await openWriter(store, LOG, 2)).note(null, { note: "next" });
  expect(await count(await openIn(disk, "second"))).toBe(4);
});
