/** `shepherd run FILE#AGENT`: agents that a module of the user's exports. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
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

test("revert and discard take effects back by the module that the run was started from, once each", async () => {
  const index = join(dirname(await built()), "index.js");
  const [file, ledger] = [`${user.project}/orders.mjs`, join(user.directory, "ledger")];
  writeFileSync(
    file,
    `import { appendFileSync, existsSync } from "node:fs";
import { agent, effect } from ${JSON.stringify(index)};
const any = { "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) } };
const acts = (what) => appendFileSync(${JSON.stringify(ledger)}, what + "\\n");
const pay = effect({ tier: "compensable", input: any, output: any, run: (to) => { acts("pay " + to); return to; },
  undo: ({ input }) => { if (existsSync(${JSON.stringify(`${ledger}.closed`)}) && input === "a") throw new Error("the bank is closed"); acts("undo " + input); } });
const mail = effect({ tier: "irreversible", input: any, output: any, run: (to) => to });
const part = agent("part", { input: any, effects: { pay }, body: async (to, ctx) => { await ctx.do.pay(to); if (to === "c") throw new Error("sold out"); } });
export const order = agent("order", { effects: { pay, mail }, body: async (_, ctx) => {
  await ctx.do.pay("a"); await ctx.call(part, "b"); await ctx.call(part, "c").catch(() => {}); await ctx.do.mail("d"); } });
`,
  );
  const lines = (): string[] => readFileSync(ledger, "utf8").trim().split("\n");
  const start = (scope: string) => run("./orders.mjs#order", "--allow", "pay", "--allow", "mail", "--scope", scope);
  expect((await start("first")).code).toBe(0);
  const paid = ["pay a", "pay b", "pay c"];
  // It is known before the module is asked that something stands.
  expect((await user.does(["revert", "first", "1"], 3)).err).toContain("--acknowledge");
  renameSync(file, `${file}.away`);
  expect((await user.does(["revert", "first", "1", "--acknowledge"], 3)).err).toContain(`There is no file ${file}.`);
  expect((await user.does(["discard", "first"], 3)).err).toContain(`There is no file ${file}.`);
  expect(lines()).toEqual(paid);
  renameSync(`${file}.away`, file);
  // Who was called is taken back by what the module of its caller defines.
  await user.does(["discard", "first.2"]);
  const [back] = (await user.does(["revert", "first", "1", "--acknowledge", "--json"])).objects<{
    n: number;
    op: number;
    outside: Array<{ tier: string; compensated: boolean }>;
  }>();
  expect(back!.outside.map(({ tier, compensated }) => `${tier} ${compensated}`)).toEqual([
    "irreversible false",
    "compensable true",
    "compensable true",
  ]);
  expect(lines()).toEqual([...paid, "undo c", "undo b"]);
  // An undo that fails is told as what it is, and gone on with.
  writeFileSync(`${ledger}.closed`, "");
  const closed = await user.does(["discard", "first"], 1);
  expect(closed.err).toContain("The undo of step 1 (order: pay) failed: the bank is closed");
  rmSync(`${ledger}.closed`);
  const gone = await user.does(["discard", "first"]);
  expect(gone.out).toContain("step 1 (compensable) was taken back");
  expect(lines()).toEqual([...paid, "undo c", "undo b", "undo a"]);
  await user.does(["undo"]);
  expect((await user.does(["log", "first"])).out).toContain("order");
});
