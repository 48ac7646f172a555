/** Commands in a scope: run -- CMD, exec, shell, and what they may touch. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { outside } from "../support/outside.ts";
import { bash, filesOf, newUser, put, type User } from "../support/user.ts";

let user: User;
beforeEach(async () => {
  user = await newUser({ "a.txt": "a\n", "locked/in.txt": "in\n" });
});
afterEach(() => user.end());

const sh = (command: string): string[] => ["--", "sh", "-c", command];
/** Whether commands see the files at the user's path here; without it some things cannot be held. */
const confined = async (): Promise<boolean> => (await user.does(["doctor"])).out.includes("ok      sandbox");

test("run -- CMD runs any command at the user's path, records it as a step, and leaves the user's files alone", async () => {
  const before = user.files();
  const done = await user.does(["run", ...sh("pwd; echo to-err >&2; echo b > b.txt; mkdir -p made/empty")]);
  if (await confined()) expect(done.out).toContain(`\n${user.project}\n`);
  expect(done.err).toBe("to-err\n");
  expect(done.out).toContain("sh-c is done and changed 1 file (+1 -0); your own files");
  expect(done.out).toContain("Next: `shepherd diff sh-c`, then `shepherd merge sh-c`");
  expect(user.files()).toEqual(before);
  expect((await user.does(["show", "sh-c", "1"])).out).toMatch(/kind {7}command \(reversible\)\nstatus {5}done/);
  expect(fs.statSync(user.store).mode & 0o777).toBe(0o700);
});

test("a command that fails, cannot start or is killed makes exit code 1, and what it changed is kept", async () => {
  for (const [i, command] of [
    ["sh", "-c", "echo x > kept.txt; exit 7"],
    ["no-such-program"],
    ["sh", "-c", "kill -9 $$"],
  ].entries()) {
    const done = await user.does(["run", "--scope", `r${i}`, "--", ...command], 1);
    expect(done.out).toContain(`r${i} failed and changed`);
    expect((await user.does(["log", `r${i}`, "-n", "1"])).out).toContain("✗ failed");
  }
  expect((await user.does(["cat", "r0@", "kept.txt"])).out).toBe("x\n");
});

test("a command starts where it was typed, if that is there", async () => {
  await user.does(["init"]);
  const below = { cwd: join(user.project, "locked") };
  expect((await user.does(["run", "--scope", "fix", "--", "ls"], 0, below)).out).toContain("\nin.txt\n");
  expect((await user.does(["exec", "fix", "--", "ls"], 0, below)).out).toBe("in.txt\n");
  expect((await user.does(["resume", "fix"])).out).toContain("in.txt\n");
  await user.does(["exec", "fix", ...sh("rm -r ../locked")], 0, below);
  expect((await user.does(["exec", "fix", "--", "ls"], 0, below)).out).toBe("a.txt\n");
});

test("an agent's shell and its paths start where the run was typed, also in what is forked from it", async () => {
  await user.does(["init"]);
  const below = { cwd: join(user.project, "locked") };
  const turns = [{ call: [put("by-tool.txt", "x\n"), bash("touch by-shell.txt; cd ..")] }, { say: "a" }];
  await user.does(["run", "--scope", "fix", "--model", user.script(turns), "x"], 0, below);
  const more = user.script([{ call: [bash("touch here.txt")] }, { say: "b" }], "more");
  const files = async (run: string): Promise<string> => (await user.does(["cat", `${run}@`, "locked"])).out;
  expect(await files("fix")).toBe("by-shell.txt\nby-tool.txt\nin.txt\n");
  await user.does(["run", "--from", "fix@0", "--scope", "fork", "--model", more, "go on"]);
  expect(await files("fork")).toBe("here.txt\nin.txt\n");
});

