/** Another process that is quicker: between any two operations on a file it may have appended something. */
import { expect, test } from "vitest";
import { runs, seed } from "../../test/support/runs.ts";
import { randomFrom, type SimDisk, simDisk } from "../../test/support/simdisk.ts";
import { encodeJson, link, sha256 } from "./bytes.ts";
import { counted, encodeFrame, frameHash, makeFrame, openLogFile } from "./chain.ts";
import type { Disk } from "./disk.ts";
import { openObjects } from "./objects.ts";
import { encodeRecord } from "./record.ts";
import { openRefs } from "./refs.ts";
import { newLogId, openStore } from "./store.ts";
import { openWriter } from "./writer.ts";

/** `disk`, on which `rival` may act whenever the size of a file was told, and before and behind each append. */
function raced(disk: SimDisk, rival: (path: string) => void): Disk {
  let acting = false;
  const act = (path: string): void => {
    if (acting) return;
    acting = true;
    rival(path);
    acting = false;
  };
  return {
    ...disk,
    open: (path) => {
      const file = disk.open(path);
      return (
        file && {
          ...file,
          size: () => {
            const size = file.size();
            act(path);
            return size;
          },
          append: (bytes) => {
            act(path);
            file.append(bytes);
            act(path);
          },
        }
      );
    },
  };
}

test("frames of a writer and of a quicker one are all there once, and both know it", async () => {
  const random = randomFrom(seed);
  for (let round = runs(2000, 100); round > 0; round--) {
    const disk = simDisk();
    const log = newLogId();
    const path = `/store/logs/${log}.log`;
    const first = await openStore("/store", { disk });
    await first.logs.create({ v: 1, type: "log", id: log, origin: null, meta: {} });
    await first.logs.header(log);
    const wanted: string[] = [];
    let active = false;
    const rival = (touched: string): void => {
      if (!active || touched !== path || random() > 0.15) return;
      const file = openLogFile(disk, path, log)!;
      let end = file.first;
      for (const { cursor } of counted(file.segment, end)) end = cursor;
      const frame = makeFrame({
        v: 1,
        seq: end.seq,
        epoch: 1,
        n: null,
        phase: "note",
        prev: end.prev,
        facts: { note: `rival ${end.seq}` },
      });
      disk.open(path)!.append(encodeRecord(encodeFrame(frame)));
      wanted.push(frameHash(frame));
    };
    const store = await openStore("/store", { disk: raced(disk, rival) });
    active = true;
    const writer = await openWriter(store, log, 1);
    const seen: string[] = [];
    writer.watch((frame) => seen.push(frameHash(frame)));
    for (let i = 0; i < 10; i++) {
      await writer.note(null, { note: `own ${i}` });
      wanted.push(seen.at(-1)!);
    }
    active = false;
    const there: string[] = [];
    for await (const frame of (await openStore("/store", { disk })).logs.read(log)) there.push(frameHash(frame));
    expect([...there].sort()).toEqual([...wanted].sort());
    expect((await store.logs.end(log)).seq).toBe(there.length);
  }
});

test("objects of a process and of a quicker one are all found by both", async () => {
  const random = randomFrom(seed);
  for (let round = runs(1000, 50); round > 0; round--) {
    const disk = simDisk();
    const other = await openObjects(disk, "/o", 2000);
    await other.put(Buffer.from("first"));
    const ids: string[] = [];
    const puts: Array<Promise<string>> = [];
    let active = true;
    const rival = (): void => {
      if (!active || random() > 0.1) return;
      ids.push(sha256(`rival ${ids.length}`));
      puts.push(other.put(Buffer.from(`rival ${ids.length - 1}`)));
    };
    const objects = await openObjects(raced(disk, rival), "/o", 2000);
    for (let i = 0; i < 20; i++) ids.push(await objects.put(Buffer.from(`own ${round} ${i}`)));
    active = false;
    await Promise.all(puts);
    for (const each of [objects, other]) for (const id of ids) expect(sha256((await each.get(id))!)).toBe(id);
  }
});

test("a change behind the end of a file of refs is made again in the next one", async () => {
  const disk = simDisk();
  let closing = false;
  const rival = (path: string): void => {
    if (!closing || path !== "/s/refs.1") return;
    closing = false;
    disk.open(path)!.append(encodeRecord(encodeJson({ closed: 1 })));
  };
  const refs = await openRefs(raced(disk, rival), "/s", "refs");
  expect(await refs.cas("n", 0, "before")).toBe(true);
  closing = true;
  expect(await refs.cas("n", 1, "behind")).toBe(true);
  expect(closing).toBe(false);
  for (const each of [refs, await openRefs(disk, "/s", "refs")])
    expect(await each.get("n")).toEqual({ value: "behind", version: 2 });
});

test("a store that another process makes at the same time is one store", async () => {
  for (let count = 2; count < 6; count++) {
    const disk = simDisk();
    disk.faults.syncing = () => new Promise(setImmediate);
    const stores = await Promise.all(Array.from({ length: count }, () => openStore("/store", { disk })));
    const ids = await Promise.all(stores.map((store, i) => store.objects.put(Buffer.from(`of ${i}`))));
    const answers = await Promise.all(stores.map((store, i) => store.refs.cas("a", 0, link("blob", ids[i]!))));
    expect(answers.filter(Boolean)).toHaveLength(1);
    for (const store of stores) expect(await store.objects.has(ids)).toEqual(ids.map(() => true));
  }
});
