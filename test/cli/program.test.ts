/** `shepherd run FILE#AGENT`: agents that a module of the user's exports. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { built } from "../support/built.ts";
import { newUser, type User } from "../support/user.ts";

let user: User;
beforeAll(async () => {
  user = await newUser({ "a.txt": "a\n" });
  const index = join(dirname(await built()), "index.js");
  writeFileSync(
    `${user.project}/agents.mjs`,
    `import { agent, effect } from ${JSON.stringify(index)};
const any = { "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) } };
const text = { "~standard": { version: 1, vendor: "test", validate: (value) => typeof value === "string" ? { value } : { issues: [{ message: "must be text" }] } } };
export const greet = agent("greet", {
  input: text,
  effects: { mail: effect({ tier: "irreversible", input: any, output: any, run: (to) => "sent to " + to }) },
  body: async (name, ctx) => {
    await ctx.bash("echo hello " + name + " > hello.txt");
    return { sent: await ctx.do.mail(name) };
  },
});
export const write = agent("write", { instruction: "Write it." });
export const other = 1;
`,
  );
  writeFileSync(`${user.project}/none.mjs`, "export const x = 1;\n");
  writeFileSync(`${user.project}/typed.ts`, "export const x: number = 1;\n");
});
afterAll(() => user.end());

const run = (...args: string[]) => user.shepherd(["run", ...args]);

test("an agent is run by its file and name, its result is told, and resume finds it again", async () => {
  const refused = await run("./agents.mjs#greet", "--input", '"you"', "--json");
  expect(refused.code).toBe(1);
  const end = JSON.parse(refused.out.trim().split("\n").at(-1)!);
  expect(end).toMatchObject({ scope: "greet", ending: "failed", result: null, changes: { files: 1 } });
  expect(end.error).toContain("nobody allowed this irreversible effect");
  const done = await run("./agents.mjs#greet", "--input", '"you"', "--allow", "mail", "--scope", "again");
  expect(done.code).toBe(0);
  expect(done.out).toContain('"sent": "sent to you"');
  expect(done.out).toContain("again is done and changed 1 file (+1 -0)");
  expect((await user.shepherd(["cat", "again@", "hello.txt"])).out).toBe("hello you\n");
  // It was done already: what stands in its log is told again, and nothing is done twice.
  const resumed = await user.shepherd(["resume", "again", "--json"]);
  expect(JSON.parse(resumed.out.trim().split("\n").at(-1)!)).toMatchObject({ result: { sent: "sent to you" } });
  expect(resumed.code).toBe(0);
  expect((await user.shepherd(["run", "--from", "again@1", "do more"])).err).toContain(
    "only `shepherd resume again` goes on",
  );
});

test("one with an instruction has the model that is named", async () => {
  const model = user.script([{ say: "It is written." }]);
  const done = await run("./agents.mjs#write", "--model", model);
  expect([done.code, done.out.includes("It is written.")]).toEqual([0, true]);
});

test.each([
  [["./agents.mjs"], "Which agent? "],
  [["./agents.mjs#other"], "exports no agent other: there is greet, write."],
  [["./none.mjs#x"], "exports no agent"],
  [["./away.mjs#x"], "There is no file"],
  [["./agents.mjs#greet", "--input", "{"], "--input takes JSON"],
  [["./agents.mjs#greet", "--input", "1"], "The input of greet does not fit: must be text."],
  [["./agents.mjs#greet", "do it"], "is given its input by --input"],
  [["./agents.mjs#greet", "-k", "2"], "--count is not for an agent of a module"],
  [["fix it", "--input", "1"], "--input is for an agent that a file exports"],
] as const)("%j is refused in a sentence", async (args, words) => {
  const done = await run(...args);
  expect([done.code, done.err.includes(words), done.err]).toEqual([2, true, expect.any(String)]);
});

test("a file of TypeScript is read where Node does that, and else told of", async () => {
  const { code, err } = await run("./typed.ts#x");
  const reads = Boolean((process.features as { typescript?: unknown }).typescript);
  expect([code, err]).toEqual([2, expect.stringContaining(reads ? "exports no agent" : "does not read TypeScript")]);
});

test("the module that an imported run names is loaded by nobody who goes on from it", async () => {
  const mark = join(user.directory, "loaded");
  const index = join(dirname(await built()), "index.js");
  writeFileSync(
    `${user.project}/marks.mjs`,
    `import { writeFileSync } from "node:fs";
import { agent } from ${JSON.stringify(index)};
writeFileSync(${JSON.stringify(mark)}, "");
export const marks = agent("marks", { body: async () => 1 });
`,
  );
  expect((await run("./marks.mjs#marks")).code).toBe(0);
  expect(existsSync(mark)).toBe(true);
  rmSync(mark);
  const file = join(user.directory, "marks.shepherd");
  await user.does(["export", "marks", "-o", file]);
  const there = { cwd: join(user.directory, "there"), env: { SHEPHERD_DIR: join(user.directory, "other") } };
  mkdirSync(there.cwd);
  await user.does(["import", file], 0, there);
  await user.does(["resume", "marks"], 3, there);
  await user.does(["fork", "marks", "1", "--scope", "mine"], 0, there);
  expect((await user.does(["resume", "mine"], 2, there)).err).toContain("of the agent marks of a program");
  expect(existsSync(mark)).toBe(false);
});