test("a program of the host that is not on the PATH is found where it usually is; one that does not work makes exit code 4", async () => {
  await user.does(["run", "--scope", "fix", "--", "/bin/sh", "-c", ":"], 0, { env: { PATH: "/nowhere" } });
  fs.mkdirSync(join(user.directory, "bin"));
  fs.writeFileSync(join(user.directory, "bin/mkfifo"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
  // The helper needs none.
  const env = { PATH: `${join(user.directory, "bin")}:${process.env.PATH}`, SHEPHERD_NO_HELPER: "1" };
  const script = user.script([{ call: [bash("true")] }, { say: "done" }]);
  for (const args of [
    ["exec", "fix", "--", "true"],
    ["run", "--", "true"],
    ["run", "--model", script, "x"],
  ])
    expect((await user.does(args, 4, { env })).err).toContain("shepherd: The program mkfifo failed");
});

test("what looks like a secret is masked also in what a run stopped on", async () => {
  const script = user.script([{ call: [bash("true")] }], "password=hunter2hunter2");
  for (const more of [[], ["--json"]]) {
    const { out, err } = await user.does(["run", ...more, "--scope", `ends${more.length}`, "--model", script, "x"], 1);
    expect(out + err).toContain("The script password=[masked]");
    expect((out + err).replaceAll(script, "")).not.toContain("hunter2");
  }
});

test("what a run is without is named", async () => {
  spawnSync("mkfifo", [join(user.project, "pipe")]);
  const { err } = await user.does(["run", "--scope", "fix", "--", "ls"]);
  expect(err).toContain("Left out: pipe (fifo).\n");
});

test("what comes in a run and no state can hold is told once, in the row and in show", async () => {
  await user.does(["run", "--scope", "fix", ...sh("mkfifo pipe; echo b > b.txt")]);
  expect((await user.does(["log", "fix", "-n", "1"])).out).toMatch(/\+1 -0 {2}\(1 left out\)\n/);
  expect((await user.does(["show", "fix", "1"])).out).toMatch(/^left out +1 fifo$/m);
  const script = user.script([{ call: [bash("mkfifo one two"), bash("touch c.txt")] }, { say: "done" }]);
  await user.does(["run", "--scope", "agent", "--model", script, "x"]);
  const rows = (await user.does(["log", "agent", "--json"])).objects<{ n: number; leftOut: number }>();
  expect(rows.map(({ n, leftOut }) => `${n}: ${leftOut}`)).toEqual(["4: 0", "3: 0", "2: 2", "1: 0", "0: 0"]);
});

test("through a pipe the standard input is the command's", async () => {
  for (const args of [
    ["run", "--scope", "fix", "--", "cat"],
    ["exec", "fix", "--", "cat"],
    ["resume", "fix"],
  ])
    expect((await user.does(args, 0, { input: "typed\n" })).out, args[0]).toMatch(/^typed$/m);
  expect((await user.does(["exec", "fix", "--", "cat"])).out).toBe("");
});

test("run -- CMD --json tells steps and end as objects, and nothing else", async () => {
  const objects = (
    await user.does(["run", "--json", "-k", "2", "--scope", "k", ...sh("echo noise; echo b > b.txt")])
  ).objects();
  expect(
    objects
      .filter((each) => each.kind === "command")
      .map(({ scope, status }) => [scope, status])
      .sort(),
  ).toEqual([
    ["k", "done"],
    ["k-2", "done"],
  ]);
  expect(objects.slice(-2)).toMatchObject([
    { scope: "k", ending: "done", error: null, changes: { files: 1, added: 1, removed: 0 }, landed: null, n: 1 },
    { scope: "k-2", ending: "done" },
  ]);
});

test("exec runs one command on the newest files of a run, as a step", async () => {
  await user.does(["run", "--scope", "fix", ...sh("echo b > b.txt")]);
  const done = await user.does(["exec", ...sh("cat b.txt; echo more >> b.txt")]);
  expect(done.out).toBe("b\n");
  expect((await user.does(["cat", "fix@", "b.txt"])).out).toBe("b\nmore\n");
  expect((await user.does(["exec", "fix", "--json", ...sh("exit 7")], 1)).objects()).toEqual([
    { scope: "fix", n: 3, code: 7, signal: null, status: "failed" },
  ]);
  expect((await user.does(["exec", "nobody", ...sh("true")], 2)).err).toContain("There is no run");
  expect((await user.does(["log", "fix"])).out.trimEnd().split("\n")).toHaveLength(4);
});

test("a shell through a pipe: a step a command; directory, variables, functions carried, also to the next shell", async () => {
  await user.does(["run", "--scope", "fix", ...sh("true")]);
  const input = 'cd locked\nexport A=5\nf() { echo "f$A"; }\n\necho hi > new.txt\nfalse\nf; pwd\nexit\necho never\n';
  const first = await user.does(["shell"], 1, {
    input: input.replace("f; pwd", "f; pwd | sed 's/.*project//'; false"),
  });
  expect(first.out).toMatch(/^f5\n.*locked\n$/);
  const second = await user.does(["shell", "fix"], 0, { input: 'f; echo "$A"; cat new.txt' });
  expect(second.out).toBe("f5\n5\nhi\n");
  const rows = (await user.does(["log", "fix", "--json"])).objects<{ n: number; summary: string; status: string }>();
  expect(
    rows
      .map(({ n, summary, status }) => [n, summary.slice(0, 14), status])
      .reverse()
      .slice(2),
  ).toEqual([
    [2, "cd locked", "done"],
    [3, "export A=5", "done"],
    [4, 'f() { echo "f$', "done"],
    [5, "echo hi > new.", "done"],
    [6, "false", "failed"],
    [7, "f; pwd | sed '", "failed"],
    [8, 'f; echo "$A"; ', "done"],
  ]);
  const objects = (await user.does(["shell", "fix", "--json"], 1, { input: "echo hidden\nexit 3" })).objects();
  expect(objects).toMatchObject([
    { n: 9, code: 0, command: "echo hidden" },
    { n: 10, code: 3, command: "exit 3" },
  ]);
});

test("a shell can be reverted command by command", async () => {
  await user.does(["run", "--scope", "fix", ...sh("true")]);
  await user.does(["shell"], 0, { input: "cd locked\ntouch one\ncd ..\ntouch two" });
  await user.does(["revert", "3"]);
  expect((await user.does(["shell"], 0, { input: "touch three; ls" })).out).toBe("in.txt\none\nthree\n");
});

test("a shell can land each command at once", async () => {
  await user.does(["run", "--scope", "fix", ...sh("true")]);
  await user.does(["shell", "--land", "live"], 0, { input: "echo b > b.txt\necho c > locked/c.txt" });
  expect(user.read("b.txt") + user.read("locked/c.txt")).toBe("b\nc\n");
  await user.does(["revert", "fix", "2"]);
  expect(Object.keys(user.files())).toEqual(["a.txt", "b.txt", "locked/in.txt"]);
  await user.does(["shell", "--land", "ask"], 2);
});

test("--read-only and --write are held, also by what goes on from the run", async () => {
  if (!(await confined())) return console.log("skipped: commands are not confined on this machine");
  const outside = join(user.directory, "outside");
  fs.mkdirSync(outside);
  const attempt = `echo x > locked/in.txt; rm -rf locked; echo x > '${outside}/f'; echo b > b.txt`;
  await user.does(["run", "--scope", "free", ...sh(attempt)]);
  expect((await user.does(["cat", "free@", ""])).out).toBe("a.txt\nb.txt\n");
  expect(filesOf(outside)).toEqual({});
  await user.does(["run", "--scope", "held", "--read-only", "locked", "--write", outside, ...sh(attempt)]);
  expect((await user.does(["cat", "held@", "locked/in.txt"])).out).toBe("in\n");
  expect(filesOf(outside)).toEqual({ f: "x\n" });
  await user.does(["fork", "held@"]);
  const again = await user.shepherd(["exec", "held.1", ...sh(`echo y > locked/in.txt || echo y > '${outside}/g'`)]);
  expect(again.err).toContain("Read-only file system");
  expect(filesOf(outside)).toEqual({ f: "x\n", g: "y\n" });
  const model = user.script([{ say: "x" }]);
  await user.does(["run", "--scope", "said", "--model", model, "x"]);
  const more = ["run", "--from", "said@", "--write", outside, "--model", model, "x"];
  expect((await user.does(more, 3)).err).toContain("may not write");
});

test("commands do not see the store, other runs, keys of providers, nor the user's /tmp", async () => {
  if (!(await confined())) return console.log("skipped: commands are not confined on this machine");
  fs.mkdirSync(join(user.home, ".ssh"));
  fs.writeFileSync(join(user.home, ".ssh/id"), "key\n");
  const look = `ls '${user.store}' '${user.home}/.ssh' '${user.directory}' 2>&1; env; echo mine > /tmp/mine; ls /tmp`;
  const seen = await user.does(["run", ...sh(look)], 0, {
    env: { ANTHROPIC_API_KEY: "sk-ant-secret", PLAIN: "plain" },
  });
  expect(seen.out).not.toMatch(/sk-ant-secret|refs|\bid\b|objects/);
  expect(seen.out).toContain("PLAIN=plain");
  expect(fs.existsSync("/tmp/mine")).toBe(false);
});

test("commands do not see logins of coding agents, and see what lies beside them", async () => {
  if (!(await confined())) return console.log("skipped: commands are not confined on this machine");
  // A sandbox has another /tmp, in which nothing of a home there would be seen anyway.
  const home = fs.mkdtempSync(join(outside, "shepherd-home-"));
  try {
    for (const login of [".claude/.credentials.json", ".codex/auth.json"]) {
      fs.mkdirSync(join(home, dirname(login)));
      fs.writeFileSync(join(home, login), "login-planted\n");
      fs.writeFileSync(join(home, dirname(login), "settings"), "settings-seen\n");
    }
    const look = `cd '${home}'; cat .claude/.credentials.json .codex/auth.json .claude/settings .codex/settings`;
    const seen = await user.does(["run", ...sh(look)], 0, { env: { HOME: home } });
    expect(seen.out).toContain("settings-seen\nsettings-seen\n");
    expect(seen.out).not.toContain("planted");
  } finally {
    fs.rmSync(home, { recursive: true, force: true });
  }
});

test("without namespaces everything works at a path of its own, and what cannot be held is refused", async () => {
  const env = { SHEPHERD_NO_NAMESPACES: "1" };
  const typed = { env };
  const done = await user.does(["run", "--scope", "fix", ...sh("pwd; echo b > b.txt; rm -r locked")], 0, typed);
  expect(done.out).toContain(join(user.store, "cache/work"));
  expect(Object.keys(user.files())).toEqual(["a.txt", "locked/in.txt"]);
  expect((await user.does(["show", "0"])).out).toContain("paths      moved\n");
  expect((await user.does(["shell"], 0, { ...typed, input: "cat b.txt\necho c > c.txt" })).out).toBe("b\n");
  await user.does(["revert", "1"], 0, typed);
  expect((await user.does(["exec", ...sh("ls")], 0, typed)).out).toBe("a.txt\nb.txt\n");
  await user.does(["merge"], 0, typed);
  expect(Object.keys(user.files())).toEqual(["a.txt", "b.txt"]);
  await user.does(["undo"], 0, typed);
  expect(Object.keys(user.files())).toEqual(["a.txt", "locked/in.txt"]);
  const refused = await user.does(["run", "--read-only", "locked", ...sh("true")], 4, typed);
  expect(refused.err).toContain("--read-only cannot be held on this machine");
  expect((await user.does(["doctor"], 0, typed)).out).toMatch(/limited sandbox/);
  // The same run goes on where there are namespaces.
  expect((await user.does(["exec", "fix", ...sh("cat b.txt")])).out).toBe("b\n");
});
