/** Stores that were damaged, or made by somebody who wishes us ill: whatever is done with them ends, in a result or in a sentence. */
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { long, params } from "../../test/support/runs.ts";
import { randomFrom, simDisk } from "../../test/support/simdisk.ts";
import { canonical, encodeJson, link, sha256 } from "./bytes.ts";
import { headerHash } from "./chain.ts";
import { type Disk, realDisk } from "./disk.ts";
import type { Json, LogHeader } from "./ports.ts";
import { encodeRecord, MAX_RECORD, scan } from "./record.ts";
import { NewerFormat } from "./segment.ts";
import { type EmbeddedStore, openStore } from "./store.ts";
import { openWriter, readFold } from "./writer.ts";

const LOGS = ["a", "b"].map((digit) => digit.repeat(32));
const header = (id: string): LogHeader => ({ v: 1, type: "log", id, origin: null, meta: { name: "x" } });

/** A store with a bit of everything. */
async function fill(disk: Disk, directory: string): Promise<void> {
  const store = await openStore(directory, { disk });
  const random = randomFrom(1);
  for (const log of LOGS) {
    await store.logs.create(header(log));
    const epoch = (await store.leases.acquire(`log/${log}`))!;
    const writer = await openWriter(store, log, epoch);
    for (let i = 0; i < 8; i++) {
      const bytes = Buffer.from(Array.from({ length: 40 + i * 90 }, () => Math.floor(random() * 256)));
      const what = link("blob", await store.objects.put(i % 2 ? bytes : Buffer.from("text ".repeat(i * 100))));
      const n = await writer.intent({ kind: "tool", tier: "reversible", what, thread: "main" });
      await writer.outcome(n, { status: "done", threads: { main: { append: [what] } } });
      await store.refs.cas(
        `ref/${i % 3}`,
        (await store.refs.get(`ref/${i % 3}`))?.version ?? 0,
        JSON.stringify({ log, i }),
      );
    }
    await store.leases.release(`log/${log}`, epoch);
  }
  await store.close();
}

/** A sentence, and none of the errors that only a mistake of ours throws. */
function isClear(error: unknown): boolean {
  const mistakes = [TypeError, RangeError, SyntaxError, ReferenceError];
  return (
    error instanceof Error &&
    !mistakes.some((each) => error instanceof each) &&
    /^\S.*\.$/s.test(error.message) &&
    error.message.length < 2000
  );
}

async function attempt<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (!isClear(error)) throw error;
    return null;
  }
}

let pids = 0;
/** Opens it as a process that is the only one alive. */
function openAlone(directory: string, disk: Disk): Promise<EmbeddedStore> {
  const pid = ++pids;
  return openStore(directory, {
    disk,
    owner: () => ({ boot: "boot", pid, start: "1", ns: "ns" }),
    alive: (owner) => owner.boot === "boot" && owner.pid === pid,
  });
}

/** Everything that is done with a store. What is appended to it must be there afterwards. */
async function use(disk: Disk, directory: string): Promise<void> {
  const ids: string[] = [];
  const notes = new Map<string, number>();
  let changed = false;
  const content = Buffer.from(`new ${Math.random()}`);
  await attempt(async () => {
    const store = await openAlone(directory, disk);
    for (const log of await store.logs.list()) {
      await attempt(() => store.logs.header(log));
      await attempt(() => store.logs.inspect(log));
      await attempt(() => readFold(store, log, store.derived));
      await attempt(async () => {
        const end = await store.logs.end(log);
        const epoch = await store.leases.acquire(`log/${log}`, end.epoch);
        if (epoch === null) return;
        const writer = await openWriter(store, log, epoch);
        await writer.note(null, { note: "after the damage" });
        notes.set(log, (await store.logs.end(log)).seq);
      });
      await attempt(async () => {
        const abort = new AbortController();
        setImmediate(() => abort.abort());
        for await (const _ of store.logs.tail(log, 3, { signal: abort.signal }));
      });
    }
    for (const pack of store.objects.packs())
      for (const [id] of pack.entries()) {
        const bytes = await attempt(() => store.objects.get(id));
        if (bytes) expect(sha256(bytes)).toBe(id);
      }
    for (const { name, version } of (await attempt(() => store.refs.list(""))) ?? [])
      await attempt(() => store.refs.cas(name, version, "changed"));
    changed =
      (await attempt(async () =>
        store.refs.cas("after", (await store.refs.get("after"))?.version ?? 0, String(content)),
      )) === true;
    const id = await attempt(() => store.objects.put(content));
    if (id) ids.push(id);
    await attempt(() => store.close());
  });
  const again = await attempt(() => openAlone(directory, disk));
  if (!again) {
    expect([ids.length, notes.size, changed]).toEqual([0, 0, false]);
    return;
  }
  for (const id of ids) expect(await again.objects.get(id)).toEqual(content);
  for (const [log, seq] of notes) {
    const frames = [];
    for await (const frame of again.logs.read(log, seq - 1)) frames.push(frame);
    expect(frames[0]?.facts).toEqual({ note: "after the damage" });
  }
  if (changed) expect((await again.refs.get("after"))?.value).toBe(String(content));
  await again.close();
}

