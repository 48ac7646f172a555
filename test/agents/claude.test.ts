import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Wire } from "../support/provider.ts";
import { claudeRig, type Rig } from "./claude-rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await claudeRig();
});
afterEach(() => rig.end());

/** What the provider was asked, byte for byte. */
const asked = (): string[] =>
  rig.provider.asked.filter(({ url }) => url.startsWith("/v1/messages")).map(({ body }) => body.toString());

const bash = (command: string): [string, object] => ["Bash", { command, description: "x" }];

test("each call is a step with its own changes, and what the model is asked after a fork at any is what it was asked then", async () => {
  fs.writeFileSync(join(rig.project, "a.txt"), "one\n");
  const b = join(rig.project, "b.txt");
  rig.script = [
    { say: "I look.", call: [["Bash", { command: "cat a.txt", description: "look" }]] },
    { say: "I change.", call: [["Bash", { command: "sed -i s/one/two/ a.txt", description: "change" }]] },
    { say: "I write.", call: [["Write", { file_path: b, content: "new\n" }]] },
    {
      say: "Two at once.",
      call: [
        ["Read", { file_path: b }],
        ["Bash", { command: "echo three >> a.txt; exit 3", description: "fail" }],
      ],
    },
    { say: "all done" },
  ];
  const done = await rig.shepherd("run", "claude", "change a to two", "--scope", "it");
  expect(done.stderr).toBe("");
  expect(done.code).toBe(0);
  expect(fs.readFileSync(join(rig.project, "a.txt"), "utf8")).toBe("one\n");

  const rows = await rig.log("it");
  expect(rows.map(({ kind, status, changes }) => [kind, status, changes?.files ?? null])).toEqual([
    ["run", "done", null],
    ["message", "done", null],
    ["model", "done", null],
    ["tool", "done", 0],
    ["model", "done", null],
    ["tool", "done", 1],
    // Claude Code tells the model that a file that it had read was changed.
    ["message", "done", null],
    ["model", "done", null],
    ["tool", "done", 1],
    ["model", "done", null],
    ["tool", "done", null],
    ["tool", "failed", 1],
    ["model", "done", null],
  ]);
  for (const [n, content] of [
    [4, "one\n"],
    [5, "two\n"],
    [11, "two\nthree\n"],
  ] as const)
    expect((await rig.shepherd("cat", `it@${n}`, "a.txt")).stdout).toBe(content);

  const before = asked();
  expect(before).toHaveLength(5);
  // By step: which request comes next. Between the calls of a turn it goes on from the answer that asked for them, which is on record.
  const next: { [n: number]: number } = { 3: 1, 5: 2, 6: 2, 7: 3, 8: 3, 9: 4, 10: 4, 11: 4 };
  for (const [n, request] of Object.entries(next)) {
    rig.provider.asked.length = 0;
    await rig.shepherd("fork", `it@${n}`, "--scope", `from-${n}`);
    const again = await rig.shepherd("resume", `from-${n}`);
    expect(again.code).toBe(0);
    expect(before.indexOf(asked()[0]!), `after step ${n}`).toBe(request);
    expect((await rig.shepherd("cat", `from-${n}@`, "a.txt")).stdout).toBe("two\nthree\n");
  }
  // At its end there is nothing to ask; a word goes on from there.
  rig.provider.asked.length = 0;
  await rig.shepherd("fork", "it@12", "--scope", "end");
  expect((await rig.shepherd("resume", "end")).code).toBe(0);
  expect(asked()).toEqual([]);
  rig.script.push({ say: "You are welcome." });
  expect((await rig.shepherd("resume", "end", "thank you")).stdout).toContain("You are welcome.");
  // All that was said before, and marks of what the provider is to keep, which move to the end.
  const said = (request: string): string =>
    JSON.stringify(JSON.parse(request).messages, (key, value) => (key === "cache_control" ? undefined : value));
  expect(said(asked()[0]!).startsWith(said(before[4]!).slice(0, -1))).toBe(true);
  expect((await rig.log("end")).map(({ kind }) => kind).slice(-2)).toEqual(["message", "model"]);

  const { stdout } = await rig.shepherd("fsck");
  expect(stdout).toMatch(/sound|nothing is wrong|clean/i);
  // The user's key left for the provider, and is nowhere else.
  expect(rig.provider.asked[0]!.headers["x-api-key"]).toBe(rig.env.ANTHROPIC_API_KEY);
  expect(await rig.placesWith("You are welcome.")).not.toEqual([]);
  expect(await rig.placesWith(rig.env.ANTHROPIC_API_KEY!)).toEqual([]);
});

