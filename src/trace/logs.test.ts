import { expect, test, vi } from "vitest";
import { processes } from "../../test/support/processes.ts";
import { runs, seed } from "../../test/support/runs.ts";
import { randomFrom, simDisk } from "../../test/support/simdisk.ts";
import { link, sha256 } from "./bytes.ts";
import { encodeFrame } from "./chain.ts";
import type { Frame } from "./frame.ts";
import type { LogHeader } from "./ports.ts";
import { encodeRecord } from "./record.ts";
import { type EmbeddedStore, newLogId, openStore } from "./store.ts";
import { Fenced, openWriter, type Writer } from "./writer.ts";

const header = (id: string): LogHeader => ({ v: 1, type: "log", id, origin: null, meta: {} });
const worst = () => 0.99;

async function setUp(disk = simDisk()) {
  const { open, die } = processes((options) => openStore("/store", { disk, ...options }));
  const store = await open();
  const log = newLogId();
  await store.logs.create(header(log));
  return { disk, open, die, store, log, path: `/store/logs/${log}.log` };
}

/** Becomes the writer of a log. */
async function drive(store: EmbeddedStore, log: string): Promise<Writer> {
  const epoch = await store.leases.acquire(`log/${log}`, (await store.logs.end(log)).epoch);
  expect(epoch).not.toBeNull();
  return openWriter(store, log, epoch!);
}

async function notesOf(store: EmbeddedStore, log: string): Promise<string[]> {
  const notes: string[] = [];
  for await (const frame of store.logs.read(log)) notes.push((frame.facts as { note: string }).note);
  return notes;
}

test("from the first frame of its successor on, nothing counts that a fenced writer writes", async () => {
  const { open, die, store, log } = await setUp();
  const old = await drive(store, log);
  await old.note(null, { note: "old 1" });
  die(store);
  const other = await open();
  const next = await drive(other, log);
  // The successor has not written yet: this still counts, and the successor takes it in.
  await old.note(null, { note: "old 2" });
  await next.note(null, { note: "next 1" });
  for (let i = 0; i < 3; i++) await expect(old.note(null, { note: "late" })).rejects.toThrow(Fenced);
  await next.note(null, { note: "next 2" });
  expect(next.fold.notes.get("old 2")).toBeDefined();
  for (const each of [store, other, await open()])
    expect(await notesOf(each, log)).toEqual(["old 1", "old 2", "next 1", "next 2"]);
});

test("a frame of an older epoch does not count, nor one that names another before it", async () => {
  const { disk, open, store, log, path } = await setUp();
  const writer = await openWriter(store, log, 7);
  await writer.note(null, { note: "a" });
  const { seq, prev } = await store.logs.end(log);
  const stale = { v: 1, seq, epoch: 6, n: null, phase: "note", prev, facts: { note: "stale" } } as Frame;
  const strange = { ...stale, epoch: 7, prev: sha256("another") } as Frame;
  for (const frame of [stale, strange]) disk.open(path)!.append(encodeRecord(encodeFrame(frame)));
  await writer.note(null, { note: "b" });
  for (const each of [store, await open()]) expect(await notesOf(each, log)).toEqual(["a", "b"]);
  expect((await store.logs.inspect(log)).stray).toHaveLength(2);
});

test("of writers that take over from each other in any order, all that returned counts and nothing else", async () => {
  const random = randomFrom(seed);
  for (let round = runs(400, 40); round > 0; round--) {
    const { open, die, log } = await setUp();
    const writers: Array<{ store: EmbeddedStore; writer: Writer; fenced: boolean }> = [];
    const told: string[] = [];
    const sent = new Set<string>();
    for (let i = 0; i < 25; i++) {
      const newest = writers.at(-1);
      if (!newest || random() < 0.15) {
        if (newest) die(newest.store);
        const store = await open();
        writers.push({ store, writer: await drive(store, log), fenced: false });
        continue;
      }
      // Several at once, those of dead processes too.
      const batch = Array.from({ length: 1 + Math.floor(random() * 3) }, (_, k) => ({
        by: writers[Math.floor(random() * writers.length)]!,
        note: `${i}.${k}`,
      }));
      await Promise.all(
        batch.map(async ({ by, note }) => {
          sent.add(note);
          try {
            await by.writer.note(null, { note });
            told.push(note);
            expect(by.fenced).toBe(false);
          } catch (error) {
            expect(error).toBeInstanceOf(Fenced);
            by.fenced = true;
          }
        }),
      );
    }
    const there = await notesOf(await open(), log);
    expect([...there].sort()).toEqual([...told].sort());
    for (const { writer, fenced } of writers)
      if (!fenced) expect([...writer.fold.notes.keys()].every((note) => sent.has(note))).toBe(true);
  }
});

