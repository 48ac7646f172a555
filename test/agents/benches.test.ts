import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
// @ts-expect-error a script
import { agents } from "../../scripts/agents.mjs";
import { built } from "../support/built.ts";

const benches = readdirSync("bench").filter(
  (name) =>
    name.endsWith(".mjs") && /^const bin = agentsOrNothing\(\)/m.test(readFileSync(join("bench", name), "utf8")),
);
let root: string;
// Not in /tmp, of which a run has its own.
const place = mkdtempSync(join(homedir(), ".shepherd-test-"));
afterAll(() => rmSync(place, { recursive: true, force: true }));
beforeAll(async () => {
  agents();
  root = dirname(dirname(await built()));
});

test.each(benches)("bench/%s runs, prints its table, writes nothing down, and leaves nothing behind", (name) => {
  const documents = ["README.md", "docs/performance.md", "docs/disasters.md"];
  const before = documents.map((file) => readFileSync(file, "utf8"));
  const done = spawnSync(process.execPath, [resolve("bench", name), "--quick", "--write"], {
    encoding: "utf8",
    env: { ...process.env, SHEPHERD_BUILT: root, SHEPHERD_BENCH_DIR: place },
    timeout: 230_000,
  });
  expect(done.stderr).toBe("");
  expect(done.status).toBe(0);
  expect(done.stdout).toMatch(/^## .+\n.+\n`node bench\//m);
  expect(documents.map((file) => readFileSync(file, "utf8"))).toEqual(before);
  expect(readdirSync(place)).toEqual([]);
});
