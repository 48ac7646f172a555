import { afterEach, beforeEach, expect, test } from "vitest";
import { tempStore } from "../../test/support/temp-store.ts";
import { gc } from "../trace/gc.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { writeTree } from "../world/tree.ts";
import { followers } from "./followers.ts";
import { forkScope } from "./fork.ts";
import { mergeScope } from "./merge.ts";
import { ownedSince } from "./owned.ts";
import { createScope, findScope, NO_GRANTS } from "./registry.ts";
import { compensateAll, revertScope } from "./revert.ts";
import { attach, type LiveScope, record, treeLink } from "./scope.ts";
import { readScope } from "./view.ts";

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

const drive = async (name: string): Promise<LiveScope> => {
  const scope = await attach(store, name);
  open.push(scope);
  return scope;
};
const forget = async (name: string): Promise<void> => {
  const { version } = (await findScope(store, name))!;
  await store.refs.cas(`scope/${name}`, version, null);
};

test("what a scope has merged and taken back stays so when its name is gone and its log is collected", async () => {
  await createScope(store, {
    name: "fix",
    workspace: { path: temp.directory, id: "w" },
    parent: null,
    origin: null,
    grants: NO_GRANTS,
  });
  const fix = await drive("fix");
  const workspace = treeLink(await writeTree(store.objects, { mode: 0o755, entries: [] }));
  await record(fix, { kind: "run", tier: "reversible" }, { status: "done", workspace });
  await forkScope(store, "fix", 0);
  const parent = await drive("fix.1");
  // At a step that its parent has from further up: nothing but its parenthood tells of its parent's log.
  await forkScope(store, "fix.1", 0);
  const child = await drive("fix.1.1");
  const n = await child.writer.intent({ kind: "effect", tier: "compensable" });
  await child.writer.note(n, { note: "allowed" });
  await child.writer.outcome(n, { status: "done" });
  await mergeScope(parent, await readScope(store, "fix.1.1"));

  const undone: string[] = [];
  const compensate = async ({ log }: { log: string }) => void undone.push(log);
  await compensateAll(parent, null, await ownedSince(store, await readScope(store, "fix.1"), -1), compensate);
  expect(undone).toEqual([child.ref.log]);

  for (const scope of [parent, fix]) await scope.close();
  open.splice(0, 2);
  await forget("fix.1");
  await gc(store, { followers, least: 0.01 });
  expect((await revertScope(child, 0, { compensate })).outside).toEqual([]);
  expect(undone).toEqual([child.ref.log]);
});

test("of who was called and is done with, a new attempt is to be taken back, too", async () => {
  const about = { workspace: { path: temp.directory, id: "w" }, parent: null, origin: null, grants: NO_GRANTS };
  await createScope(store, { name: "fix", ...about });
  const fix = await drive("fix");
  const workspace = treeLink(await writeTree(store.objects, { mode: 0o755, entries: [] }));
  await record(fix, { kind: "run", tier: "reversible" }, { status: "done", workspace });
  const call = await fix.writer.intent({ kind: "effect", tier: "reversible", container: true });
  await forkScope(store, "fix", 0, { meta: { call: { log: fix.ref.log, n: call, key: "key" } } });
  const child = await drive("fix.1");
  const n = await child.writer.intent({ kind: "effect", tier: "compensable" });
  await child.writer.note(n, { note: "allowed" });
  await fix.writer.outcome(call, { status: "aborted" });

  const keys: string[] = [];
  const compensate = async ({ key }: { key: string }) => void keys.push(key);
  for (let k = 0; k < 2; k++) await revertScope(fix, 0, { compensate });
  expect(keys).toHaveLength(1);
  await child.writer.part(n, { part: "attempt", attempt: 2 });
  for (let k = 0; k < 2; k++) await revertScope(fix, 0, { compensate });
  await revertScope(child, 0, { compensate });
  expect(new Set(keys).size).toBe(2);
  expect(keys).toHaveLength(2);
});
