import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { long } from "../support/runs.ts";
import { bash, filesOf, newUser, type Typed, type User } from "../support/user.ts";

let user: User;
let file: string;
/** Who gets the file: another store, another directory. */
let there: Typed & { cwd: string };
beforeAll(async () => {
  user = await newUser({ "a.txt": "one\n", "dir/b.txt": "two\n", "gone.txt": "gone\n" });
  const model = user.script([
    { say: "I write.", call: [bash("echo two >> a.txt; rm gone.txt; echo 'two words' > 'odd name'")] },
    { say: "Done." },
  ]);
  await user.does([
    "run",
    "--scope",
    "w",
    "--service",
    "say=echo started > said",
    "--model",
    model,
    "--write",
    user.home,
    "write a line",
  ]);
  await user.does(["fork", "w", "2", "-k", "2"]);
  await user.does([
    "exec",
    "w.1",
    "--",
    "sh",
    "-c",
    "echo three > c.txt; mkdir empty; ln -s a.txt link; chmod 755 a.txt",
  ]);
  await user.does(["merge", "w.1", "--into", "w"]);
  file = join(user.directory, "w.shepherd");
  await user.does(["export", "w", "-o", file]);
  there = { cwd: join(user.directory, "other"), env: { SHEPHERD_DIR: join(user.directory, "there") } };
  fs.mkdirSync(there.cwd);
});
afterAll(() => user?.end());

const bytesOf = (directory: string): string =>
  createHash("sha256")
    .update(JSON.stringify(filesOf(directory)))
    .digest("hex");

test("a run goes to another store, is looked at there as here, and its forks go on", async () => {
  expect((fs.statSync(file).mode & 0o777).toString(8)).toBe("600");
  const before = bytesOf(there.cwd);
  const said = await user.does(["import", file], 0, there);
  expect(said.out).toContain("w: imported, with w.1, w.2");
  expect(bytesOf(there.cwd)).toBe(before);
  const rows = (done: { objects<T>(): T[] }) => done.objects<{ id: string; summary: string }>();
  for (const name of ["w.1"])
    expect(rows(await user.does(["log", name, "--json"], 0, there))).toEqual(
      rows(await user.does(["log", name, "--json"])),
    );
  for (const words of [
    ["cat", "w", "2", "odd name"],
    ["diff", "w", "0", "w.1@"],
  ])
    expect((await user.does(words, 0, there)).out).toBe((await user.does(words)).out);
  await user.does(["checkout", "w", "@", join(user.directory, "co-here")]);
  await user.does(["checkout", "w", "@", join(user.directory, "co-there")], 0, there);
  expect(filesOf(join(user.directory, "co-there"))).toEqual(filesOf(join(user.directory, "co-here")));
  // What it found when it began is its first step's here: where that came from stayed at home.
  expect((await user.does(["blame", "a.txt", "w.2"], 0, there)).out).toMatch(/^w@0 +1 {2}one$/m);
  expect((await user.does(["log", "w"], 0, there)).err).toContain("was imported");
  expect((await user.does(["status"], 0, there)).out.match(/imported/g)?.length).toBe(3);
  expect((await user.does(["import", file], 0, there)).out).toContain("is here already");

  // Nobody drives it; a fork is somebody's own.
  for (const words of [
    ["resume", "w"],
    ["exec", "w", "--", "true"],
  ])
    expect((await user.does(words, 3, there)).err).toMatch(/^shepherd: w was imported and stays as it came: .*fork/m);
  expect((await user.does(["log"], 2, there)).err).toContain("only imported ones are left: name one of w");
  await user.does(["fork", "w", "2", "--scope", "mine"], 0, there);
  const probe = `cat a.txt; ls; echo x > ${join(user.home, "x")} || echo denied; bash -c 'exec 3<>/dev/tcp/127.0.0.1/9' || echo unreachable`;
  const ran = await user.does(["exec", "mine", "--", "sh", "-c", probe], 0, there);
  expect(ran.out).toMatch(/one\ntwo\n/);
  expect(ran.out).toContain("denied");
  expect(fs.existsSync(join(user.home, "x"))).toBe(false);
  expect((await user.does(["service", "mine"], 0, there)).out).not.toContain("say");
  expect((await user.does(["fsck", "--full"], 0, there)).out).toContain("sound");

  // Whom it asks is not the stranger's choice.
  const unnamed = /^shepherd: \S+ came out of a file, whose word for a model is not taken: add --model MODEL/m;
  const runs = await user.does(["status", "--json", "--all"], 0, there);
  for (const words of [
    ["resume", "mine"],
    ["run", "--from", "w@2", "go on"],
  ])
    expect((await user.does(words, 2, there)).err).toMatch(unnamed);
  expect((await user.does(["status", "--json", "--all"], 0, there)).out).toBe(runs.out);
  const model = user.script([{ say: "" }, { say: "Gone on." }, { say: "Gone on." }]);
  expect((await user.does(["run", "--from", "w@2", "--model", model, "go on"], 0, there)).out).toContain("Gone on.");

  if (!long) return;
  // More of it comes by a later file.
  await user.does(["exec", "w", "--", "touch", "later"]);
  const later = join(user.directory, "later.shepherd");
  await user.does(["export", "w", "-o", later]);
  const { new: fresh } = (await user.does(["import", later, "--json"], 0, there)).objects<{ new: number }>()[0]!;
  expect(fresh).toBeGreaterThan(1);
  expect(rows(await user.does(["log", "w", "--json"], 0, there))).toEqual(
    rows(await user.does(["log", "w", "--json"])),
  );
  await user.does(["discard", "w"], 0, there);
  await user.does(["gc"], 0, there);
  expect((await user.does(["cat", "mine@", "a.txt"], 0, there)).out).toBe("one\ntwo\n");
  expect((await user.does(["fsck", "--full"], 0, there)).out).toContain("sound");
});

