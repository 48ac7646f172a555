import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fastDisk } from "../../test/support/fast-disk.ts";
import { followers, sampleTree } from "../../test/support/traces.ts";
import { encodeJson, link, sha256, target } from "./bytes.ts";
import { type GcOptions, type GcProgress, gc } from "./gc.ts";
import { refRoots } from "./mark.ts";
import { thisOwner } from "./owner.ts";
import type { Link, LogHeader, Owner } from "./ports.ts";
import { makePack } from "./salvage.ts";
import { type EmbeddedStore, newLogId, openStore } from "./store.ts";
import { openWriter, type Writer } from "./writer.ts";
import { listWriters, openWriters, publishGcState, readGcState, storeGeneration } from "./writers.ts";

let directory: string;
let store: EmbeddedStore;
beforeEach(async () => {
  directory = fs.mkdtempSync(`${tmpdir()}/shepherd-gc-rules-`);
  store = await openStore(`${directory}/store`, { disk: fastDisk });
});
afterEach(async () => {
  await store.close();
  fs.rmSync(directory, { recursive: true });
});

const collect = (options: Partial<GcOptions> = {}) => gc(store, { followers, least: 0, ...options });
const put = async (text: string): Promise<Link> => link("blob", await store.objects.put(Buffer.from(text)));
const holds = async (of: Link): Promise<boolean> => (await store.objects.get(target(of))) !== null;

/** A log with one step, under a name or none. */
async function makeLog(more: Partial<LogHeader> = {}, name?: string): Promise<{ log: string; writer: Writer }> {
  const log = newLogId();
  await store.logs.create({ v: 1, type: "log", id: log, origin: null, meta: {}, ...more });
  if (name) await store.refs.cas(name, 0, JSON.stringify({ log }));
  const writer = await openWriter(store, log, 1);
  const n = await writer.intent({ kind: "tool", tier: "reversible" });
  const threads = { main: { append: [await put(`said in ${log}`)] } };
  await writer.outcome(n, {
    status: "done",
    workspace: await sampleTree(store, Math.floor(Math.random() * 1e6), 1),
    threads,
  });
  return { log, writer };
}

const logs = async (): Promise<string[]> => (await store.logs.list()).sort();

test("a log that nothing names goes, with what only it needs", async () => {
  const shared = await put("shared");
  const kept = await makeLog({ meta: { shared } }, "scope/kept");
  const dead = await makeLog({ meta: { shared, own: await put("its own") } });
  const report = await collect();
  expect(report.logs).toEqual({ kept: 1, removed: [dead.log] });
  expect(await logs()).toEqual([kept.log]);
  expect(await holds(shared)).toBe(true);
  expect(await holds(link("blob", sha256("its own")))).toBe(false);
});

test("a log is kept by what was forked from it, by what merged it, and by whoever continues its conversation", async () => {
  const parent = await makeLog();
  const { n, sealed } = parent.writer.fold.sealed[0]!;
  const { id, seq, state, top, carry } = sealed!;
  const origin = { log: parent.log, n, seq, commit: id, state, top, carry };
  const child = await makeLog({ origin }, "scope/child");
  const merged = await makeLog();
  const head = merged.writer.fold.head();
  const step = await child.writer.intent({ kind: "merge", tier: "reversible" });
  await child.writer.outcome(step, { status: "done", with: head.id! });
  const told = await makeLog();
  await child.writer.note(null, { note: "told", log: told.log });
  const heard = await makeLog();
  const { items } = heard.writer.fold.head().state!.threads.main!;
  await child.writer.note(null, { note: "heard", items });
  const stranger = await makeLog();
  const report = await collect();
  expect(report.logs.removed).toEqual([stranger.log]);
  expect(await logs()).toEqual([parent.log, child.log, merged.log, told.log, heard.log].sort());
});

test("who writes a log keeps it, and a log that is new when the collection begins too", async () => {
  const held = await makeLog();
  const epoch = (await store.leases.acquire(`log/${held.log}`))!;
  expect((await collect()).logs.removed).toEqual([]);
  await store.leases.release(`log/${held.log}`, epoch);
  let young: { log: string; writer: Writer } | null = null;
  const report = await collect({
    roots: async () => {
      young ??= await makeLog();
      return refRoots(store);
    },
  });
  expect(report.logs.removed).toEqual([held.log]);
  expect(await logs()).toEqual([young!.log]);
});

