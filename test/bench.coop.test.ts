import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { built } from "./support/built.ts";

/** A module of the bench. */
const use = (name: string) => import(resolve("bench/coop", name));

const place = mkdtempSync(join(tmpdir(), "shepherd-test-"));
afterAll(() => rmSync(place, { recursive: true, force: true }));

const env = {
  ...process.env,
  GIT_AUTHOR_NAME: "t",
  GIT_AUTHOR_EMAIL: "t@example.org",
  GIT_COMMITTER_NAME: "t",
  GIT_COMMITTER_EMAIL: "t@example.org",
};
function git(directory: string, ...args: string[]): string {
  const done = spawnSync("git", args, { cwd: directory, env, encoding: "utf8" });
  if (done.status !== 0) throw new Error(done.stderr);
  return done.stdout;
}
const python = ["python3.11", "python3"].find((name) => spawnSync(name, ["-m", "pytest", "--version"]).status === 0);
const mergesTrees = /write-tree/.test(String(spawnSync("git", ["merge-tree", "-h"]).output));
if (!python || !mergesTrees) console.log("The bench of merges is not tried here: it needs pytest and git merge-tree.");

/** A task with three features: two that put functions at the same place, one that changes what the second changes too. */
function makeTask(): { dataset: string; repos: string } {
  const [dataset, repos] = [join(place, "dataset"), join(place, "repos")];
  const work = join(repos, "thing");
  mkdirSync(join(work, "src"), { recursive: true });
  mkdirSync(join(work, "tests"));
  git(work, "init", "-q");
  const write = (path: string, text: string) => writeFileSync(join(work, path), text);
  const base = "LIMIT = 1\n\n\ndef f():\n    return LIMIT\n";
  write("src/thing.py", base);
  write("tests/test_thing.py", "import thing\n\n\ndef test_f():\n    assert thing.f()\n");
  git(work, "add", "-A");
  git(work, "commit", "-qm", "base");
  const task = join(dataset, "owner_thing_task/task7");
  const commit = git(work, "rev-parse", "HEAD").trim();
  const put = (path: string, text: string) => {
    mkdirSync(dirname(join(task, path)), { recursive: true });
    writeFileSync(join(task, path), text);
  };
  put("Dockerfile", `RUN git clone https://example.org/owner/thing.git repo && \\\n    git checkout ${commit}\n`);
  put("runner.sh", "python -m pytest tests/test_thing.py -v\n");
  const change = (path: string, text: string) => {
    write(path, text);
    const patch = git(work, "diff");
    git(work, "checkout", "-q", "--", ".");
    return patch;
  };
  const features: Array<[string, string]> = [
    [`${base}\n\ndef g():\n    return f()\n`, "g() == thing.f()"],
    [`${base.replace("= 1", "= 2")}\n\ndef h():\n    return 3\n`, "h() + thing.LIMIT == 5"],
    [base.replace("= 1", "= 4"), "LIMIT == 4"],
  ];
  for (const [i, [text, check]] of features.entries()) {
    put(`feature${i + 1}/feature.patch`, change("src/thing.py", text) + change("tests/test_thing.py", "broken(\n"));
    put(
      `feature${i + 1}/tests.patch`,
      change("tests/test_thing.py", `import thing\n\n\ndef test_f():\n    assert thing.${check}\n`),
    );
  }
  put("combined.patch", change("src/thing.py", base));
  return { dataset, repos };
}

test.skipIf(!python || !mergesTrees)(
  "bench/coop.mjs merges pairs of features in each way, tests them, and goes on where it was",
  async () => {
    const { dataset, repos } = makeTask();
    const store = join(place, "store");
    const root = dirname(dirname(await built()));
    const run = () =>
      spawnSync(
        process.execPath,
        [resolve("bench/coop.mjs"), "--dataset", dataset, "--repos", repos, "--store", store],
        {
          encoding: "utf8",
          env: { ...process.env, SHEPHERD_BUILT: root, SHEPHERD_BENCH_DIR: place },
        },
      );
    const first = run();
    expect(first.stderr).toContain("thing-7 1, 2: git - union + lines - both +\n");
    expect(first.stderr).toContain("thing-7 1, 3: git + union + lines + both +\n");
    expect(first.stderr).toContain("thing-7 2, 3: git - union - lines - both -\n");
    expect(first.status).toBe(0);
    expect(first.stdout).toContain("| **all** | 3 | 1 | 1 | 2 | 1 | 2 |\n");
    expect(first.stdout).toContain("Ceiling: 3 of 3 features pass their own suite by themselves, and 0 of 3");
    expect(first.stdout).toContain("| thing-7 2, 3 | left | fails | conflict in src/thing.py |\n");
    // Killed in the middle of a line.
    const results = join(store, "results.jsonl");
    const known = readFileSync(results, "utf8");
    writeFileSync(results, known.slice(0, -20));
    const again = run();
    const rows = (text: string) => text.split("\n").filter((line) => line.startsWith("|"));
    expect(rows(again.stdout)).toEqual(rows(first.stdout));
    const lines = (text: string) =>
      text
        .split("\n")
        .filter((line) => line.endsWith("}"))
        .sort();
    expect(lines(readFileSync(results, "utf8"))).toEqual(lines(known));
    expect(existsSync(join(store, "thing-7.git"))).toBe(true);
  },
);

test("a patch as edits: each is one hunk, where it stands once those before it have been applied", async () => {
  const { editsOf } = (await use("edits.mjs")) as { editsOf(patch: string): string[] };
  const patch = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n+n\n a\n b\n@@ -10,2 +11,2 @@\n-c\n+d\n e\n";
  const head = "diff --git a/x b/x\n--- a/x\n+++ b/x\n";
  expect(editsOf(patch)).toEqual([`${head}@@ -1,2 +1,3 @@\n+n\n a\n b\n`, `${head}@@ -11,2 +11,2 @@\n-c\n+d\n e\n`]);
});

test("McNemar's exact test", async () => {
  const { mcnemar } = (await use("mcnemar.mjs")) as { mcnemar(gained: number, lost: number): number };
  expect(mcnemar(0, 0)).toBe(1);
  expect(mcnemar(5, 0)).toBeCloseTo(2 / 32);
  expect(mcnemar(1, 9)).toBeCloseTo((2 * 11) / 1024);
  expect(mcnemar(3, 3)).toBe(1);
});
