/** Going back and trying again: revert, resume, undo, fork, discard, and runs from a step. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { attach } from "../../src/scope/scope.ts";
import { putItem } from "../../src/scope/thread.ts";
import { openStore } from "../../src/trace/store.ts";
import { bash, newUser, put, type User, until } from "../support/user.ts";
import { workspacesIn } from "../support/work.ts";

const users: User[] = [];
afterEach(() => {
  for (const user of users.splice(0)) user.end();
});

const TURNS = [
  { say: "first", call: [put("one.txt", "1\n"), bash("cd sub; export COLOUR=red; echo x > here.txt")] },
  { say: "second", call: [bash('pwd; echo "$COLOUR" > colour.txt; rm ../one.txt')] },
  { say: "the end" },
];

/** 0 run, 1 model, 2 one.txt, 3 sub/here.txt, 4 model, 5 sub/colour.txt, 6 model. */
async function started(): Promise<User> {
  const user = await newUser({ "a.txt": "a\n", "sub/b.txt": "b\n" });
  users.push(user);
  await user.does(["run", "--scope", "fix", "--model", user.script(TURNS), "fix it"]);
  return user;
}

const filesAt = async (user: User, step: string): Promise<string> => {
  const names = (await user.does(["cat", step, ""])).out + (await user.does(["cat", step, "sub"])).out;
  return names.replaceAll("\n", " ").trim();
};

const summaries = async (user: User, run: string): Promise<string[]> =>
  (await user.does(["log", run, "--json"]))
    .objects<{ n: number; summary: string; status: string }>()
    .map(({ n, summary, status }) => `${n} ${summary}${status === "done" ? "" : ` (${status})`}`);

test("revert sets files and conversation back as a step; resume goes on from there; undo takes the revert back", async () => {
  const user = await started();
  const mine = user.files();
  const reverted = await user.does(["revert", "3", "--dry-run"]);
  expect(reverted.out).toContain("Would set fix back to step 3");
  expect(await filesAt(user, "fix@")).toBe("a.txt sub/ b.txt colour.txt here.txt");
  expect((await user.does(["revert", "3"])).out).toContain("fix is back at step 3");
  expect(await filesAt(user, "fix@")).toBe("a.txt one.txt sub/ b.txt here.txt");
  expect((await summaries(user, "fix"))[0]).toBe("7 to step 3");
  await user.does(["undo"]);
  expect(await filesAt(user, "fix@")).toBe("a.txt sub/ b.txt colour.txt here.txt");
  expect((await user.does(["undo"], 2)).err).toContain("nothing to undo");
  await user.does(["revert", "fix", "3"]);
  await user.does(["resume"]);
  expect((await summaries(user, "fix")).slice(0, 4)).toEqual([
    "12 the end",
    '11 pwd; echo "$COLOUR" > colour.txt; rm ../one.txt',
    "10 second",
    "9 to step 3",
  ]);
  // The shell came back with the files: its directory, and what it had exported.
  expect((await user.does(["cat", "fix@", "sub/colour.txt"])).out).toBe("red\n");
  expect(await filesAt(user, "fix@")).toBe("a.txt sub/ b.txt colour.txt here.txt");
  expect(user.files()).toEqual(mine);
  expect((await user.does(["fsck"])).out).toContain("The store is sound");
});

test("a call that a revert leaves open is not run, unless that is asked for", async () => {
  const user = await started();
  await user.does(["revert", "fix", "2"]);
  await user.does(["fork", "fix@7", "--scope", "other"]);
  await user.does(["resume", "fix"]);
  expect((await user.does(["show", "fix", "8"])).out).toContain("not run: reverted");
  // The directory that the open call would have changed to is not the shell's.
  expect(await filesAt(user, "fix@")).toBe("a.txt colour.txt one.txt sub/ b.txt");
  await user.does(["resume", "other", "--open", "perform"]);
  expect(await filesAt(user, "other@")).toBe("a.txt sub/ b.txt colour.txt here.txt");
});

