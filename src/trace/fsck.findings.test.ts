import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { crc32 } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fastDisk } from "../../test/support/fast-disk.ts";
import { followers, sampleTree } from "../../test/support/traces.ts";
import { encodeJson, link, sha256 } from "./bytes.ts";
import { frameHash, headerHash } from "./chain.ts";
import type { Frame } from "./frame.ts";
import { type Finding, type FsckOptions, fsck } from "./fsck.ts";
import { encodeFrame } from "./logs.ts";
import { thisOwner } from "./owner.ts";
import type { LogHeader } from "./ports.ts";
import { encodeRecord } from "./record.ts";
import { startFold } from "./seal.ts";
import { type EmbeddedStore, newLogId, openStore } from "./store.ts";
import { openWriter } from "./writer.ts";
import { openWriters } from "./writers.ts";

let directory: string;
let store: EmbeddedStore;
beforeEach(async () => {
  directory = mkdtempSync(`${tmpdir()}/shepherd-findings-`);
  store = await openStore(`${directory}/store`, { disk: fastDisk });
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

const at = (name: string): string => `${store.directory}/${name}`;

async function check(options: Partial<FsckOptions> = {}): Promise<Finding[]> {
  const found: Finding[] = [];
  for await (const finding of fsck(store, { followers, ...options })) found.push(finding);
  return found;
}

/** The only finding. */
async function only(wanted: Partial<Finding>, options: Partial<FsckOptions> = {}): Promise<Finding> {
  const found = await check(options);
  expect(found).toEqual([expect.objectContaining(wanted)]);
  return found[0]!;
}

const header = (more: Partial<LogHeader> = {}): LogHeader => ({
  v: 1,
  type: "log",
  id: newLogId(),
  origin: null,
  meta: {},
  ...more,
});

type Draft = { phase: Frame["phase"]; n: number | null; facts: unknown; epoch?: number };
const INTENT: Draft = { phase: "intent", n: 0, facts: { kind: "tool", tier: "reversible" } };
const OUTCOME: Draft = { phase: "outcome", n: 0, facts: { status: "done" } };
const NOTE: Draft = { phase: "note", n: null, facts: { note: "hello" } };

/** Frames that follow on each other, whether or not they keep the laws. */
function chain(head: LogHeader, drafts: readonly Draft[]): Frame[] {
  let prev = headerHash(head);
  return drafts.map(({ epoch = 1, ...draft }, seq) => {
    const frame = { v: 1, seq, epoch, prev, ...draft } as Frame;
    prev = frameHash(frame);
    return frame;
  });
}

async function writeLog(drafts: readonly Draft[], head = header()): Promise<{ log: string; frames: Frame[] }> {
  await store.logs.create(head);
  const frames = chain(head, drafts);
  append(head.id, ...frames);
  return { log: head.id, frames };
}

const append = (log: string, ...frames: Frame[]): void =>
  appendFileSync(at(`logs/${log}.log`), Buffer.concat(frames.map((frame) => encodeRecord(encodeFrame(frame)))));

/** A log with three steps and a fork from the second. */
async function fork(change: (header: LogHeader) => void = () => {}): Promise<{ parent: string; child: string }> {
  const parent = header();
  await store.logs.create(parent);
  const writer = await openWriter(store, parent.id, 1);
  for (let k = 0; k < 3; k++) {
    const n = await writer.intent({ kind: "tool", tier: "reversible" });
    await writer.outcome(n, { status: "done", workspace: await sampleTree(store, k, k) });
  }
  const { n, sealed } = writer.fold.sealed[1]!;
  const { id, seq, state, top, carry } = sealed!;
  const child = header({ origin: { log: parent.id, n, seq, commit: id, state, top, carry } });
  change(child);
  await store.logs.create(child);
  return { parent: parent.id, child: child.id };
}

test("a store without anything, and one with a fork, have nothing wrong", async () => {
  expect(await check({ full: true })).toEqual([]);
  await fork();
  expect(await check({ full: true })).toEqual([]);
});

test.each<[string, (header: LogHeader) => void, Partial<Finding>]>([
  ["its commit", (child) => (child.origin!.commit = sha256("x")), { severity: "error", what: "origin" }],
  ["its frame", (child) => child.origin!.seq++, { severity: "error", what: "origin" }],
  ["its step", (child) => (child.origin!.n = 7), { severity: "error", what: "origin" }],
  ["its numbers", (child) => (child.origin!.top = 0), { severity: "error", what: "origin" }],
  [
    "its state",
    (child) => (child.origin!.state.threads.x = { items: null, shell: null }),
    { severity: "error", what: "origin" },
  ],
  ["its log", (child) => (child.origin!.log = newLogId()), { severity: "warning", what: "origin" }],
])("a fork that is wrong about %s is told", async (_, change, wanted) => {
  const { child } = await fork(change);
  await only({ ...wanted, log: child });
});

test.each<[string, Draft[], number]>([
  ["an outcome without an intent", [NOTE, OUTCOME], 1],
  ["a second outcome", [INTENT, OUTCOME, OUTCOME], 2],
  ["a part without an intent", [{ phase: "part", n: 3, facts: {} }], 0],
  ["a number left out", [INTENT, { ...INTENT, n: 2 }], 1],
  ["a number used twice", [INTENT, INTENT], 1],
])("a frame that breaks a law is told: %s", async (_, drafts, seq) => {
  const { log } = await writeLog(drafts);
  await only({ severity: "error", what: "law", log, seq });
});

test("what a fenced writer left is a note, and takes no damage for lost", async () => {
  const { log, frames } = await writeLog([INTENT, { ...NOTE, epoch: 2 }, { ...OUTCOME, epoch: 2 }]);
  const late = { ...frames[1]!, epoch: 1, facts: { note: "late" } } as Frame;
  append(log, late, { ...NOTE, v: 1, seq: 2, epoch: 1, prev: frameHash(late) } as Frame);
  const found = await check();
  expect(found.map(({ severity, what, seq }) => [severity, what, seq])).toEqual([
    ["note", "stray", 1],
    ["note", "stray", 2],
  ]);
});

test("frames cut out of a log are named, and how many behind them do not count", async () => {
  const head = header();
  const frames = chain(head, [INTENT, NOTE, NOTE, OUTCOME, NOTE]);
  await store.logs.create(head);
  append(head.id, ...frames.slice(0, 1), ...frames.slice(3));
  const found = await check();
  expect(found.map(({ severity, what, seq }) => [severity, what, seq])).toEqual([
    ["error", "frame", 1],
    ["error", "frame", 2],
  ]);
  expect(found[0]!.text).toContain("so the 2 behind it do not count");
});

test("a frame that is damaged beyond one bit is named by its number", async () => {
  const { log, frames } = await writeLog([INTENT, NOTE, OUTCOME]);
  const bytes = readFileSync(at(`logs/${log}.log`));
  const place = bytes.indexOf(encodeFrame(frames[1]!));
  bytes.write("XXXX", place + 20);
  writeFileSync(at(`logs/${log}.log`), bytes);
  await only({ severity: "error", what: "frame", log, seq: 1 });
});

test("an unfinished record at the end, or zeros after a power loss, are notes", async () => {
  const { log, frames } = await writeLog([INTENT]);
  appendFileSync(at(`logs/${log}.log`), encodeRecord(encodeFrame(frames[0]!)).subarray(0, 50));
  await only({ severity: "note", what: "torn", log });
  appendFileSync(at(`logs/${log}.log`), Buffer.alloc(4096));
  await store.objects.put(Buffer.from("x"));
  appendFileSync(at("objects/000001.pack"), encodeRecord(Buffer.alloc(500)).subarray(0, 300));
  expect((await check()).every(({ severity }) => severity === "note")).toBe(true);
});

test("what a power loss took and the next command cuts is a note until then", async () => {
  const id = sha256("never came to the disk");
  const { log } = await writeLog([INTENT, { ...NOTE, facts: { note: "x", blob: link("blob", id) } }]);
  await only({ severity: "error", what: "missing", log, seq: 1, id });
  const mark = (boot: string, seq: number) => `${JSON.stringify({ boot, seq })}`;
  const leases = await import("./refs.ts").then(({ openRefs }) => openRefs(fastDisk, store.directory, "leases", false));
  await leases.cas(`mark/${log}`, 0, mark("an earlier boot", 1));
  await only({ severity: "note", what: "torn", log, seq: 1, id });
  await leases.cas(`mark/${log}`, 1, mark("an earlier boot", 2));
  await only({ severity: "error", what: "missing", log, seq: 1, id });
  await leases.cas(`mark/${log}`, 2, mark(thisOwner().boot, 0));
  await only({ severity: "error", what: "missing", log, seq: 1, id });
  leases.close();
});

test("a log under a wrong name, and one whose header is gone, are told", async () => {
  const { log } = await writeLog([INTENT, NOTE]);
  const other = newLogId();
  copyFileSync(at(`logs/${log}.log`), at(`logs/${other}.log`));
  await only({ severity: "error", what: "header", log: other });
  const bytes = readFileSync(at(`logs/${log}.log`));
  bytes.write("XXXX", 40);
  writeFileSync(at(`logs/${other}.log`), bytes);
  await only({ severity: "error", what: "header", log: other });
});

test("what is not there is named, with the frame that names it", async () => {
  const tree = await sampleTree(store, 1, 1);
  const { log } = await writeLog([INTENT, { ...OUTCOME, facts: { status: "done", workspace: tree } }]);
  expect(await check()).toEqual([]);
  rmSync(at("objects/000001.pack"));
  await only({ severity: "error", what: "missing", log, seq: 1, id: tree.slice(5) });
});

test("bytes that are not what they are named as are told", async () => {
  const id = await store.objects.put(Buffer.from("no tree"));
  const { log } = await writeLog([INTENT, { ...OUTCOME, facts: { status: "done", workspace: link("tree", id) } }]);
  const { text } = await only({ severity: "error", what: "malformed", log, seq: 1, id });
  expect(text).toContain("is none: This is not the tree of a directory");
});

test("the same bytes can be somebody's file and a tree: of which kind they are is told by what names them", async () => {
  const tree = await sampleTree(store, 1, 1);
  await writeLog([INTENT, { ...OUTCOME, facts: { status: "done", result: link("blob", tree.slice(5)) } }]);
  expect(await check()).toEqual([]);
});

test("a parent that follows from no log, and a conversation that does not, are errors", async () => {
  const stranger = sha256("nobody's commit");
  const { log } = await writeLog([INTENT, { ...OUTCOME, facts: { status: "done", with: stranger } }]);
  await only({ severity: "error", what: "commit", log, seq: 1, id: stranger });
  rmSync(at(`logs/${log}.log`));
  const items = link("items", sha256("nobody's conversation"));
  const state = { roots: { workspace: await sampleTree(store, 1, 1) }, threads: { main: { items, shell: null } } };
  const other = await writeLog([INTENT, { ...OUTCOME, facts: { status: "done", state } }]);
  await only({ severity: "error", what: "missing", log: other.log, seq: 1, id: items.slice(6) });
});

test("content that is not what its id says is found by a full check, though its checksum is right", async () => {
  const id = sha256("right");
  const payload = Buffer.concat([Buffer.from(id, "hex"), Buffer.of(0), Buffer.from("wrong")]);
  await store.objects.put(Buffer.from("other"));
  appendFileSync(at("objects/000001.pack"), encodeRecord(payload));
  const { log } = await writeLog([INTENT, { ...NOTE, facts: { note: "x", what: link("blob", id) } }]);
  expect(await check()).toEqual([]);
  expect(await check({ full: true })).toEqual([
    expect.objectContaining({ severity: "error", what: "object", id }),
    expect.objectContaining({ severity: "error", what: "missing", id, log, seq: 1 }),
  ]);
});

test("caches can be damaged or missing without anything being lost", async () => {
  await fork();
  const pack = at("cache/derived/000001.pack");
  const bytes = readFileSync(pack);
  bytes.fill(7, 200, 300);
  writeFileSync(pack, bytes);
  const found = await check({ full: true });
  expect(found.length).toBeGreaterThan(0);
  for (const each of found)
    expect(each).toMatchObject({ severity: "warning", repair: expect.stringContaining("Delete cache/derived") });
  rmSync(at("cache"), { recursive: true });
  expect(await check({ full: true })).toEqual([]);
});

test("an index that is damaged or leads astray is a warning", async () => {
  for (let k = 0; k < 5000; k++) await store.objects.put(Buffer.from(`object ${k}`));
  await store.close();
  const index = readdirSync(at("objects")).find((name) => name.endsWith(".idx"))!;
  expect(await check({ full: true })).toEqual([]);
  const bytes = readFileSync(at(`objects/${index}`));
  bytes[500]! ^= 1;
  writeFileSync(at(`objects/${index}`), bytes);
  await only({ severity: "warning", what: "index", file: `objects/${index}` });
  // Whole, but of another pack.
  const other = await openStore(`${directory}/other`, { disk: fastDisk });
  for (let k = 0; k < 5000; k++) await other.objects.put(Buffer.from(`thing ${k % 2 ? k : k + 5000}`));
  await other.close();
  copyFileSync(`${directory}/other/objects/${index}`, at(`objects/${index}`));
  await only({ severity: "warning", what: "index", file: `objects/${index}` }, { full: true });
  store = await openStore(`${directory}/store`, { disk: fastDisk });
});

test("refs that stand for nothing, and leases that say nothing, are errors", async () => {
  const log = newLogId();
  await store.refs.cas("scope/plain", 0, log);
  await only({ severity: "error", what: "ref", log });
  await store.refs.cas("scope/plain", 1, JSON.stringify({ log, created: 5 }));
  await only({ severity: "error", what: "ref", log });
  await store.refs.cas("scope/plain", 2, null);
  await store.refs.cas("op/1", 0, JSON.stringify({ plan: link("json", sha256("x")) }));
  await only({ severity: "error", what: "missing", id: sha256("x") });
  await store.refs.cas("op/1", 1, null);
  appendFileSync(at("leases.1"), encodeRecord(encodeJson({ ref: "log/x", version: 1, next: "mine!", id: "a" })));
  await only({ severity: "error", what: "lease" });
});

test("a flipped bit in a ref is named and can be set right; a change that is missing is told", async () => {
  await store.refs.cas("a", 0, "1");
  await store.refs.cas("a", 1, "2");
  const bytes = readFileSync(at("refs.1"));
  const place = bytes.indexOf('"next":"1"') + 8;
  bytes[place]! ^= 2;
  writeFileSync(at("refs.1"), bytes);
  const found = await only({ severity: "error", what: "ref", fix: { file: "refs.1", offset: place, byte: 0x31 } });
  expect(found.text).toContain('A change of "a"');
  appendFileSync(at("refs.1"), encodeRecord(encodeJson({ ref: "a", version: 5, next: "x", id: "a" })));
  expect((await check()).map(({ severity, text }) => `${severity} ${text}`)).toContain(
    'warning Changes 3 to 4 of "a" are missing in refs.1.',
  );
});

test("what was to be forgotten and is still there is told", async () => {
  await store.refs.cas(
    "forget/0000000001",
    0,
    JSON.stringify({ v: 1, ids: [sha256("x")], reason: "", at: 0, spots: [["objects/000001.pack", 16, 40, 0]] }),
  );
  await only({ severity: "warning", what: "ref", repair: "`shepherd gc` destroys it." });
});

test("files forged to be slow to look at end the check all the same", async () => {
  const head = (length: number): Buffer => {
    const bytes = encodeRecord(Buffer.alloc(0));
    bytes.writeUInt32LE(length, 4);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 12)), 12);
    return bytes;
  };
  // Heads that each claim all that follows, one behind the other; and what nearly is a head, everywhere.
  const claims = Buffer.concat(Array.from({ length: 20_000 }, () => head(1 << 20)));
  const nearly = Buffer.alloc(1 << 20, Buffer.from([0xf5, 0x53, 0x48, 0x51]));
  await store.objects.put(Buffer.from("x"));
  appendFileSync(at("objects/000001.pack"), Buffer.concat([claims, nearly]));
  const { log } = await writeLog([INTENT]);
  appendFileSync(at(`logs/${log}.log`), Buffer.concat([nearly, claims]));
  const found = await check({ full: true });
  expect(found.length).toBeGreaterThan(1);
});

