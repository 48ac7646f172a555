/** Verbs that only look: status, log, show, diff, cat, checkout, replay. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bash, filesOf, newUser, put, type User } from "../support/user.ts";

interface Row {
  n: number;
  id: string | null;
  kind: string;
  status: string;
  summary: string;
  scope: string;
  parents: string[];
  changes: { files: number; added: number; removed: number } | null;
}

let user: User;

/** 0 run, 1 model, 2 `a.txt`, 3 `b.txt` and modes, 4 model, 5 failing, 6 model. */
beforeAll(async () => {
  user = await newUser({ "a.txt": "one\ntwo\n", "run.sh": "#!/bin/sh\n", "empty/dir": null });
  fs.chmodSync(join(user.project, "run.sh"), 0o755);
  fs.utimesSync(join(user.project, "a.txt"), 1_000_000_000, 1_000_000_000.25);
  const model = user.script([
    { say: "I look first", call: [bash("sed -i s/two/TWO/ a.txt"), put("b.txt", "hello\n")] },
    {
      say: "",
      call: [bash("ln -s a.txt link; mkdir -p new/empty; chmod 600 b.txt; echo token=hunter2hunter2; false")],
    },
    { say: "All done" },
  ]);
  await user.does(["run", "--scope", "fix", "--model", model, "fix the thing"]);
});
afterAll(() => user.end());

test("log shows every step, newest first, and says which run it means", async () => {
  const { out, err } = await user.does(["log"]);
  expect(err).toBe(`(fix, the newest run from ${user.project})\n`);
  const rows = out.trimEnd().split("\n");
  expect(rows).toHaveLength(7);
  expect(rows.map((row) => Number(row.slice(1, 6)))).toEqual([6, 5, 4, 3, 2, 1, 0]);
  expect(rows[6]).toMatch(/^\* {3}0 {2}[0-9a-f]{7} {2}run {5}· fix the thing$/);
  expect(rows[4]).toMatch(/tool {4}· sed -i s\/two\/TWO\/ a\.txt {2}\+1 -1$/);
  expect(rows[3]).toMatch(/tool {4}· write b\.txt {2}\+1 -0$/);
  expect(rows[2]).toMatch(/model {3}· 1 call$/);
});

test("log --json gives an object a step, with parents that form one line", async () => {
  const rows = (await user.does(["log", "fix", "--json"])).objects<Row>().reverse();
  expect(rows.map(({ n, kind, status }) => [n, kind, status])).toEqual([
    [0, "run", "done"],
    [1, "model", "done"],
    [2, "tool", "done"],
    [3, "tool", "done"],
    [4, "model", "done"],
    [5, "tool", "failed"],
    [6, "model", "done"],
  ]);
  for (const [i, row] of rows.entries()) {
    expect(row.scope).toBe("fix");
    expect(row.id).toMatch(/^[0-9a-f]{64}$/);
    if (i > 0) expect(row.parents).toEqual([rows[i - 1]!.id]);
  }
  expect(rows[2]!.changes).toEqual({ files: 1, added: 1, removed: 1 });
});

test("log can be limited, to what touched files, and followed to the end of the run", async () => {
  expect((await user.does(["log", "fix", "-n", "2"])).out.trimEnd().split("\n")).toHaveLength(2);
  const tools = (await user.does(["log", "fix", "--tools", "--json"])).objects<Row>();
  expect(tools.map(({ kind }) => kind)).toEqual(["tool", "tool", "tool"]);
  const followed = (await user.does(["log", "fix", "--follow", "--json"])).objects<Row>();
  expect(followed).toEqual((await user.does(["log", "fix", "--json"])).objects<Row>().reverse());
});