test("roots are asked for again after everybody has acknowledged: what came back meanwhile stays", async () => {
  const { log } = await makeLog();
  let asked = 0;
  const report = await collect({ roots: async () => ({ logs: asked++ === 0 ? [] : [log] }) });
  expect(asked).toBeGreaterThan(1);
  expect(report.logs.removed).toEqual([]);
  expect(await logs()).toEqual([log]);
});

test("refs that are not to count are left out; links and commits that are named without a log are kept", async () => {
  const old = await makeLog({}, "op/old");
  const live = await makeLog({}, "scope/live");
  const pinned = await put("pinned");
  const behind = await makeLog();
  await store.refs.cas("pin/a", 0, JSON.stringify({ link: pinned }));
  await store.refs.cas("pin/b", 0, JSON.stringify({ commit: behind.writer.fold.head().id }));
  await collect({ roots: () => refRoots(store, ({ name }) => !name.startsWith("op/")) });
  expect(await logs()).toEqual([live.log, behind.log].sort());
  expect(await logs()).not.toContain(old.log);
  expect(await holds(pinned)).toBe(true);
});

test("a dry run removes nothing and says what would be", async () => {
  await makeLog({}, "scope/live");
  const dead = await makeLog();
  await put("garbage".repeat(1000));
  const before = fs.readdirSync(`${store.directory}/objects`);
  const dry = await collect({ dryRun: true });
  expect(dry.logs.removed).toEqual([dead.log]);
  expect(fs.readdirSync(`${store.directory}/objects`)).toEqual(before);
  expect(await logs()).toContain(dead.log);
  expect(readGcState(store)).toEqual({ generation: 0, epoch: 0, packs: [], logs: [] });
  const done = await collect();
  // But for what is new in the new pack.
  expect(Math.abs(done.freed - dry.freed)).toBeLessThan(100);
});

test("little garbage is not worth it, and the pack that all write to only for much", async () => {
  await makeLog({ meta: { big: await put("x".repeat(100) + Math.random()) } }, "scope/live");
  await put("little");
  expect((await gc(store, { followers })).removed).toEqual([]);
  await store.objects.put(await import("node:crypto").then(({ randomBytes }) => randomBytes(1_000_000)));
  await store.objects.put(await import("node:crypto").then(({ randomBytes }) => randomBytes(1_000_000)));
  const report = await gc(store, { followers });
  expect(report.removed.map(({ number }) => number)).toEqual([1]);
  expect(report.freed).toBeGreaterThan(2_000_000);
  expect(report.left).toBeLessThan(100);
});

test("a writer in the middle of an operation is waited for; then the collection gives up and says who it is", async () => {
  await put("garbage");
  const other = await openStore(store.directory, { disk: fastDisk });
  const writers = openWriters(other);
  await writers.register();
  const progress: GcProgress[] = [];
  const report = await writers.during(async () => {
    await other.objects.has([sha256("garbage")]);
    return collect({ waitMs: 30, onProgress: (each) => progress.push(each) });
  });
  expect(report.stopped).toBe(
    `Process ${process.pid} is in the middle of an operation in this store: run \`shepherd gc\` again when it is done, or end it.`,
  );
  expect(progress).toContainEqual({ phase: "wait", done: 0, total: 1, pids: [process.pid] });
  expect(report.removed).toEqual([]);
  expect(readGcState(store)).toMatchObject({ packs: [], logs: [] });
  // It can go on with what it found.
  await writers.safepoint();
  expect(await other.objects.has([sha256("garbage")])).toEqual([true]);
  expect((await collect()).stopped).toBe(null);
  await writers.unregister();
  await other.close();
});

/** The registration of another process. */
const register = (owner: Owner): string => {
  const file = `${store.directory}/writers/${owner.pid}.other.writer`;
  fs.mkdirSync(`${store.directory}/writers`, { recursive: true });
  fs.writeFileSync(file, encodeJson({ v: 1, owner, generation: -1 }));
  return file;
};