test("what a newer version wrote is told as that", async () => {
  writeFileSync(at("format"), "shepherd store 2\n");
  await only({ severity: "error", what: "format", repair: "Update Shepherd." });
  writeFileSync(at("format"), "what?");
  await only({ severity: "error", what: "format" });
  rmSync(at("format"));
  await only({ severity: "error", what: "format" });
  writeFileSync(at("format"), "shepherd store 1\n");

  const { log, frames } = await writeLog([INTENT]);
  appendFileSync(
    at(`logs/${log}.log`),
    encodeRecord(encodeJson({ ...frames[0], v: 2, seq: 1, prev: frameHash(frames[0]!) })),
  );
  const found = await check();
  expect(found[0]).toMatchObject({ severity: "error", what: "format", log, seq: 1 });
  expect(found[0]!.text).toContain("update Shepherd");
  rmSync(at(`logs/${log}.log`));

  const id = newLogId();
  writeFileSync(at(`logs/${id}.log`), "shepherd log 7\n");
  expect((await check())[0]!.text).toContain("has format 7, and this Shepherd knows formats up to 1");
});

test("registrations of writers that are gone are a note, unreadable ones a warning", async () => {
  const writers = openWriters(store);
  await writers.register();
  expect(await check()).toEqual([]);
  await only({ severity: "note", what: "writer" }, { lives: () => false });
  await writers.unregister();
  writeFileSync(at("writers/x.writer"), "?");
  await only({ severity: "warning", what: "writer" });
  writeFileSync(at("writers/state"), "?");
  expect((await check()).map(({ severity, what }) => [severity, what])).toEqual([
    ["warning", "writer"],
    ["warning", "writer"],
  ]);
});

