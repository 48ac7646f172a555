import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { expect, test } from "vitest";
import { exported, imported } from "../../../test/support/bundle.ts";
import { DEAD, killedEverywhere } from "../../../test/support/crashing-disk.ts";
import { fastDisk } from "../../../test/support/fast-disk.ts";
import { long } from "../../../test/support/runs.ts";
import { buildTraces, followers, sampleTree } from "../../../test/support/traces.ts";
import { forget } from "../forget.ts";
import { fsck } from "../fsck.ts";
import { gc } from "../gc.ts";
import { type EmbeddedStore, openStore } from "../store.ts";
import { importOf } from "./imported.ts";

const LIMIT = long ? 1_800_000 : 120_000;

async function checkSound(store: EmbeddedStore): Promise<void> {
  const wrong: string[] = [];
  for await (const { severity, text } of fsck(store, { followers })) if (severity !== "note") wrong.push(text);
  expect(wrong).toEqual([]);
}

test.each([false, true])(
  "killed anywhere, an import leaves a sound store in which no scope is there in part, and the next import ends it (goes on with a part: %s)",
  async (goesOn) => {
    const directory = fs.mkdtempSync(`${tmpdir()}/shepherd-bundle-kill-`);
    try {
      const from = await openStore(`${directory}/from`, { disk: fastDisk });
      const kinds = ["step", "fork", "turn", "pack", "step", "merge", "fork", "step", "revert"] as const;
      const traces = await buildTraces(
        from,
        kinds.map((kind, a) => ({ kind, a, b: a + 1 })),
      );
      const scopes = traces.scopes.map(({ name, log }) => ({ name: name.slice("scope/".length), log }));
      await forget(from, [await from.objects.put(Buffer.from("result 0 1"))], { reason: "a test" });
      const template = `${directory}/to`;
      const to = await openStore(template, { disk: fastDisk });
      const own = await buildTraces(to, [{ kind: "step", a: 1, b: 2 }]);
      await own.close();
      if (goesOn) await imported(to, (await exported(from, scopes)).bytes);
      await to.close();
      // Each goes on, and takes in what another one has done since.
      for (const [k, { writer }] of traces.scopes.entries()) {
        const other = traces.scopes[(k + 1) % traces.scopes.length]!.writer;
        for (const by of [other, writer, other]) {
          const n = await by.intent({ kind: "tool", tier: "reversible" });
          await by.outcome(n, { status: "done", workspace: await sampleTree(from, k, n) });
        }
        const { id, state } = other.fold.head();
        const n = await writer.intent({ kind: "merge", tier: "reversible" });
        await writer.outcome(n, { status: "done", with: id!, state: state! });
      }
      const { bytes, closure, done } = await exported(from, scopes);
      expect(done.forgotten).toBe(1);
      expect(closure.stretches.length).toBeGreaterThan(closure.logs.length);
      let visible = 0;
      let none = 0;
      await killedEverywhere(
        template,
        long ? 1 : 23,
        0.5,
        (store) => imported(store, bytes, () => DEAD),
        async (store) => {
          await checkSound(store);
          for (const { header, frames } of closure.logs) {
            if (!(await store.logs.header(header.id))) continue;
            expect(await importOf(store, header.id)).not.toBe(null);
            expect((await store.logs.end(header.id)).seq).toBeLessThanOrEqual(frames);
          }
          for (const { name, log } of scopes) {
            if (!(await store.refs.get(`scope/${name}`))) none++;
            else {
              visible++;
              const { frames } = closure.logs.find(({ header }) => header.id === log)!;
              if (!goesOn) expect((await store.logs.end(log)).seq).toBe(frames);
            }
          }
          // What it left is garbage, or is gone on with.
          expect((await gc(store, { followers, least: 0 })).stopped).toBe(null);
          await checkSound(store);
          await imported(store, bytes);
          await checkSound(store);
          expect((await exported(store, scopes)).bytes.equals(bytes)).toBe(true);
        },
      );
      expect(visible).toBeGreaterThan(0);
      expect(none > 0).toBe(!goesOn);
      await traces.close();
      await from.close();
    } finally {
      fs.rmSync(directory, { recursive: true, force: true });
    }
  },
  LIMIT,
);