const HOSTILE: Json[] = [
  { v: 1 },
  { v: 2, seq: 0 },
  { v: { toString: "x" } },
  null,
  [],
  "text",
  1e308,
  { closed: 1 },
  { closed: null, ref: "a" },
  { ref: "ref/0", version: Number.MAX_SAFE_INTEGER, next: "x", id: "" },
  { ref: "__proto__", version: 1, next: "x", id: "constructor" },
  { ref: "log/x", version: 1e300, next: {}, id: 5 },
  { ref: `log/${LOGS[0]}`, version: 50, next: '{"epoch":9007199254740991,"owner":null}', id: "x" },
  { ref: `log/${LOGS[0]}`, version: 51, next: '{"epoch":"__proto__"}', id: "x" },
  { ref: `mark/${LOGS[0]}`, version: 50, next: '{"boot":"other","seq":-5}', id: "x" },
  { ref: "recover", version: 50, next: "[", id: "x" },
];

/** Frames that follow on the header and say something that no writer says. */
function hostileFrames(log: string): Json[] {
  const frame = { v: 1, seq: 0, epoch: 0, prev: headerHash(header(log)), n: 0, facts: {} };
  const intent = { ...frame, phase: "intent", facts: { kind: "tool", tier: "reversible" } };
  const outcome = (facts: { [key: string]: Json }): Json => ({
    ...frame,
    phase: "outcome",
    seq: 1,
    prev: sha256(canonical(intent)),
    facts: { status: "done", ...facts },
  });
  return [
    { ...intent, n: 5 },
    { ...intent, epoch: Number.MAX_SAFE_INTEGER },
    { ...intent, facts: { kind: "__proto__", tier: "toString" } },
    { ...intent, facts: { kind: "tool", tier: "reversible", what: { a: 1 } } },
    { ...intent, links: { turn: -1 } },
    { ...intent, links: { turn: 99 } },
    { ...intent, carry: { vcs: 5 } },
    { ...intent, witness: { at: "late", synced: {} } },
    { ...frame, phase: "part", facts: { part: null } },
    { ...frame, phase: "note", n: null, facts: { note: "compensated", of: [] } },
    intent,
    outcome({ threads: { constructor: { append: ["blob:x"] } } }),
    outcome({ threads: { ["__proto__"]: { append: [] }, toString: { shell: null } } }),
    outcome({ threads: { a: { append: [5] } } }),
    outcome({ threads: { a: null } }),
    outcome({ state: { roots: {}, threads: {} } }),
    outcome({ state: { roots: { workspace: "tree:x" }, threads: { a: { items: "items:x", shell: 5 } } } }),
    outcome({ workspace: 7 }),
    outcome({ with: "x", base: [] }),
    outcome({ result: `blob:${sha256("nothing")}` }),
  ];
}

interface Damage {
  file: number;
  kind: number;
  at: number;
  length: number;
  seed: number;
}

const nowhere = (bytes: Buffer, at: number): number => Math.floor(at * bytes.length);

