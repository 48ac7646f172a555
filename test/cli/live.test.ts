/** `--land live`: what a run changes comes into the user's directory as it goes, and what the user changes into the run. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { type Gated, gated, wait } from "../support/gated.ts";
import { bash, newUser, type Turn, type User, until } from "../support/user.ts";

const users: User[] = [];
afterEach(() => {
  for (const user of users.splice(0)) user.end();
});

const LINES = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";

async function live(turns: (gate: string) => Turn[], files = { "a.txt": LINES }): Promise<Gated & { user: User }> {
  const user = await newUser(files);
  users.push(user);
  return { user, ...gated(user, turns, "--land", "live") };
}

const kinds = async (user: User): Promise<string[]> =>
  (await user.does(["log", "fix", "--json"]))
    .objects<{ n: number; kind: string; status: string }>()
    .map(({ n, kind, status }) => `${n} ${kind}${status === "done" ? "" : ` (${status})`}`);

test("each step lands as it is done, and what the user changed is there before the next call", async () => {
  const { user, run, begun, go } = await live((gate) => [
    { call: [bash("sed -i s/2/TWO/ a.txt; mkdir -p sub; echo n > sub/new.txt"), wait(gate, "one")] },
    { call: [bash("cat a.txt mine.txt; sed -i s/4/FOUR/ a.txt"), wait(gate, "two")] },
    { say: "the end" },
  ]);
  await begun("one");
  await until(() => fs.existsSync(join(user.project, "sub/new.txt")));
  expect(user.read("a.txt")).toBe(LINES.replace("2", "TWO"));
  user.write({ "a.txt": LINES.replace("2", "TWO").replace("9", "NINE"), "mine.txt": "mine\n" });
  go("one");
  await begun("two");
  // A name that a landing exchanges is free for a moment.
  await until(() => fs.existsSync(join(user.project, "a.txt")) && user.files()["a.txt"]?.includes("FOUR") === true);
  const both = LINES.replace("2", "TWO").replace("4", "FOUR").replace("9", "NINE");
  expect(user.read("a.txt")).toBe(both);
  go("two");
  const { code, out, err } = await run.ended;
  expect([code, err]).toEqual([0, ""]);
  expect(out).toContain(`landed in ${user.project} as it went.`);
  expect((await kinds(user)).filter((row) => row.includes("sync"))).toHaveLength(1);
  expect((await user.does(["cat", "fix@", "a.txt"])).out).toBe(both);
  expect((await user.does(["merge", "fix"])).out).toContain("has all of fix already");
  // Both are set back, but for what the user touched in between.
  const reverted = await user.does(["revert", "fix", "0"], 3);
  expect(reverted.out).toContain(`in ${user.project} were set back too.\n  left as you have it: a.txt (content)\n`);
  expect(user.files()).toEqual({ "a.txt": both, "mine.txt": "mine\n" });
  await user.does(["undo"]);
  expect(fs.existsSync(join(user.project, "sub/new.txt"))).toBe(true);
  expect((await user.does(["fsck"])).out).toContain("The store is sound");
});

test("a file that runs code later waits for the end", async () => {
  const { user, run, begun, go } = await live((gate) => [
    { call: [bash("mkdir .vscode; echo '{}' > .vscode/tasks.json; echo x > x.txt"), wait(gate, "one")] },
    { call: [bash("echo y > y.txt")] },
    { say: "the end" },
  ]);
  await begun("one");
  await until(() => fs.existsSync(join(user.project, "x.txt")));
  expect(fs.existsSync(join(user.project, ".vscode"))).toBe(false);
  go("one");
  const { code, out } = await run.ended;
  expect(code).toBe(0);
  expect(out).toContain("not landed: .vscode/tasks.json");
  expect(Object.keys(user.files())).toEqual(["a.txt", "x.txt", "y.txt"]);
  await user.does(["merge", "fix", "--yes"]);
  expect(user.read(".vscode/tasks.json")).toBe("{}\n");
});

test("where both changed a place the user's stays, the agent is told, and nothing lands by itself any more", async () => {
  const { user, run, begun, go } = await live((gate) => [
    { call: [bash(`touch ${gate}/one.begun; until [ -e ${gate}/one ]; do sleep 0.01; done; sed -i s/2/TWO/ a.txt`)] },
    { call: [bash("echo more > more.txt")] },
    { say: "the end" },
  ]);
  await begun("one");
  user.write({ "a.txt": LINES.replace("2", "zwei") });
  go("one");
  const { code, err } = await run.ended;
  expect(code).toBe(0);
  expect(err).toContain("shepherd: you and fix changed the same places in a.txt; yours stay");
  expect(user.files()).toEqual({ "a.txt": LINES.replace("2", "zwei") });
  const rows = (await user.does(["log", "fix", "--json"])).objects<{ kind: string; summary: string }>();
  expect(rows.find(({ kind }) => kind === "inject")?.summary).toContain(
    "The user changed the same places as you in a.txt",
  );
  expect((await user.does(["merge", "fix", "--take", "theirs"])).out).toContain("Landed fix: 2 paths");
});

test("a revert of a run that goes on sets the directory back with it", async () => {
  const { user, run, begun, go } = await live((gate) => [
    { call: [bash("echo 1 > one.txt")] },
    { call: [bash(`[ -e ${gate}/again ] || echo 2 > two.txt`), wait(gate, "one")] },
    { say: "the end" },
  ]);
  await begun("one");
  await until(() => fs.existsSync(join(user.project, "two.txt")));
  go("again");
  await user.does(["revert", "fix", "2"]);
  await until(() => !fs.existsSync(join(user.project, "two.txt")));
  go("one");
  expect((await run.ended).code).toBe(0);
  expect(Object.keys(user.files())).toEqual(["a.txt", "one.txt"]);
});

test("a run that has landed at its end sets the directory back when it is told to, and not by itself", async () => {
  const user = await newUser({ "a.txt": LINES });
  users.push(user);
  const script = user.script([{ call: [bash("sed -i s/2/TWO/ a.txt; echo n > new.txt")] }, { say: "the end" }]);
  await user.does(["run", "--land", "auto", "--scope", "fix", "--model", script, "go"]);
  const both = LINES.replace("2", "TWO").replace("9", "NINE");
  user.write({ "a.txt": both });
  await user.does(["revert", "fix", "0"]);
  expect(user.files()).toEqual({ "a.txt": both, "new.txt": "n\n" });
  await user.does(["undo"]);
  const back = await user.does(["revert", "fix", "0", "--land", "auto"]);
  expect(back.out).toContain(`2 paths in ${user.project} were set back too.`);
  expect(user.files()).toEqual({ "a.txt": LINES.replace("9", "NINE") });
  await user.does(["undo"]);
  expect(user.files()).toEqual({ "a.txt": both, "new.txt": "n\n" });
});

test("a run that lands live is gone on with so, unless it is said otherwise", async () => {
  const { user, run, begun } = await live((gate) => [
    { call: [bash("echo 1 > one.txt"), wait(gate, "one")] },
    { call: [bash("echo 2 > two.txt")] },
    { say: "the end" },
  ]);
  await begun("one");
  for (const how of [[], ["--land", "live"]])
    expect((await user.does(["resume", "fix", ...how], 3)).err).toMatch(
      /^shepherd: Another process \(pid \d+\) is driving fix: wait for it, or stop it first\.\n$/,
    );
  run.process.kill("SIGINT");
  expect((await run.ended).out).toContain(`landed in ${user.project} as it went`);
  expect((await user.does(["resume", "fix", "--open", "drop"])).out).toContain(`landed in ${user.project} as it went`);
  expect(user.read("two.txt")).toBe("2\n");
  const more = user.script(
    [{ say: "1" }, { say: "2" }, { say: "3" }, { call: [bash("echo 3 > three.txt")] }, { say: "the end" }],
    "more",
  );
  const never = await user.does(["resume", "fix", "--land", "never", "--model", more, "go on"]);
  expect(never.out).toContain(`${user.project} has what landed before, and not what came since.`);
  // From now on a revert does not set the directory back unasked.
  await user.does(["revert", "fix", "0"]);
  expect(Object.keys(user.files())).toEqual(["a.txt", "one.txt", "two.txt"]);
});

test("at its end a run says how the user's directory stands to it", async () => {
  const user = await newUser({ "a.txt": LINES });
  users.push(user);
  const script = user.script([
    { call: [bash("echo 1 > one.txt")] },
    { say: "a" },
    { call: [bash("echo 2 > two.txt")] },
    { say: "b" },
    { say: "c" },
  ]);
  const first = await user.does(["run", "--land", "auto", "--scope", "fix", "--model", script, "go"]);
  expect(first.out).toContain(`, landed in ${user.project}.\n`);
  const since = await user.does(["resume", "fix", "go on"]);
  expect(since.out).toContain(`; ${user.project} has what landed before, and not what came since.\n`);
  expect(since.out).toContain("then `shepherd merge fix`");
  await user.does(["merge", "fix"]);
  const whole = await user.does(["resume", "fix", "and on"]);
  expect(whole.out).toContain(`; ${user.project} has all of it.\n`);
  expect(whole.out).not.toContain("merge");
  const hook = ["--", "sh", "-c", "mkdir .vscode; echo x > .vscode/tasks.json"];
  const waits = await user.does(["run", "--land", "auto", "--scope", "hook", ...hook]);
  expect(waits.out).toContain("changed 1 file (+1 -0), which waits to be allowed:\n");
  expect(waits.out).toContain("Next: `shepherd merge hook --yes` lands that");
});

test("--land live is for a run that has the directory for itself; without a terminal nothing lands unasked", async () => {
  const { user, run, begun } = await live((gate) => [{ call: [wait(gate, "one")] }]);
  await begun("one");
  const refused = await user.does(["run", "--land", "live", "--", "true"], 2);
  expect(refused.err).toContain("not beside fix: use ask, auto or never.");
  await user.does(["run", "-k", "2", "--land", "live", "--", "true"], 2);
  run.process.kill("SIGINT");
  await run.ended;
});
