/** Workspaces with git, with more of it than usual, and without. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { bash, newUser, type User } from "../support/user.ts";

const users: User[] = [];
afterEach(() => {
  for (const user of users.splice(0)) user.end();
});

async function repository(files: { [path: string]: string | null } = { "a.txt": "1\n2\n3\n" }): Promise<User> {
  const user = await newUser(files);
  users.push(user);
  user.git("init", "-q", "-b", "main");
  user.git("add", "-A");
  user.git("commit", "-qm", "first");
  return user;
}

/** All that is in a directory named .git, but for what git only keeps to be faster. */
function gitState(user: User, directory = join(user.project, ".git")): string {
  const state = [
    user.git("rev-parse", "HEAD"),
    user.git("for-each-ref"),
    user.git("stash", "list"),
    user.git("reflog"),
    user.git("config", "--local", "--list"),
  ];
  const objects = fs.readdirSync(join(directory, "objects"), { recursive: true, encoding: "utf8" }).sort();
  const hooks = fs.readdirSync(join(directory, "hooks"), { encoding: "utf8" }).sort();
  return [...state, ...objects, ...hooks].join("\n");
}

test("what an agent commits, stages, configures and hooks in its scope never appears in the user's .git", async () => {
  const user = await repository();
  const before = gitState(user);
  const agent = [
    "sed -i s/2/TWO/ a.txt && git add -A && git commit -qm 'by the agent'",
    "git checkout -qb feature && echo f > f.txt && git add f.txt && git commit -qm feature",
    "git config user.name evil; printf '#!/bin/sh\\ntouch /tmp/ran' > .git/hooks/pre-commit; chmod 755 .git/hooks/pre-commit",
    "git stash list; git log --oneline | wc -l; git branch --show-current",
  ];
  await user.does([
    "run",
    "--scope",
    "fix",
    "--model",
    user.script([{ call: agent.map(bash) }, { say: "done" }]),
    "commit it",
  ]);
  expect(gitState(user)).toBe(before);
  expect(user.git("status", "--porcelain")).toBe("");
  // The agent had a repository that worked, with the user's history.
  expect((await user.does(["show", "fix", "5"])).out).toMatch(/3\n {2}feature\n/);
  await user.does(["merge"]);
  expect(user.read("a.txt")).toBe("1\nTWO\n3\n");
  expect(user.read("f.txt")).toBe("f\n");
  expect(gitState(user)).toBe(before);
  expect(user.git("status", "--porcelain")).toBe(" M a.txt\n?? f.txt\n");
  expect(user.git("branch", "--show-current")).toBe("main\n");
  // The next run starts from the user's git, and this one goes on with the agent's.
  await user.does([
    "run",
    "--scope",
    "next",
    "--",
    "sh",
    "-c",
    "git log --oneline > log.txt; git config user.name > name.txt; true",
  ]);
  expect((await user.does(["cat", "next@", "log.txt"])).out.trim().split("\n")).toHaveLength(1);
  expect((await user.does(["cat", "next@", "name.txt"])).out).not.toContain("evil");
  await user.does(["exec", "fix", "--", "sh", "-c", "git log --oneline > log.txt"]);
  expect((await user.does(["cat", "fix@", "log.txt"])).out.trim().split("\n")).toHaveLength(3);
});

test("revert takes the agent's commits back too; checkout brings them, or not", async () => {
  const user = await repository();
  await user.does([
    "run",
    "--scope",
    "fix",
    "--model",
    user.script([
      { call: [bash("git commit -q --allow-empty -m one"), bash("git commit -q --allow-empty -m two")] },
      { say: "done" },
    ]),
    "x",
  ]);
  await user.does(["revert", "2"]);
  await user.does(["exec", "--json", "fix", "--", "sh", "-c", "git log --format=%s > log.txt"]);
  expect((await user.does(["cat", "fix@", "log.txt"])).out).toBe("one\nfirst\n");
  const to = join(user.directory, "out");
  await user.does(["checkout", "fix@3", to]);
  expect(user.git("-C", to, "log", "--format=%s")).toBe("two\none\nfirst\n");
  expect(user.git("-C", to, "status", "--porcelain")).toBe("");
  await user.does(["checkout", "fix@3", `${to}-bare`, "--no-vcs"]);
  expect(fs.existsSync(`${to}-bare/.git`)).toBe(false);
});

