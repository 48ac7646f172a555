import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { afterAll, beforeAll, expect, test } from "vitest";
import { realDisk } from "../../src/trace/disk.ts";
import { fsck } from "../../src/trace/fsck.ts";
import { openStore } from "../../src/trace/store.ts";
import { followers } from "../support/traces.ts";
import { buildVectors } from "./build.ts";
import { readVectors } from "./read.ts";

const VECTORS = import.meta.dirname;
const COMMITTED = `${VECTORS}/store`;
const EXPECTED = `${VECTORS}/expected.json`;

let directory: string;
beforeAll(async () => {
  directory = fs.mkdtempSync(`${tmpdir()}/shepherd-vectors-`);
  await buildVectors(`${directory}/built`);
  if (process.env.SHEPHERD_WRITE_VECTORS !== "1") return;
  fs.rmSync(COMMITTED, { recursive: true, force: true });
  fs.cpSync(`${directory}/built`, COMMITTED, { recursive: true });
  fs.writeFileSync(EXPECTED, `${JSON.stringify(await read(`${directory}/built`), null, 1)}\n`);
});
afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));

/** What our reader finds in a copy: reading makes files of its own. */
async function read(store: string): Promise<unknown> {
  const copy = fs.mkdtempSync(`${directory}/copy-`);
  fs.cpSync(store, copy, { recursive: true });
  const opened = await openStore(copy, { followers });
  try {
    return JSON.parse(JSON.stringify(await readVectors(opened)));
  } finally {
    await opened.close();
  }
}

const expected = (): unknown => JSON.parse(fs.readFileSync(EXPECTED, "utf8"));

test("the store that was written once is read as it was then", async () => {
  expect(await read(COMMITTED)).toEqual(expected());
});

test("the same steps make the same store today, but for how content is compressed", async () => {
  expect(await read(`${directory}/built`)).toEqual(expected());
  const logs = fs.readdirSync(`${COMMITTED}/logs`).map((name) => `logs/${name}`);
  for (const name of ["format", "refs.1", "refs.2", ...logs])
    expect(fs.readFileSync(`${directory}/built/${name}`).equals(fs.readFileSync(`${COMMITTED}/${name}`))).toBe(true);
});

test("nothing in it is wrong, but for what is told", async () => {
  const found: string[] = [];
  for await (const { severity, what } of fsck({ disk: realDisk, directory: COMMITTED }, { followers, full: true }))
    found.push(`${severity} ${what}`);
  expect(found.sort()).toEqual(["note forgotten", "note stray", "note stray", "note torn"]);
});

const python = (() => {
  try {
    return (
      execFileSync("python3", ["-c", "import sys; print(sys.version_info >= (3, 7))"], { encoding: "utf8" }).trim() ===
      "True"
    );
  } catch {
    return false;
  }
})();
if (!python) console.warn("There is no python3 of 3.7 or newer here: the second reader is left out.");

test.skipIf(!python)("a reader that was written from docs/format.md alone, in another language, finds the same", () => {
  const said = execFileSync("python3", [`${VECTORS}/reader.py`, COMMITTED], { encoding: "utf8", maxBuffer: 1 << 26 });
  expect(JSON.parse(said)).toEqual(expected());
});
