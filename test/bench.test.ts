import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { built } from "./support/built.ts";

const benches = readdirSync("bench").filter((name) => readFileSync(join("bench", name), "utf8").includes("\ntable("));
let root: string;
const place = mkdtempSync(join(tmpdir(), "shepherd-test-"));
afterAll(() => rmSync(place, { recursive: true, force: true }));
beforeAll(async () => {
  root = dirname(dirname(await built()));
});

test("every bench is told in docs/performance.md", () => {
  const text = readFileSync("docs/performance.md", "utf8");
  expect(benches.length).toBeGreaterThan(4);
  for (const name of benches) expect(text).toContain(`node bench/${name} --write`);
});

test.each(benches)("bench/%s runs, prints its tables, and leaves nothing behind", (name) => {
  const before = readFileSync("docs/performance.md", "utf8");
  const done = spawnSync(process.execPath, [resolve("bench", name), "--quick", "--write"], {
    encoding: "utf8",
    env: { ...process.env, SHEPHERD_BUILT: root, SHEPHERD_BENCH_DIR: place },
    timeout: 50_000,
  });
  expect(done.stderr).toBe("");
  expect(done.status).toBe(0);
  expect(done.stdout).toMatch(/^## .+\n.+\n`node bench\//m);
  // A quick run says nothing, so it writes nothing.
  expect(readFileSync("docs/performance.md", "utf8")).toBe(before);
  expect(readdirSync(place)).toEqual([]);
});