test("merge --git brings what the agent committed as a branch, and nothing else of its repository", async () => {
  const user = await repository();
  const witness = join(user.directory, "witness");
  const evil = [
    `git config core.fsmonitor 'touch ${witness}'`,
    `git config uploadpack.packObjectsHook 'touch ${witness}'`,
    `printf '#!/bin/sh\\ntouch ${witness}\\n' > .git/hooks/post-checkout; chmod +x .git/hooks/*`,
    "echo /nowhere > .git/objects/info/alternates",
  ];
  const work = [
    "sed -i s/2/TWO/ a.txt",
    "git commit -qam one",
    "git checkout -qb side",
    "git commit -qm two --allow-empty",
    "git tag t",
  ];
  await user.does(["run", "--scope", "fix", "--", "sh", "-c", [...work, ...evil].join("; ")]);
  const before = gitState(user);
  const brought = (await user.does(["merge", "--git", "--json"])).objects();
  expect(brought).toEqual([
    { from: "fix", branch: "shepherd/fix", commit: user.git("rev-parse", "shepherd/fix").trim() },
  ]);
  expect(user.git("log", "--format=%s", "shepherd/fix")).toBe("two\none\nfirst\n");
  expect(fs.existsSync(witness)).toBe(false);
  expect(user.read("a.txt")).toBe("1\n2\n3\n");
  expect(user.git("tag")).toBe("");
  expect((await user.does(["merge", "--git"])).out).toContain("no file was changed");
  // What is not a continuation is not overwritten.
  user.git("branch", "-f", "shepherd/fix", "HEAD~0");
  user.git("commit", "-qm", "mine", "--allow-empty");
  user.git("branch", "-f", "shepherd/fix", "HEAD");
  expect((await user.does(["merge", "--git"], 3)).err).toContain("did not take the commits");
  user.git("reset", "-q", "--hard", "HEAD~1");
  user.git("branch", "-qD", "shepherd/fix");
  expect(gitState(user).split("\n")[0]).toBe(before.split("\n")[0]);

  const without = await newUser();
  users.push(without);
  await without.does(["run", "--scope", "fix", "--", "true"]);
  expect((await without.does(["merge", "--git"], 3)).err).toContain("has no Git repository at its root");
});

