import * as fs from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { expect, test } from "vitest";
import { params } from "../../test/support/runs.ts";
import { buildTraces, followers, ops } from "../../test/support/traces.ts";
import { realDisk } from "./disk.ts";
import { type Finding, fsck } from "./fsck.ts";
import { openStore } from "./store.ts";

async function inStore(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = fs.mkdtempSync(`${tmpdir()}/shepherd-fsck-`);
  try {
    await work(`${directory}/store`);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

async function check(directory: string, full = false): Promise<Finding[]> {
  const found: Finding[] = [];
  for await (const finding of fsck({ disk: realDisk, directory }, { followers, full })) found.push(finding);
  return found;
}

test("a store in which nothing is wrong has no errors and no warnings, whatever was done in it", async () => {
  await fc.assert(
    fc.asyncProperty(ops(20), fc.boolean(), async (script, full) => {
      await inStore(async (directory) => {
        const store = await openStore(directory);
        const traces = await buildTraces(store, script);
        await traces.close();
        await store.close();
        const wrong = (await check(directory, full)).filter(({ severity }) => severity !== "note");
        expect(wrong).toEqual([]);
      });
    }),
    params(400),
  );
});