test("what is no file, or not there at all, ends no check", async () => {
  const { log } = await writeLog([INTENT]);
  rmSync(at(`logs/${log}.log`));
  mkdirSync(at(`logs/${log}.log`));
  await only({ severity: "error", what: "unreadable", log });
  rmSync(at("logs"), { recursive: true });
  writeFileSync(at("logs"), "no directory");
  await only({ severity: "error", what: "unreadable" });
  const found: Finding[] = [];
  for await (const each of fsck({ disk: fastDisk, directory: `${directory}/nothing` }, { followers })) found.push(each);
  expect(found).toEqual([expect.objectContaining({ what: "format" })]);
});

test("a check can be stopped, and says how far it is", async () => {
  for (let k = 0; k < 200; k++) await store.objects.put(Buffer.from(`${k}`));
  const phases = new Set<string>();
  await check({ onProgress: ({ phase }) => phases.add(phase) });
  expect([...phases]).toContain("packs");
  await expect(check({ signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
});

test("objects put and named while the check runs are not taken for missing", async () => {
  const { log, frames } = await writeLog([INTENT]);
  await store.objects.put(Buffer.from("first"));
  // Behind what was scanned before the logs.
  const generator = fsck(store, {
    followers,
    onProgress: ({ phase, done }) => {
      if (phase !== "logs" || done > 0) return;
      const payload = Buffer.concat([Buffer.from(sha256("late"), "hex"), Buffer.of(0), Buffer.from("late")]);
      appendFileSync(at("objects/000001.pack"), encodeRecord(payload));
      append(log, {
        ...NOTE,
        v: 1,
        seq: 1,
        epoch: 1,
        prev: frameHash(frames[0]!),
        facts: { note: "x", b: link("blob", sha256("late")) },
      } as Frame);
    },
  });
  for await (const each of generator) expect(each).toBe(null);
});

test("a commit that is made and merged elsewhere while the check runs follows from its log all the same", async () => {
  const heads = [header(), header()].sort((a, b) => (a.id < b.id ? -1 : 1));
  const [first, second] = heads as [LogHeader, LogHeader];
  for (const head of heads) await store.logs.create(head);
  const workspace = await sampleTree(store, 1, 1);
  const step = (head: LogHeader, more: object) =>
    chain(head, [INTENT, { ...OUTCOME, facts: { status: "done", workspace, ...more } }]);
  const fold = startFold(first);
  for (const frame of step(first, {})) fold.push(frame, frameHash(frame));
  const merged = fold.head().id!;
  const found = await check({
    onProgress: ({ phase, done }) => {
      // The first log has been read by now, the second has not.
      if (phase !== "logs" || done !== 1) return;
      append(first.id, ...step(first, {}));
      append(second.id, ...step(second, { with: merged }));
    },
  });
  expect(found).toEqual([]);
  expect(await check()).toEqual([]);
});
