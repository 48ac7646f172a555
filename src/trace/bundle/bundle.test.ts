import * as fs from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { expect, test } from "vitest";
import { exported, imported, sourceOf } from "../../../test/support/bundle.ts";
import { fastDisk } from "../../../test/support/fast-disk.ts";
import { long, params } from "../../../test/support/runs.ts";
import { buildTraces, followers, ops, sampleTree, type Traces } from "../../../test/support/traces.ts";
import { forget } from "../forget.ts";
import { fsck } from "../fsck.ts";
import { gc } from "../gc.ts";
import { logPath } from "../logfile.ts";
import { frameHash } from "../logs.ts";
import type { Hash } from "../ports.ts";
import { type EmbeddedStore, openStore } from "../store.ts";
import { readFold } from "../writer.ts";
import { importOf } from "./imported.ts";
import { planImport } from "./read.ts";

const LIMIT = long ? 1_800_000 : 60_000;

type Opened = (name: string) => Promise<EmbeddedStore>;

async function inStores(work: (open: Opened, directory: string) => Promise<void>): Promise<void> {
  const directory = fs.mkdtempSync(`${tmpdir()}/shepherd-bundle-`);
  const stores: EmbeddedStore[] = [];
  try {
    await work(async (name) => {
      const store = await openStore(`${directory}/${name}`, { disk: fastDisk });
      stores.push(store);
      return store;
    }, directory);
  } finally {
    for (const store of stores) await store.close();
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

/** What is wrong with a store, without what is only said. */
async function wrongIn(store: EmbeddedStore): Promise<string[]> {
  const wrong: string[] = [];
  for await (const { severity, text } of fsck(store, { followers, full: true }))
    if (severity !== "note") wrong.push(text);
  return wrong;
}

/** The hashes of a log's frames, and all commits with what they restore. */
async function read(store: EmbeddedStore, log: string): Promise<{ frames: Hash[]; sealed: unknown[] }> {
  const frames: Hash[] = [];
  for await (const frame of store.logs.read(log)) frames.push(frameHash(frame));
  const { fold } = await readFold(store, log);
  return { frames, sealed: fold.sealed.map(({ n, sealed }) => ({ n, ...sealed })) };
}

const live = ({ scopes }: Traces) =>
  scopes.filter((scope) => scope.live).map(({ name, log }) => ({ name: name.slice("scope/".length), log }));

test(
  "what is exported and imported is the same: logs, commits, states, and the bytes of a second export; nothing is wrong with the store",
  async () => {
    await fc.assert(
      fc.asyncProperty(ops(24), fc.nat(), fc.boolean(), async (script, pick, one) => {
        await inStores(async (open) => {
          const from = await open("from");
          const traces = await buildTraces(from, script);
          const all = live(traces);
          const scopes = one ? [all[pick % all.length]!] : all;
          const { bytes, closure } = await exported(from, scopes);
          const to = await open("to");
          await imported(to, bytes);
          for (const { name, log } of scopes) {
            expect(JSON.parse((await to.refs.get(`scope/${name}`))!.value)).toEqual({ log });
            expect(await read(to, log)).toEqual(await read(from, log));
          }
          for (const { header, frames } of closure.logs) {
            expect(await to.logs.header(header.id)).toEqual(header);
            expect((await to.logs.end(header.id)).seq).toBe(frames);
            expect(await importOf(to, header.id)).toMatchObject({ file: "a file" });
          }
          expect(await wrongIn(to)).toEqual([]);
          expect((await exported(to, scopes)).bytes.equals(bytes)).toBe(true);
          // A second time, and after a collection, nothing has changed.
          const before = fs.readFileSync(logPath(to.directory, scopes[0]!.log));
          await gc(to, { followers, least: 0 });
          await imported(to, bytes);
          expect(fs.readFileSync(logPath(to.directory, scopes[0]!.log)).equals(before)).toBe(true);
          expect((await exported(to, scopes)).bytes.equals(bytes)).toBe(true);
          await traces.close();
        });
      }),
      params(300, 5),
    );
  },
  LIMIT,
);

test(
  "a commit of a log that stays behind comes without its history, and is kept and found all the same",
  async () => {
    let edges = 0;
    await fc.assert(
      fc.asyncProperty(ops(24), fc.nat(), async (script, pick) => {
        await inStores(async (open) => {
          const from = await open("from");
          const traces = await buildTraces(from, [...script, { kind: "fork", a: pick, b: 0 }]);
          const all = live(traces);
          // What it merges was made in the log that was forked from it last, and that has no conversation of its own.
          const scope = all[pick % (all.length - 1)]!;
          const { log: other, writer: child } = traces.scopes.at(-1)!;
          const { writer } = traces.scopes.find(({ log }) => log === scope.log)!;
          const made = await child.intent({ kind: "tool", tier: "reversible" });
          await child.outcome(made, { status: "done", workspace: await sampleTree(from, pick % 99, 1) });
          const { id, state } = child.fold.head();
          const n = await writer.intent({ kind: "merge", tier: "reversible" });
          await writer.outcome(n, { status: "done", with: id!, workspace: state!.roots.workspace });
          const kept = new Set([other]);
          const { bytes, closure } = await exported(from, [scope], kept);
          edges += closure.edges.size;
          for (const { header } of closure.logs) expect(kept.has(header.id)).toBe(false);
          const to = await open("to");
          await imported(to, bytes);
          expect(await read(to, scope.log)).toEqual(await read(from, scope.log));
          expect(await wrongIn(to)).toEqual([]);
          await gc(to, { followers, least: 0 });
          expect(await wrongIn(to)).toEqual([]);
          for (const [id, bytes] of closure.edges)
            expect(Buffer.from((await to.objects.get(id))!).equals(bytes)).toBe(true);
          expect((await exported(to, [scope])).bytes.equals(bytes)).toBe(true);
          await traces.close();
        });
      }),
      params(200, 4),
    );
    expect(edges).toBeGreaterThan(3);
  },
  LIMIT,
);

test("an import goes on with what is there already: fewer steps of the same run, and a part of its objects", async () => {
  await inStores(async (open) => {
    const from = await open("from");
    const to = await open("to");
    const first = await buildTraces(from, [{ kind: "step", a: 1, b: 2 }]);
    const [scope] = live(first);
    const early = (await exported(from, [scope!])).bytes;
    const { writer } = first.scopes[0]!;
    for (const a of [3, 4]) {
      const n = await writer.intent({ kind: "tool", tier: "reversible" });
      const what = await from.objects.put(Buffer.from(`more ${a}`));
      await writer.outcome(n, { status: "done", threads: { main: { append: [`blob:${what}`] } } });
    }
    const late = (await exported(from, [scope!])).bytes;
    await to.objects.put(Buffer.from("more 3"));
    const packs = () =>
      fs
        .readdirSync(`${to.directory}/objects`)
        .reduce((sum, name) => sum + fs.statSync(`${to.directory}/objects/${name}`).size, 0);
    await imported(to, early);
    const before = packs();
    await imported(to, late);
    // Of all objects only the other one was new, and the one that names the directory was there.
    expect(packs() - before).toBeLessThan(200);
    expect(await read(to, scope!.log)).toEqual(await read(from, scope!.log));
    // Less of it than there is changes nothing.
    await imported(to, early);
    expect(await read(to, scope!.log)).toEqual(await read(from, scope!.log));
    expect(await wrongIn(to)).toEqual([]);
    // What was made in a store is never gone on with out of a file.
    const own = await open("own");
    await imported(own, early);
    await own.refs.cas(`import/${scope!.log}`, 1, null);
    await expect(planImport(own, sourceOf(late), { followers })).rejects.toThrow(/other steps of log/);
    await expect(planImport(own, sourceOf(early), { followers })).resolves.toBeTruthy();
    await first.close();
  });
});

test("what was forgotten stays forgotten on the other side, and never hides what is there", async () => {
  await inStores(async (open) => {
    const from = await open("from");
    const traces = await buildTraces(from, [{ kind: "step", a: 1, b: 2 }]);
    const [scope] = live(traces);
    const gone = await from.objects.put(Buffer.from("result 1 2"));
    await forget(from, [gone], { reason: "a test" });
    const { bytes, done } = await exported(from, [scope!]);
    expect(done.forgotten).toBe(1);
    const to = await open("to");
    await imported(to, bytes);
    await expect(to.objects.get(gone)).rejects.toThrow("was forgotten");
    expect(await wrongIn(to)).toEqual([]);
    expect((await exported(to, [scope!])).bytes.equals(bytes)).toBe(true);
    const has = await open("has");
    await has.objects.put(Buffer.from("result 1 2"));
    await imported(has, bytes);
    expect(Buffer.from((await has.objects.get(gone))!).toString()).toBe("result 1 2");
    await traces.close();
  });
});