test("status says how the run stands", async () => {
  const [fix, ...more] = (await user.does(["status", "--json"])).objects();
  expect(more).toEqual([]);
  expect(fix).toMatchObject({ scope: "fix", state: "done", pid: null, parent: null, discarded: false });
  expect((await user.does(["status"])).out).toMatch(/^fix +done +step +6 {2}[0-9a-f]{7}/);
  fs.mkdirSync(join(user.project, "empty/below"), { recursive: true });
  expect((await user.does(["status"], 0, { cwd: join(user.project, "empty/below") })).out).toMatch(/^fix /);
  fs.rmdirSync(join(user.project, "empty/below"));
  expect((await user.does(["status"], 0, { cwd: user.home })).out).toContain("No runs from");
});

test("show tells a step in full, by number, by RUN@, from the end and by commit", async () => {
  const five = (await user.does(["show", "fix", "5"])).out;
  expect(five).toMatch(
    /^step {7}5 of fix\ncommit {5}[0-9a-f]{64}\nparent {5}[0-9a-f]{64}\nkind {7}tool \(reversible\)\n/,
  );
  expect(five).toContain("status     failed");
  expect((await user.does(["show", "fix@5"])).out).toBe(five);
  expect((await user.does(["show", "fix@-"])).out).toBe(five);
  const commit = /commit {5}([0-9a-f]{64})/.exec(five)![1]!;
  expect((await user.does(["show", commit.slice(0, 12)])).out).toBe(five);
  const [object] = (await user.does(["show", "fix", "5", "--json"])).objects();
  expect(object).toMatchObject({ n: 5, id: commit, kind: "tool", status: "failed" });
  expect(object).toHaveProperty("state.roots.workspace");
});

test("views mask what looks like a secret; the state has it", async () => {
  for (const args of [
    ["show", "fix", "5"],
    ["show", "fix", "5", "--json"],
    ["log", "fix"],
    ["log", "fix", "--json"],
  ])
    expect((await user.does(args)).out, args.join(" ")).not.toContain("hunter2");
  expect((await user.does(["show", "fix", "5"])).out).toContain("token=[masked]");
});

test("a commit that several steps have is the newest in the run, and that is said; a run has no commits of others", async () => {
  const other = await newUser({ "a.txt": "one\n" });
  try {
    const model = other.script([{ call: [put("b.txt", "b\n")] }, { say: "the end" }]);
    for (const name of ["one", "two"]) await other.does(["run", "--scope", name, "--model", model, "x"]);
    await other.does(["exec", "two", "--", "touch", "c.txt"]);
    const idOf = async (step: string): Promise<string> =>
      (await other.does(["show", step, "--json"])).objects<Row>()[0]!.id!;
    const [shared, own] = [(await idOf("one@2")).slice(0, 12), await idOf("two@")];
    expect(await idOf("two@2")).toContain(shared);
    const { out, err } = await other.does(["show", shared]);
    expect(out).toContain("step       2 of two\n");
    expect(err).toContain(`(${shared} is two@2 here; one@2 has the same commit)\n`);
    expect((await other.does(["show", "one", shared])).out).toContain("step       2 of one\n");
    expect((await other.does(["revert", "one", own], 2)).err).toContain("No commit of one starts with");
    await other.does(["fork", "two", "2"]);
    expect((await other.does(["show", `two.1@${shared}`])).out).toContain("step       2 of two.1\n");
  } finally {
    other.end();
  }
});

test("a step that does not exist is bad usage", async () => {
  expect((await user.does(["show", "fix@-------"], 2)).err).toContain(
    "@------- goes back 7 of the steps of fix itself, and it has 7: `shepherd log fix` numbers all.",
  );
  expect((await user.does(["cat", "fix", "2", "nowhere"], 2)).err).toContain(
    "There was no nowhere at step 2 of fix: `shepherd cat fix 2 .` lists what there was.",
  );
  for (const step of ["99", "fix@99", "fix@--------", "abcdef012345", "nonsense"])
    expect((await user.does(["show", "fix", step], 2)).err).toMatch(/^shepherd: .+\n$/);
});

