import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { built } from "./support/built.ts";

const benches = readdirSync("bench").filter(
  (name) => name.endsWith(".mjs") && readFileSync(join("bench", name), "utf8").includes("\ntable("),
);
const asText = (name: string): string => readFileSync(join("bench", name), "utf8");
/** Those with the real agents run in test/agents. */
const [withAgents, alone] = [true, false].map((is) =>
  benches.filter((name) => asText(name).includes("agentsOrNothing()") === is),
) as [string[], string[]];
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

/** A quick run, on a machine without the real agents. */
const run = (name: string): { stderr: string; status: number | null; stdout: string } =>
  spawnSync(process.execPath, [resolve("bench", name), "--quick", "--write"], {
    encoding: "utf8",
    env: { ...process.env, SHEPHERD_BUILT: root, SHEPHERD_BENCH_DIR: place, XDG_DATA_HOME: place },
    timeout: 50_000,
  });

test.each(withAgents)("bench/%s says that it is skipped where the real agents are not installed", (name) => {
  const done = run(name);
  expect(done.stderr).toBe("");
  expect(done.status).toBe(0);
  expect(done.stdout).toMatch(/^Skipped: .*scripts\/agents\.mjs/);
  expect(readdirSync(place)).toEqual([]);
});

test("the rows of README's table of accidents are those of docs/disasters.md", () => {
  const cells = (text: string): string[][] =>
    [...text.matchAll(/^\| (.+) \|$/gm)].map(([, row]) => row!.split(" | ").map((cell) => cell.trim()));
  const [, told] = /<!-- disasters -->\n([\s\S]*?)<!-- \/disasters -->/.exec(readFileSync("README.md", "utf8"))!;
  const all = new Map(cells(readFileSync("docs/disasters.md", "utf8")).map(([name, , ...row]) => [name, row]));
  const rows = cells(told!);
  expect(rows.length).toBeGreaterThan(10);
  for (const [name, ...row] of rows) expect(all.get(name!), name).toEqual(row);
});

test.each(alone)("bench/%s runs, prints its tables, and leaves nothing behind", (name) => {
  const before = readFileSync("docs/performance.md", "utf8");
  const done = run(name);
  expect(done.stderr).toBe("");
  expect(done.status).toBe(0);
  expect(done.stdout).toMatch(/^## .+\n.+\n`node bench\//m);
  // A quick run says nothing, so it writes nothing.
  expect(readFileSync("docs/performance.md", "utf8")).toBe(before);
  expect(readdirSync(place)).toEqual([]);
});