test("in a large directory it begins before all of it is read, on the user's own files, and a fork asks what it asked", async () => {
  for (let file = 0; file < 5100; file++) {
    const dir = join(rig.project, `many/${file % 51}`);
    fs.mkdirSync(dir, { recursive: true });
    fs.writeFileSync(join(dir, `${file}`), `${file}\n`);
  }
  fs.writeFileSync(join(rig.project, "a.txt"), "one\n");
  rig.script = [
    { say: "I look.", call: [bash("cat a.txt")] },
    { say: "I change.", call: [bash("sed -i s/one/two/ a.txt; rm -r many/3")] },
    { say: "all done" },
  ];
  expect(await rig.shepherd("run", "claude", "change a to two", "--scope", "it")).toMatchObject({
    code: 0,
    stderr: "",
  });
  expect(await rig.placesWith('"base":"live"')).toHaveLength(1);
  expect(fs.readFileSync(join(rig.project, "a.txt"), "utf8")).toBe("one\n");
  expect(fs.existsSync(join(rig.project, "many/3"))).toBe(true);
  const rows = await rig.log("it");
  expect(rows.map(({ kind, status, changes }) => [kind, status, changes?.files ?? null])).toEqual([
    ["run", "done", null],
    ["message", "done", null],
    ["model", "done", null],
    ["tool", "done", 0],
    ["model", "done", null],
    ["tool", "done", 101],
    // Claude Code tells the model that a file that it had read was changed.
    ["message", "done", null],
    ["model", "done", null],
  ]);
  const before = asked();
  for (const [n, request] of [
    [3, 1],
    [5, 2],
  ] as const) {
    rig.provider.asked.length = 0;
    await rig.shepherd("fork", `it@${n}`, "--scope", `from-${n}`);
    expect((await rig.shepherd("resume", `from-${n}`)).code).toBe(0);
    expect(before.indexOf(asked()[0]!), `after step ${n}`).toBe(request);
    expect((await rig.shepherd("cat", `from-${n}@`, "a.txt")).stdout).toBe("two\n");
  }
  expect((await rig.shepherd("fsck")).stdout).toContain("The store is sound");
});

test("other words at the first message begin anew with the task, and what is said then goes on from there", async () => {
  rig.script = [{ say: "One." }, { say: "Two." }];
  expect((await rig.shepherd("run", "claude", "the task", "--scope", "it")).code).toBe(0);
  await rig.shepherd("fork", "it@1", "--scope", "other");
  expect((await rig.shepherd("resume", "other", "in red")).stdout).toContain("One.");
  expect((await rig.shepherd("resume", "other", "and blue")).stdout).toContain("Two.");
  const said = (request: string): string => JSON.stringify(JSON.parse(request).messages);
  const [, first, second] = asked().map(said);
  expect(first).toContain("the task\\n\\nin red");
  expect(second).toMatch(/the task\\n\\nin red.*One\..*and blue/);
});

