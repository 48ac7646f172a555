/** `bisect`, as a user sees it. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bash, newUser, type User, until } from "../support/user.ts";

let user: User;
/** 0 run, 1 model, 2 `n` is 1, 3 model, 4 `n` is 2, 5 model, 6 `n` is 3, 7 model. */
beforeAll(async () => {
  user = await newUser({ n: "0\n", "dir/x": "x\n" });
  const turns = [1, 2, 3].map((n) => ({ say: `I write ${n}`, call: [bash(`echo ${n} > n`)] }));
  await user.does(["run", "--scope", "fix", "--model", user.script([...turns, { say: "Done" }]), "count"]);
});
afterAll(() => user.end());

/** Logs and work directories: a try leaves none. */
const left = (): string[] => ["logs", "cache/work"].flatMap((path) => fs.readdirSync(join(user.store, path)).sort());

test("names the first step at which the command fails, what asked for it and what to do; nothing stays of the tries", async () => {
  const before = left();
  const { out } = await user.does(["bisect", "fix", "--", "sh", "-c", "touch made; test $(cat ../n) -lt 2"], 0, {
    cwd: join(user.project, "dir"),
  });
  expect(out).toMatch(/^fix: 4 states from step 0 to step 6; about 4 tries of `sh -c /);
  expect(out).toContain("  step   6  fails (exit code 1)\n  step   0  passes\n");
  expect(out).toContain("Step 4 is the first at which it fails:\n*   4");
  expect(out).toContain("  asked by fix@3 · I write 2\n  for fix@0 · count\n");
  expect(out).toContain("`shepherd revert fix 3` goes back there.");
  expect(left()).toEqual(before);
  expect((await user.does(["status", "--all", "--json"])).objects()).toHaveLength(1);
  expect(user.files()).toEqual({ n: "0\n", "dir/x": "x\n" });
});

test("takes a range, goes around what cannot be tried, and says where nothing is to be found", async () => {
  const has = (text: string): string[] => ["--", "sh", "-c", text];
  const skipping = await user.does(
    ["bisect", "fix", "--json", ...has("n=$(cat n); test $n = 2 && exit 125; test $n -lt 2")],
    1,
  );
  expect(skipping.objects().at(-1)).toMatchObject({
    scope: "fix",
    first: null,
    before: null,
    steps: [4, 6],
    probes: 4,
  });
  const range = await user.does([
    "bisect",
    "fix",
    "--good",
    "2",
    "--bad",
    "fix@5",
    "--json",
    ...has("test $(cat n) -lt 2"),
  ]);
  expect(range.objects().map(({ n, result }) => [n, result])).toEqual([
    [4, "fails"],
    [2, "passes"],
    [undefined, undefined],
  ]);
  expect((await user.does(["bisect", "fix", "--", "true"], 1)).out).toContain("It passes at step 6");
  expect((await user.does(["bisect", "fix", "--", "no-such-command"], 1)).out).toContain("may not be there");
  expect((await user.does(["bisect", "fix", "--good", "6", "--bad", "2", "--", "true"], 2)).err).toContain(
    "fix did not come through step 6 on its way to step 2",
  );
  expect((await user.does(["bisect", "fix"], 2)).err).toContain("Which command?");
});

test("Ctrl-C ends it, and nothing stays", async () => {
  const before = left();
  const running = user.start(["bisect", "fix", "-v", "--", "sh", "-c", "echo begun; sleep 60"]);
  await until(() => running.err.includes("begun"));
  running.process.kill("SIGINT");
  const { code, err } = await running.ended;
  expect([code, err]).toEqual([1, expect.stringContaining("stopped")]);
  expect(left()).toEqual(before);
});
