import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { tempStore } from "../../test/support/temp-store.ts";
import { link } from "../trace/bytes.ts";
import { checkQuota } from "../trace/quota.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { portableDriver } from "../world/portable.ts";
import { writeTree } from "../world/tree.ts";
import { type Files, openFiles } from "./files.ts";
import { takeOver } from "./pool.ts";
import { createScope, NO_GRANTS, type ScopeRef, setDiscarded } from "./registry.ts";

let temp: Awaited<ReturnType<typeof tempStore>>;
let store: EmbeddedStore;
const leases: Array<[string, number]> = [];
beforeEach(async () => {
  temp = await tempStore();
  store = temp.store;
});
afterEach(async () => {
  for (const [key, epoch] of leases.splice(0)) await store.leases.release(key, epoch);
  await temp.end();
});

const make = (name: string, workspace = "w"): Promise<ScopeRef> =>
  createScope(store, {
    name,
    workspace: { path: temp.directory, id: workspace },
    parent: null,
    origin: null,
    grants: NO_GRANTS,
  });
const hold = async ({ log }: ScopeRef): Promise<void> => {
  leases.push([`log/${log}`, (await store.leases.acquire(`log/${log}`))!]);
};
const stateOf = async (files: { [name: string]: string }) => {
  const entries = [];
  for (const name of Object.keys(files).sort())
    entries.push({
      type: "f" as const,
      mode: 0o644,
      name: Buffer.from(name),
      id: await store.objects.put(Buffer.from(files[name]!)),
    });
  return link("tree", await writeTree(store.objects, { mode: 0o755, entries }));
};
const open = ({ log }: ScopeRef): Files => openFiles(store, { log, workspace: temp.directory, grants: NO_GRANTS });
const home = ({ log }: ScopeRef): string => `${store.cache("work")}/${log}`;
const ws = (ref: ScopeRef): string => `${home(ref)}/workspace`;
const driver = (worth = 0) => portableDriver({ directory: store.cache("work"), objects: store.objects, worth });
const contents = (ref: ScopeRef): { [name: string]: string } =>
  Object.fromEntries(
    readdirSync(ws(ref))
      .sort()
      .map((name) => [name, readFileSync(`${ws(ref)}/${name}`, "utf8")]),
  );
/** A scope at rest with these files. */
const rest = async (name: string, files: { [name: string]: string }, workspace?: string): Promise<ScopeRef> => {
  const ref = await make(name, workspace);
  const opened = open(ref);
  await opened.restore(await stateOf(files), {});
  await opened.close();
  return ref;
};

test("a new scope gets the directory of one at rest, set to its own files, and the other is filled again", async () => {
  const one = await rest("one", { same: "same", other: "one's", mine: "only one's" });
  const inode = statSync(ws(one)).ino;
  const kept = statSync(`${ws(one)}/same`).ino;
  const two = await make("two");
  await hold(two);
  await takeOver(store, driver(), two);
  expect(existsSync(ws(one))).toBe(false);
  const files = open(two);
  const state = await stateOf({ same: "same", other: "two's" });
  await files.restore(state, {});
  expect(statSync(ws(two)).ino).toBe(inode);
  expect(statSync(`${ws(two)}/same`).ino).toBe(kept);
  expect(contents(two)).toEqual({ same: "same", other: "two's" });
  expect((await files.capture()).workspace).toBe(state);
  await files.close();

  const again = open(one);
  await again.restore(await stateOf({ same: "same", other: "one's", mine: "only one's" }), {});
  expect(contents(one)).toEqual({ same: "same", other: "one's", mine: "only one's" });
  await again.close();
});

test("what somebody changed in a directory at rest is seen when it is taken over", async () => {
  const one = await rest("one", { a: "aaaa", b: "bbbb" });
  const { mtimeMs } = statSync(`${ws(one)}/a`);
  writeFileSync(`${ws(one)}/a`, "AAAA");
  expect(mtimeMs).toBeGreaterThan(0);
  writeFileSync(`${ws(one)}/c`, "a stranger's");
  const two = await make("two");
  await hold(two);
  await takeOver(store, driver(), two);
  const files = open(two);
  await files.restore(await stateOf({ a: "aaaa", b: "bbbb" }), {});
  expect(contents(two)).toEqual({ a: "aaaa", b: "bbbb" });
  await files.close();
});

test("a directory says what it takes, and what did not change is not written again", async () => {
  const one = await rest("one", { a: "a".repeat(5000), b: "b" });
  const base = home(one);
  expect(readFileSync(`${base}/usage`, "utf8")).toBe(`${4 * 4096}\n`);
  expect((await checkQuota(store)).used).toBeLessThan(1 << 20);
  writeFileSync(`${base}/usage`, `${5e9}\n`);
  expect((await checkQuota(store)).used).toBeGreaterThan(5e9);
  for (const odd of ["", "much\n", "-1\n"]) {
    writeFileSync(`${base}/usage`, odd);
    expect((await checkQuota(store)).used).toBeLessThan(1 << 20);
  }
  // What is settled is known for good; the first use after that has settled it.
  const use = async (): Promise<bigint> => {
    const files = open(one);
    await files.restore(await stateOf({ a: "a".repeat(5000), b: "b" }), {});
    await files.capture();
    await files.close();
    return statSync(`${base}/workspace.stat`, { bigint: true }).ctimeNs;
  };
  await new Promise((resolve) => setTimeout(resolve, 50));
  await use();
  const written = await use();
  expect(await use()).toBe(written);
  writeFileSync(`${ws(one)}/a`, "changed");
  expect(await use()).not.toBe(written);
});

test("nothing is taken from a scope that is driven, was left by a crash, is small or belongs elsewhere", async () => {
  const driven = await rest("driven", { a: "1" });
  await hold(driven);
  const crashed = await rest("crashed", { a: "2" });
  rmSync(`${home(crashed)}/rest`);
  const elsewhere = await rest("elsewhere", { a: "3" }, "v");
  const mine = await make("mine");
  await hold(mine);
  await takeOver(store, driver(), mine);
  expect(existsSync(ws(mine))).toBe(false);
  const small = await rest("small", { a: "4" });
  await takeOver(store, driver(1 << 20), mine);
  expect(existsSync(ws(mine))).toBe(false);
  for (const ref of [driven, crashed, elsewhere, small]) expect(existsSync(ws(ref))).toBe(true);
});

test("a discarded scope gives first, then the oldest; who has a directory takes none", async () => {
  const oldest = await rest("oldest", { a: "1" });
  await new Promise((resolve) => setTimeout(resolve, 5));
  const discarded = await rest("discarded", { a: "2" });
  await setDiscarded(store, discarded, Date.now());
  const mine = await make("mine");
  await hold(mine);
  await takeOver(store, driver(), mine);
  expect(contents(mine)).toEqual({ a: "2" });
  await takeOver(store, driver(), mine);
  expect(existsSync(ws(oldest))).toBe(true);
});

test("two that take at once take different directories or none", async () => {
  const givers = [await rest("a", { a: "1" }), await rest("b", { a: "2" })];
  const takers = [await make("c"), await make("d"), await make("e")];
  for (const taker of takers) await hold(taker);
  await Promise.all(takers.map((taker) => takeOver(store, driver(), taker)));
  expect(takers.filter((taker) => existsSync(ws(taker)))).toHaveLength(2);
  expect(givers.filter((giver) => existsSync(ws(giver)))).toHaveLength(0);
});