test("the user switches branches between the run and its merge: the changes land on what is there", async () => {
  const user = await repository({ "a.txt": "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "b.txt": "b\n" });
  user.git("checkout", "-qb", "other");
  user.write({ "a.txt": "1\n2\n3\n4\n5\n6\n7\n8\nother\n", "only-other.txt": "o\n" });
  fs.rmSync(join(user.project, "b.txt"));
  user.git("add", "-A");
  user.git("commit", "-qm", "other");
  user.git("checkout", "-q", "main");
  await user.does(["run", "--scope", "fix", "--", "sh", "-c", "sed -i s/2/TWO/ a.txt; echo n > new.txt"]);
  user.git("checkout", "-q", "other");
  await user.does(["merge"]);
  expect(user.files()).toEqual({
    "a.txt": "1\nTWO\n3\n4\n5\n6\n7\n8\nother\n",
    "new.txt": "n\n",
    "only-other.txt": "o\n",
  });
  expect(user.git("branch", "--show-current")).toBe("other\n");
  await user.does(["undo"]);
  expect(user.git("status", "--porcelain")).toBe("");
  user.git("checkout", "-q", "main");
  await user.does(["merge", "fix"]);
  expect(user.read("a.txt")).toBe("1\nTWO\n3\n4\n5\n6\n7\n8\n9\n");
});

test("/tmp goes back with a step, repositories in it too, and to nothing at step 0", async () => {
  const user = await newUser();
  users.push(user);
  // Where commands run at another path, their /tmp has another path too.
  const inTmp = (command: string): string[] => ["--", "sh", "-c", `cd "$(dirname "$(mktemp -u)")" && { ${command}; }`];
  const exec = async (command: string): Promise<string> => (await user.does(["exec", "tmp", ...inTmp(command)])).out;
  const first = "git init -q r && cd r && touch f && git add f && git commit -qm one";
  await user.does(["run", "--scope", "tmp", ...inTmp(first)]);
  await exec("cd r && git commit -qm two --allow-empty; rm -rf .git/refs; touch ../g");
  await user.does(["revert", "tmp", "1"]);
  expect(await exec("git -C r log --format=%s; ls | grep -v shepherd-user")).toBe("one\nr\n");
  await user.does(["revert", "tmp", "0"]);
  expect(await exec("ls | grep -vc shepherd-user || :")).toBe("0\n");
});

/** In a worktree, and in a submodule by itself, `.git` is a file that names a directory elsewhere. */
const elsewhere: { [what: string]: (user: User) => string } = {
  "a worktree": (user) => {
    const tree = join(user.directory, "tree");
    user.git("worktree", "add", "-q", "-b", "side", tree);
    return tree;
  },
  "a submodule": (user) => {
    const outer = join(user.directory, "outer");
    user.git("init", "-q", "-b", "main", outer);
    user.git("-C", outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", user.project, "sub");
    return join(outer, "sub");
  },
};

const modes: Array<{ [name: string]: string }> = [{}, { SHEPHERD_NO_NAMESPACES: "1" }];
const cases = Object.keys(elsewhere).flatMap((what) => modes.map((env) => ({ what, env })));

test.each(cases)(
  "$what: git works in a run, on a copy that goes back and forks with the files: $env",
  async (given) => {
    const { what, env } = given;
    const user = await repository();
    const tree = elsewhere[what]!(user);
    const link = fs.readFileSync(join(tree, ".git"), "utf8");
    const git = (...args: string[]): string => user.git("-C", tree, ...args);
    const before = [git("log", "--all", "--oneline"), git("for-each-ref"), git("reflog")];
    const typed = { cwd: tree, env };
    const sh = (line: string) => ["--", "sh", "-c", line];
    const log = async (run: string): Promise<string> =>
      (await user.does(["exec", run, ...sh("git log --format=%s; git status --short")], 0, typed)).out;

    await user.does(
      ["run", "--scope", "fix", ...sh("git status --short; sed -i s/2/TWO/ a.txt; git commit -qam one")],
      0,
      typed,
    );
    await user.does(
      ["exec", "fix", ...sh("git checkout -qb mine; echo b > b.txt; git add b.txt; git commit -qm two")],
      0,
      typed,
    );
    expect(await log("fix")).toBe("two\none\nfirst\n");
    await user.does(["fork", "fix@2"], 0, typed);
    await user.does(["exec", "fix.1", ...sh("git commit -qm other --allow-empty")], 0, typed);
    await user.does(["revert", "fix", "1"], 0, typed);
    expect(await log("fix")).toBe("one\nfirst\n");
    expect(await log("fix.1")).toBe("other\ntwo\none\nfirst\n");

    expect([git("log", "--all", "--oneline"), git("for-each-ref"), git("reflog")]).toEqual(before);
    await user.does(["checkout", "fix", "1", join(user.directory, "out")], 0, typed);
    expect(fs.readdirSync(join(user.directory, "out"))).toEqual(["a.txt"]);
    await user.does(["merge", "fix", "--git"], 0, typed);
    expect(git("log", "--format=%s", "shepherd/fix")).toBe("one\nfirst\n");
    expect(git("status", "--porcelain")).toBe("");
    await user.does(["merge", "fix.1"], 0, typed);
    expect(fs.readFileSync(join(tree, "a.txt"), "utf8")).toBe("1\nTWO\n3\n");
    expect(fs.readFileSync(join(tree, ".git"), "utf8")).toBe(link);
    expect(git("log", "--format=%s")).toBe("first\n");
    expect((await user.does(["fsck"], 0, typed)).out).toContain("The store is sound");
    // The repository itself is another workspace.
    expect(user.read("a.txt")).toBe("1\n2\n3\n");
    expect((await user.does(["status"])).out).toContain("No runs from");
  },
);

test("ignored and untracked files, nested repositories and submodule-like directories are part of the state", async () => {
  const user = await repository({ "a.txt": "a\n", ".gitignore": "ignored/\n*.log\n" });
  user.write({ "ignored/cache.bin": "cached", "run.log": "log\n", "untracked.txt": "u\n", "nested/in.txt": "in\n" });
  user.git("-C", join(user.project, "nested"), "init", "-q");
  user.git("-C", join(user.project, "nested"), "add", "-A");
  user.git("-C", join(user.project, "nested"), "commit", "-qm", "nested");
  await user.does([
    "run",
    "--scope",
    "fix",
    "--",
    "sh",
    "-c",
    "rm -rf ignored run.log; echo x >> untracked.txt; cd nested; echo y > in.txt; git commit -qam agent",
  ]);
  expect(user.read("ignored/cache.bin")).toBe("cached");
  await user.does(["merge"]);
  expect(user.files()).toEqual({
    ".gitignore": "ignored/\n*.log\n",
    "a.txt": "a\n",
    "nested/in.txt": "y\n",
    "untracked.txt": "u\nx\n",
  });
  expect(user.git("-C", join(user.project, "nested"), "log", "--format=%s")).toBe("nested\n");
  await user.does(["undo"]);
  expect(user.read("ignored/cache.bin")).toBe("cached");
  expect(user.read("run.log")).toBe("log\n");
});

test("without git everything works, and nothing is written into the user's directory", async () => {
  const user = await newUser({ "a.txt": "a\n" });
  users.push(user);
  await user.does(["init"]);
  await user.does([
    "run",
    "--scope",
    "fix",
    "--",
    "sh",
    "-c",
    "git init -q . && git add -A && git commit -qm agent; echo b > b.txt",
  ]);
  expect(fs.readdirSync(user.project)).toEqual(["a.txt"]);
  await user.does(["merge"]);
  expect(fs.readdirSync(user.project)).toEqual(["a.txt", "b.txt"]);
});

test("git clean -fdx in the user's directory takes nothing of a run", async () => {
  const user = await repository();
  await user.does(["run", "--scope", "fix", "--", "sh", "-c", "echo n > new.txt"]);
  user.git("clean", "-qfdx");
  await user.does(["merge"]);
  expect(user.read("new.txt")).toBe("n\n");
});
