import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { tempStore } from "../../test/support/temp-store.ts";
import { listOperations, planOperation } from "../scope/operations.ts";
import { findScope, NO_GRANTS, setDiscarded, workspaceOf } from "../scope/registry.ts";
import { attach, record, treeLink } from "../scope/scope.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { writeTree } from "../world/tree.ts";
import { discardRun } from "./discard.ts";
import { landRun } from "./land.ts";
import type { Workspace } from "./main.ts";
import { freshMain } from "./placing.ts";
import { settleOperations } from "./recover.ts";
import { beginRun, createRun, placeRun, type Task } from "./start.ts";
import { undoOperation } from "./undo.ts";

let temp: Awaited<ReturnType<typeof tempStore>>;
let store: EmbeddedStore;
let workspace: Workspace;
const file = (): string => readFileSync(`${workspace.path}/file`, "utf8");

/** A run `fix` that has written "new" where the user has "old", and has done what can be taken back. */
beforeEach(async () => {
  temp = await tempStore();
  store = temp.store;
  const path = `${temp.directory}/user`;
  mkdirSync(path);
  writeFileSync(`${path}/file`, "old");
  workspace = workspaceOf(path);
  const task: Task = { worker: "agent", text: "do it" };
  await createRun(store, { task, workspace, name: "fix", grants: NO_GRANTS });
  const scope = await attach(store, "fix");
  await placeRun(scope, await beginRun(scope, task), await freshMain(store, path), task);
  const entry = {
    type: "f" as const,
    mode: 0o644,
    name: Buffer.from("file"),
    id: await store.objects.put(Buffer.from("new")),
  };
  const tree = treeLink(await writeTree(store.objects, { mode: 0o755, entries: [entry] }));
  await record(scope, { kind: "work", tier: "reversible" }, { status: "done", workspace: tree });
  const n = await scope.writer.intent({ kind: "effect", tier: "compensable" });
  await scope.writer.note(n, { note: "allowed" });
  await scope.writer.outcome(n, { status: "done" });
  await scope.close();
});
afterEach(() => temp.end());

const operations = async () => (await listOperations(store, workspace.id)).map(({ kind, state }) => `${kind} ${state}`);
const undo = async (op: number, compensate = async () => {}) => {
  const operation = (await listOperations(store, workspace.id)).find((each) => each.op === op)!;
  return undoOperation(store, workspace, operation, { compensate });
};
const isDiscarded = async () => (await findScope(store, "fix"))!.discarded !== null;

test("the undo of a landing can be taken back, and that again", async () => {
  const landed = await landRun(store, "fix");
  expect(file()).toBe("new");
  const back = await undo(landed.op!);
  expect(file()).toBe("old");
  const forth = await undo(back.op);
  expect(file()).toBe("new");
  expect(await operations()).toEqual(["landing done", "undo undone", "undo done"]);
  expect((await landRun(store, "fix")).status).toBe("nothing");
  await undo(forth.op);
  expect(file()).toBe("old");
  expect(await operations()).toEqual(["landing undone", "undo done", "undo undone", "undo done"]);
});

test("what two undos have taken back is so until none of them stands", async () => {
  const { op } = await landRun(store, "fix");
  const first = await undo(op!);
  const back = await undo(first.op);
  await undo(op!);
  expect(file()).toBe("old");
  const forth = await undo(back.op);
  expect(await operations()).toEqual(["landing undone", "undo done", "undo undone", "undo done", "undo done"]);
  await undo(forth.op);
  expect(await operations()).toEqual([
    "landing undone",
    "undo undone",
    "undo done",
    "undo done",
    "undo undone",
    "undo done",
  ]);
});

test("the undo of a discard can be taken back, and that again; what was taken back outside is so once", async () => {
  let compensated = 0;
  const compensate = async (): Promise<void> => void compensated++;
  const { op } = await discardRun(store, "fix", { compensate });
  const back = await undo(op);
  expect(await isDiscarded()).toBe(false);
  const again = await undo(back.op, compensate);
  expect(await isDiscarded()).toBe(true);
  expect(await operations()).toEqual(["discard done", "undo undone", "undo done"]);
  await undo(again.op);
  expect(await isDiscarded()).toBe(false);
  expect(await operations()).toEqual(["discard undone", "undo done", "undo undone", "undo done"]);
  expect(compensated).toBe(1);
});

test("what had brought a scope back is not taken back where something else has, since: the scope stays", async () => {
  const { op } = await discardRun(store, "fix", { compensate: async () => {} });
  const first = await undo(op);
  const second = await undo((await undo(first.op)).op);
  await undo(first.op);
  await undo(op);
  expect(await isDiscarded()).toBe(false);
  await expect(undo(second.op)).rejects.toThrow("was brought back once more since");
  expect(await isDiscarded()).toBe(false);
});

/** As if the process of an operation were gone. */
async function ownerless(op: number): Promise<void> {
  const ref = `op/${workspace.id}/${String(op).padStart(10, "0")}`;
  const { version, value } = (await store.refs.get(ref))!;
  await store.refs.cas(ref, version, JSON.stringify({ ...JSON.parse(value), owner: null }));
}

test("a scope that was discarded again since comes back by the undo of that only", async () => {
  const none = async (): Promise<void> => {};
  const { op } = await discardRun(store, "fix", { compensate: none });
  const again = await undo((await undo(op)).op);
  await undo(op);
  await expect(undo(again.op)).rejects.toThrow("is not discarded");
  const last = await discardRun(store, "fix", { compensate: none });
  await expect(undo(again.op)).rejects.toThrow("was discarded again since");
  await undo(last.op);
  expect(await isDiscarded()).toBe(false);
});

test("one that was cut short before it had given the scope up does not count, whoever did so later", async () => {
  const { log } = (await findScope(store, "fix"))!;
  const cut = await planOperation(store, { kind: "discard", workspace: workspace.id, scope: "fix", log });
  await ownerless(cut.op);
  const { op } = await discardRun(store, "fix", { compensate: async () => {} });
  await settleOperations(store, workspace.id);
  expect(await operations()).toEqual(["discard void", "discard done"]);
  await undo(op);
  expect(await isDiscarded()).toBe(false);
});

test("one that was cut short after it had given the scope up again counts", async () => {
  const { op } = await discardRun(store, "fix", { compensate: async () => {} });
  const back = await undo(op);
  const scope = (await findScope(store, "fix"))!;
  const cut = await planOperation(store, {
    kind: "undo",
    workspace: workspace.id,
    scope: "fix",
    log: scope.log,
    undoes: back.op,
    details: { discards: true },
  });
  await setDiscarded(store, scope, Date.now());
  await ownerless(cut.op);
  await settleOperations(store, workspace.id);
  expect(await operations()).toEqual(["discard done", "undo undone", "undo done"]);
});
