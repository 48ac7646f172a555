/** Power loss: processes work on a simulated disk, the power goes out at any moment, and what is left is opened again. */
import { expect, test } from "vitest";
import { long, runs, seed } from "../../test/support/runs.ts";
import { type Random, randomFrom, type SimDisk, simDisk } from "../../test/support/simdisk.ts";
import { encodeJson, link, linksIn } from "./bytes.ts";
import { frameHash } from "./chain.ts";
import type { Hash, Link, Owner } from "./ports.ts";
import { isWhole, packShelf, traceFollowers } from "./reach.ts";
import { type EmbeddedStore, newLogId, openStore } from "./store.ts";
import { openWriter, type Writer } from "./writer.ts";

/** What processes were told. */
interface Known {
  /** Hashes of the frames of each log, in order; and how many of them were told to be synced. */
  logs: Map<string, { frames: Hash[]; synced: number }>;
  /** The newest change of each ref that was told to count, and values that may have come behind it. */
  refs: Map<string, { value: string | null; version: number; tried: Set<string | null> }>;
}

const copyOf = ({ logs, refs }: Known): Known => ({
  logs: new Map([...logs].map(([log, { frames, synced }]) => [log, { frames: frames.slice(), synced }])),
  refs: new Map([...refs].map(([name, ref]) => [name, { ...ref, tried: new Set(ref.tried) }])),
});

const followers = { ...traceFollowers, tree: () => [], mtimes: () => [], chunks: () => [] };

let boots = 0;
/** Opens the store as a process of `boot`; those of `dead` do not live. */
const openAs = (disk: SimDisk, boot: string, pid: number, dead = new Set<number>()): Promise<EmbeddedStore> =>
  openStore("/store", {
    disk,
    owner: () => ({ boot, pid, start: "1", ns: "ns" }),
    alive: (owner: Owner) => owner.boot === boot && !dead.has(owner.pid),
    followers,
  });

