import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { responsesEvents, type Wire } from "../support/provider.ts";
import { until } from "../support/user.ts";
import { codexRig, itemsOf, type Rig } from "./codex-rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await codexRig();
});
afterEach(() => rig.end());

const patch = (...lines: string[]): string => ["*** Begin Patch", ...lines, "*** End Patch", ""].join("\n");

/** A request without what is made up anew for a result: its name, and how long it took. */
const bare = (request: Wire): Wire => ({
  ...request,
  input: request.input.map(({ id, output, ...item }: Wire) =>
    output === undefined
      ? { id, ...item }
      : { ...item, output: String(output).replace(/^Chunk ID: \w+\nWall time: [\d.]+ seconds\n/, "") },
  ),
});

test("each call is a step with its own changes, and what the model is asked after a fork at any is what it was asked then", async () => {
  fs.writeFileSync(join(rig.project, "a.txt"), "one\n");
  rig.script = [
    { say: "I look.", call: [["exec_command", { cmd: "cat a.txt" }]] },
    { say: "I change.", call: [["exec_command", { cmd: "sed -i s/one/two/ a.txt" }]] },
    { say: "I patch.", call: [["apply_patch", patch("*** Add File: b.txt", "+new")]] },
    {
      say: "Two at once.",
      call: [
        ["exec_command", { cmd: "cat b.txt" }],
        ["exec_command", { cmd: "echo three >> a.txt; exit 3" }],
      ],
    },
    { say: "all done" },
  ];
  const done = await rig.shepherd("run", "codex", "change a to two", "--scope", "it");
  expect(done.stdout).toContain("all done");
  expect(done.code).toBe(0);
  // Nothing that Codex reaches by itself is worth a word.
  expect(done.stderr).not.toContain("may not connect");
  expect(fs.readFileSync(join(rig.project, "a.txt"), "utf8")).toBe("one\n");

  const rows = await rig.log("it");
  expect(rows.map(({ kind, status, changes }) => [kind, status, changes?.files ?? null])).toEqual([
    ["run", "done", null],
    ["message", "done", null],
    ["model", "done", null],
    ["tool", "done", 0],
    ["model", "done", null],
    ["tool", "done", 1],
    ["model", "done", null],
    ["tool", "done", 1],
    ["model", "done", null],
    ["tool", "done", 0],
    ["tool", "failed", 1],
    ["model", "done", null],
  ]);
  for (const [n, content] of [
    [3, "one\n"],
    [5, "two\n"],
    [10, "two\nthree\n"],
  ] as const)
    expect((await rig.shepherd("cat", `it@${n}`, "a.txt")).stdout).toBe(content);

  const before = rig.asked();
  expect(before).toHaveLength(5);
  const [first] = rig.provider.asked;
  expect(first!.headers.authorization).toBe(`Bearer ${rig.env.OPENAI_API_KEY}`);
  // By step: which request comes next, and whether it is the same to the last member. Where a call is performed anew, its result has a new name.
  const next: { [n: number]: [request: number, exact: boolean] } = {
    ...{ 0: [0, true], 1: [0, true], 2: [1, false], 3: [1, true], 4: [2, false], 5: [2, true], 6: [3, false] },
    ...{ 7: [3, true], 8: [4, false], 9: [4, false], 10: [4, true] },
  };
  for (const [n, [request, exact]] of Object.entries(next)) {
    rig.provider.asked.length = 0;
    await rig.shepherd("fork", `it@${n}`, "--scope", `from-${n}`);
    const again = await rig.shepherd("resume", `from-${n}`);
    expect(again.code).toBe(0);
    const [asked] = rig.asked();
    expect(exact ? asked : bare(asked), `after step ${n}`).toEqual(exact ? before[request] : bare(before[request]));
    expect(JSON.stringify(asked).length, `after step ${n}`).toBe(JSON.stringify(before[request]).length);
    expect((await rig.shepherd("cat", `from-${n}@`, "a.txt")).stdout).toBe("two\nthree\n");
  }
  // At its end there is nothing to ask; a word goes on from there.
  rig.provider.asked.length = 0;
  await rig.shepherd("fork", "it@11", "--scope", "end");
  expect((await rig.shepherd("resume", "end")).code).toBe(0);
  expect(rig.asked()).toEqual([]);
  rig.script.push({ say: "You are welcome." });
  expect((await rig.shepherd("resume", "end", "thank you")).stdout).toContain("You are welcome.");
  const [told] = rig.asked();
  expect(told.input.slice(0, before[4].input.length)).toEqual(before[4].input);
  expect(told.input.at(-1).content).toEqual([{ type: "input_text", text: "thank you" }]);
  expect((await rig.log("end")).map(({ kind }) => kind).slice(-2)).toEqual(["message", "model"]);

  expect((await rig.shepherd("fsck")).stdout).toMatch(/sound|nothing is wrong|clean/i);
  // The user's keys left for the provider, and are nowhere else.
  expect(await rig.placesWith("You are welcome.")).not.toEqual([]);
  for (const key of [rig.env.OPENAI_API_KEY!, "sk-planted-in-auth-0123456789"])
    expect(await rig.placesWith(key)).toEqual([]);
});