test("a writer of the process that collects holds it back only while it is in an operation", async () => {
  const writers = openWriters(store);
  await writers.register();
  await put("garbage");
  expect((await collect()).stopped).toBe(null);
  await writers.unregister();
});

test("a process that does not tell its operations one by one holds collections off until it ends", async () => {
  const file = register(thisOwner());
  const garbage = await put("garbage");
  expect((await collect({ waitMs: 5 })).stopped).toContain(`Process ${process.pid} is in the middle`);
  expect(await holds(garbage)).toBe(true);
  fs.rmSync(file);
  expect((await collect({ waitMs: 5 })).stopped).toBe(null);
  expect(await holds(garbage)).toBe(false);
});

test("the registration of a process that is gone is no obstacle, and goes", async () => {
  const file = register({ ...thisOwner(), pid: 4_000_000, start: "1" });
  await put("garbage");
  expect((await collect()).stopped).toBe(null);
  expect(fs.existsSync(file)).toBe(false);
});

test("a registration that cannot be read is not ignored", async () => {
  fs.mkdirSync(`${store.directory}/writers`);
  fs.writeFileSync(`${store.directory}/writers/7.writer`, "?");
  await put("garbage");
  expect((await collect({ waitMs: 5 })).stopped).toContain(
    "writers/7.writer cannot be read: remove it if no Shepherd works",
  );
});

test("what a killed collection had condemned is set free by the next one", async () => {
  await makeLog({}, "scope/live");
  await publishGcState(store, { generation: 7, epoch: 7, packs: [1], logs: ["x"] });
  const report = await gc(store, { followers });
  expect(report.stopped).toBe(null);
  expect(readGcState(store)).toMatchObject({ packs: [], logs: [] });
  fs.writeFileSync(`${store.directory}/writers/state`, "?");
  await gc(store, { followers });
  expect(readGcState(store)).toMatchObject({ packs: [], logs: [] });
});

test("time that is over ends it between packs, and the next call goes on", async () => {
  for (let k = 0; k < 20; k++) {
    await put(`garbage ${k}`);
    await makePack(store);
  }
  const kept = await makeLog({}, "scope/live");
  const first = await collect({ maxMs: 0 });
  expect(first.removed.length).toBe(1);
  expect(first.stopped).toContain("run `shepherd gc` again");
  let calls = 0;
  while ((await collect({ maxMs: 0 })).stopped) calls++;
  expect(calls).toBeGreaterThan(5);
  expect(await logs()).toEqual([kept.log]);
  expect((await collect()).removed).toEqual([]);
});

test("where damage hides what is needed nothing goes, unless it is forced; and damage to what is needed stays", async () => {
  const { writer } = await makeLog({}, "scope/live");
  const tree = writer.fold.head().state!.roots.workspace;
  const { pack, place } = store.objects.locate(target(tree))!;
  const path = pack.segment.path;
  const whole = fs.readFileSync(path);
  const broken = Buffer.from(whole);
  broken.fill(0xaa, place.offset + 60, place.offset + 70);
  fs.writeFileSync(path, broken);
  await put("garbage");
  const report = await collect();
  expect(report.stopped).toContain(`The object ${tree} is damaged, so what it needs is not known`);
  expect(report.removed).toEqual([]);
  const forced = await collect({ force: true });
  expect(forced.damaged).toEqual([pack.number]);
  expect(fs.existsSync(path)).toBe(true);
  fs.writeFileSync(path, whole);
  expect((await collect()).stopped).toBe(null);
  expect(await holds(tree)).toBe(true);
});

test("a damaged frame hides what it named", async () => {
  const { log } = await makeLog({}, "scope/live");
  await makeLog();
  await store.logs.sync(log);
  const path = `${store.directory}/logs/${log}.log`;
  const bytes = fs.readFileSync(path);
  bytes[bytes.length - 30]! ^= 3;
  fs.writeFileSync(path, bytes);
  const report = await collect();
  expect(report.stopped).toContain(`The log ${log} is damaged`);
  expect(report.logs.removed).toEqual([]);
});