test("merged into a directory that is like the one that it began in, it brings what the run did and nothing else", async () => {
  const alike = { cwd: join(user.directory, "alike"), env: { SHEPHERD_DIR: join(user.directory, "alike-store") } };
  fs.mkdirSync(join(alike.cwd, "dir"), { recursive: true });
  fs.writeFileSync(join(alike.cwd, "a.txt"), "zero\none\n");
  fs.writeFileSync(join(alike.cwd, "gone.txt"), "gone\n");
  fs.writeFileSync(join(alike.cwd, "dir/b.txt"), "mine\n");
  await user.does(["import", file, "--as", "theirs"], 0, alike);
  await user.does(["fork", "theirs", "2", "--scope", "f"], 0, alike);
  await user.does(["merge", "f"], 0, alike);
  const files = filesOf(alike.cwd);
  expect(files["gone.txt"]).toBe(undefined);
  expect(files["dir/b.txt"]).toBe("mine\n");
  expect(files["odd name"]).toBe("two words\n");
  expect((await user.does(["status"], 0, alike)).out).toMatch(/theirs\.1 .*imported/);
});

test("names that are taken are not taken away, and a bad file gives one sentence and changes nothing", async () => {
  const own = { cwd: there.cwd, env: { SHEPHERD_DIR: join(user.directory, "own-store") } };
  await user.does(["run", "--scope", "w", "--", "true"], 0, own);
  const id = async () => (await user.does(["log", "w", "-n", "1", "--json"], 0, own)).objects<{ id: string }>()[0]!.id;
  const before = await id();
  expect((await user.does(["import", file], 2, own)).err).toContain("--as NAME");
  expect((await user.does(["import", file, "--as", "../v"], 2, own)).err).toContain("is no name for a scope");
  await user.does(["import", file, "--as", "v"], 0, own);
  expect(await id()).toBe(before);
  const bytes = fs.readFileSync(file);
  const bad = join(user.directory, "bad.shepherd");
  for (const [content, code] of [
    [bytes.subarray(0, bytes.length - 9), 3],
    [Buffer.from(bytes.map((byte, at) => (at === 3000 ? byte ^ 4 : byte))), 3],
    [Buffer.from("shepherd run 7\n"), 4],
    [Buffer.from("something else"), 3],
  ] as const) {
    fs.writeFileSync(bad, content);
    const { err } = await user.does(["import", bad], code, own);
    expect(err).toMatch(/^shepherd: The file [^\n]*\.\n$/);
  }
  expect((await user.does(["import", join(user.directory, "none")], 2, own)).err).toContain("cannot be read");
  expect((await user.does(["import", "/dev"], 2, own)).err).toContain("is no file");
  const piped = user.start(["import", "-", "--dry-run"], { ...own, input: "" });
  expect((await piped.ended).code).toBe(3);
});

test("what looks like a secret is not given away unasked", async () => {
  user.write({ ".env": "DB_PASSWORD=hunter22hunter\n", "src/c.js": 'const password = readline("password: ")\n' });
  await user.does(["run", "--scope", "s", "--", "sh", "-c", "echo AKIAABCDEFGHIJKLMNOP > key.txt; cat key.txt"]);
  const out = join(user.directory, "s.shepherd");
  const refused = await user.does(["export", "s", "-o", out], 3);
  expect(refused.err).toMatch(/\.env, key\.txt, and 2 objects of its conversations/);
  expect(refused.err).not.toContain("c.js");
  expect(fs.readdirSync(user.directory).filter((name) => /^\.?s\.shepherd/.test(name))).toEqual([]);
  const done = await user.does(["export", "s", "-o", out, "--with-secrets", "--json"]);
  expect(done.objects()[0]).toMatchObject({ secrets: { files: [".env", "key.txt"], elsewhere: 2 } });
  expect((await user.does(["export", "s", "-o", out, "--with-secrets"], 2)).err).toContain("exists");
});

test("a run as a Git repository: git sees its steps, and what it cannot hold is told", async () => {
  const place = join(user.directory, "w.git");
  const odd = "mkdir -p .Git e; touch .Git/x; printf 'a\\r\\n' > crlf; echo '* text=auto eol=lf' > .gitattributes";
  await user.does(["run", "--scope", "g", "--", "sh", "-c", `${odd}; git init -q sub; echo ghp_${"a".repeat(30)}`]);
  const done = await user.does(["export", "g", "--git", place, "--with-secrets"]);
  expect(done.out).toMatch(/^g: 3 commits in .*: g\.\n/);
  for (const said of ["no empty directories", "named .git is not in it", ".Git, .Git/x"])
    expect(done.out).toContain(said);
  const git = (...args: string[]) => user.git(`--git-dir=${place}`, ...args);
  expect(git("log", "--format=%s %an", "g").trim().split("\n").length).toBe(3);
  expect(git("log", "-1", "--format=%B", "g")).toMatch(
    /ghp_aaaa\[masked\].*\nShepherd-Run: g\nShepherd-Step: 1\nShepherd-Commit: [0-9a-f]{64}\n/s,
  );
  expect(git("cat-file", "blob", "g:crlf")).toBe("a\r\n");
  git("fsck", "--strict");
  expect((await user.does(["export", "g", "--git", place, "--with-secrets"])).out).toContain("0 new commits");
  expect((await user.does(["export", "g", "--git", user.project, "--with-secrets"], 3)).err).toContain("is not empty");
  expect((await user.does(["export", "g", "--git", place, "-o", "x"], 2)).err).toContain("leave one of them out");
});