test("diff shows what merge would bring, what a step changed, and what lies between two", async () => {
  const step = (await user.does(["diff", "fix@2"])).out;
  expect(step).toBe("modified a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n");
  expect((await user.does(["diff", "fix", "0", "2"])).out).toBe(step);
  expect((await user.does(["diff", "fix", "2", "0"])).out).toContain("-TWO\n+two\n");
  const merge = (await user.does(["diff", "fix", "--stat"])).out;
  expect(merge).toBe("modified a.txt\nadded    b.txt\nadded    link\nadded    new\nadded    new/empty\n");
  const objects = (await user.does(["diff", "fix", "--json"])).objects();
  expect(objects[0]).toMatchObject({
    path: "a.txt",
    kind: "modified",
    before: { mode: "644" },
    after: { mode: "644" },
  });
});

test("diff of two runs is what lies between their newest steps", async () => {
  await user.does(["fork", "fix", "0", "--scope", "other"]);
  const between = (await user.does(["diff", "other@", "fix@", "--stat"])).out;
  expect(between).not.toBe("");
  for (const words of [
    ["other", "fix@"],
    ["other@", "fix"],
  ])
    expect((await user.does(["diff", ...words, "--stat"])).out).toBe(between);
  await user.does(["exec", "other", "--", "touch", "t.txt"]);
  const { out } = await user.does(["diff", "fix", "other", "--stat"]);
  expect(out).toBe(`fix and other are the same up to step 0.
Step 1: another sort of step
  fix    model · I look first
  other  command · touch t.txt
Behind what they have in common fix did 6 steps (3 model calls, 3 calls), other 1 step (0 model calls, 1 call).

${(await user.does(["diff", "fix@", "other@", "--stat"])).out}`);
  const [parting, ...paths] = (await user.does(["diff", "fix", "other", "--json"])).objects();
  expect(parting).toMatchObject({ runs: ["fix", "other"], same: 1, differences: [{ kind: "step", steps: [1, 1] }] });
  expect(paths).toEqual((await user.does(["diff", "fix@", "other@", "--json"])).objects());
  await user.does(["discard", "other"]);
});

test("diff keeps apart what the user changed meanwhile, as merge would", async () => {
  user.write({ "mine.txt": "mine\n" });
  expect((await user.does(["diff", "fix", "--stat"])).out).not.toContain("mine.txt");
  fs.rmSync(join(user.project, "mine.txt"));
});

test("cat gives the bytes of a file at a step, lists a directory, and refuses what was not there", async () => {
  expect((await user.does(["cat", "fix@1", "a.txt"])).out).toBe("one\ntwo\n");
  expect((await user.does(["cat", "fix@2", "a.txt"])).out).toBe("one\nTWO\n");
  expect((await user.does(["cat", "fix@", "link"])).out).toBe("a.txt\n");
  expect((await user.does(["cat", "fix@", "new"])).out).toBe("empty/\n");
  expect((await user.does(["cat", "fix@", ""])).out).toBe("a.txt\nb.txt\nempty/\nlink@\nnew/\nrun.sh\n");
  expect((await user.does(["cat", "fix@1", "b.txt"], 2)).err).toContain("no b.txt at step 1");
  expect((await user.does(["cat", "fix@1", "--", "--odd"], 2)).err).toContain("no --odd at step 1");
});