test("behind a revert, and with something new to say, the calls without a result are told as not run, and those that have one keep it", async () => {
  const three = [bash("echo 1 >> a.txt"), bash("echo 2 >> a.txt; cat a.txt"), bash("echo 3 >> a.txt")];
  rig.script = [{ say: "Three.", call: three }, { say: "One more.", call: [bash("cat a.txt")] }, { say: "the end" }];
  expect((await rig.shepherd("run", "claude", "go", "--scope", "it")).code).toBe(0);
  const before = asked();
  const [model] = (await rig.log("it")).filter(({ kind }) => kind === "model");
  const calls = (await rig.log("it")).filter(({ kind }) => kind === "tool");
  /** The request behind the three calls, with results of ours for the last ones. */
  const expected = (ran: number): string => {
    const request = JSON.parse(before[1]!);
    for (const { content } of request.messages)
      for (const block of Array.isArray(content) ? content : [])
        if (block.type === "tool_result" && Number(/^toolu_0_(\d)/.exec(block.tool_use_id)![1]) >= ran)
          Object.assign(block, { content: "not run: reverted" });
    return JSON.stringify(request);
  };
  const files = ["", "1\n", "1\n2\n"];
  for (const [ran, step] of [model, calls[0], calls[1]].entries()) {
    const name = `back-${ran}`;
    await rig.shepherd("fork", `it@${calls[3].n}`, "--scope", name);
    expect((await rig.shepherd("revert", name, String(step.n))).code).toBe(0);
    rig.provider.asked.length = 0;
    const went = await rig.shepherd("resume", name);
    expect([went.code, went.stderr]).toEqual([0, ""]);
    expect(asked()[0]).toBe(expected(ran));
    expect((await rig.shepherd("cat", `${name}@`, "a.txt")).stdout).toBe(files[ran]);
    // The record that has them as not run is none of the past in which they ran.
    await rig.shepherd("revert", name, String(calls[2].n));
    rig.provider.asked.length = 0;
    expect((await rig.shepherd("resume", name)).code).toBe(0);
    expect(asked()[0]).toBe(before[1]);
    // Nor the other way round.
    await rig.shepherd("revert", name, String(step.n));
    rig.provider.asked.length = 0;
    expect((await rig.shepherd("resume", name, "--open", "perform")).code).toBe(0);
    expect(asked()[0]).toBe(before[1]);
  }
  rig.script[1] = { say: "Otherwise." };
  rig.provider.asked.length = 0;
  const done = await rig.shepherd("run", "claude", "--from", `it@${calls[1].n}`, "otherwise", "--scope", "other");
  expect([done.code, done.stderr]).toEqual([0, ""]);
  const told = JSON.parse(asked()[0]!).messages.slice(3);
  expect(
    told.flatMap(({ role, content }: Wire) => content.map((each: Wire) => [role, each.text ?? each.content])),
  ).toEqual([
    ["user", "(Bash completed with no output)"],
    ["user", "1\n2"],
    ["user", "not run: reverted"],
    // A word of Claude Code's own, wherever its user goes on behind results.
    ["assistant", "No response requested."],
    ["user", "otherwise"],
  ]);
  expect((await rig.shepherd("cat", "other@", "a.txt")).stdout).toBe("1\n2\n");
  expect((await rig.shepherd("fsck")).code).toBe(0);
  for (const name of ["back-0", "back-2", "other"]) expect((await rig.shepherd("replay", name)).code).toBe(0);
}, 120_000);

test("with another result of a call the model is asked from there on, and not before", async () => {
  rig.script = [
    { say: "One.", call: [bash("echo 1 >> a.txt"), bash("cat a.txt")] },
    { say: "Two.", call: [bash("echo 2 >> a.txt; cat a.txt")] },
    { say: "the end" },
  ];
  expect((await rig.shepherd("run", "claude", "go", "--scope", "it")).code).toBe(0);
  const before = rig.provider.asked.map(({ body }) => body.toString());
  const [, cat, second] = (await rig.log("it")).filter(({ kind }) => kind === "tool");
  const tag = /toolu_0_0_(\w+)/.exec(before[1]!)![1];
  const ids = new Map([
    [cat.n - 1, `toolu_0_0_${tag}`],
    [second.n, `toolu_1_0_${tag}`],
  ]);
  for (const [call, next, words] of [
    [second, before[2]!, "of the second"],
    // Not the last call of its turn.
    [{ n: cat.n - 1 }, before[1]!, "of the first"],
  ] as const) {
    const name = `from-${call.n}`;
    const made = await rig.shepherd("fork", `it@${call.n}`, "--result", words, "--scope", name, "--json");
    const { n, rewrite } = JSON.parse(made.stdout);
    expect(n).toBe(call.n === second.n ? second.n : cat.n);
    rig.provider.asked.length = 0;
    const went = await rig.shepherd("resume", name);
    expect([went.code, went.stderr]).toEqual([0, ""]);
    const [first] = rig.provider.asked.map(({ json }) => json);
    // All else is what was asked then.
    const expected = JSON.parse(next);
    for (const { content } of expected.messages)
      for (const block of Array.isArray(content) ? content : [])
        if (block.tool_use_id === ids.get(call.n)) Object.assign(block, { content: words });
    const [is, was] = [first, expected].map((json) => JSON.stringify(json));
    const at = is!.split("").findIndex((letter, i) => letter !== was![i]);
    expect([is!.slice(at, at + 200), is!.length]).toEqual([was!.slice(at, at + 200), was!.length]);
    const rows = await rig.log(name);
    expect(rows.find((row) => row.n === rewrite)).toMatchObject({
      kind: "rewrite",
      summary: `what came of step ${call.n} is told otherwise: ${words}`,
    });
  }
  expect((await rig.shepherd("cat", `from-${second.n}@`, "a.txt")).stdout).toBe("1\n2\n");
  expect((await rig.shepherd("cat", `from-${cat.n - 1}@`, "a.txt")).stdout).toBe("1\n1\n2\n".slice(2));
  expect((await rig.shepherd("fsck")).code).toBe(0);
  expect((await rig.shepherd("replay", `from-${second.n}`)).code).toBe(0);
});
