/** The store of the test vectors: a little of everything that the format has. The same at each call, but for how content is compressed. */
import { appendFileSync, rmSync } from "node:fs";
import { encodeJson, link, sha256 } from "../../src/trace/bytes.ts";
import { encodeFrame, frameHash } from "../../src/trace/chain.ts";
import { forget } from "../../src/trace/forget.ts";
import type { Frame } from "../../src/trace/frame.ts";
import type { Json, Link, LogHeader, Origin } from "../../src/trace/ports.ts";
import { encodeRecord, MAGIC } from "../../src/trace/record.ts";
import { makePack } from "../../src/trace/salvage.ts";
import { type EmbeddedStore, openStore } from "../../src/trace/store.ts";
import { openWriter, type Writer } from "../../src/trace/writer.ts";
import { encodeChunks } from "../../src/world/content.ts";
import { writeMtimes } from "../../src/world/mtimes.ts";
import { type Entry, writeTree } from "../../src/world/tree.ts";

export const MAIN = "00000000000000000000000000000000";
export const FIX = "11111111111111111111111111111111";
export const FORK = "22222222222222222222222222222222";

/** Makes the store in `directory`, which must not exist. Leases and caches are left out, since they are of this machine. */
export async function buildVectors(directory: string): Promise<void> {
  const store = await openStore(directory);
  let clock = 1_767_225_600_000;
  const at = () => ({ witness: { at: (clock += 1000) } });
  const blob = async (content: string | Uint8Array): Promise<Link> =>
    link("blob", await store.objects.put(Buffer.from(content)));
  const id = async (content: string | Uint8Array): Promise<string> => (await blob(content)).slice("blob:".length);
  const create = async (log: string, origin: Origin | null, meta: LogHeader["meta"]): Promise<Writer> => {
    await store.logs.create({ v: 1, type: "log", id: log, origin, meta });
    return openWriter(store, log, 1);
  };
  const file = (name: string | Buffer, id: string, mode = 0o644): Entry => ({
    type: "f",
    mode,
    name: Buffer.from(name),
    id,
  });
  const tree = async (entries: Entry[], mode = 0o755): Promise<Link> =>
    link("tree", await writeTree(store.objects, { mode, entries }));

  // Content: compressed, not worth it, with the magic of a record in it, large, with odd names.
  const small = await id("hello\n");
  const long = await id("the same line again and again\n".repeat(100));
  const masked = await id(Buffer.concat([Buffer.from("before "), MAGIC, Buffer.from(" behind")]));
  const maskedLong = await id(
    Buffer.concat([MAGIC, Buffer.from(Array.from({ length: 600 }, (_, i) => sha256(`${i}`).charCodeAt(i % 64)))]),
  );
  const big = Buffer.alloc((1 << 20) + 5, "0123456789abcdef");
  const parts = [await id(big.subarray(0, 1 << 20)), await id(big.subarray(1 << 20))];
  const chunks = await id(encodeChunks(big.length, parts));
  const secret = await id("the password is hunter2\n");
  const empty = await tree([]);
  const many = await tree(
    Array.from({ length: 1500 }, (_, i) => file(`${String(i).padStart(5, "0")}${"-".repeat(700)}`, small)),
    0o700,
  );
  const W0 = await tree([file("hello.txt", small), file("run.sh", long, 0o4755)]);
  await makePack(store);
  const below = await tree([file("big.bin", parts[1]!), { ...file("bigger.bin", chunks, 0o600), type: "F" }], 0o1777);
  const W1 = await tree([
    { type: "d", mode: 0, name: Buffer.from("empty"), id: empty.slice(5) },
    { type: "d", mode: 0, name: Buffer.from("lib"), id: below.slice(5) },
    { type: "d", mode: 0, name: Buffer.from("many"), id: many.slice(5) },
    { type: "l", mode: 0, name: Buffer.from("link"), id: await id("lib/../hello.txt") },
    file("hello.txt", small, 0),
    file("mask 1", masked),
    file("mask 2", maskedLong),
    file("new\nline", small),
    file(Buffer.from([0xff, 0xfe, 0x20]), small),
    file("secret", secret),
  ]);
  const times = await writeMtimes(store.objects, {
    own: -1n,
    entries: [
      { type: "f", name: Buffer.from("big.bin"), ns: 1_767_225_600_123_456_789n },
      { type: "f", name: Buffer.from("bigger.bin"), ns: -(2n ** 63n) },
    ],
  });
  const mtimes = link(
    "mtimes",
    await writeMtimes(store.objects, {
      own: 0n,
      entries: [
        { type: "f", name: Buffer.from("hello.txt"), ns: 2n ** 63n - 1n },
        { type: "d", name: Buffer.from("lib"), id: times },
      ],
    }),
  );

  // Main: one step, that the user changed something.
  const main = await create(MAIN, null, { kind: "main", workspace: await blob("/home/me/project") });
  const seen = await main.intent({ kind: "external", tier: "reversible" }, at());
  await main.outcome(seen, { status: "done", workspace: W0 }, at());

  // A run: a turn with two calls whose outcomes come before its own, numbers and names that test the canonical form, a shell.
  const fix = await create(FIX, originOf(main), {
    kind: "scope",
    name: "fix",
    workspace: await blob("/home/me/project"),
  });
  const run = await fix.intent({ kind: "run", tier: "reversible", what: await blob("fix the login bug") }, at());
  await fix.outcome(
    run,
    { status: "done", threads: { main: { append: [await blob("user: fix the login bug")] } } },
    at(),
  );
  const odd = {
    "": 0,
    é: "e\u0301",
    "\u{1f600}": 1,
    "\ufb01": 2,
    a: [0.1, 1e-7, 123456.789, -0, 5e-324, 1e21, 1.5e300, 123456789012345680000, -1],
    "\u0001": '"\\\u2028',
  };
  const model = await fix.intent(
    {
      kind: "model",
      tier: "repeatable",
      thread: "main",
      what: link("json", await store.objects.put(encodeJson({ messages: [await blob("user: fix the login bug")] }))),
      odd: odd as Json,
    },
    at(),
  );
  await fix.part(model, { part: "block", what: await blob("I look at it.") });
  const turn = { links: { turn: model } };
  const a = await fix.intent(
    { kind: "tool", tier: "reversible", thread: "main", name: "bash", what: await blob("ls") },
    { ...at(), ...turn },
  );
  const b = await fix.intent(
    { kind: "tool", tier: "reversible", thread: "main", name: "bash", what: await blob("sed -i …") },
    { ...at(), ...turn },
  );
  const c = await fix.intent({ kind: "tool", tier: "irreversible", thread: "main", name: "pay" }, { ...at(), ...turn });
  const shell = await blob("cwd=/home/me/project");
  await fix.outcome(
    a,
    { status: "done", result: await blob("hello.txt"), threads: { main: { append: [await blob("result a")], shell } } },
    at(),
  );
  await fix.outcome(c, { status: "denied", threads: { main: { append: [await blob("denied: c")] } } }, at());
  await fix.outcome(
    model,
    { status: "done", threads: { main: { append: [await blob("assistant: a, b, c")] } } },
    { witness: { at: clock, usd: 0.004 } },
  );
  await fix.outcome(
    b,
    { status: "failed", workspace: W1, threads: { main: { append: [await blob("result b")], shell: null } } },
    { ...at(), carry: { mtimes } },
  );
  await fix.note(null, { note: "attached", by: "boss" }, at());
  // What a writer left that had been replaced, and what one left that was killed.
  const frames: Frame[] = [];
  for await (const frame of store.logs.read(FIX)) frames.push(frame);
  const late = { ...frames.at(-1)!, facts: { note: "too late" } } as Frame;
  const path = `${directory}/logs/${FIX}.log`;
  appendFileSync(path, encodeRecord(encodeFrame(late)));
  appendFileSync(path, encodeRecord(encodeFrame({ ...late, seq: late.seq + 1, prev: frameHash(late) } as Frame)));
  appendFileSync(path, encodeRecord(encodeFrame(late)).subarray(0, 100));

  // A container with a shared and an exclusive call in it, one still open, and a call of which only the intent is there.
  const second = await openWriter(store, FIX, 3);
  const command = await second.intent({ kind: "command", tier: "reversible", what: await blob("make") }, at());
  const inside = { links: { inside: command } };
  const d = await second.intent(
    { kind: "tool", tier: "reversible", thread: "sub", shared: true },
    { ...at(), ...inside },
  );
  const e = await second.intent({ kind: "tool", tier: "reversible", thread: "sub" }, { ...at(), ...inside });
  await second.outcome(e, { status: "aborted", tier: "compensable" }, at());
  await second.outcome(d, { status: "done", threads: { sub: { append: [await blob("x"), await blob("y")] } } }, at());
  await second.outcome(command, { status: "cut", exit: 130 }, at());

  // A fork from the denied call, which goes another way; merged; and a revert.
  const from = second.fold.steps.get(c)!.sealed!;
  const fork = await create(
    FORK,
    { log: FIX, n: c, seq: from.seq, commit: from.id, state: from.state, top: from.top, carry: from.carry },
    { kind: "scope", name: "fix.1" },
  );
  const other = await fork.intent({ kind: "tool", tier: "reversible", thread: "main" }, at());
  await fork.outcome(
    other,
    { status: "done", workspace: below, threads: { main: { append: [await blob("result of the fork")] } } },
    { ...at(), carry: { config: empty } },
  );
  const head = fork.fold.head();
  const merge = await second.intent(
    { kind: "merge", tier: "reversible" },
    { witness: { ...at().witness, merged: FORK } },
  );
  await second.outcome(
    merge,
    { status: "done", with: head.id!, state: head.state!, carried: 1 },
    { ...at(), carry: head.carry },
  );
  // Two conversations at once: the files of one call were captured before those of the other, and its result was told later.
  const call = (thread: string) => second.intent({ kind: "tool", tier: "reversible", thread }, at());
  const [p, q] = [await call("sub"), await call("main")];
  await second.part(q, { part: "files", workspace: W1 });
  await second.part(q, { part: "attempt", attempt: 2 });
  await second.part(p, { part: "files", workspace: W0 });
  await second.part(q, { part: "files", workspace: W1 });
  await second.outcome(q, { status: "done", workspace: W1 }, at());
  await second.outcome(p, { status: "done", workspace: W0 }, at());
  const before = second.fold.steps.get(b)!.sealed!;
  const revert = await second.intent({ kind: "revert", tier: "reversible", to: before.id }, at());
  await second.outcome(revert, { status: "done", state: before.state }, { ...at(), carry: before.carry });
  await second.intent({ kind: "tool", tier: "reversible", thread: "main", what: await blob("sleep 1000") }, at());

  await forget(store, [secret], { reason: "a test" });
  await store.close();
  writeRefs(store);
}

