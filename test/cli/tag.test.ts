/** `tag`, `@NAME` and `@green`, as a user sees them. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { bash, newUser, type User } from "../support/user.ts";

let user: User;
/** 0 run, 1 model, 2 `n` is 1, 3 the check, which passes, 4 model, 5 `n` is 2, 6 model. */
beforeAll(async () => {
  user = await newUser({ n: "0\n" });
  const model = user.script([
    { call: [bash("echo 1 > n"), bash("grep -q  1 n")] },
    { call: [bash("echo 2 > n")] },
    { say: "Done" },
  ]);
  await user.does(["run", "--scope", "fix", "--model", model, "count"]);
});
afterAll(() => user.end());

test("a tag is a step wherever one is named, in log, and until it is removed", async () => {
  expect((await user.does(["tag"])).out).toContain("No tags here");
  expect((await user.does(["tag", "first", "fix@2", "--dry-run"])).out).toBe("Would name step 2 of fix: @first.\n");
  expect((await user.does(["tag", "first", "fix@2"])).out).toBe("Named step 2 of fix: @first.\n");
  expect((await user.does(["tag"])).out).toMatch(/^first {2}fix@2 {2}[0-9a-f]{7} {2}tool · echo 1 > n\n$/);
  expect((await user.does(["cat", "@first", "n"])).out).toBe("1\n");
  expect((await user.does(["show", "fix", "@first", "--json"])).objects()).toMatchObject([{ n: 2 }]);
  expect((await user.does(["diff", "@first", "fix@", "--stat"])).out).toBe("modified n\n");
  expect((await user.does(["log"])).out.split("\n").filter((line) => line.includes("@first"))).toEqual([
    expect.stringMatching(/^\* {3}2 .*echo 1 > n {2}\+1 -1 {2}@first$/),
  ]);
  expect((await user.does(["fork", "@first"])).out).toContain("fix.1  from step 2 of fix");
  expect((await user.does(["show", "fix.1@first", "--json"])).objects()).toMatchObject([{ n: 2 }]);
  expect((await user.does(["fork", "fix", "0", "--scope", "old"])).code).toBe(0);
  expect((await user.does(["show", "old@first"], 2)).err).toContain(
    "The tag first is step 2 of fix, and no step of old.",
  );
  expect((await user.does(["tag", "first"], 3)).err).toContain("--force moves it");
  expect((await user.does(["tag", "first", "--force"])).out).toBe("Named step 6 of fix: @first.\n");
  expect((await user.does(["show", "@second"], 2)).err).toContain("There is no tag second");
  for (const name of ["cafe", "7", "green", "No"]) await user.does(["tag", name], 2);
  expect((await user.does(["tag", "--delete", "first"])).out).toContain("Removed the tag first");
  expect((await user.does(["show", "@first"], 2)).err).toContain("There is no tag first");
  expect((await user.does(["tag", "--delete", "first"], 2)).err).toContain("There is no tag");
});

test("@green is the newest step at which the check passed, on record or where --green found it", async () => {
  expect((await user.does(["show", "@green"], 2)).err).toContain("`shepherd tag --check COMMAND` says what is to pass");
  await user.does(["tag", "--check", "grep -q 1 n"]);
  // What was run is the check but for its spaces.
  expect((await user.does(["show", "@green", "--json"])).objects()).toMatchObject([{ n: 3, status: "done" }]);
  await user.does(["tag", "--check", "grep -q 2 n"]);
  expect((await user.does(["revert", "fix@green", "--dry-run"], 3)).err).toContain(
    "`shepherd tag --green fix` looks for one",
  );
  await user.does(["exec", "fix", "--", "sh", "-c", "echo 3 > n"]);
  expect((await user.does(["tag", "--green", "fix", "--json"])).objects()).toEqual([
    { green: 6, scope: "fix", tried: 2, dryRun: false },
  ]);
  expect((await user.does(["cat", "fix@green", "n"])).out).toBe("2\n");
  await user.does(["revert", "fix@green"]);
  expect((await user.does(["cat", "fix@", "n"])).out).toBe("2\n");
  await user.does(["tag", "--check", "false"]);
  expect((await user.does(["tag", "--green", "fix"], 1)).out).toContain("`false` passes at no step of fix.");
  expect((await user.does(["tag", "--check", ""])).out).toContain("There is no check any more.");
});