test("a run goes back to a step, and on from there with the same request", async () => {
  rig.script = [
    { say: "One.", call: [["exec_command", { cmd: "echo one > a.txt" }]] },
    { say: "Two.", call: [["exec_command", { cmd: "echo two > a.txt" }]] },
  ];
  expect((await rig.shepherd("run", "codex", "go", "--scope", "it")).code).toBe(0);
  const before = rig.asked();
  expect((await rig.shepherd("revert", "it", "3")).code).toBe(0);
  rig.script[1] = { say: "Other.", call: [["exec_command", { cmd: "echo other > a.txt" }]] };
  rig.provider.asked.length = 0;
  expect((await rig.shepherd("resume", "it")).code).toBe(0);
  expect(rig.asked()[0]).toEqual(before[1]);
  expect((await rig.shepherd("cat", "it@", "a.txt")).stdout).toBe("other\n");
});

test("killed while a model is asked, it asks the same again", async () => {
  rig.script = [{ say: "One.", call: [["exec_command", { cmd: "echo one > a.txt" }]] }];
  const answer = rig.provider.answer;
  rig.provider.answer = (asked, response, request) =>
    rig.asked().length < 2 ? answer(asked, response, request) : undefined;
  const run = rig.start("run", "codex", "go", "--scope", "it");
  await until(() => rig.asked().length === 2);
  run.kill("SIGKILL");
  await new Promise((resolve) => run.once("exit", resolve));
  const before = rig.asked();
  rig.provider.asked.length = 0;
  rig.provider.answer = answer;
  const again = await rig.shepherd("resume", "it");
  expect(again.stdout).toContain("done");
  expect(again.code).toBe(0);
  expect(rig.asked()).toEqual([before[1]]);
  expect((await rig.shepherd("cat", "it@", "a.txt")).stdout).toBe("one\n");
});

test("where the agent itself is killed its run fails, and can be told something else", async () => {
  rig.script = [
    { say: "One.", call: [["exec_command", { cmd: "echo one > a.txt" }]] },
    { say: "Two.", call: [["exec_command", { cmd: "echo two > b.txt; kill -KILL $PPID; sleep 300" }]] },
  ];
  const killed = await rig.shepherd("run", "codex", "go", "--model", "gpt-5.5", "--scope", "it");
  expect(killed.code).toBe(1);
  expect((await rig.log("it")).map(({ kind, status }) => `${kind} ${status}`).slice(-2)).toEqual([
    "model done",
    "tool aborted",
  ]);
  const before = rig.asked();
  rig.script[2] = { say: "Other.", call: [["exec_command", { cmd: "cat a.txt; ls b.txt" }]] };
  rig.provider.asked.length = 0;
  const again = await rig.shepherd("resume", "it", "without killing anybody");
  expect(again.code).toBe(0);
  const [told] = rig.asked();
  // Its call is told as not run, and its files are as they were before, also where its own record has no result.
  const more = told.input.slice(before[1].input.length);
  expect(told.input.slice(0, -more.length)).toEqual(before[1].input);
  expect(more.map(({ type, output }: { type: string; output?: string }) => output ?? type)).toEqual([
    "message",
    "function_call",
    "not run: reverted",
    "message",
  ]);
  expect(told.model).toBe("gpt-5.5");
  expect(JSON.stringify(rig.asked()[1].input.at(-1))).toMatch(/one.*b\.txt.*No such file/);
});

test("a run that is reverted while it works goes on from there with the same request", async () => {
  rig.script = [
    { say: "One.", call: [["exec_command", { cmd: "echo one > a.txt" }]] },
    { say: "Two.", call: [["exec_command", { cmd: "echo two > a.txt" }]] },
  ];
  const answer = rig.provider.answer;
  // The third request is not answered.
  rig.provider.answer = (asked, response, request) =>
    rig.asked().length === 3 ? undefined : answer(asked, response, request);
  const run = rig.start("run", "codex", "go", "--scope", "it");
  const ended = new Promise((resolve) => run.once("exit", resolve));
  await until(() => rig.asked().length === 3);
  rig.script[1] = { say: "Other.", call: [["exec_command", { cmd: "echo other > a.txt" }]] };
  expect((await rig.shepherd("revert", "it", "3")).code).toBe(0);
  expect(await ended).toBe(0);
  const [, second, , again] = rig.asked();
  expect(again).toEqual(second);
  expect((await rig.shepherd("cat", "it@", "a.txt")).stdout).toBe("other\n");
});