const KINDS: Array<(bytes: Buffer, damage: Damage, files: Map<string, Buffer>, path: string) => Buffer | null> = [
  (bytes, { at }) => bytes.subarray(0, nowhere(bytes, at)),
  (bytes, { at, seed }) => {
    if (bytes.length > 0) bytes[nowhere(bytes, at)]! ^= 1 << (seed & 7);
    return bytes;
  },
  (bytes, { at, length, seed }) => {
    const random = randomFrom(seed);
    for (let i = nowhere(bytes, at), end = Math.min(bytes.length, i + length); i < end; i++)
      bytes[i] = Math.floor(random() * 256);
    return bytes;
  },
  (bytes, { at, length }) => bytes.fill(0, nowhere(bytes, at), Math.min(bytes.length, nowhere(bytes, at) + length)),
  (bytes, { at, length }) =>
    Buffer.concat([
      bytes.subarray(0, nowhere(bytes, at)),
      Buffer.alloc(length, 0xf5),
      bytes.subarray(nowhere(bytes, at)),
    ]),
  (bytes, { at, length }) =>
    Buffer.concat([bytes.subarray(0, nowhere(bytes, at)), bytes.subarray(nowhere(bytes, at) + length)]),
  (bytes, { at }) => Buffer.concat([bytes, bytes.subarray(nowhere(bytes, at))]),
  (bytes, { seed }, files) => Buffer.concat([bytes, [...files.values()][seed % files.size]!]),
  (_, { seed }, files) => Buffer.from([...files.values()][seed % files.size]!),
  () => Buffer.alloc(0),
  () => null,
  (bytes) => Buffer.from(bytes.toString("latin1").replace(/^(shepherd \w+) 1\n/, "$1 2\n"), "latin1"),
  (bytes, { seed }) => Buffer.concat([bytes, encodeRecord(encodeJson(HOSTILE[seed % HOSTILE.length]))]),
  (bytes, { at, seed }) =>
    Buffer.concat([
      bytes.subarray(0, nowhere(bytes, at)),
      encodeRecord(encodeJson(HOSTILE[seed % HOSTILE.length])),
      bytes.subarray(nowhere(bytes, at)),
    ]),
  (bytes, { length }) => Buffer.concat([bytes, encodeRecord(Buffer.from("[".repeat(length)))]),
  (bytes) => {
    const record = encodeRecord(Buffer.alloc(100, 1));
    return Buffer.concat([bytes, ...Array.from({ length: 50 }, () => record.subarray(0, 60))]);
  },
  (_, { seed }, __, path) => {
    const log = /(\w{32})\.log$/.exec(path)?.[1];
    if (!log) return null;
    const frames = hostileFrames(log);
    const intent = frames.find(
      (frame) => canonical(frame).includes('"phase":"intent"') && canonical(frame).length < 200,
    )!;
    const chosen = frames[seed % frames.length]!;
    const before = (chosen as { seq: number }).seq === 1 ? [frames[10]!] : [];
    return Buffer.concat([
      Buffer.from("shepherd log 1\n"),
      ...[header(log), ...before, chosen, intent].map((each) => encodeRecord(encodeJson(each))),
    ]);
  },
  (_, { seed }, __, path) => {
    const log = /(\w{32})\.log$/.exec(path)?.[1] ?? LOGS[0]!;
    const origins: Json[] = [5, [], {}, { log: 1 }, { log, n: 0, seq: 0, commit: "x", state: {}, top: 0, carry: {} }];
    const headers: Json[] = [
      null,
      { v: 3, type: "log" },
      { ...header(log), v: 0 } as never,
      ...origins.map((origin) => ({ ...header(log), origin }) as never),
    ];
    return Buffer.concat([Buffer.from("shepherd log 1\n"), encodeRecord(encodeJson(headers[seed % headers.length]))]);
  },
];

const damages = fc.array(
  fc.record({
    file: fc.nat(1000),
    kind: fc.nat(KINDS.length - 1),
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    length: fc.oneof(fc.nat(64), fc.nat(5000)),
    seed: fc.nat(),
  }),
  { minLength: 1, maxLength: 4 },
);

test(
  "a damaged or hostile store crashes nothing and hangs nothing, and what is appended to it is read back",
  async () => {
    const whole = simDisk();
    await fill(whole, "/store");
    await fc.assert(
      fc.asyncProperty(damages, async (list) => {
        const files = whole.files();
        for (const damage of list) {
          const paths = [...files.keys()].sort();
          const path = paths[damage.file % paths.length]!;
          const bytes = KINDS[damage.kind]!(Buffer.from(files.get(path)!), damage, files, path);
          if (bytes) files.set(path, bytes);
          else files.delete(path);
        }
        await use(simDisk(files), "/store");
      }),
      { ...params(2000, 200), interruptAfterTimeLimit: long ? 900_000 : 60_000 },
    );
  },
  long ? 900_000 : 60_000,
);

test("reading takes time in proportion to the size, though every head claims all that follows", () => {
  const payload = Buffer.alloc(MAX_RECORD);
  const head = encodeRecord(payload).subarray(0, 16);
  // Each of these heads is valid, and none of the payloads behind them is.
  const bytes = Buffer.concat([
    ...Array.from({ length: 40_000 }, () => head),
    Buffer.alloc(MAX_RECORD, 1),
    encodeRecord(Buffer.from("end")),
  ]);
  const disk = simDisk(new Map([["/f", bytes]]));
  let read = 0;
  const file = disk.open("/f")!;
  const counting = {
    ...file,
    read: (offset: number, length: number): Buffer => {
      read += length;
      return file.read(offset, length);
    },
  };
  for (const _ of scan(counting, 0));
  expect(read).toBeLessThan(400 << 20);
});

