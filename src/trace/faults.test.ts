/** Disks that are full, read-only, or fail to sync. */
import { expect, test } from "vitest";
import { runs, seed } from "../../test/support/runs.ts";
import { randomFrom, simDisk } from "../../test/support/simdisk.ts";
import { link } from "./bytes.ts";
import { frameHash } from "./chain.ts";
import { DiskError } from "./diskerror.ts";
import type { LogHeader } from "./ports.ts";
import { newLogId, openStore } from "./store.ts";
import { openWriter, readFold } from "./writer.ts";

const header = (id: string): LogHeader => ({ v: 1, type: "log", id, origin: null, meta: {} });
/** Loses all that was not synced. */
const worst = () => 0.99;
const later = { owner: () => ({ boot: "later", pid: 1, start: "1", ns: "ns" }), alive: () => false };

test("on a disk that is full each write says so, nothing is lost, and with some space it goes on", async () => {
  const random = randomFrom(seed);
  for (let round = runs(600, 60); round > 0; round--) {
    const disk = simDisk();
    const store = await openStore("/store", { disk });
    const log = newLogId();
    await store.logs.create(header(log));
    const writer = await openWriter(store, log, (await store.leases.acquire(`log/${log}`))!);
    const frames: string[] = [];
    writer.watch((frame) => frames.push(frameHash(frame)));
    const blobs = new Map<string, string>();
    let count = 0;
    let full = 0;
    const attempt = async (work: () => Promise<unknown>): Promise<void> => {
      try {
        await work();
      } catch (error) {
        full++;
        expect(error).toBeInstanceOf(DiskError);
        expect((error as Error).message).toMatch(
          /^The disk is full, so .* could not be written: free some space and try again\..*\.$/,
        );
      }
    };
    const work = async (): Promise<void> => {
      await attempt(async () => {
        const content = `content ${random()} `.repeat(Math.floor(random() * 40));
        blobs.set(await store.objects.put(Buffer.from(content)), content);
      });
      await attempt(() =>
        writer.note(null, { note: "n", of: [...blobs.keys()].map((id) => link("blob", id)).slice(-3) }),
      );
      await attempt(async () => {
        if (await store.refs.cas("count", (await store.refs.get("count"))?.version ?? 0, String(count + 1))) count++;
      });
    };
    disk.faults.space = Math.floor(random() * 5000);
    for (let i = 0; i < 30 && full < 4; i++) await work();
    disk.faults.space = Number.POSITIVE_INFINITY;
    const before = full;
    for (let i = 0; i < 3; i++) await work();
    expect(full).toBe(before);
    await writer.sync();

    for (const opened of [
      await openStore("/store", { disk }),
      await openStore("/store", { disk: disk.crash(worst), ...later }),
    ]) {
      const there: string[] = [];
      for await (const frame of opened.logs.read(log)) there.push(frameHash(frame));
      expect(there).toEqual(frames);
      for (const [id, content] of blobs) expect(Buffer.from((await opened.objects.get(id))!).toString()).toBe(content);
      expect((await opened.refs.get("count"))?.value).toBe(String(count));
      await opened.close();
    }
  }
});

test("a store that cannot be written can be read, and says so to who writes", async () => {
  const disk = simDisk();
  const store = await openStore("/store", { disk });
  const log = newLogId();
  await store.logs.create(header(log));
  const epoch = (await store.leases.acquire(`log/${log}`))!;
  const writer = await openWriter(store, log, epoch);
  const id = await store.objects.put(Buffer.from("content"));
  await writer.note(null, { note: "n", of: link("blob", id) });
  await store.refs.cas("a", 0, "value");
  await store.close();
  const before = disk.files();
  disk.faults.readOnly = true;
  // Also after the power was out, when nobody could put it in order.
  for (const options of [{}, later]) {
    const opened = await openStore("/store", { disk, ...options });
    expect((await readFold(opened, log)).seq).toBe(1);
    expect(Buffer.from((await opened.objects.get(id))!).toString()).toBe("content");
    expect(await opened.refs.list("")).toHaveLength(1);
    expect(await opened.logs.list()).toEqual([log]);
    const refuses = /is mounted read-only: mount it writable to record anything\.$/;
    await expect(opened.objects.put(Buffer.from("more"))).rejects.toThrow(refuses);
    expect(await opened.objects.put(Buffer.from("content"))).toBe(id);
    await expect(opened.refs.cas("a", 1, "other")).rejects.toThrow(refuses);
    await expect(opened.leases.acquire("k")).rejects.toThrow(refuses);
    await expect(opened.logs.create(header(newLogId()))).rejects.toThrow(refuses);
    await expect(openWriter(opened, log, 5).then((each) => each.note(null, { note: "n" }))).rejects.toThrow(refuses);
    await opened.close();
  }
  expect(disk.files()).toEqual(before);
  disk.faults.readOnly = false;
  const opened = await openStore("/store", { disk, ...later });
  await (await openWriter(opened, log, 5)).note(null, { note: "n" });
  await opened.close();
});

test("a sync that failed is not taken for done later, though the system then says so", async () => {
  for (const broken of [".log", ".pack", "refs.1"]) {
    const disk = simDisk();
    const store = await openStore("/store", { disk });
    const log = newLogId();
    await store.logs.create(header(log));
    const writer = await openWriter(store, log, (await store.leases.acquire(`log/${log}`))!);
    await writer.note(null, { note: "synced", of: link("blob", await store.objects.put(Buffer.from("one"))) });
    await writer.sync();
    await writer.note(null, { note: "not synced", of: link("blob", await store.objects.put(Buffer.from("two"))) });
    disk.faults.syncFails = (path) => path.endsWith(broken);
    const failing = (): Promise<unknown> => (broken === "refs.1" ? store.refs.cas("a", 0, "x") : writer.sync());
    await expect(failing()).rejects.toThrow(/^The disk failed at .*: check it before you go on\..*\.$/);
    disk.faults.syncFails = () => false;
    await expect(broken === "refs.1" ? store.refs.cas("b", 0, "x") : writer.sync()).rejects.toThrow(
      /^The disk failed at/,
    );
    await store.close().catch(() => {});
    const after = await openStore("/store", { disk: disk.crash(worst), ...later });
    const notes: unknown[] = [];
    for await (const frame of after.logs.read(log)) notes.push((frame.facts as { note?: string }).note);
    expect(notes[0]).toBe("synced");
    await after.close();
  }
});

test("closing syncs what was written, and says if that fails", async () => {
  const log = newLogId();
  for (const fails of [false, true]) {
    const disk = simDisk();
    const store = await openStore("/store", { disk });
    await store.logs.create(header(log));
    await (await openWriter(store, log, 1)).note(null, { note: "n" });
    disk.faults.syncFails = () => fails;
    if (fails) await expect(store.close()).rejects.toThrow(/The disk failed/);
    else await store.close();
    const after = await openStore("/store", { disk: disk.crash(worst), ...later });
    expect((await after.logs.end(log)).seq).toBe(fails ? 0 : 1);
    await expect(store.logs.header(log)).rejects.toThrow(/The store is closed/);
    await store.close();
  }
});