function originOf({ log, fold }: Writer): Origin {
  const { n, sealed } = fold.sealed.at(-1)!;
  const { id, seq, state, top, carry } = sealed!;
  return { log, n, seq, commit: id, state, top, carry };
}

/** Refs as they are written, but with ids that are always the same. */
function writeRefs({ directory }: EmbeddedStore): void {
  const change = (ref: string, version: number, next: string | null, id = "AAAAAAAAAAAA") =>
    encodeRecord(encodeJson({ ref, version, next, id }));
  const scope = (log: string, discarded: number | null) =>
    JSON.stringify({ log, workspace: "0123456789abcdef", parent: null, created: 1, discarded });
  for (const file of ["refs.1", "leases.1", "cache", "writers", "run"])
    rmSync(`${directory}/${file}`, { recursive: true, force: true });
  appendFileSync(
    `${directory}/refs.1`,
    Buffer.concat([
      Buffer.from("shepherd refs 1\n"),
      change("scope/fix", 1, scope(FIX, null)),
      change("scope/fix.1", 1, scope(FORK, null)),
      change("gone", 1, "a value"),
      encodeRecord(encodeJson({ closed: 1 })),
      change("gone", 2, "too late"),
    ]),
  );
  appendFileSync(
    `${directory}/refs.2`,
    Buffer.concat([
      Buffer.from("shepherd refs 1\n"),
      change("scope/fix", 1, scope(FIX, null), ""),
      change("scope/fix.1", 1, scope(FORK, null), ""),
      change("gone", 1, "a value", ""),
      change("main/0123456789abcdef", 1, JSON.stringify({ log: MAIN })),
      change("scope/fix.1", 1, scope(FORK, 5), "BBBBBBBBBBBB"),
      change("scope/fix.1", 2, scope(FORK, 7)),
      change("gone", 2, null),
    ]),
  );
}