test("checkout restores bytes, modes, links, empty directories and times", async () => {
  const to = join(user.directory, "out");
  await user.does(["checkout", "fix@5", to]);
  expect(filesOf(to)).toEqual({ "a.txt": "one\nTWO\n", "b.txt": "hello\n", link: "-> a.txt", "run.sh": "#!/bin/sh\n" });
  expect(fs.statSync(join(to, "run.sh")).mode & 0o777).toBe(0o755);
  expect(fs.statSync(join(to, "b.txt")).mode & 0o777).toBe(0o600);
  expect(fs.readdirSync(join(to, "empty/dir"))).toEqual([]);
  expect(fs.readdirSync(join(to, "new/empty"))).toEqual([]);
  const early = join(user.directory, "early");
  const [told] = (await user.does(["checkout", "fix@0", early, "--json"])).objects();
  expect(told).toMatchObject({ scope: "fix", n: 0, directory: early, missing: [] });
  expect(fs.statSync(join(early, "a.txt"), { bigint: true }).mtimeNs).toBe(1_000_000_000_250_000_000n);
  expect((await user.does(["checkout", "fix@0", early], 2)).err).toContain("not empty");
  expect((await user.does(["checkout", "fix@0", join(early, "a.txt")], 2)).err).toContain(
    "a.txt is a file: name a new directory.",
  );
  for (const nowhere of [join(early, "a.txt", "below"), ...(process.platform === "linux" ? ["/proc/none"] : [])])
    expect((await user.does(["checkout", "fix@0", nowhere], 2)).err).toContain(`${nowhere} cannot be made`);
});

test("a step that stands where checkout needs a directory is no directory", async () => {
  const { err } = await user.does(["checkout", "fix", "3"], 2);
  expect(err).toBe("shepherd: Where to? `shepherd checkout fix 3 DIR`; for a directory of that name write ./3.\n");
  expect(fs.existsSync(join(user.project, "3"))).toBe(false);
});

test("replay computes all commits anew", async () => {
  const [told] = (await user.does(["replay", "fix", "--json"])).objects();
  const [status] = (await user.does(["status", "--json"])).objects();
  expect(told).toMatchObject({ scope: "fix", steps: 7, commits: 7, wrong: [], head: status!.head });
});

test("odd names of files come through unharmed, and are shown without harm to a terminal", async () => {
  const odd = await newUser({});
  const names = [
    "new\nline",
    "tab\there",
    "\x1b[31mred",
    'quo"te',
    "back\\slash",
    " space ",
    "-dash",
    "\xff\xfe latin",
    "ünïcode",
  ];
  const of = (name: string): Buffer => Buffer.concat([Buffer.from(`${odd.project}/`), Buffer.from(name, "latin1")]);
  for (const name of names.slice(0, 5)) fs.writeFileSync(of(name), `was ${name}`, "latin1");
  const write = names.map(
    (name) =>
      `printf x > "$(printf '${[...Buffer.from(name, "latin1")].map((b) => `\\${b.toString(8).padStart(3, "0")}`).join("")}_')"`,
  );
  await odd.does([
    "run",
    "--scope",
    "odd",
    "--model",
    odd.script([{ call: [bash(write.join("; "))] }, { say: "done" }]),
    "x",
  ]);
  const to = join(odd.directory, "out");
  await odd.does(["checkout", "odd@", to]);
  const expected = Object.fromEntries([
    ...names.slice(0, 5).map((name) => [name, `was ${name}`]),
    ...names.map((name) => [`${name}_`, "x"]),
  ]);
  expect(filesOf(to)).toEqual(expected);
  for (const { path } of (await odd.does(["diff", "odd@2", "--json"])).objects<{ path: string }>()) {
    expect((await odd.does(["cat", "odd@", "--", path])).out).toBe("x");
    await odd.does(["forget", "--dry-run", "odd@", "--", path]);
  }
  for (const verb of [
    ["diff", "odd"],
    ["diff", "odd@2", "--stat"],
    ["log", "odd"],
    ["merge", "odd", "--dry-run"],
    ["show", "odd", "2"],
  ]) {
    const { out } = await odd.does(verb);
    expect(out, verb.join(" ")).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f]/);
  }
  await odd.does(["merge", "odd"]);
  expect(odd.files()).toEqual(expected);
  await odd.does(["undo"]);
  expect(Object.keys(odd.files())).toEqual(names.slice(0, 5).sort());
  expect((await odd.does(["cat", "odd@", "-dash_"], 2)).err).toContain("--help");
  expect((await odd.does(["cat", "odd@", "--", "-dash_"])).out).toBe("x");
  odd.end();
});
