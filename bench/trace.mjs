// The trace alone: objects, frames, folds, refs, beside what the file system does bare.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, fdatasync, fdatasyncSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { realDisk } from "../dist/trace/disk.js";
import { openObjects } from "../dist/trace/objects.js";
import { newLogId, openStore } from "../dist/trace/store.js";
import { openWriter, readFold } from "../dist/trace/writer.js";
import { mb, median, ms, quantile, table } from "./lib.mjs";

const home = mkdtempSync(join(tmpdir(), "shepherd-bench-"));
process.on("exit", () => rmSync(home, { recursive: true, force: true }));
const rows = [];
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
  what: blob(String(i % 10).repeat(64)),
  tool: "bash",
  block: i,
  title: "x".repeat(40),
});

const store = await openStore(join(home, "store"));

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
  const count = size > 2000 ? 2000 : 8000;
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

// Frames beside bare writes of the same size, in turn.
{
  const rounds = 9;
  const count = 2000;
  const fd = openSync(join(home, "bare"), "a");
  const bare = [];
  const framed = [];
  const batches = [];
  const writer = await newLog(store);
  const line = Buffer.alloc(400, "x");
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
  }
  const [b, f, g] = [bare, framed, batches].map(median);
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
  const rounds = 7;
  const count = 40;
  const fd = openSync(join(home, "bare2"), "a");
  const line = Buffer.alloc(400, "x");
  const writer = await newLog(store);
  const bare = [];
  const synced = [];
  const group = [];
  for (let round = 0; round < rounds; round++) {
    bare.push(
      await time(async () => {
        for (let i = 0; i < count; i++) {
          writeSync(fd, line);
          await new Promise((done) => fdatasync(fd, done));
        }
      }),
    );
    synced.push(
      await time(async () => {
        for (let i = 0; i < count; i++) {
          await writer.note(null, { note: "n", ...facts(i) });
          await writer.sync();
        }
      }),
    );
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
  const [b, s, g] = [bare, synced, group].map(median);
  rows.push(
    ["bare append + fdatasync", us(b, count)],
    ["frame written + synced", `${us(s, count)}, ${(b / s).toFixed(2)} of the rate of bare syncs`],
    [
      "32 at once, each written + synced",
      `${us(g, 32 * count)}, ${((32 * b) / g).toFixed(1)} times the rate of bare syncs`,
    ],
  );
}

// A log of 10,000 steps, read and folded with each frame's hash verified.
{
  const writer = await newLog(store);
  for (let i = 0; i < 10_000; i++) {
    const n = await writer.intent(facts(i));
    await writer.outcome(n, {
      status: "done",
      workspace: `tree:${String(i % 7).repeat(64)}`,
      threads: { main: { append: [blob(String(i % 10).repeat(64))] } },
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
        for await (const _ of other.logs.read(log, 19_000));
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
  const count = 300;
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

// Observing: from the append to the tail of the same process, and of another.
{
  const writer = await newLog(store);
  const abort = new AbortController();
  const inside = [];
  const ended = (async () => {
    for await (const frame of store.logs.tail(writer.log, 0, { signal: abort.signal })) {
      inside.push(performance.timeOrigin + performance.now() - frame.facts.at);
      if (frame.seq === 299) break;
    }
  })();
  const child = spawn(
    process.execPath,
    [resolve("test/support/child.mjs"), resolve("dist"), "tail", join(home, "store"), writer.log, "299"],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const outside = [];
  let ready;
  const started = new Promise((done) => {
    ready = done;
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (line === "ready") return setTimeout(ready, 100);
    const [, seen, at] = line.split(" ").map(Number);
    outside.push(seen - at);
  });
  const closed = new Promise((done) => child.on("close", done));
  await started;
  for (let i = 0; i < 300; i++) {
    await writer.note(null, { note: "n", at: performance.timeOrigin + performance.now() });
    await new Promise((done) => setTimeout(done, 3));
  }
  await Promise.all([ended, closed]);
  abort.abort();
  const both = (values) => `p50 ${ms(quantile(values, 0.5))} ms, p99 ${ms(quantile(values, 0.99))} ms`;
  rows.push(
    ["a frame seen by a tail of the same process", both(inside)],
    ["a frame seen by a tail of another process", both(outside)],
  );
}
await store.close();

// A large store: about 1 GB in 100,000 objects.
{
  const directory = join(home, "large");
  const objects = await openObjects(realDisk, directory);
  const noise = randomBytes(1 << 20);
  const count = 100_000;
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

table("trace", "The trace", ["what", "took"], rows);
