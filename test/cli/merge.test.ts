/** A run's files into the user's directory and into other runs: merge, sync, undo, and what is held back. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { newUser, type User, until } from "../support/user.ts";
import { workspacesIn } from "../support/work.ts";

const users: User[] = [];
afterEach(() => {
  for (const user of users.splice(0)) user.end();
});

const LINES = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";

/** A user whose run `fix` did `command`. */
async function ran(command: string, files: { [path: string]: string | null } = { "a.txt": LINES }): Promise<User> {
  const user = await newUser(files);
  users.push(user);
  await user.does(["run", "--scope", "fix", "--", "bash", "-c", command]);
  return user;
}

test("merge lands what a run changed: bytes, modes, links, empty directories; undo takes it back byte for byte", async () => {
  const user = await ran(
    "sed -i s/2/TWO/ a.txt; mkdir -p new/empty; ln -s a.txt link; echo '#!/bin/sh' > x.sh; chmod 755 x.sh; rm old.txt; chmod 600 mode.txt",
    { "a.txt": LINES, "old.txt": "old\n", "mode.txt": "m\n" },
  );
  const before = user.files();
  expect((await user.does(["merge", "--dry-run"])).out).toContain("Would change 7 paths");
  expect(user.files()).toEqual(before);
  const landed = await user.does(["merge"]);
  expect(landed.out).toContain(`Landed fix: 7 paths in ${user.project}.`);
  expect(user.files()).toEqual({
    "a.txt": LINES.replace("2", "TWO"),
    link: "-> a.txt",
    "mode.txt": "m\n",
    "x.sh": "#!/bin/sh\n",
  });
  expect(fs.statSync(join(user.project, "x.sh")).mode & 0o777).toBe(0o755);
  expect(fs.statSync(join(user.project, "mode.txt")).mode & 0o777).toBe(0o600);
  expect(fs.readdirSync(join(user.project, "new/empty"))).toEqual([]);
  expect((await user.does(["merge"])).out).toContain("has all of fix already");
  await user.does(["undo"]);
  expect(user.files()).toEqual(before);
  expect(fs.existsSync(join(user.project, "new"))).toBe(false);
  expect(fs.statSync(join(user.project, "mode.txt")).mode & 0o777).toBe(0o644);
  // What was taken back can be merged again.
  await user.does(["merge"]);
  expect(user.read("a.txt")).toBe(LINES.replace("2", "TWO"));
});

test("a run that went on after its landing was undone lands whole, not only what came since", async () => {
  const user = await ran("echo one > one.txt");
  await user.does(["merge"]);
  await user.does(["undo"]);
  await user.does(["exec", "fix", "--", "sh", "-c", "echo two > two.txt"]);
  await user.does(["sync", "fix"]);
  expect((await user.does(["cat", "fix@", ""])).out).toBe("a.txt\none.txt\ntwo.txt\n");
  await user.does(["merge", "fix"]);
  expect(Object.keys(user.files())).toEqual(["a.txt", "one.txt", "two.txt"]);
});

test("an edit of the user's that a run took in and went back behind is not taken from the user", async () => {
  const user = await ran("echo one > one.txt");
  user.write({ "a.txt": LINES.replace("9", "NINE"), "mine.txt": "mine\n" });
  await user.does(["sync"]);
  await user.does(["revert", "0"]);
  await user.does(["exec", "--", "sh", "-c", "echo two > two.txt"]);
  const refused = await user.does(["merge"], 3);
  expect(refused.out).toContain("a.txt: content\n  mine.txt: modify/delete\n");
  expect((await user.does(["diff", "--stat"])).err).toContain("a.txt: you and fix changed the same place");
  await user.does(["merge", "--take", "ours"]);
  expect(user.files()).toEqual({ "a.txt": LINES.replace("9", "NINE"), "mine.txt": "mine\n", "two.txt": "two\n" });
  await user.does(["undo"]);
  await user.does(["merge", "--take", "theirs"]);
  expect(user.files()).toEqual({ "a.txt": LINES, "two.txt": "two\n" });
  await user.does(["undo"]);
  expect(user.files()).toEqual({ "a.txt": LINES.replace("9", "NINE"), "mine.txt": "mine\n" });
});

