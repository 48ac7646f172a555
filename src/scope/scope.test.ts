import { afterEach, beforeEach, expect, test } from "vitest";
import { tempStore } from "../../test/support/temp-store.ts";
import { target } from "../trace/bytes.ts";
import type { Tier } from "../trace/frame.ts";
import type { Hash, Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { readTree, writeTree } from "../world/tree.ts";
import type { Decision, Effect, Handler } from "./effect.ts";
import { forkScope } from "./fork.ts";
import { mergeScope, syncScope } from "./merge.ts";
import { listOperations, newestUndoable } from "./operations.ts";
import { createScope, findScope, NO_GRANTS } from "./registry.ts";
import { replayLog } from "./replay.ts";
import { revertScope, Unacknowledged } from "./revert.ts";
import { attach, Busy, type LiveScope, record, treeLink } from "./scope.ts";
import { discardScope, undoDiscard, undoInScope } from "./undo.ts";
import { cameThrough, readScope } from "./view.ts";

let temp: Awaited<ReturnType<typeof tempStore>>;
let store: EmbeddedStore;
const open: LiveScope[] = [];
beforeEach(async () => {
  temp = await tempStore();
  store = temp.store;
});
afterEach(async () => {
  for (const scope of open.splice(0)) await scope.close();
  await temp.end();
});

const tree = async (files: { [name: string]: string }): Promise<Hash> => {
  const entries = [];
  for (const name of Object.keys(files).sort())
    entries.push({
      type: "f" as const,
      mode: 0o644,
      name: Buffer.from(name),
      id: await store.objects.put(Buffer.from(files[name]!)),
    });
  return writeTree(store.objects, { mode: 0o755, entries });
};
const filesOf = async (link: string): Promise<{ [name: string]: string }> => {
  const files: { [name: string]: string } = {};
  for (const entry of (await readTree(store.objects, target(link as never))).entries)
    files[entry.name.toString()] = Buffer.from((await store.objects.get(entry.id))!).toString();
  return files;
};
const start = async (name: string, files: { [name: string]: string }): Promise<LiveScope> => {
  await createScope(store, {
    name,
    workspace: { path: temp.directory, id: "w" },
    parent: null,
    origin: null,
    grants: NO_GRANTS,
  });
  const scope = await drive(name);
  await record(scope, { kind: "run", tier: "reversible" }, { status: "done", workspace: treeLink(await tree(files)) });
  return scope;
};
const drive = async (name: string): Promise<LiveScope> => {
  const scope = await attach(store, name);
  open.push(scope);
  return scope;
};
const write = async (scope: LiveScope, files: { [name: string]: string }): Promise<number> =>
  (
    await record(
      scope,
      { kind: "work", tier: "reversible" },
      { status: "done", workspace: treeLink(await tree(files)) },
    )
  ).n;
const now = (scope: LiveScope) => filesOf(scope.head().state!.roots.workspace);

test("a scope has one driver at a time", async () => {
  await start("fix", { a: "1" });
  await expect(attach(store, "fix")).rejects.toThrow(Busy);
});

test("revert adds a step with the earlier state, and undo takes that back; a second undo goes one further", async () => {
  const fix = await start("fix", { a: "1" });
  await write(fix, { a: "2" });
  await write(fix, { a: "3" });
  await revertScope(fix, 1);
  expect(await now(fix)).toEqual({ a: "2" });
  await revertScope(fix, 0);
  expect(await now(fix)).toEqual({ a: "1" });
  await undoInScope(fix, (await newestUndoable(store, "w"))!);
  expect(await now(fix)).toEqual({ a: "2" });
  await undoInScope(fix, (await newestUndoable(store, "w"))!);
  expect(await now(fix)).toEqual({ a: "3" });
  expect(await newestUndoable(store, "w")).toBeNull();
  expect(fix.writer.fold.sealed.length).toBe(7);
});

test("behind an undone revert stands what it had gone back from", async () => {
  const fix = await start("fix", { a: "1" });
  const view = async () => readScope(store, "fix");
  const came = async () => (await cameThrough(store, await view())).map(({ step }) => step.n);
  const undo = async () => undoInScope(fix, (await newestUndoable(store, "w"))!);
  await write(fix, { a: "2" });
  await revertScope(fix, 0);
  expect(await came()).toEqual([2, 0]);
  await undo();
  expect(await came()).toEqual([3, 2, 1, 0]);
  await revertScope(fix, 0);
  expect(await came()).toEqual([4, 0]);
  const again = (await undo()).op;
  expect(await came()).toEqual([5, 4, 3, 2, 1, 0]);
  const operation = (await listOperations(store, "w")).find(({ op }) => op === again)!;
  await undoInScope(fix, operation);
  expect(await came()).toEqual([6, 5, 4, 0]);
});

test("undo where the same file changed since is a conflict that changes nothing", async () => {
  const fix = await start("fix", { a: "1", b: "1" });
  await write(fix, { a: "2", b: "1" });
  await revertScope(fix, 0);
  await write(fix, { a: "9", b: "1" });
  const undone = await undoInScope(fix, (await newestUndoable(store, "w"))!);
  expect(undone.status).toBe("conflict");
  expect(await now(fix)).toEqual({ a: "9", b: "1" });
});

test("undo keeps what changed elsewhere since", async () => {
  const fix = await start("fix", { a: "1", b: "1" });
  await write(fix, { a: "2", b: "1" });
  await revertScope(fix, 0);
  await write(fix, { a: "1", b: "9" });
  expect((await undoInScope(fix, (await newestUndoable(store, "w"))!)).status).toBe("done");
  expect(await now(fix)).toEqual({ a: "2", b: "9" });
});

test("forks share the commit and go on after its number; merging adopts a child of a parent that has not moved", async () => {
  const fix = await start("fix", { a: "1" });
  await write(fix, { a: "2" });
  const head = fix.head();
  const [one, two] = await forkScope(store, "fix", 1, { count: 2 });
  expect([one!.name, two!.name]).toEqual(["fix.1", "fix.2"]);
  const child = await drive("fix.1");
  expect(child.head().id).toBe(head.id);
  expect(await write(child, { a: "2", b: "child" })).toBe(2);
  expect(fix.head()).toEqual(head);
  const merged = await mergeScope(fix, await readScope(store, "fix.1"));
  expect(merged).toMatchObject({ status: "done", adopted: true });
  expect(await now(fix)).toEqual({ a: "2", b: "child" });
  const sibling = await drive("fix.2");
  await write(sibling, { a: "2", c: "sibling" });
  expect(await mergeScope(fix, await readScope(store, "fix.2"))).toMatchObject({ status: "done", adopted: false });
  expect(await now(fix)).toEqual({ a: "2", b: "child", c: "sibling" });
  expect(await mergeScope(fix, await readScope(store, "fix.2"))).toMatchObject({ status: "nothing" });
  await undoInScope(fix, (await newestUndoable(store, "w"))!);
  expect(await now(fix)).toEqual({ a: "2", b: "child" });
});

test("a conflict is a step that keeps the parent's state and names all three sides", async () => {
  const fix = await start("fix", { a: "base\n" });
  await forkScope(store, "fix", 0);
  const child = await drive("fix.1");
  await write(child, { a: "theirs\n" });
  await write(fix, { a: "ours\n" });
  const merged = await mergeScope(fix, await readScope(store, "fix.1"));
  expect(merged.status).toBe("conflict");
  expect(await now(fix)).toEqual({ a: "ours\n" });
  const step = fix.writer.fold.steps.get(merged.n!)!;
  expect(step.sealed!.parents).toEqual([fix.writer.fold.steps.get(1)!.sealed!.id]);
  const told = JSON.parse(Buffer.from((await store.objects.get(target(step.outcome!.conflict!)))!).toString());
  expect(told.paths).toHaveLength(1);
  expect((await mergeScope(fix, await readScope(store, "fix.1"))).status).toBe("conflict");
  const resolved = await mergeScope(fix, await readScope(store, "fix.1"), "theirs");
  expect(resolved.status).toBe("done");
  expect(await now(fix)).toEqual({ a: "theirs\n" });
  expect(fix.writer.fold.steps.get(resolved.n!)!.intent.kind).toBe("resolve");
  expect((await mergeScope(fix, await readScope(store, "fix.1"))).status).toBe("nothing");
});

test("a fork of a fork at an inherited step starts from the log where that step stands", async () => {
  const fix = await start("fix", { a: "1" });
  await write(fix, { a: "2" });
  await forkScope(store, "fix", 1);
  await forkScope(store, "fix.1", 0);
  const grand = await drive("fix.1.1");
  expect(await now(grand)).toEqual({ a: "1" });
  expect(await write(grand, { a: "g" })).toBe(1);
});

test("sync merges files from outside, and repeats as nothing", async () => {
  const main = await start("outside", { a: "1", b: "1" });
  await forkScope(store, "outside", 0);
  const fix = await drive("outside.1");
  await write(fix, { a: "2", b: "1" });
  await write(main, { a: "1", b: "9" });
  const from = {
    id: main.head().id!,
    tree: target(main.head().state!.roots.workspace),
    name: "outside",
    log: main.ref.log,
  };
  expect((await syncScope(fix, from)).status).toBe("done");
  expect(await now(fix)).toEqual({ a: "2", b: "9" });
  expect((await syncScope(fix, from)).status).toBe("nothing");
});

test("a sync that waits for a commit is left when it is stopped, and holds nobody up behind it", async () => {
  const fix = await start("fix", { a: "1" });
  const captured = treeLink(await tree({ a: "2" }));
  const n = await fix.writer.intent({ kind: "tool", tier: "reversible" });
  await fix.writer.part(n, { part: "files", workspace: captured });
  const from = { id: fix.head().id!, tree: target(captured), name: "main", log: fix.ref.log };
  await expect(syncScope(fix, from, { signal: AbortSignal.abort(new Error("too late")) })).rejects.toThrow("too late");
  const stop = new AbortController();
  const synced = syncScope(fix, from, { signal: stop.signal });
  // It has come as far as it can once another has had the lock behind it.
  const next = fix.lock.request("exclusive");
  await next.held;
  stop.abort(new Error("stopped"));
  await expect(synced).rejects.toThrow("stopped");
  next.release();
  const holder = fix.lock.request("exclusive");
  const stopWaiting = new AbortController();
  const waiting = syncScope(fix, from, { signal: stopWaiting.signal });
  stopWaiting.abort(new Error("stopped again"));
  await expect(waiting).rejects.toThrow("stopped again");
  holder.release();
  await fix.lock.request("exclusive").held;
});

test("discard leaves no mark on the parent and can be undone", async () => {
  const fix = await start("fix", { a: "1" });
  const head = fix.head();
  await forkScope(store, "fix", 0);
  await discardScope(store, "fix.1");
  expect((await findScope(store, "fix.1"))!.discarded).not.toBeNull();
  await undoDiscard(store, (await newestUndoable(store, "w"))!);
  expect((await findScope(store, "fix.1"))!.discarded).toBeNull();
  expect(fix.head()).toEqual(head);
  expect((await listOperations(store, "w")).map(({ kind, state }) => [kind, state])).toEqual([
    ["discard", "undone"],
    ["undo", "done"],
  ]);
});

test("an irreversible effect bars a revert until it is acknowledged; a compensable one is taken back once, newest first", async () => {
  const fix = await start("fix", { a: "1" });
  const effect = async (tier: "compensable" | "irreversible") => {
    const n = await fix.writer.intent({ kind: "effect", tier });
    await fix.writer.note(n, { note: "allowed" });
    await fix.writer.outcome(n, { status: "done" });
  };
  await effect("compensable");
  await effect("irreversible");
  await effect("compensable");
  const undone: number[] = [];
  const head = fix.head();
  await expect(revertScope(fix, 0, { acknowledge: true })).rejects.toThrow("its undo is not known here");
  expect([fix.head(), fix.writer.fold.pending(), await listOperations(store, "w")]).toEqual([head, [], []]);
  const compensate = async ({ step }: { step: { n: number } }) => void undone.push(step.n);
  await expect(revertScope(fix, 0, { compensate })).rejects.toThrow(Unacknowledged);
  expect(undone).toEqual([]);
  await revertScope(fix, 0, { compensate, acknowledge: true });
  expect(undone).toEqual([3, 1]);
  await revertScope(fix, 0, { compensate, acknowledge: true });
  expect(undone).toEqual([3, 1]);
});

/** An effect that tells its input when it acts. */
const effectOf = (tier: Tier, acted: Json[]): Effect => ({
  intent: { kind: "effect", tier },
  name: "pay",
  input: { amount: 1 },
  lock: "none",
  run: async ({ input }) => {
    acted.push(input);
    return { status: "done" };
  },
  refused: async (reason) => ({ status: "denied", facts: { reason } }),
});

test("handlers around a scope are asked from inside outwards; a rewrite is what those further out see, and what is done", async () => {
  const asked: string[] = [];
  const handler = (name: string, answer: (amount: number) => Decision): Handler => ({
    name,
    handle: ({ input }) => {
      const { amount } = input as { amount: number };
      asked.push(`${name} ${amount}`);
      return answer(amount);
    },
  });
  await (await start("fix", { a: "1" })).close();
  open.pop();
  const fix = await attach(store, "fix", {
    handlers: [
      handler("inner", () => ({ kind: "forward" })),
      handler("middle", (amount) => ({ kind: "rewrite", input: { amount: amount * 10 } })),
      handler("outer", (amount) => (amount > 10 ? { kind: "deny", reason: "too much" } : { kind: "allow" })),
      handler("outermost", () => ({ kind: "allow" })),
    ],
  });
  open.push(fix);
  const acted: Json[] = [];
  const perform = async (effect: Effect) =>
    (await (await fix.begin(effect, new AbortController().signal)).settled).outcome;
  expect(await perform(effectOf("irreversible", acted))).toMatchObject({ status: "done" });
  expect(asked).toEqual(["inner 1", "middle 1", "outer 10"]);
  expect(acted).toEqual([{ amount: 10 }]);
  const large = { ...effectOf("irreversible", acted), input: { amount: 2 } };
  expect(await perform(large)).toMatchObject({ status: "denied", reason: "too much", by: "outer" });
  expect(acted).toHaveLength(1);
  // A scope may be given another at any time, further in.
  fix.handlers.unshift(handler("innermost", () => ({ kind: "answer", result: { status: "done" } })));
  expect(await perform(large)).toMatchObject({ status: "done", by: "innermost" });
  expect(acted).toHaveLength(1);
});

test("where nobody answers, in time or at all, what the tier says stands: an effect that needs consent is denied", async () => {
  const fix = await start("fix", { a: "1" });
  const perform = async (tier: Tier) => {
    const acted: Json[] = [];
    const { outcome } = await (await fix.begin(effectOf(tier, acted), new AbortController().signal)).settled;
    return [outcome.status, acted.length, outcome.reason ?? null];
  };
  const tiers: Tier[] = ["reversible", "repeatable", "compensable", "irreversible"];
  const told = async () => {
    const all = [];
    for (const tier of tiers) all.push(await perform(tier));
    return all;
  };
  const denied = (reason: string): unknown[] => ["denied", 0, expect.stringContaining(reason)];
  const done = ["done", 1, null];
  expect(await told()).toEqual([done, done, denied("nobody allowed this"), denied("nobody allowed this")]);
  fix.handlers.push({ name: "slow", timeoutMs: 5, handle: () => new Promise<Decision>(() => {}) });
  expect(await told()).toEqual([done, done, denied("slow did not answer in time"), denied("slow did not answer")]);
  fix.handlers.unshift({
    name: "broken",
    handle: () => {
      throw new Error("oops");
    },
  });
  expect(await told()).toEqual([done, done, denied("broken failed: oops"), denied("broken failed: oops")]);
});

test("a replay of many files can be stopped in the middle of them", async () => {
  const scope = await start("many", Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`${i}`, `${i}`])));
  await scope.close();
  open.splice(open.indexOf(scope), 1);
  const { log } = scope.ref;
  expect((await replayLog(store, log)).objects).toBeGreaterThan(5000);
  const stop = new AbortController();
  setImmediate(() => stop.abort(new Error("stopped")));
  await expect(replayLog(store, log, { signal: stop.signal })).rejects.toThrow("stopped");
});
