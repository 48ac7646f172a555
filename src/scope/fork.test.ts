import { afterEach, beforeEach, expect, test } from "vitest";
import { tempStore } from "../../test/support/temp-store.ts";
import type { IntentFacts } from "../trace/frame.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { writeTree } from "../world/tree.ts";
import { type Beginning, forkScope } from "./fork.ts";
import { createScope, findScope, freeName, NameError, NO_GRANTS } from "./registry.ts";
import { attach, type LiveScope, record, treeLink } from "./scope.ts";
import { readScope, StepError } from "./view.ts";

let temp: Awaited<ReturnType<typeof tempStore>>;
let store: EmbeddedStore;
let fix: LiveScope;
beforeEach(async () => {
  temp = await tempStore();
  store = temp.store;
  await createScope(store, { ...spec(), name: "fix" });
  fix = await attach(store, "fix");
  const workspace = treeLink(await writeTree(store.objects, { mode: 0o755, entries: [] }));
  await record(fix, { kind: "run", tier: "reversible" }, { status: "done", workspace });
});
afterEach(async () => {
  await fix.close();
  await temp.end();
});

const spec = () => ({ workspace: { path: temp.directory, id: "w" }, parent: null, origin: null, grants: NO_GRANTS });
const model = (thread: string): IntentFacts => ({ kind: "model", tier: "repeatable", thread });
const tool = (thread: string, container = false): IntentFacts => ({
  kind: "tool",
  tier: "reversible",
  thread,
  ...(container && { container }),
});
const idOf = (n: number): string => fix.writer.fold.steps.get(n)!.sealed!.id;
const forkedAt = async (n: number) => {
  const [made] = await forkScope(store, "fix", n, { atIntent: true });
  const { fold } = await readScope(store, made!.name);
  return { commit: fold.head().id, next: fold.next() };
};

test("a fork at an intent holds nothing of what another conversation has done since", async () => {
  await record(fix, model("main"), { status: "done" });
  await fix.writer.intent(tool("main"), { links: { turn: 1 } });
  await record(fix, model("aside"), { status: "done" });
  expect(await forkedAt(2)).toEqual({ commit: idOf(1), next: 2 });
  await fix.writer.outcome(2, { status: "done" });
  expect(await forkedAt(2)).toEqual({ commit: idOf(1), next: 2 });
  expect(await forkedAt(3)).toEqual({ commit: idOf(1), next: 2 });
});

test("a fork at the intent of a container holds nothing of what ran inside it", async () => {
  await record(fix, model("main"), { status: "done" });
  await fix.writer.intent(tool("main", true), { links: { turn: 1 } });
  await record(fix, model("main/1.0"), { status: "done" });
  await fix.writer.outcome(2, { status: "done" });
  expect(await forkedAt(2)).toEqual({ commit: idOf(1), next: 2 });
});

test("a fork at an intent waits for the calls before it, of any conversation, and for no container", async () => {
  await fix.writer.intent(tool("aside", true));
  await fix.writer.intent(tool("aside"), { links: { inside: 1 } });
  await fix.writer.intent(tool("main"));
  await expect(forkedAt(3)).rejects.toThrow(StepError);
  await fix.writer.outcome(2, { status: "done" });
  expect(await forkedAt(3)).toEqual({ commit: idOf(2), next: 3 });
  expect(await forkedAt(1)).toEqual({ commit: idOf(0), next: 1 });
});

test("a fork at an intent waits for its own message, but for no other that is still coming", async () => {
  await fix.writer.intent(model("aside"));
  await fix.writer.intent(model("main"));
  await fix.writer.intent(tool("main"), { links: { turn: 2 } });
  await expect(forkedAt(3)).rejects.toThrow("waits for step 2");
  await fix.writer.outcome(2, { status: "done" });
  expect(await forkedAt(3)).toEqual({ commit: idOf(2), next: 3 });
});

test("no scope has the name of the working directory", async () => {
  await expect(createScope(store, { ...spec(), name: "main" })).rejects.toThrow(NameError);
  expect(await freeName(store, "main")).toBe("main-2");
});

test("a fork has no name before what it begins with is written, and one that cannot be begun is none", async () => {
  const logs = await store.logs.list();
  await expect(
    forkScope(store, "fix", 0, {
      name: "half",
      begin: async (scope) => {
        await record(scope, model("main"), { status: "done" });
        throw new Error("killed");
      },
    }),
  ).rejects.toThrow("killed");
  expect([await findScope(store, "half"), await store.logs.list()]).toEqual([null, logs]);
  const found: unknown[] = [];
  const begin = async (scope: Beginning): Promise<void> => {
    await record(scope, model("main"), { status: "done" });
    found.push(await findScope(store, "whole"));
  };
  await forkScope(store, "fix", 0, { name: "whole", begin });
  expect(found).toEqual([null]);
  expect((await readScope(store, "whole")).fold.head().n).toBe(1);
  const before = await store.logs.list();
  await expect(forkScope(store, "fix", 0, { name: "whole", begin })).rejects.toThrow(NameError);
  expect(await store.logs.list()).toEqual(before);
});