test("calls that begin while the answer still comes are written before they run, and come in their order", async () => {
  rig.script = [
    {
      say: "Three.",
      call: [
        ["exec_command", { cmd: "echo 1 >> a.txt" }],
        ["apply_patch", patch("*** Update File: a.txt", "@@", " 1", "+2")],
        ["exec_command", { cmd: "echo 3 >> a.txt" }],
      ],
    },
  ];
  const answer = rig.provider.answer;
  rig.provider.answer = async (asked, response, request) => {
    if (rig.asked().length > 1) return answer(asked, response, request);
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of responsesEvents(itemsOf(0, rig.script[0]!))) {
      // The second is asked for when the first has ended.
      if (event.includes("response.output_item.added") && event.includes("ctc_"))
        await until(() => rig.filesWith('"part":"files"').length > 0);
      response.write(event);
    }
    response.end();
  };
  expect((await rig.shepherd("run", "codex", "go", "--scope", "it")).code).toBe(0);
  expect((await rig.shepherd("cat", "it@", "a.txt")).stdout).toBe("1\n2\n3\n");
  expect((await rig.log("it")).filter(({ kind }) => kind === "tool").map(({ changes }) => changes.files)).toEqual([
    1, 1, 1,
  ]);
});

test("what the user's own hooks forbid does not run, and holds nobody up", async () => {
  const forbid = `case "$(cat)" in *touch\\ a*) echo "not in my house" >&2; exit 2;; esac; echo "{}"`;
  fs.appendFileSync(
    join(rig.home, ".codex", "config.toml"),
    `[hooks]\nPreToolUse = [{ matcher = "*", hooks = [{ type = "command", command = ${JSON.stringify(forbid)} }] }]\n`,
  );
  rig.script = [
    {
      say: "Both.",
      call: [
        ["exec_command", { cmd: "touch a" }],
        ["exec_command", { cmd: "touch b" }],
      ],
    },
  ];
  expect((await rig.shepherd("run", "codex", "go", "--scope", "it")).code).toBe(0);
  expect(JSON.stringify(rig.asked().at(-1).input)).toContain("not in my house");
  expect((await rig.shepherd("diff", "it")).stdout).not.toMatch(/\ba\b.*\+/);
  expect((await rig.shepherd("cat", "it@", "b")).code).toBe(0);
  expect((await rig.shepherd("cat", "it@", "a")).code).not.toBe(0);
});

test("a fork at a call that a script has made goes on from the answer that asked for the script", async () => {
  fs.writeFileSync(join(rig.home, ".codex", "config.toml"), 'model = "gpt-6-sol"\n');
  const js = 'for (const k of [1, 2]) await tools.exec_command({ cmd: "echo " + k + " >> a.txt" });';
  rig.script = [{ say: "One.", call: [["exec", js]] }, { say: "all done" }];
  expect((await rig.shepherd("run", "codex", "go", "--scope", "it")).code).toBe(0);
  const before = rig.asked();
  const inner = (await rig.log("it")).filter(({ inside }) => inside !== null);
  expect(inner.map(({ status, changes }) => [status, changes.files])).toEqual([
    ["done", 1],
    ["done", 1],
  ]);
  await rig.shepherd("fork", `it@${inner[0].n}`, "--scope", "in");
  expect((await rig.shepherd("cat", "in@", "a.txt")).stdout).toBe("1\n");
  rig.provider.asked.length = 0;
  const again = await rig.shepherd("resume", "in");
  expect(again.stderr).toMatch(
    /codex cannot go on from step \d+, so it goes on from step 2; what came between stays in the log\./,
  );
  // It runs once more, in a time of its own.
  const timeless = (of: Wire): Wire => JSON.parse(JSON.stringify(bare(of)).replace(/Wall time [\d.]+/g, "Wall time"));
  expect(rig.asked().map(timeless)).toEqual([timeless(before[1])]);
  expect((await rig.shepherd("cat", "in@", "a.txt")).stdout).toBe("1\n2\n");
});

test("with another result of a call the model is asked from there on, and not before", async () => {
  rig.script = [
    { say: "One.", call: [["exec_command", { cmd: "echo 1 | tee -a a.txt" }]] },
    { say: "Two.", call: [["exec_command", { cmd: "echo 2 | tee -a a.txt" }]] },
    { say: "the end" },
  ];
  expect((await rig.shepherd("run", "codex", "go", "--scope", "it")).code).toBe(0);
  const [, then, last] = rig.asked();
  const [one] = (await rig.log("it")).filter(({ kind }) => kind === "tool");
  const made = await rig.shepherd("fork", `it@${one.n}`, "--result", "something else", "--scope", "other");
  expect(made.stdout).toBe(
    `other  from step ${one.n} of it; its step ${one.n + 1} tells otherwise what came of step ${one.n}\n`,
  );
  rig.provider.asked.length = 0;
  expect((await rig.shepherd("resume", "other")).code).toBe(0);
  const otherwise = (request: Wire): Wire => ({
    ...bare(request),
    input: bare(request).input.map((item: Wire) =>
      item.type.endsWith("_output") && item.call_id.includes("_0_") ? { ...item, output: "something else" } : item,
    ),
  });
  expect(rig.asked().map(bare)).toEqual([then, last].map(otherwise));
  expect((await rig.shepherd("cat", "other@", "a.txt")).stdout).toBe("1\n2\n");
});