const pick = <T>(random: Random, from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
const someBytes = (random: Random): Buffer => {
  const bytes = Buffer.alloc(Math.floor(random() ** 3 * 3000), Math.floor(random() * 256));
  for (let i = 0; i < Math.min(40, bytes.length); i++) bytes[i] = Math.floor(random() * 256);
  return bytes;
};

/** One process: it drives a log, changes refs, and is killed in the end or not. */
async function work(store: EmbeddedStore, known: Known, random: Random, log: string, steps: number): Promise<void> {
  const epoch = await store.leases.acquire(`log/${log}`, (await store.logs.end(log)).epoch);
  if (epoch === null) return;
  const writer = await openWriter(store, log, epoch);
  const told = known.logs.get(log)!;
  writer.watch((frame) => {
    told.frames[frame.seq] = frameHash(frame);
  });
  const links: Link[] = [];
  const put = async (): Promise<Link> => {
    const what = link("blob", await store.objects.put(someBytes(random)));
    links.push(what);
    return what;
  };
  /** An object that names others. */
  const tree = async (): Promise<Link> => {
    const kids = [await put(), ...(links.length > 0 ? [pick(random, links)] : []), await put()];
    const made = link("json", await store.objects.put(encodeJson({ kids, odd: random() })));
    links.push(made);
    return made;
  };
  const sync = async (): Promise<void> => {
    const wanted = told.frames.length;
    await writer.sync();
    told.synced = Math.max(told.synced, wanted);
  };
  const change = async (): Promise<void> => {
    const name = pick(random, ["a", "b", `of/${log}`]);
    const ref = known.refs.get(name) ?? { value: null, version: 0, tried: new Set() };
    known.refs.set(name, ref);
    const now = await store.refs.get(name);
    const next = random() < 0.1 ? null : `${log} ${random()}`;
    ref.tried.add(next);
    if (!(await store.refs.cas(name, now?.version ?? 0, next))) return;
    const version = (await store.refs.get(name))?.version ?? 0;
    if (next !== null && version > ref.version) Object.assign(ref, { value: next, version: (now?.version ?? 0) + 1 });
    if (next === null) ref.version = Math.max(ref.version, 0);
  };
  for (let i = 0; i < steps; i++) await pick(random, [step, step, step, sync, change])(writer);
  if (random() < 0.5) await store.leases.release(`log/${log}`, epoch);

  async function step(by: Writer): Promise<void> {
    if (random() < 0.2) return by.note(null, { note: "n", of: await put() });
    const n = await by.intent({ kind: "tool", tier: "reversible", what: await put() });
    if (random() < 0.3) await by.part(n, { part: "p", of: await tree() });
    await by.outcome(n, { status: "done", workspace: await tree(), threads: { main: { append: [await put()] } } });
  }
}

/** Lets two or three processes work at once, some of them killed and followed by others, and gives a disk for each moment of it. */
async function run(random: Random, moments: number): Promise<Array<{ disk: SimDisk; known: Known }>> {
  const disk = simDisk();
  const known: Known = { logs: new Map(), refs: new Map() };
  const left: Array<{ disk: SimDisk; known: Known }> = [];
  const boot = `boot ${++boots}`;
  const dead = new Set<number>();
  const kills: Array<() => void> = [];
  disk.faults.operating = () => {
    if (random() < moments) left.push({ disk: disk.crash(random), known: copyOf(known) });
  };
  disk.faults.syncing = async () => {
    for (let turns = Math.floor(random() * 4); turns > 0; turns--) await new Promise(setImmediate);
  };
  const process = async (pid: number): Promise<EmbeddedStore> => {
    const mine = disk.process();
    kills[pid] = () => {
      dead.add(pid);
      mine.kill();
    };
    return openAs(mine.disk as SimDisk, boot, pid, dead);
  };
  const count = 2 + Math.floor(random() * 2);
  const workers: Array<Promise<void>> = [];
  for (let pid = 1; pid <= count; pid++) {
    const store = await process(pid);
    const log = newLogId();
    await store.logs.create({ v: 1, type: "log", id: log, origin: null, meta: {} });
    known.logs.set(log, { frames: [], synced: 0 });
    await store.logs.header(log);
    workers.push(
      (async () => {
        await work(store, known, random, log, 6);
        if (random() < 0.5) return;
        // Another takes over in the same boot: nothing is lost by the death of a process.
        kills[pid]!();
        const next = await process(pid + 10);
        expect((await next.logs.end(log)).seq).toBe(known.logs.get(log)!.frames.length);
        await work(next, known, random, log, 4);
      })(),
    );
  }
  await Promise.all(workers);
  left.push({ disk: disk.crash(random), known: copyOf(known) });
  for (const kill of kills) kill?.();
  return left;
}

/** Opens what is left and checks it against what was told. Gives how many logs were cut. */
async function check(disk: SimDisk, { logs, refs }: Known): Promise<number> {
  const store = await openAs(disk, `boot ${++boots}`, 1);
  const sizes = new Map([...disk.files()].map(([path, bytes]) => [path, bytes.length]));
  let cut = 0;
  for (const [log, { frames, synced }] of logs) {
    let told = 0;
    let later = 0;
    for await (const frame of store.logs.read(log)) {
      expect(await isWhole(packShelf(store.objects), followers, linksIn(frame)), `frame ${frame.seq}`).toBe(true);
      // From an earlier check, at the end of which the power went out again.
      if (frame.phase === "note" && frame.facts.note === "after") later++;
      else expect(frameHash(frame)).toBe(frames[told++] ?? frameHash(frame));
    }
    // The frame that was just being appended may be there without having been told.
    expect(told).toBeGreaterThanOrEqual(synced);
    expect(told).toBeLessThanOrEqual(frames.length + 1);
    if (disk.files().get(`/store/logs/${log}.log`)!.length < sizes.get(`/store/logs/${log}.log`)!) cut++;
    const epoch = (await store.leases.acquire(`log/${log}`, (await store.logs.end(log)).epoch))!;
    const writer = await openWriter(store, log, epoch);
    await writer.note(null, { note: "after", of: link("blob", await store.objects.put(Buffer.from(log))) });
    await writer.sync();
    expect((await store.logs.end(log)).seq).toBe(told + later + 1);
  }
  for (const [name, { value, version, tried }] of refs) {
    const ref = await store.refs.get(name);
    if (ref?.value === "after") expect(ref.version).toBeGreaterThan(version);
    else if (ref && ref.version > version) expect(tried).toContain(ref.value);
    else if (ref) expect(ref).toEqual({ value, version });
    else if (value !== null) expect(tried).toContain(null);
    expect(await store.refs.cas(name, ref?.version ?? 0, "after")).toBe(true);
  }
  await store.close();
  return cut;
}

const LAW =
  "after a power loss at any moment, all that was synced is there, all that counts is whole, and work goes on";

test(LAW, { timeout: long ? 900_000 : 60_000 }, async () => {
  const random = randomFrom(seed);
  let states = 0;
  let cut = 0;
  for (const wanted = runs(10_000, 400); states < wanted; ) {
    for (const { disk, known } of await run(random, 0.3)) {
      states++;
      const again: SimDisk[] = [];
      // The power can go out while it is put in order, too.
      disk.faults.operating = () => {
        if (random() < 0.02) again.push(disk.crash(random));
      };
      cut += await check(disk, known);
      for (const each of again) {
        states++;
        await check(each, known);
      }
    }
  }
  // Else the disk is not bad enough.
  expect(cut).toBeGreaterThan(states / 50);
});