test("what the user changed meanwhile is kept: other files, other lines, deleted and new ones", async () => {
  const user = await ran("sed -i s/2/TWO/ a.txt; echo n > new.txt", { "a.txt": LINES, "b.txt": "b\n", "c.txt": "c\n" });
  user.write({ "a.txt": LINES.replace("9", "NINE"), "mine.txt": "mine\n", "b.txt": "B\n" });
  fs.rmSync(join(user.project, "c.txt"));
  expect((await user.does(["diff", "--stat"])).out).toBe("modified a.txt\nadded    new.txt\n");
  await user.does(["merge"]);
  const merged = { "a.txt": LINES.replace("2", "TWO").replace("9", "NINE"), "b.txt": "B\n", "mine.txt": "mine\n" };
  expect(user.files()).toEqual({ ...merged, "new.txt": "n\n" });
  // An edit after the landing is kept by undo as well.
  user.write({ "a.txt": merged["a.txt"].replace("5", "FIVE") });
  await user.does(["undo"]);
  expect(user.files()).toEqual({ ...merged, "a.txt": LINES.replace("9", "NINE").replace("5", "FIVE") });
});

test("a directory that takes nothing is unfit, and stays as it is", async () => {
  const user = await ran("echo b > b.txt");
  const nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
  if (process.getuid?.() === 0) {
    if (spawnSync("setpriv", [...nobody, "true"]).status !== 0) return console.log("skipped: this needs another user");
    spawnSync("chown", ["-R", "65534", user.directory]);
  }
  fs.chmodSync(user.project, 0o555);
  const [command, ...args] = process.getuid?.() === 0 ? ["setpriv", ...nobody, process.execPath] : [process.execPath];
  const { status, stderr } = spawnSync(command!, [...args, user.command, "merge", "fix"], {
    cwd: user.project,
    env: user.env,
    encoding: "utf8",
  });
  fs.chmodSync(user.project, 0o755);
  expect([status, stderr]).toEqual([4, expect.stringContaining("Nothing was landed and nothing has changed")]);
  expect(user.files()).toEqual({ "a.txt": LINES });
});

test("names of any sort are told alike, whoever met the conflict", async () => {
  const user = await ran("echo theirs > 'ü\nx'", { "ü\nx": "base\n" });
  user.write({ "ü\nx": "mine\n" });
  const name = '"ü\\nx"';
  expect((await user.does(["diff", "fix"])).err).toContain(name);
  for (const args of [
    ["merge", "fix"],
    ["sync", "fix"],
  ]) {
    expect((await user.does(args, 3)).out).toContain(`  ${name}: content\n`);
    const [object] = (await user.does([...args, "--json"], 3)).objects<{ conflicts: unknown }>();
    expect(object!.conflicts).toEqual([{ path: name, why: "content" }]);
  }
});

test("undo leaves what the user changed since the landing, and says so", async () => {
  const user = await ran("sed -i s/2/TWO/ a.txt; echo n > new.txt");
  await user.does(["merge"]);
  user.write({ "a.txt": LINES.replace("2", "2.5") });
  const undone = await user.does(["undo"], 3);
  expect(undone.out).toContain("a.txt: content");
  expect(user.read("a.txt")).toBe(LINES.replace("2", "2.5"));
});

test("a landing of nothing is none that undo takes back", async () => {
  const user = await ran("echo n > new.txt");
  await user.does(["revert", "fix", "0"]);
  expect((await user.does(["merge", "--json"])).objects()).toMatchObject([{ status: "done", op: null, changes: [] }]);
  expect((await user.does(["merge"])).out).toBe("Your directory has all of fix already.\n");
  expect((await user.does(["undo"])).out).toContain("Took back the revert of fix");
  expect((await user.does(["cat", "fix@", "new.txt"])).out).toBe("n\n");
});

