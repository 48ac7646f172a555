/** What the command says about itself, and about words that it does not understand. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newUser, type User } from "../support/user.ts";

let user: User;
beforeAll(async () => {
  user = await newUser();
});
afterAll(() => user.end());

const verbsOf = (help: string): string[] => [...help.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map(([, name]) => name!);

test("--help and help list the verbs; without a verb they are listed too, and the exit code is that of bad usage", async () => {
  const { out } = await user.does(["--help"]);
  expect(verbsOf(out)).toEqual(
    expect.arrayContaining(["init", "run", "resume", "status", "log", "revert", "fork", "merge", "undo", "fsck", "gc"]),
  );
  expect((await user.does(["help"])).out).toBe(out);
  expect((await user.does(["-h"])).out).toBe(out);
  expect((await user.does([], 2)).out).toBe(out);
});

test("--version is that of the package", async () => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  expect((await user.does(["--version"])).out).toBe(`${version}\n`);
});

test("every verb has a help that names its options, fits a terminal, and needs no store", async () => {
  const verbs = verbsOf((await user.does(["--help"])).out);
  const helps = await Promise.all(verbs.map((verb) => user.does([verb, "--help"])));
  for (const [i, { out, err }] of helps.entries()) {
    const verb = verbs[i]!;
    expect(err).toBe("");
    expect(out).toMatch(new RegExp(`^shepherd ${verb}: .+\\n\\n {2}shepherd ${verb}`));
    expect(out).toContain("--json");
    for (const line of out.split("\n")) expect(line.length, line).toBeLessThanOrEqual(80);
  }
  expect((await user.does(["help", "log"])).out).toBe(helps[verbs.indexOf("log")]!.out);
  expect((await user.shepherd(["fsck"])).err).toContain("There is no store");
});

test("what is not understood is one sentence on standard error, and exit code 2", async () => {
  const wrong: string[][] = [
    ["frobnicate"],
    ["constructor"],
    ["help", "frobnicate"],
    ["log", "--frobnicate"],
    ["status", "more"],
    ["init", "more"],
    ["doctor", "more"],
    ["gc", "more"],
    ["fsck", "more"],
    ["du", "more"],
    ["log", "a", "b"],
    ["merge", "a", "b"],
    ["sync", "a", "b"],
    ["undo", "1", "2"],
    ["log", "--number", "many"],
    ["run"],
    ["run", "do it"],
    ["run", "two", "tasks", "--model", "script:x"],
    ["run", "--"],
    ["run", "--model", "gpt", "do it"],
    ["run", "--model", "script:nowhere.jsonl", "do it"],
    ["run", "--count", "0", "--", "true"],
    ["run", "--count", "101", "--", "true"],
    ["fork", "3", "--count", "10001"],
    ["run", "--land", "sometimes", "--", "true"],
    ["run", "--scope", "Not A Name", "--", "true"],
    ["run", "--read-only", "nowhere", "--", "true"],
    ["run", "--read-only", "..", "--", "true"],
    ["run", "--write", "/nowhere", "--", "true"],
    ["run", "--from", "3", "--model", "script:x", "do it"],
    ["merge", "--take", "mine"],
    ["resume", "--open", "maybe"],
    ["show"],
    ["cat", "3"],
    ["checkout", "3"],
    ["fork"],
    ["revert"],
    ["exec"],
    ["forget"],
    ["forget", "--containing", "ab"],
    ["show", "no-such-run@3"],
    ["log", "no-such-run"],
    ["diff", "no-such-run"],
    ["undo"],
    ["undo", "7"],
    ["undo", "--list", "7"],
    ["run", "--nearest", "--", "true"],
    ["observe", "a", "b"],
    ["observe", "--from", "first"],
    ["inject"],
    ["inject", "a", "b", "c"],
    ["gate", "--allow", "Bash("],
    ["gate", "--timeout", "0"],
    ["pause", "a", "b"],
  ];
  const told = await Promise.all(wrong.map((args) => user.shepherd(args)));
  for (const [i, { code, out, err }] of told.entries()) {
    const typed = wrong[i]!.join(" ");
    expect(code, typed).toBe(2);
    expect(out, typed).toBe("");
    expect(err, typed).toMatch(/^shepherd: [^\n]+\n$/);
    expect(err, typed).not.toMatch(/ {4}at |\[object|undefined|null/);
  }
});

test.each([
  [
    ["--json"],
    "Which verb? Options stand behind it, as in `shepherd status --json`; `shepherd --help` lists the verbs.",
  ],
  [["log", "-n"], "--number needs a value: `shepherd log --help` lists what there is."],
  [["log", "-n", "-1"], '--number takes a whole number from 1 on, not "-1".'],
  [["run", "--count", "-1", "--", "true"], '--count takes a whole number from 1 to 100, not "-1".'],
  ...[
    ["run", "--scope", "", "--", "true"],
    ["run", "--model=", "x"],
    ["run", "--read-only", "", "--", "true"],
    ["merge", "--into", ""],
    ["gateway", "--scope", ""],
    ["fork", "1", "--scope", ""],
  ].map((typed): [string[], string] => {
    const flag = typed.find((word) => word.startsWith("--"))!.replace("=", "");
    return [typed, `${flag} has an empty value: give it one, or leave ${flag} out.`];
  }),
  [["log", "--all"], "There is no option --all: `shepherd log --help` lists what there is."],
  [["log", "--json=3"], "--json takes no value: `shepherd log --help` lists what there is."],
  [["fork", "a", "b", "c"], '"c" is too much here: `shepherd fork [RUN] STEP`'],
  [
    ["show", "nosuch"],
    '"nosuch" names no step and no run: write a number (6), RUN@6, RUN@ for its newest, or a commit id.',
  ],
  [
    ["diff", "nosuch"],
    '"nosuch" names no step and no run: write a number (6), RUN@6, RUN@ for its newest, or a commit id.',
  ],
  [["show", "abcd"], "No commit starts with abcd: `shepherd log` shows them."],
  [["log", "main"], "main is your own directory and no run: `shepherd status` lists runs."],
  [["run", "--land", "foo", "--", "true"], '--land takes ask, auto, live or never, not "foo".'],
  [["gateway", "--land", "foo", "--", "true"], '--land takes ask, auto or never, not "foo".'],
  [["gateway", "--prices", "nowhere", "--", "true"], "--prices nowhere cannot be read (ENOENT)."],
  [["gateway", "--prices", "a.txt", "--", "true"], "--prices a.txt is no JSON."],
  [["plugin", "install", "claude"], "`shepherd plugin` takes `list`, `add FILE` or `remove NAME`."],
])("%j is told in one sentence that helps", async (typed, sentence) => {
  const { err } = await user.does(typed, 2);
  expect(err).toMatch(/^shepherd: [^\n]+\n$/);
  expect(err).toContain(`shepherd: ${sentence}`);
});

test("with --json an error is an object too", async () => {
  const { out, err } = await user.does(["log", "no-such-run", "--json"], 2);
  expect(JSON.parse(out)).toEqual({ error: expect.stringContaining("no-such-run"), code: 2 });
  expect(err).toMatch(/^shepherd: /);
});

test("verbs without a run to mean say so", async () => {
  const verbs = [
    ["log"],
    ["diff"],
    ["replay"],
    ["merge"],
    ["sync"],
    ["discard"],
    ["resume"],
    ["shell"],
    ["revert", "1"],
    ["observe"],
    ["inject", "text"],
    ["gate"],
    ["pause"],
  ];
  for (const { code, err } of await Promise.all(
    [...verbs, ["exec", "--", "true"]].map((args) => user.shepherd(args)),
  )) {
    expect(code).toBe(2);
    expect(err).toBe(`shepherd: No run was started from ${user.project}: \`shepherd run claude "TASK"\` starts one.\n`);
  }
  expect((await user.does(["status"])).out).toContain(`No runs from ${user.project}`);
});

test("whoever types too little is led to their agent", async () => {
  const agent = 'shepherd run claude "';
  for (const typed of [[], ["run"], ["run", "fix", "it"], ["run", "fix it"], ["log"]]) {
    const { out, err } = await user.does(typed, 2);
    expect(out + err, typed.join(" ")).toContain(agent);
  }
  for (const typed of [["status"], ["doctor"], ["run", "--help"]])
    expect((await user.does(typed)).out, typed.join(" ")).toContain(agent);
});

test("what was not understood made nothing: no run, no step", async () => {
  expect((await user.does(["status", "--all", "--json"])).out).toBe("");
});
