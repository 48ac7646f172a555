/** `blame`, as a user sees it: over the built-in agent, guidance, commands, a shell, forks, merges, landings and reverts. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bash, newUser, put, type User } from "../support/user.ts";

let user: User;
beforeAll(async () => {
  user = await newUser({ "a.txt": "one\ntwo\nthree\n", "dir/x": "x\n" });
  const model = user.script([
    { say: "I look first", call: [bash("sed -i s/two/TWO/ a.txt"), put("b.txt", "hello\n")] },
    { say: "Now the rest", call: [bash("mv b.txt c.txt; echo token=hunter2hunter2 >> c.txt")] },
    { say: "Done" },
    { say: "A fourth comes", call: [bash("echo four >> a.txt")] },
    { say: "Done" },
  ]);
  await user.does(["run", "--scope", "fix", "--model", model, "fix the thing"]);
  await user.does(["inject", "fix", "also a fourth"]);
  await user.does(["resume", "fix", "--model", model]);
  await user.does(["exec", "fix", "--", "sed", "-i", "1s/^/zero\\n/", "a.txt"]);
  await user.does(["shell", "fix"], 0, { input: "echo typed >> a.txt\n" });
});
afterAll(() => user.end());

test("names the step, the model call and what the user had said", async () => {
  const { out } = await user.does(["blame", "a.txt", "fix"]);
  expect(out).toBe(`fix@11 1  zero
yours  2  one
fix@2  3  TWO
yours  4  three
fix@9  5  four
fix@12 6  typed

fix@11  command · sed -i '1s/^/zero\\n/' a.txt
yours   no step of a run: it is your own
fix@2   tool · sed -i s/two/TWO/ a.txt
        asked by fix@1 · I look first
        for fix@0 · fix the thing
fix@9   tool · echo four >> a.txt
        asked by fix@8 · A fourth comes
        for fix@7 · also a fourth
fix@12  tool · echo typed >> a.txt
`);
});

test("follows a file that was moved, masks, and takes lines, a step and a path from where one stands", async () => {
  const [first, second] = (await user.does(["blame", "c.txt", "fix", "--json"])).objects();
  expect(first).toMatchObject({ from: 1, to: 1, lines: ["hello"], path: "b.txt", step: { scope: "fix", n: 3 } });
  expect(second).toMatchObject({ lines: ["token=[masked]"], path: "c.txt", step: { n: 5 }, asked: { n: 4 } });
  expect((await user.does(["blame", "a.txt:2-3", "fix@2"])).out).toMatch(/^fix@2 2 {2}TWO\nyours 3 {2}three\n\n/);
  expect((await user.does(["blame", "x", "fix"], 0, { cwd: join(user.project, "dir") })).out).toMatch(
    /^yours 1 {2}x\n/,
  );
  expect((await user.does(["blame", "a.txt:99", "fix"], 2)).err).toContain("a.txt has no line 99 at step 12 of fix.");
  expect((await user.does(["blame", "a.txt:0", "fix"], 2)).err).toContain("counted from 1");
  expect((await user.does(["blame", "nope", "fix"], 2)).err).toContain("There is no file nope at step 12 of fix");
});

test("goes on through a fork, a merge, a landing and a revert", async () => {
  await user.does(["fork", "fix", "3"]);
  await user.does(["exec", "fix.1", "--", "sh", "-c", "echo forked >> dir/x"]);
  await user.does(["merge", "fix.1", "--into", "fix"]);
  await user.does(["revert", "fix", "2"]);
  await user.does(["undo"]);
  await user.does(["merge", "fix"]);
  user.write({ "dir/x": "x\nforked\nmine\n" });
  await user.does(["diff", "fix"]);
  const objects = (await user.does(["blame", "dir/x", "main", "--json"])).objects();
  expect(objects.map(({ from, yours, step }) => [from, yours, step])).toEqual([
    [1, true, null],
    [2, false, { scope: "fix.1", n: 4, kind: "command", summary: "sh -c 'echo forked >> dir/x'" }],
    [3, true, null],
  ]);
});