test("where both changed the same lines nothing is written, and the exit code is 3; --take resolves it", async () => {
  const user = await ran("sed -i s/2/TWO/ a.txt; rm d.txt; echo n > new.txt", { "a.txt": LINES, "d.txt": "d\n" });
  user.write({ "a.txt": LINES.replace("2", "zwei").replace("9", "NINE"), "d.txt": "D\n" });
  const before = user.files();
  const refused = await user.does(["merge"], 3);
  expect(refused.out).toContain("a.txt: content\n  d.txt: modify/delete\n");
  expect(refused.out).toContain("--take theirs");
  expect((await user.does(["merge", "--json"], 3)).objects()).toMatchObject([
    { status: "conflict", op: null, changes: [], conflicts: [{ path: "a.txt" }, { path: "d.txt" }] },
  ]);
  expect((await user.does(["merge", "--dry-run"], 3)).out).toContain("changed the same places");
  expect((await user.does(["diff", "--stat"])).err).toContain("a.txt: you and fix changed the same place");
  expect(user.files()).toEqual(before);
  expect((await user.does(["undo"], 2)).err).toContain("nothing to undo");
  expect((await user.does(["merge", "--take", "mine"], 2)).err).toContain("ours, theirs or both");
  const kept = await user.does(["merge", "--take", "ours"]);
  expect(kept.out).toContain("  yours is kept: a.txt (content)\n  yours is kept: d.txt (modify/delete)\n");
  expect(kept.out).toContain("To have those of fix: `shepherd undo`, then `shepherd merge fix --take theirs`.");
  expect(user.files()).toEqual({ ...before, "new.txt": "n\n" });
  await user.does(["undo"]);
  expect(user.files()).toEqual(before);
  await user.does(["merge", "--take", "theirs"]);
  // The side decides where both changed a place; the rest of both is kept.
  expect(user.files()).toEqual({ "a.txt": LINES.replace("2", "TWO").replace("9", "NINE"), "new.txt": "n\n" });
});

test("--take both has what both put at the same place in one text, and leaves what does not go together", async () => {
  const user = await ran("echo run >> a.txt; sed -i s/old/run/ b.txt", { "a.txt": "1\n2\n", "b.txt": "old\n" });
  user.write({ "a.txt": "1\n2\nuser\n", "b.txt": "new\n" });
  const before = user.files();
  const left = await user.does(["merge", "--take", "both"], 3);
  expect(left.out).toContain("  b.txt: content\n`--take theirs` takes those of fix, `--take ours` keeps yours.\n");
  expect(user.files()).toEqual(before);
  user.write({ "b.txt": "old\n" });
  expect((await user.does(["merge"], 3)).out).toContain("`--take both` has both where they go together.");
  expect((await user.does(["merge", "--take", "both", "--dry-run"])).out).toContain("  modified a.txt\n");
  const landed = await user.does(["merge", "--take", "both"]);
  expect(landed.out).toContain("  both in one: a.txt (what each put at the same place)\n");
  expect(user.files()).toEqual({ "a.txt": "1\n2\nrun\nuser\n", "b.txt": "run\n" });
  await user.does(["undo"]);
  expect(user.files()).toEqual({ ...before, "b.txt": "old\n" });
  expect((await user.does(["sync", "fix"], 3)).out).toContain("`--take both` has both");
  const [synced] = (await user.does(["sync", "fix", "--take", "both", "--json"])).objects();
  expect(synced).toMatchObject({ status: "done", conflicts: [], resolved: [{ path: "a.txt", how: ["both"] }] });
  expect((await user.does(["cat", "fix@", "a.txt"])).out).toBe("1\n2\nrun\nuser\n");
});

test("runs that put something at the same place merge by --take both, whichever comes first; the step has what it settled", async () => {
  const user = await ran("true", { "f.py": "import a\n\n\ndef f():\n    pass\n" });
  await user.does(["fork", "fix@", "-k", "4"]);
  for (const [run, name] of [
    ["fix.1", "g"],
    ["fix.2", "h"],
  ] as const)
    await user.does(["exec", run, "--", "sh", "-c", `printf '\\n\\ndef ${name}():\\n    return 1\\n' >> f.py`]);
  const made: string[] = [];
  for (const [into, first, second] of [
    ["fix.3", "fix.1", "fix.2"],
    ["fix.4", "fix.2", "fix.1"],
  ] as const) {
    await user.does(["merge", first, "--into", into]);
    await user.does(["merge", second, "--into", into], 3);
    const [merged] = (await user.does(["merge", second, "--into", into, "--take", "both", "--json"])).objects();
    expect(merged).toMatchObject({ status: "done", resolved: [{ path: "f.py", how: ["both"] }] });
    made.push((await user.does(["cat", `${into}@`, "f.py"])).out);
    const [row] = (await user.does(["log", into, "--json"])).objects();
    expect(row).toMatchObject({ kind: "resolve", status: "done" });
  }
  expect(made[0]).toBe("import a\n\n\ndef f():\n    pass\n\n\ndef g():\n    return 1\n\n\ndef h():\n    return 1\n");
  expect(made[1]).toBe(made[0]);
  await user.does(["fsck"]);
});