test("what only follows from the logs is dropped when it is large, but for the pack that is written to", async () => {
  const { writer } = await makeLog({}, "scope/live");
  await store.derived.sync();
  fs.renameSync(`${store.directory}/cache/derived/000001.pack`, `${store.directory}/cache/derived/000003.pack`);
  const fresh = await openStore(store.directory, { disk: fastDisk });
  await fresh.derived.put(Buffer.from("x"));
  fs.copyFileSync(`${store.directory}/cache/derived/000003.pack`, `${store.directory}/cache/derived/000002.pack`);
  await gc(fresh, { followers, derivedLimit: 1e6 });
  expect(fs.readdirSync(`${store.directory}/cache/derived`)).toEqual(["000002.pack", "000003.pack"]);
  await gc(fresh, { followers, derivedLimit: 10 });
  expect(fs.readdirSync(`${store.directory}/cache/derived`)).toEqual(["000003.pack"]);
  expect(writer.fold.head().id).not.toBe(null);
  await fresh.close();
});

test("what killed processes left half made is swept away when it is old", async () => {
  const old = `${store.directory}/objects/000007.idx.1.2.tmp`;
  const young = `${store.directory}/logs/x.log.1.2.tmp`;
  const orphan = `${store.directory}/objects/000042.idx`;
  for (const path of [old, young, orphan]) fs.writeFileSync(path, "x");
  fs.utimesSync(old, 1, 1);
  await collect();
  expect([old, young, orphan].map((path) => fs.existsSync(path))).toEqual([false, true, false]);
});

test("whoever remembers objects learns from the generation that they may be gone", async () => {
  const writers = openWriters(store);
  await writers.register();
  const before = writers.generation();
  expect(storeGeneration(store)).toBe(before);
  await makeLog({}, "scope/live");
  await collect({ least: 1 });
  expect(storeGeneration(store)).toBe(before);
  await put("garbage");
  await collect();
  expect(storeGeneration(store)).not.toBe(before);
  await writers.safepoint();
  expect(writers.generation()).toBe(storeGeneration(store));
  await writers.unregister();
});

test("condemned packs are denied, a condemned log too, from the next operation on", async () => {
  const writers = openWriters(store);
  await expect(writers.during(async () => {})).rejects.toThrow("must register");
  await writers.register();
  const id = sha256("a");
  await put("a");
  const seen = await writers.during(async () => {
    const first = await store.objects.has([id]);
    await publishGcState(store, { generation: 5, epoch: 5, packs: [1], logs: ["f".repeat(32)] });
    // Another operation notices; this one still has what it had, and is not acknowledged before it ends.
    await writers.during(async () => {});
    await writers.safepoint();
    return [first, await store.objects.has([id]), listWriters(store)[0]!.generation];
  });
  expect(seen).toEqual([[true], [false], -1]);
  expect(listWriters(store)[0]!.generation).toBe(5);
  expect(writers.denies("f".repeat(32))).toBe(true);
  await writers.during(async () => {
    await put("a");
    expect(store.objects.locate(id)).not.toBe(null);
    expect(await store.objects.has([id])).toEqual([true]);
  });
  await publishGcState(store, { generation: 6, epoch: 5, packs: [], logs: [] });
  const end = writers.keepUp(1);
  while (writers.denies("f".repeat(32))) await new Promise((resolve) => setTimeout(resolve, 1));
  end();
  expect(writers.denies("f".repeat(32))).toBe(false);
  await writers.unregister();
  expect(listWriters(store)).toEqual([]);
});

test("a writer that cannot read what is condemned trusts nothing and acknowledges nothing", async () => {
  const writers = openWriters(store);
  await writers.register();
  const id = sha256("a");
  await put("a");
  fs.writeFileSync(`${store.directory}/writers/state`, "?");
  await writers.safepoint();
  expect(await store.objects.has([id])).toEqual([false]);
  expect(listWriters(store)[0]!.generation).toBe(-1);
  expect(writers.generation()).not.toBe(writers.generation() + storeGeneration(store));
  await put("a");
  expect(await store.objects.has([id])).toEqual([true]);
  await writers.unregister();
});

test("a store of JSON objects that name each other is followed too", async () => {
  const leaf = await put("leaf");
  const list = link("json", await store.objects.put(encodeJson({ deep: [{ leaf }] })));
  await makeLog({ meta: { list } }, "scope/live");
  await collect();
  expect([await holds(list), await holds(leaf)]).toEqual([true, true]);
});
