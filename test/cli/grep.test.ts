/** `grep` and `cost`, as a user sees them. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bash, newUser, put, type User } from "../support/user.ts";

let user: User;
beforeAll(async () => {
  user = await newUser({ "a.txt": "needle of mine\n" });
  const model = user.script([
    {
      say: "I look for the needle",
      call: [bash("echo a needle; echo token=hunter2hunter2"), put("b.txt", "x\nneedle 2\n")],
    },
    { say: "Done" },
  ]);
  await user.does(["run", "--scope", "one", "--model", model, "find the (needle)"]);
  await user.does(["fork", "one", "1"]);
  await user.does(["exec", "one.1", "--", "sh", "-c", "echo needle 3 >> a.txt"]);
  await user.does(["merge", "one.1", "--into", "one"]);
});
afterAll(() => user.end());

test("finds lines of tasks, messages, calls and results, with steps that show takes", async () => {
  const { out } = await user.does(["grep", "needle"]);
  expect(out.split("\n")).toEqual([
    "one.1@2  command  $ sh -c 'echo needle 3 >> a.txt'",
    "one@0  task  find the (needle)",
    "one@1  message  I look for the needle",
    "one@2  call  $ echo a needle; echo token=[masked]",
    "one@2  result  a needle",
    "one@3  call  needle 2",
    "",
  ]);
  for (const line of out.trimEnd().split("\n")) await user.does(["show", line.split("  ")[0]!]);
  expect((await user.does(["grep", "needle", "one", "-l"])).out).toBe("one@0\none@1\none@2\none@3\n");
  expect((await user.does(["grep", "NEEDLE", "-i", "-n", "1"])).out).toMatch(/^one\.1@2 .*\n$/);
  expect((await user.does(["grep", "-F", "(needle)"])).out).toBe("one@0  task  find the (needle)\n");
  expect((await user.does(["grep", "(needle"], 2)).err).toContain("no regular expression");
  expect((await user.does(["grep", "hunter2"], 1)).out).toBe("");
  expect((await user.does(["grep", "needle", "no-such-run"], 2)).err).toContain("There is no run");
});

test("finds what steps wrote into files, where it was written", async () => {
  const objects = (await user.does(["grep", "--files", "needle", "--json"])).objects();
  expect(objects.map(({ scope, n, path, line, text }) => [scope, n, path, line, text])).toEqual([
    ["one.1", 2, "a.txt", 2, "needle 3"],
    ["one", 3, "b.txt", 2, "needle 2"],
  ]);
});

test("cost tells of runs that asked a model, by run and in all, of one directory or of all", async () => {
  const objects = (await user.does(["cost", "--json"])).objects();
  expect(objects).toMatchObject([
    { scope: "one", calls: 2, usd: 0 },
    { runs: 1, calls: 2 },
  ]);
  expect((await user.does(["cost"])).out.split("\n")[1]).toMatch(/^one +2 +0 +0 +0 +0 +\$0\.0000$/);
  expect((await user.does(["cost", "one.1", "--json"])).objects()).toMatchObject([
    { calls: 0, models: [] },
    { runs: 1 },
  ]);
  const other = join(user.directory, "other");
  mkdirSync(other);
  expect((await user.does(["cost"], 0, { cwd: other })).out).toBe("No run has asked a model.\n");
  expect((await user.does(["cost", "--all", "--json"], 0, { cwd: other })).objects()).toHaveLength(2);
  expect((await user.does(["cost", "--since", "1h", "--json"])).objects()).toMatchObject([{ calls: 2 }, {}]);
  expect((await user.does(["cost", "--since", "2999-01-01", "--json"])).objects()).toMatchObject([{ runs: 0 }]);
  expect((await user.does(["cost", "--since", "soon"], 2)).err).toContain("--since takes how long ago");
});