test("a newer version is refused in a sentence, wherever it stands", async () => {
  const whole = simDisk();
  await fill(whole, "/store");
  const newer = async (
    path: string,
    change: (bytes: Buffer) => Buffer,
    work: (store: Awaited<ReturnType<typeof openStore>>) => Promise<unknown>,
  ): Promise<void> => {
    const files = whole.files();
    files.set(path, change(files.get(path)!));
    const failing = openStore("/store", { disk: simDisk(files) }).then(work);
    await expect(failing).rejects.toThrow(NewerFormat);
    await expect(failing).rejects.toThrow(/this Shepherd knows .*: update Shepherd.*\.$/);
  };
  const heading = (bytes: Buffer): Buffer =>
    Buffer.from(bytes.toString("latin1").replace(/^(shepherd \w+) 1\n/, "$1 23\n"), "latin1");
  await newer("/store/format", heading, async () => {});
  await newer("/store/refs.1", heading, async () => {});
  await newer("/store/objects/000001.pack", heading, async () => {});
  const log = LOGS[0]!;
  const path = `/store/logs/${log}.log`;
  await newer(path, heading, (store) => store.logs.header(log));
  const frame = encodeRecord(encodeJson({ v: 2, seq: 16, what: "ever" }));
  await newer(
    path,
    (bytes) => Buffer.concat([bytes, frame]),
    (store) => readFold(store, log),
  );
  await newer(
    path,
    (bytes) => Buffer.concat([bytes, frame]),
    (store) => store.logs.append(log, 16, 1, []),
  );
  await newer(
    path,
    () => Buffer.concat([Buffer.from("shepherd log 1\n"), encodeRecord(encodeJson({ ...header(log), v: 2 }))]),
    (store) => store.logs.header(log),
  );
});

describe("on the disk of this machine", () => {
  let directory: string;
  let store: string;
  beforeEach(async () => {
    directory = fs.mkdtempSync(`${tmpdir()}/shepherd-damage-`);
    store = `${directory}/store`;
    await fill(realDisk, store);
    fs.mkdirSync(`${directory}/outside`);
    fs.cpSync(store, `${directory}/outside/store`, { recursive: true });
    fs.writeFileSync(`${directory}/outside/file`, "shepherd log 1\n");
  });
  afterEach(() => fs.rmSync(directory, { recursive: true }));

  const outside = (): unknown =>
    fs
      .readdirSync(`${directory}/outside`, { recursive: true, withFileTypes: true })
      .map((entry) => `${entry.parentPath}/${entry.name}`)
      .sort()
      .map((path) => [path, fs.statSync(path).isFile() ? fs.readFileSync(path, "hex") : ""]);

  const replace = (name: string, make: (path: string) => void): void => {
    fs.rmSync(`${store}/${name}`, { recursive: true, force: true });
    make(`${store}/${name}`);
  };
  const names = [
    "format",
    "refs.1",
    "leases.1",
    "objects",
    "logs",
    "cache",
    "cache/derived",
    "objects/000001.pack",
    "objects/000001.idx",
    `logs/${LOGS[0]}.log`,
  ];
  const inStore = (name: string): string => `${directory}/outside/store/${name}`;
  const things: Array<[string, (path: string, name: string) => void]> = [
    ["a link to the same outside", (path, name) => fs.symlinkSync(inStore(name), path)],
    ["a link to a file outside", (path) => fs.symlinkSync(`${directory}/outside/file`, path)],
    ["a link to nothing outside", (path) => fs.symlinkSync(`${directory}/outside/new`, path)],
    ["a link to itself", (path) => fs.symlinkSync(path, path)],
    ["a link to a device that never ends", (path) => fs.symlinkSync("/dev/zero", path)],
    ["a pipe", (path) => execFileSync("mkfifo", [path])],
    ["a directory", (path) => fs.mkdirSync(path)],
    ["an empty file", (path) => fs.writeFileSync(path, "")],
    [
      "a huge file of nothing",
      (path) => {
        fs.writeFileSync(path, "");
        fs.truncateSync(path, 3e9);
      },
    ],
    ["a file that nobody may read", (path) => fs.writeFileSync(path, "x", { mode: 0 })],
  ];
  test.each(things)("%s in place of any file does no harm outside", async (what, make) => {
    const before = outside();
    for (const name of names) {
      // It takes seconds to look through for records.
      if (what === "a huge file of nothing" && !name.endsWith("idx") && name !== "format") continue;
      replace(name, (path) => make(path, name));
      await use(realDisk, store);
      expect(outside()).toEqual(before);
      fs.rmSync(store, { recursive: true });
      fs.cpSync(`${directory}/outside/store`, store, { recursive: true });
    }
  });

  test("the store itself may be a link, and a log's id leads nowhere else", async () => {
    fs.symlinkSync(store, `${directory}/link`);
    const opened = await openStore(`${directory}/link`);
    expect(await opened.logs.list()).toEqual(LOGS);
    for (const log of ["../../outside/file", "", `${LOGS[0]}/../x`, `${LOGS[0]}\n`, "__proto__"]) {
      await expect(opened.logs.header(log)).rejects.toThrow(/is no id of a log/);
      await expect(opened.logs.create(header(log))).rejects.toThrow(/is no id of a log/);
      expect(() => opened.logs.remove(log)).toThrow(/is no id of a log/);
    }
    await opened.close();
  });
});
