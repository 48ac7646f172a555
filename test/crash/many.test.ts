/** Many processes run agents in one workspace at once. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectSound } from "../support/crash.ts";
import { long } from "../support/runs.ts";
import { bash, newUser, put, type User } from "../support/user.ts";

let user: User;
beforeAll(async () => {
  user = await newUser({ "a.txt": "a\n", "sub/b.txt": "b\n" });
});
afterAll(() => user.end());

test("all complete, each with a run of its own, whatever name they ask for; the store is sound", async () => {
  const count = long ? 50 : 12;
  const model = user.script([
    { say: "look", call: [bash("cat a.txt; echo one > one.txt"), put("two.txt", "two\n")] },
    { say: "the end" },
  ]);
  // All want the same name, and the directory is new to all of them.
  const ended = await Promise.all(
    Array.from({ length: count }, () => user.shepherd(["run", "--model", model, "do the thing", "--json"])),
  );
  for (const { code, out, err } of ended) expect([code, err], out).toEqual([0, ""]);
  const ends = ended.map((each) => each.objects<{ scope: string; ending: string; head: string; n: number }>().at(-1)!);
  expect(ends.every(({ ending, n }) => ending === "done" && n === 4)).toBe(true);
  expect(new Set(ends.map(({ scope }) => scope)).size).toBe(count);
  // The same from the same files: the same commits.
  expect(new Set(ends.map(({ head }) => head)).size).toBe(1);
  const runs = (await user.does(["status", "--json"])).objects();
  expect(runs).toHaveLength(count);
  expect(runs.every(({ state }) => state === "done")).toBe(true);
  await expectSound(user);
  expect(user.files()).toEqual({ "a.txt": "a\n", "sub/b.txt": "b\n" });
}, 600_000);

test("runs, merges, forks, undos and collections at once do not get into each other's way", async () => {
  const names = (await user.does(["status", "--json"])).objects<{ scope: string }>().map(({ scope }) => scope);
  const verbs = [
    ["merge", names[0]!],
    ["merge", names[1]!],
    ["fork", `${names[2]}@2`, "-k", "3"],
    ["fork", `${names[2]}@3`],
    ["revert", names[3]!, "2"],
    ["revert", names[3]!, "1"],
    ["exec", names[4]!, "--", "sh", "-c", "echo three > three.txt"],
    ["sync", names[5]!],
    ["gc"],
    ["gc", "--dry-run"],
    ["status"],
    ["log", names[0]!],
    ["discard", names[6]!],
    ["run", "--", "sh", "-c", "echo four > four.txt"],
  ];
  const ended = await Promise.all(verbs.map((args) => user.shepherd(args)));
  for (const [i, { code, err, out }] of ended.entries()) {
    const typed = verbs[i]!.join(" ");
    // Two at once may find each other at work; that is said, and nothing is broken.
    if (code !== 0) expect(err, `${typed}\n${out}`).toMatch(/Another process|collects garbage|is driving/);
  }
  await user.does(["merge", names[0]!]);
  expect(user.read("one.txt")).toBe("one\n");
  expect(user.read("two.txt")).toBe("two\n");
  await expectSound(user);
  for (const name of names.slice(0, 6))
    expect((await user.does(["replay", name, "--json"])).objects()).toMatchObject([{ wrong: [] }]);
}, 600_000);
