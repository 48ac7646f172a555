import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, expect, test } from "vitest";
import { link, sha256 } from "./bytes.ts";
import { type EmbeddedStore, newLogId, openStore } from "./store.ts";
import { openWriter } from "./writer.ts";

let directory: string;
let store: EmbeddedStore;
beforeEach(async () => {
  directory = mkdtempSync(`${tmpdir()}/shepherd-trace-`);
  store = await openStore(`${directory}/store`);
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

test("a run of the worked example is sealed as its table says", async () => {
  const blob = async (text: string) => link("blob", await store.objects.put(Buffer.from(text)));
  const W0 = link("tree", sha256("W0"));
  const W1 = link("tree", sha256("W1"));
  const id = newLogId();
  await store.logs.create({
    v: 1,
    type: "log",
    id,
    meta: {},
    origin: {
      log: "main",
      n: 0,
      seq: 0,
      commit: sha256("M"),
      state: { roots: { workspace: W0 }, threads: {} },
      top: -1,
      carry: {},
    },
  });
  const epoch = (await store.leases.acquire(`log/${id}`))!;
  const w = await openWriter(store, id, epoch);
  const sealedAt: number[][] = [];
  w.watch((_frame, sealed) => sealedAt.push(sealed.map((step) => step.n)));
  expect(await w.intent({ kind: "run", tier: "reversible", what: await blob("task") })).toBe(0);
  await w.outcome(0, { status: "done", workspace: W0, threads: { main: { append: [await blob("user")] } } });
  expect(await w.intent({ kind: "model", tier: "repeatable", thread: "main" })).toBe(1);
  await w.sync();
  await w.part(1, { part: "block" });
  expect(await w.intent({ kind: "tool", tier: "reversible", thread: "main" }, { links: { turn: 1 } })).toBe(2);
  await w.part(1, { part: "block" });
  expect(await w.intent({ kind: "tool", tier: "reversible", thread: "main" }, { links: { turn: 1 } })).toBe(3);
  await w.outcome(2, { status: "done", workspace: W0, threads: { main: { append: [await blob("rA")] } } });
  await w.outcome(1, { status: "done", threads: { main: { append: [await blob("asst")] } } });
  await w.outcome(3, { status: "done", workspace: W1, threads: { main: { append: [await blob("rB")] } } });
  await w.note(null, { note: "attached" });
  expect(sealedAt).toEqual([[], [0], [], [], [], [], [], [], [1, 2], [3], []]);
  const [c0, c1, c2, c3] = w.fold.sealed;
  expect(c0!.sealed!.parents).toEqual([sha256("M")]);
  expect(c2!.sealed!.parents).toEqual([c1!.sealed!.id]);
  expect(c3!.sealed!.state.roots.workspace).toBe(W1);
  expect(c1!.sealed!.state.roots.workspace).toBe(W0);
});