test("where all of a run is left for the user's side, the run's can still be taken", async () => {
  const user = await ran("sed -i s/2/TWO/ a.txt", { "a.txt": LINES });
  user.write({ "a.txt": LINES.replace("2", "zwei") });
  for (const typed of [
    ["merge", "--take", "ours", "--dry-run"],
    ["merge", "--take", "ours"],
  ]) {
    const { out } = await user.does(typed);
    expect(out).toMatch(
      /^Nothing of fix (would be|was) landed: all that it changed you changed too, and yours is kept\.$/m,
    );
    expect(out).toContain("To have those of fix: `shepherd merge fix --take theirs`.");
  }
  expect(user.read("a.txt")).toBe(LINES.replace("2", "zwei"));
  await user.does(["merge", "--take", "theirs"]);
  expect(user.read("a.txt")).toBe(LINES.replace("2", "TWO"));
});

test("a dry run tells what would be, and a directory of one's own is no run", async () => {
  const user = await ran("sed -i s/2/TWO/ a.txt; mkdir .vscode; echo x > .vscode/tasks.json", { "a.txt": LINES });
  expect((await user.does(["merge", "--into", "main"], 2)).err).toContain("`shepherd merge fix` without --into lands");
  const waits = await user.does(["merge", "--dry-run"], 3);
  expect(waits.out).toContain("  would not land: .vscode/tasks.json (");
  user.write({ "a.txt": LINES.replace("2", "zwei") });
  const conflict = await user.does(["merge", "--dry-run"], 3);
  expect(conflict.out).toContain("changed the same places; those would be left as you have them:\n");
  expect((await user.does(["merge", "--take", "ours", "--dry-run"], 3)).out).toContain(
    "Nothing of fix would be landed.",
  );
});

test("runs merge into runs: adopted by one that has not moved, by three ways into one that has, a conflict changes nothing", async () => {
  const user = await ran("echo fix > fix.txt");
  await user.does(["fork", "fix@", "-k", "2"]);
  await user.does(["exec", "fix.1", "--", "sh", "-c", "sed -i s/2/TWO/ a.txt"]);
  await user.does(["exec", "fix.2", "--", "sh", "-c", "sed -i s/2/zwei/ a.txt; sed -i s/9/neun/ a.txt"]);
  expect((await user.does(["merge", "fix.1", "--into", "fix", "--dry-run"])).out).toBe("Would merge fix.1 into fix.\n");
  expect((await user.does(["merge", "fix.1", "--into", "fix"])).out).toContain("goes on with that conversation");
  const moved = (await user.does(["cat", "fix@", "a.txt"])).out;
  expect(moved).toBe(LINES.replace("2", "TWO"));
  expect((await user.does(["merge", "fix.1", "--into", "fix"])).out).toContain("fix has all of fix.1 already");
  const refused = await user.does(["merge", "fix.2", "--into", "fix"], 3);
  expect(refused.out).toContain("a.txt: content");
  const [row] = (await user.does(["log", "fix", "--json"])).objects<{ kind: string; status: string }>();
  expect(row).toMatchObject({ kind: "merge", status: "conflict" });
  expect((await user.does(["cat", "fix@", "a.txt"])).out).toBe(moved);
  const [resolved] = (await user.does(["merge", "fix.2", "--into", "fix", "--take", "theirs", "--json"])).objects();
  expect(resolved).toMatchObject({ from: "fix.2", into: "fix", status: "done", conflicts: [] });
  expect((await user.does(["cat", "fix@", "a.txt"])).out).toBe(LINES.replace("2", "zwei").replace("9", "neun"));
  expect((await user.does(["undo"])).out).toContain("the resolution in fix");
  expect((await user.does(["cat", "fix@", "a.txt"])).out).toBe(moved);
  expect((await user.does(["merge", "fix.2", "--into", "fix"], 3)).out).toContain("a.txt: content");
  await user.does(["undo"]);
  expect((await user.does(["cat", "fix@", "a.txt"])).out).toBe(LINES);
  await user.does(["merge", "fix.1", "--into", "fix"]);
  expect((await user.does(["cat", "fix@", "a.txt"])).out).toBe(moved);
  await user.does(["merge", "fix", "--into", "fix"], 2);
  await user.does(["merge", "fix", "--into", "nobody"], 2);
});