test("resume with an instruction says it to the agent", async () => {
  const user = await started();
  const more = user.script(
    [...TURNS, { say: "more", call: [put("two.txt", "2\n")] }, { say: "again the end" }],
    "more",
  );
  await user.does(["resume", "fix", "now the second", "--model", more]);
  expect((await summaries(user, "fix")).slice(0, 4)).toEqual([
    "10 again the end",
    "9 write two.txt",
    "8 more",
    "7 now the second",
  ]);
  expect((await user.does(["resume", "fix", "two", "words"], 2)).err).toContain("in quotes");
  // A finished run has nothing to go on with.
  expect((await user.does(["resume", "fix"])).out).toContain("fix is done");
});

test("a run whose model ends early can be resumed with another", async () => {
  const user = await newUser();
  users.push(user);
  const short = user.script(
    TURNS.slice(0, 1).map((turn) => ({ ...turn, call: [put("one.txt", "1\n")] })),
    "short",
  );
  const stopped = await user.does(["run", "--scope", "fix", "--model", short, "x"], 1);
  expect(stopped.err).toContain("has no turn 2");
  expect(stopped.out).toContain("`shepherd resume fix`");
  expect((await user.does(["status", "--json"])).objects()[0]).toMatchObject({ state: "error" });
  const long = user.script([{ say: "x" }, { say: "the end" }], "long");
  await user.does(["resume", "--model", long]);
  expect((await user.does(["status", "--json"])).objects()[0]).toMatchObject({ state: "done" });
});