test("what would break a law is refused before it is written, so that the log stays readable", async () => {
  const { store, log, open } = await setUp();
  const writer = await openWriter(store, log, 1);
  const n = await writer.intent({ kind: "tool", tier: "reversible" });
  await writer.outcome(n, { status: "done" });
  const { seq } = await store.logs.end(log);
  await expect(writer.outcome(n, { status: "failed" })).rejects.toThrow(/second outcome/);
  await expect(writer.outcome(9, { status: "done" })).rejects.toThrow(/no intent before it/);
  await expect(writer.part(9, {})).rejects.toThrow(/no intent before it/);
  await expect(writer.intent({ kind: "tool" } as never)).rejects.toThrow(/cannot be written/);
  await expect(writer.note(null, { note: "x", big: "y".repeat(2 << 20) })).rejects.toThrow(/over the limit/);
  await expect(writer.note(null, { note: "\ud800" })).rejects.toThrow(/no canonical form/);
  expect((await store.logs.end(log)).seq).toBe(seq);
  await writer.intent({ kind: "tool", tier: "reversible" });
  const again = await openWriter(await open(), log, 1);
  expect(again.fold.pending().map((step) => step.n)).toEqual([1]);
});

test("what the writer folds is what is read again, whatever becomes of the objects that it was given", async () => {
  const { store, log, open } = await setUp();
  const writer = await openWriter(store, log, 1);
  const facts = { kind: "tool", tier: "reversible", input: { list: [1], gone: undefined } } as never as Parameters<
    Writer["intent"]
  >[0];
  await writer.intent(facts);
  (facts as { input?: unknown }).input = "changed";
  const again = await openWriter(await open(), log, 1);
  expect(again.fold.steps.get(0)!.intent).toEqual(writer.fold.steps.get(0)!.intent);
  expect(writer.fold.steps.get(0)!.intent).toEqual({ kind: "tool", tier: "reversible", input: { list: [1] } });
});

test("threads may have any name", async () => {
  const { store, log } = await setUp();
  const writer = await openWriter(store, log, 1);
  const append = [link("blob", await store.objects.put(Buffer.from("x")))];
  for (const name of ["constructor", "__proto__", "toString"]) {
    const n = await writer.intent({ kind: "message", tier: "reversible" });
    const threads = Object.defineProperty({}, name, { value: { append }, enumerable: true });
    const [step] = await writer.outcome(n, { status: "done", threads });
    const session = Object.getOwnPropertyDescriptor(step!.sealed!.state.threads, name)!.value;
    expect(session).toEqual({ items: expect.stringMatching(/^items:/), shell: null });
  }
});

test("a watcher that throws changes nothing", async () => {
  const { store, log } = await setUp();
  const writer = await openWriter(store, log, 1);
  const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  const end = writer.watch(() => {
    throw new Error("I looked away.");
  });
  const seen: number[] = [];
  writer.watch((frame) => seen.push(frame.seq));
  await writer.note(null, { note: "a" });
  end();
  await writer.note(null, { note: "b" });
  expect(seen).toEqual([0, 1]);
  expect(warn.mock.calls.map(([error]) => (error as Error).message)).toEqual(["I looked away."]);
  warn.mockRestore();
});

test("many syncs at once are few, and each comes back when its own frames are on the disk", async () => {
  const { disk, store, log } = await setUp();
  const writer = await openWriter(store, log, 1);
  disk.faults.syncing = () => new Promise((resolve) => setTimeout(resolve, 2));
  const before = disk.syncs(".log");
  await Promise.all(
    Array.from({ length: 300 }, async (_, i) => {
      if (i % 3 === 0) await new Promise((resolve) => setTimeout(resolve, i % 7));
      const what = link("blob", await store.objects.put(Buffer.from(`content ${i}`)));
      await writer.note(null, { note: `n${i}`, what });
      await writer.sync();
      if (i % 10 > 0) return;
      const after = await openStore("/store", {
        disk: disk.crash(worst),
        owner: () => ({ boot: "later", pid: 1, start: "1", ns: "n" }),
      });
      expect(await notesOf(after, log)).toContain(`n${i}`);
      expect(await after.objects.has([sha256(`content ${i}`)])).toEqual([true]);
    }),
  );
  expect(disk.syncs(".log") - before).toBeLessThan(60);
});

test("what nobody syncs is synced soon", async () => {
  const { disk, store, log } = await setUp();
  const writer = await openWriter(store, log, 1);
  const before = disk.syncs(".log");
  for (let i = 0; i < 20; i++) await writer.note(null, { note: "n" });
  while (disk.syncs(".log") === before) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(disk.syncs(".log")).toBe(before + 1);
  const after = await openStore("/store", { disk: disk.crash(worst) });
  expect(await notesOf(after, log)).toHaveLength(20);
});

test("a tail ends when the log is removed or the store is closed", async () => {
  const { open, store, log } = await setUp();
  const other = await open();
  await (await openWriter(store, log, 1)).note(null, { note: "n" });
  const { signal } = new AbortController();
  const seen: number[] = [];
  const follow = async (by: EmbeddedStore): Promise<void> => {
    for await (const frame of by.logs.tail(log, 0, { signal })) seen.push(frame.seq);
  };
  const tails = [follow(store), follow(other)];
  while (seen.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
  await other.close();
  store.logs.remove(log);
  await Promise.all(tails);
});