test("sync brings the user's newer files into a run, and its conversation stays", async () => {
  const user = await ran("sed -i s/2/TWO/ a.txt; echo n > new.txt");
  expect((await user.does(["sync"])).out).toContain("has taken in all that you changed already");
  user.write({ "a.txt": LINES.replace("9", "NINE"), "mine.txt": "mine\n" });
  expect((await user.does(["sync", "--dry-run"])).out).toContain("Would merge");
  expect((await user.does(["sync"])).out).toContain("Synced your files into fix as step 2");
  expect((await user.does(["cat", "fix@", "a.txt"])).out).toBe(LINES.replace("2", "TWO").replace("9", "NINE"));
  expect((await user.does(["cat", "fix@", ""])).out).toBe("a.txt\nmine.txt\nnew.txt\n");
  user.write({ "a.txt": LINES.replace("2", "zwei") });
  expect((await user.does(["sync"], 3)).out).toContain("a.txt: content");
  await user.does(["sync", "--take", "theirs"]);
  expect((await user.does(["cat", "fix@", "a.txt"])).out).toBe(LINES.replace("2", "zwei"));
  await user.does(["undo"]);
  expect((await user.does(["cat", "fix@", "a.txt"])).out).toBe(LINES.replace("2", "TWO").replace("9", "NINE"));
});

test("files that run code later wait for --yes; the rest lands", async () => {
  const user = await ran(
    "mkdir -p .github/workflows .vscode; echo x > .github/workflows/ci.yml; echo {} > .vscode/tasks.json; echo 'export X=1' > .envrc; sed -i s/true/false/ package.json; echo fine > fine.txt",
    { "package.json": '{"scripts":{"postinstall":"true"}}\n' },
  );
  const before = user.files();
  const plan = await user.does(["merge", "--dry-run"], 3);
  expect(plan.out).toContain("added    fine.txt");
  for (const path of [".envrc", ".github/workflows/ci.yml", ".vscode/tasks.json", "package.json"])
    expect(plan.out).toContain(`would not land: ${path} (`);
  await user.does(["merge"], 3);
  expect(user.files()).toEqual({ ...before, "fine.txt": "fine\n" });
  const again = await user.does(["merge"], 3);
  expect(again.out).toContain("Nothing of fix was landed.");
  expect((await user.does(["merge", "--yes", "--dry-run"])).out).not.toContain("not landed");
  await user.does(["merge", "--yes"]);
  expect(user.files()).toMatchObject({
    ".envrc": "export X=1\n",
    ".github/workflows/ci.yml": "x\n",
    "fine.txt": "fine\n",
  });
  expect((await user.does(["merge"])).out).toContain("has all of fix already");
  await user.does(["undo"]);
  expect(user.files()).toEqual({ ...before, "fine.txt": "fine\n" });
});

test("--land auto lands at the end, never does not; what waits for --yes waits here too", async () => {
  const user = await newUser();
  users.push(user);
  const run = (land: string, command: string, code = 0) =>
    user.does(["run", "--land", land, "--", "sh", "-c", command], code);
  const landed = await run("auto", "echo one > one.txt; echo x > .envrc");
  expect(landed.out).toContain(`landed in ${user.project}`);
  expect(landed.out).toContain("not landed: .envrc");
  expect(Object.keys(user.files())).toEqual(["a.txt", "one.txt"]);
  await run("never", "echo two > two.txt");
  await user.does(["run", "--", "sh", "-c", "echo three > three.txt"]);
  expect(Object.keys(user.files())).toEqual(["a.txt", "one.txt"]);
  await user.does(["undo"]);
  expect(Object.keys(user.files())).toEqual(["a.txt"]);
});

test("--land auto keeps what the user wrote while the run worked, and ends with a conflict", async () => {
  const user = await newUser();
  users.push(user);
  const waits = "until [ -e go ]; do sleep 0.02; done; rm go; echo run > a.txt; echo b > b.txt";
  const run = user.start(["run", "--land", "auto", "--scope", "fix", "--", "sh", "-c", waits]);
  await until(() => workspacesIn(user.store).some((path) => fs.existsSync(join(path, "a.txt"))));
  user.write({ "a.txt": "mine\n" });
  for (const path of workspacesIn(user.store)) fs.writeFileSync(join(path, "go"), "");
  const { code, out } = await run.ended;
  expect(code).toBe(3);
  expect(out).toContain("you changed the same places");
  expect(user.files()).toEqual({ "a.txt": "mine\n" });
});