test("forks start at one moment and do not see each other; a fork at an intent has the call open", async () => {
  const user = await started();
  expect((await user.does(["fork", "3", "-k", "2", "--dry-run"])).out).toContain("Would make 2 scopes");
  const made = (await user.does(["fork", "3", "-k", "2", "--json"])).objects();
  expect(made.map(({ scope }) => scope)).toEqual(["fix.1", "fix.2"]);
  await user.does(["exec", "fix.1", "--", "sh", "-c", "echo 1 > mark; rm -r sub"]);
  expect(await filesAt(user, "fix.2@")).toBe("a.txt one.txt sub/ b.txt here.txt");
  expect((await user.does(["cat", "fix.1@", ""])).out).toBe("a.txt\nmark\none.txt\n");
  await user.does(["fork", "fix@5", "--intent", "--scope", "open"]);
  expect(await filesAt(user, "open@")).toBe("a.txt one.txt sub/ b.txt here.txt");
  await user.does(["resume", "open"]);
  expect(await filesAt(user, "open@")).toBe("a.txt sub/ b.txt colour.txt here.txt");
  expect((await user.does(["log", "fix", "--graph"])).out).toMatch(/\| \* fix\.1 \(at step 4\)\n\|\//);
  for (const wrong of [
    ["99"],
    ["3", "-k", "0"],
    ["3", "-k", "2", "--scope", "x"],
    ["fix@", "--intent"],
    ["fix", "fix@3", "--intent"],
    ["3", "--scope", "fix"],
  ])
    await user.does(["fork", "fix", ...wrong], 2);
  expect((await user.does(["log", "fix.2"])).out).toBe(
    (await user.does(["log", "fix"])).out.split("\n").slice(3).join("\n"),
  );
});

test("a step of one run is none of another: of two names neither is meant", async () => {
  const user = await started();
  await user.does(["fork", "fix", "5", "--scope", "other"]);
  for (const verb of ["revert", "show", "fork", "cat"])
    expect((await user.does([verb, "fix", "other@3", ...(verb === "cat" ? ["a.txt"] : [])], 2)).err).toContain(
      "fix or other? Name the run once: `other@3`.",
    );
  for (const verb of ["revert", "show", "fork"])
    expect((await user.does([verb, "fix", "other"], 2)).err).toContain("fix or other? Name the run once: `other`.");
  expect((await summaries(user, "fix"))[0]).toBe("6 the end");
  expect((await user.does(["show", "fix", "fix@5"])).out).toContain("step       5 of fix\n");
});

test("run --from goes on from a step, K times at once", async () => {
  const user = await started();
  const more = user.script(
    [{ say: "" }, { say: "mine", call: [bash("echo future > future.txt")] }, { say: "the end" }],
    "more",
  );
  const done = await user.does(["run", "--from", "3", "-k", "3", "--model", more, "try another way", "--json"]);
  const ends = done.objects<{ scope: string; ending?: string; head: string }>().filter(({ ending }) => ending);
  expect(ends.map(({ scope, ending }) => [scope, ending])).toEqual([
    ["fix.1", "done"],
    ["fix.2", "done"],
    ["fix.3", "done"],
  ]);
  // The same from the same moment: the same commit.
  expect(new Set(ends.map(({ head }) => head)).size).toBe(1);
  expect(await filesAt(user, "fix.2@")).toBe("a.txt one.txt sub/ b.txt future.txt here.txt");
  expect((await user.does(["log", "fix.2", "-n", "4"])).out).toContain("message · try another way");
  await user.does(["run", "--from", "fix@3", "-k", "2", "--scope", "named", "--model", more, "again"]);
  const names = (await user.does(["status", "--json"])).objects().map(({ scope }) => scope);
  expect(names.sort()).toEqual(["fix", "fix.1", "fix.2", "fix.3", "named", "named-2"]);
  // A name that is taken is told before anything is made.
  await user.does(["run", "--from", "fix@3", "-k", "3", "--scope", "named", "--model", more, "again"], 2);
  expect((await user.does(["run", "--from", "3", "--", "true"], 2)).err).toContain("shepherd fork");
  expect((await user.does(["status", "--json"])).objects()).toHaveLength(6);
});

test("discard gives a run up and leaves no mark on its parent; undo brings it back", async () => {
  const user = await started();
  await user.does(["fork", "3"]);
  const before = (await user.does(["log", "fix", "--json"])).out;
  const several = await user.does(["discard"], 2);
  expect(several.err).toMatch(/Which run\? There are fix, fix\.1: name one\./);
  expect((await user.does(["discard", "fix.1", "--dry-run"])).out).toBe("Would discard fix.1.\n");
  await user.does(["discard", "fix.1"]);
  expect((await user.does(["log", "fix", "--json"])).out).toBe(before);
  expect((await user.does(["status"])).out).not.toContain("fix.1");
  expect((await user.does(["status", "--all"])).out).toMatch(/fix\.1 +discarded/);
  for (const verb of [["discard"], ["merge"], ["resume"], ["sync"], ["shell"]])
    expect((await user.does([...verb, "fix.1"], 2)).err).toBe(
      "shepherd: fix.1 is discarded: `shepherd undo` brings it back.\n",
    );
  expect((await user.does(["revert", "fix.1@2"], 2)).err).toContain("is discarded");
  // It can still be looked at.
  await user.does(["log", "fix.1"]);
  expect((await user.does(["undo", "--dry-run"])).out).toContain("Would take back the discard of fix.1");
  await user.does(["undo"]);
  expect((await user.does(["status"])).out).toContain("fix.1");
});

test("of several runs none is discarded where one is not there", async () => {
  const user = await started();
  expect((await user.does(["discard", "fix", "nope"], 2)).err).toContain('There is no run "nope"');
  expect((await user.does(["status", "--json"])).objects()).toMatchObject([{ scope: "fix", discarded: false }]);
  expect((await user.does(["discard", "fix", "fix"])).out).toBe("Discarded fix. `shepherd undo` brings it back.\n");
});

test("undo goes one further back each time, or takes back what is named", async () => {
  const user = await started();
  await user.does(["revert", "fix", "5"]);
  await user.does(["revert", "fix", "3"]);
  await user.does(["revert", "fix", "2"]);
  const list = (await user.does(["undo", "--list", "--json"])).objects();
  expect(list.map(({ op, kind, state }) => [op, kind, state])).toEqual([
    [3, "revert", "done"],
    [2, "revert", "done"],
    [1, "revert", "done"],
  ]);
  await user.does(["undo"]);
  expect(await filesAt(user, "fix@")).toBe("a.txt one.txt sub/ b.txt here.txt");
  await user.does(["undo"]);
  expect(await filesAt(user, "fix@")).toBe("a.txt sub/ b.txt colour.txt here.txt");
  expect((await user.does(["undo", "2"], 2)).err).toContain("taken back already");
  await user.does(["undo", "1"]);
  expect(await filesAt(user, "fix@")).toBe("a.txt sub/ b.txt colour.txt here.txt");
  expect((await user.does(["undo"], 2)).err).toContain("nothing to undo");
});

test("verbs that change a run ask which one, where there are several", async () => {
  const user = await started();
  await user.does(["fork", "3"]);
  for (const verb of [
    ["revert", "3"],
    ["merge"],
    ["sync"],
    ["discard"],
    ["resume"],
    ["shell"],
    ["exec", "--", "true"],
  ]) {
    const { err, out } = await user.does(verb, 2);
    expect(err, verb.join(" ")).toBe("shepherd: Which run? There are fix, fix.1: name one.\n");
    expect(out).toBe("");
  }
});

test("a revert needs a step: a run alone would be set back to where it is", async () => {
  const user = await started();
  const { err } = await user.does(["revert", "fix"], 2);
  expect(err).toBe("shepherd: To which step of fix? `shepherd revert fix N`; `shepherd log fix` lists them.\n");
});

test("of many runs that could be meant some are named, and how many more there are", async () => {
  const user = await started();
  await user.does(["fork", "3", "-k", "10"]);
  expect((await user.does(["merge"], 2)).err).toMatch(
    /^shepherd: Which run\? There are (fix[.\d]*, ){7}fix[.\d]* and 3 more: name one\.\n$/,
  );
});

test("where all runs are discarded, or all but forks, that is said", async () => {
  const user = await started();
  await user.does(["fork", "3"]);
  await user.does(["discard", "fix"]);
  expect((await user.does(["log"], 2)).err).toBe(
    `shepherd: Of the runs from ${user.project} only forks are left: name one of fix.1.\n`,
  );
  await user.does(["discard", "fix.1"]);
  const { out } = await user.does(["status"]);
  expect(out).toContain("are discarded: `shepherd status --all` lists them, `shepherd undo` brings back the last.");
  expect((await user.does(["log"], 2)).err).toBe(`shepherd: ${out}`);
});

test("a live run is forked, reverted and synced through its owner, and goes on by itself", async () => {
  const user = await newUser();
  users.push(user);
  const model = user.script([
    { say: "a", call: [put("one.txt", "1\n")] },
    { say: "b", call: [bash("until [ -e go ]; do sleep 0.02; done; rm go; echo two > two.txt")] },
    { say: "the end" },
  ]);
  const run = user.start(["run", "--scope", "fix", "--model", model, "x"]);
  const waits = async (n: number): Promise<void> =>
    until(async () =>
      (await user.shepherd(["log", "fix", "-n", "1"])).out.startsWith(`*  ${n < 10 ? " " : ""}${n}  ·······  tool`),
    );
  await waits(4);
  expect((await user.does(["status"])).out).toMatch(/^fix +running/);
  await user.does(["fork", "fix@2"]);
  await user.does(["revert", "fix", "1"]);
  // The call that the revert left open is not run; the agent says its next, and waits again.
  await waits(8);
  const summary = (await summaries(user, "fix")).map((line) => line.slice(0, 24));
  expect(summary).toEqual([
    "8 until [ -e go ]; do sl",
    "7 b",
    "6 not run: reverted",
    "5 to step 1",
    "4 until [ -e go ]; do sl",
    "3 b",
    "2 write one.txt",
    "1 a",
    "0 x",
  ]);
  user.write({ "mine.txt": "mine\n" });
  // Who does not wait any more gets it not.
  const left = user.start(["sync", "fix"]);
  await until(() => left.err.includes("Waiting for fix, which is at work"));
  left.process.kill("SIGINT");
  expect(await left.ended).toMatchObject({ code: 1, out: "" });
  const synced = user.start(["sync", "fix"]);
  await until(() => synced.err.includes("Waiting for fix, which is at work"));
  for (const path of workspacesIn(user.store)) fs.writeFileSync(join(path, "go"), "");
  expect((await synced.ended).code).toBe(0);
  expect((await run.ended).code).toBe(0);
  expect((await user.does(["cat", "fix@", ""])).out).toBe("a.txt\nmine.txt\ntwo.txt\n");
  const rows = (await user.does(["log", "fix", "--json"])).objects();
  expect(rows.flatMap(({ n, kind, status, summary }) => (kind === "sync" ? [[n, status, summary]] : []))).toEqual([
    [expect.any(Number), "done", expect.any(String)],
  ]);
  expect((await user.does(["undo", "--list", "--json"])).objects().map(({ kind }) => kind)).toEqual(["sync", "revert"]);
  expect((await user.does(["cat", "fix.1@", ""])).out).toBe("a.txt\none.txt\n");
  expect((await user.does(["fsck"])).out).toContain("The store is sound");
});

test("a fork with another result tells the model that, keeps the files, and refuses what is no call", async () => {
  const user = await started();
  const forked = await user.does(["fork", "fix", "5", "--result", "-", "--scope", "otherwise"], 0, {
    input: "all good",
  });
  expect(forked.out).toBe("otherwise  from step 5 of fix; its step 6 tells otherwise what came of step 5\n");
  expect(await filesAt(user, "otherwise@")).toBe(await filesAt(user, "fix@5"));
  const items = (await user.does(["show", "otherwise", "6", "--json"])).out;
  expect(items).toContain("all good");
  await user.does(["resume", "otherwise"]);
  expect((await summaries(user, "otherwise")).slice(0, 2)).toEqual([
    "7 the end",
    "6 what came of step 5 is told otherwise: all good",
  ]);
  // A dry run needs no text: a standard input that cannot be read is left alone.
  const dry = [process.execPath, user.command, "fork", "fix", "5", "--result", "-", "--dry-run"];
  const { status } = spawnSync("sh", ["-c", 'exec "$@" < /', "-", ...dry], { cwd: user.project, env: user.env });
  expect(status).toBe(0);
  // Of several calls of a turn any can be meant; the fork stands behind them all.
  expect((await user.does(["fork", "fix", "2", "--result", "lost", "--scope", "second"])).out).toContain(
    "from step 3 of",
  );
  await user.does(["replay", "second"]);
  expect((await user.does(["fork", "fix", "4", "--result", "x"], 2)).err).toContain("Step 4 is no call of a model");
  expect((await user.does(["fork", "fix", "5", "--result", "x", "--intent"], 2)).err).toContain(
    "leave one of them out",
  );
  expect((await user.does(["status"])).out).not.toContain("fix.1");
  expect((await user.does(["fsck"])).out).toContain("The store is sound");
});

test("a fork whose other result was only begun when it was killed goes on with what came of the call", async () => {
  const user = await started();
  await user.does(["fork", "fix", "5", "--scope", "half"]);
  const store = await openStore(user.store);
  const scope = await attach(store, "half");
  const what = await putItem(store, { role: "user", content: [{ type: "text", text: "other" }] });
  await scope.writer.intent({ kind: "rewrite", tier: "reversible", thread: "main", what }, { witness: { of: 5 } });
  await scope.close();
  await store.close();
  await user.does(["resume", "half"]);
  expect((await summaries(user, "half")).slice(0, 2)).toEqual([
    "7 the end",
    "6 what came of step 5 is told otherwise: other (aborted)",
  ]);
});
