// The trace alone: objects, frames, folds, refs, beside what the file system does bare.
import { randomBytes } from "node:crypto";
import { closeSync, fdatasync, fdatasyncSync, openSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { goal, home, mb, median, ms, count as number, quick, table, use } from "./lib.mjs";

const { realDisk } = await use("trace/disk.js");
const { openObjects } = await use("trace/objects.js");
const { newLogId, openStore } = await use("trace/store.js");
const { openWriter, readFold } = await use("trace/writer.js");

const rows = [];
const part = quick ? 100 : 1;
const us = (total, count) => `${((total * 1000) / count).toFixed(1)} µs`;
const time = async (work) => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};
const newLog = async (store) => {
  const id = newLogId();
  await store.logs.create({ v: 1, type: "log", id, origin: null, meta: {} });
  const epoch = await store.leases.acquire(`log/${id}`);
  return openWriter(store, id, epoch);
};
const blob = (id) => `blob:${id}`;
/** About 400 bytes as a frame. */
const facts = (i) => ({
  kind: "tool",
  tier: "reversible",
  thread: "main",
  what: blob(named[i % 10]),
  tool: "bash",
  block: i,
  title: "x".repeat(40),
});

const store = await openStore(join(home, "store"));
// What the frames name.
const named = await Promise.all(Array.from({ length: 10 }, (_, i) => store.objects.put(Buffer.from(`object ${i}`))));
await store.objects.sync();

// Text as code is: it deflates to about a third.
const words = randomBytes(6000)
  .toString("hex")
  .match(/.{2,9}/g);
const text = (size, seed) => {
  let out = "";
  for (let i = seed; out.length < size; i = (i * 7919 + 13) % words.length)
    out += `${words[i]} ${i % 5 ? "" : "return value;\n"}`;
  return Buffer.from(`${seed} ${out}`.slice(0, size));
};
for (const size of [1024, 20_000]) {
  const count = (size > 2000 ? 2000 : 8000) / part;
  const contents = Array.from({ length: count }, (_, i) => text(size, i));
  const fresh = await time(async () => {
    for (const each of contents) await store.objects.put(each);
  });
  const again = await time(async () => {
    for (const each of contents) await store.objects.put(each);
  });
  const ids = await Promise.all(contents.map((each) => store.objects.put(each)));
  const got = await time(async () => {
    for (const id of ids) await store.objects.get(id);
  });
  rows.push(
    [`put of ${size} B, new`, us(fresh, count)],
    [`put of ${size} B, known`, us(again, count)],
    [`get of ${size} B`, us(got, count)],
  );
}

// Frames, and steps, beside bare writes of the same size, in turn.
{
  const rounds = quick ? 3 : 9;
  const count = 2000 / part;
  const fd = openSync(join(home, "bare"), "a");
  const bare = [];
  const framed = [];
  const batches = [];
  const steps = [];
  const bareSteps = [];
  const writer = await newLog(store);
  const stepper = await newLog(store);
  const line = Buffer.alloc(400, "x");
  const outcome = (i) => ({
    status: "done",
    workspace: `tree:${String(i % 7).repeat(64)}`,
    threads: { main: { append: [blob(named[i % 10])] } },
  });
  for (let round = 0; round < rounds; round++) {
    bare.push(
      await time(() => {
        for (let i = 0; i < count; i++) writeSync(fd, line);
      }),
    );
    framed.push(
      await time(async () => {
        for (let i = 0; i < count; i++) await writer.note(null, { note: "n", ...facts(i) });
      }),
    );
    batches.push(
      await time(() =>
        Promise.all(Array.from({ length: count }, (_, i) => writer.note(null, { note: "n", ...facts(i) }))),
      ),
    );
    const before = statSync(join(home, "store/logs", `${stepper.log}.log`)).size;
    steps.push(
      await time(async () => {
        for (let i = 0; i < count; i++) await stepper.outcome(await stepper.intent(facts(i)), outcome(i));
      }),
    );
    const half = Buffer.alloc(
      (statSync(join(home, "store/logs", `${stepper.log}.log`)).size - before) / count / 2,
      "x",
    );
    bareSteps.push(
      await time(() => {
        for (let i = 0; i < 2 * count; i++) writeSync(fd, half);
      }),
    );
  }
  const [b, f, g, s, t] = [bare, framed, batches, steps, bareSteps].map(median);
  const perSecond = (took) => number(Math.round((count * 1000) / took));
  rows.push(
    ["steps written: intent, outcome and commit, one after the other", `${perSecond(s)} /s`, ""],
    [
      "the same bytes by two bare appends each",
      `${perSecond(t)} /s: ${(s / t).toFixed(1)} times as fast, which leaves ${us(s - t, count)} a step`,
      "told",
    ],
  );
  rows.push(
    ["bare append of 400 B", us(b, count)],
    [
      "frame of 400 B written, one after the other",
      `${us(f, count)}, ${(b / f).toFixed(2)} of the rate of bare appends`,
    ],
    ["frames written by many at once", `${us(g, count)}, ${(b / g).toFixed(2)}`],
  );
  closeSync(fd);
}

// Synced, beside bare fdatasync: one at a time, and 32 at a time.
{
  const rounds = quick ? 3 : 9;
  const count = quick ? 4 : 60;
  const fd = openSync(join(home, "bare2"), "a");
  const line = Buffer.alloc(400, "x");
  const writer = await newLog(store);
  const bare = [];
  const synced = [];
  const both = [];
  const group = [];
  for (let round = 0; round < rounds; round++) {
    // One of each in turn: a disk that others use is never the same for long.
    for (let i = 0; i < count; i++) {
      bare.push(
        await time(async () => {
          writeSync(fd, line);
          await new Promise((done) => fdatasync(fd, done));
        }),
      );
      synced.push(
        await time(async () => {
          await writer.note(null, { note: "n", ...facts(i) });
          await writer.sync();
        }),
      );
      both.push(
        await time(async () => {
          const id = await store.objects.put(randomBytes(200));
          await writer.note(null, { note: "n", ...facts(i), what: blob(id) });
          await writer.sync();
        }),
      );
    }
    group.push(
      await time(() =>
        Promise.all(
          Array.from({ length: 32 }, async () => {
            for (let i = 0; i < count; i++) {
              await writer.note(null, { note: "n", ...facts(i) });
              await writer.sync();
            }
          }),
        ),
      ),
    );
  }
  fdatasyncSync(fd);
  closeSync(fd);
  const [b, s, n, g] = [bare, synced, both, group].map(median);
  rows.push(
    ["bare append + fdatasync", us(b, 1)],
    [
      "frame written + synced, one at a time",
      `${us(s, 1)}, ${(b / s).toFixed(2)} of the rate of bare syncs`,
      goal(">= 0.7", b / s >= 0.7),
    ],
    [
      "the same, with a new object that it names",
      `${us(n, 1)}, ${((2 * b) / n).toFixed(2)} of the rate of two bare syncs`,
    ],
    [
      "32 at once, each written + synced",
      `${us(g, 32 * count)}, ${((32 * count * b) / g).toFixed(1)} times the rate of bare syncs`,
    ],
  );
}

// A log of 10,000 steps, read and folded with each frame's hash verified.
{
  const writer = await newLog(store);
  for (let i = 0; i < 10_000 / part; i++) {
    const n = await writer.intent(facts(i));
    await writer.outcome(n, {
      status: "done",
      workspace: `tree:${String(i % 7).repeat(64)}`,
      threads: { main: { append: [blob(named[i % 10])] } },
    });
  }
  const log = writer.log;
  const times = [];
  const kept = [];
  for (let round = 0; round < 5; round++) {
    const other = await openStore(join(home, "store"));
    times.push(await time(() => readFold(other, log)));
    kept.push(
      await time(async () => {
        for await (const _ of other.logs.read(log, 19_000 / part));
      }),
    );
    await other.close();
  }
  rows.push(
    ["fold of 10,000 steps (20,000 frames), from the file", `${ms(median(times))} ms`],
    ["its last 1,000 frames, once read", `${ms(median(kept))} ms`],
  );
}

// Refs.
{
  const count = 300 / (quick ? 10 : 1);
  const made = await time(async () => {
    for (let i = 0; i < count; i++) await store.refs.cas(`op/x/${i}`, 0, "x".repeat(200));
  });
  const got = await time(async () => {
    for (let i = 0; i < count; i++) await store.refs.get(`op/x/${i}`);
  });
  const listed = await time(async () => {
    for (let i = 0; i < count; i++) await store.refs.list("op/x/");
  });
  rows.push(
    ["cas of a ref, synced", us(made, count)],
    ["get of a ref", us(got, count)],
    [`list of ${count} refs`, us(listed, count)],
  );
}

await store.close();

// A large store: about 1 GB in 100,000 objects.
{
  const directory = join(home, "large");
  const objects = await openObjects(realDisk, directory);
  const noise = randomBytes(1 << 20);
  const count = 100_000 / part;
  let last;
  for (let i = 0; i < count; i++) {
    const at = (i * 7) % (noise.length - 10_300);
    last = await objects.put(Buffer.concat([Buffer.from(String(i)), noise.subarray(at, at + 10_240)]));
  }
  await objects.sync();
  await objects.close();
  const bytes = realDisk.list(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
  const times = [];
  const heap = [];
  for (let round = 0; round < 5; round++) {
    globalThis.gc?.();
    const before = process.memoryUsage();
    let opened;
    times.push(
      await time(async () => {
        opened = await openObjects(realDisk, directory);
        await opened.get(last);
      }),
    );
    globalThis.gc?.();
    const after = process.memoryUsage();
    heap.push(after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers);
    await opened.close();
  }
  for (const name of realDisk.list(directory)) if (name.endsWith(".idx")) realDisk.remove(join(directory, name));
  const scanned = await time(async () => (await openObjects(realDisk, directory)).close());
  rows.push(
    [`open a store of ${mb(bytes)} MB, ${count} objects, and get one`, `${ms(median(times))} ms`],
    ["memory of its index", `${mb(median(heap))} MB`],
    ["the same without index files", `${ms(scanned)} ms`],
  );
}

table(
  "trace",
  "The trace",
  "Objects, frames, syncs and refs of a store, in turn with what the file system does bare; medians.",
  ["what", "took", "target"],
  rows.map(([what, took, target = ""]) => [what, took, target]),
);
