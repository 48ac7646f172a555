/** What Codex does with what it is told of its calls, and what is recorded of calls that it tells of in part. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { driven, on } from "./codex-driven.ts";
import { codexRig, type Rig } from "./codex-rig.ts";

let rig: Rig;
afterEach(() => rig.end());

const run = (cmd: string): [string, object] => ["exec_command", { cmd }];
const add = (file: string): string => `*** Begin Patch\n*** Add File: ${file}\n+x\n*** End Patch\n`;
const NO_SUCH = "*** Begin Patch\n*** Update File: none\n@@\n-a\n+b\n*** End Patch\n";

const steps = async (): Promise<unknown[]> =>
  (await rig.log("it"))
    .filter(({ kind }) => kind === "tool")
    .map(({ n, status, inside, changes }) => [n, status, inside, changes?.files ?? null]);
const files = async (): Promise<string[]> =>
  (await rig.shepherd("diff", "it", "--json")).stdout
    .trim()
    .split("\n")
    .filter(Boolean)
    .flatMap((line) => JSON.parse(line).path ?? [])
    .sort();
/** What the model was told of its calls, by their ids. */
const results = (): { [call: string]: string } =>
  Object.fromEntries(
    rig
      .asked()
      .at(-1)
      .input.filter(({ output }: { output?: unknown }) => output !== undefined)
      .map(({ call_id, output }: { call_id: string; output: unknown }) => [call_id, JSON.stringify(output)]),
  );

test("a call that is denied does not run, and the model is told why; the next one does", async () => {
  rig = await codexRig();
  rig.script = [
    { say: "Both.", call: [run("touch bad"), run("touch good")] },
    { say: "A patch.", call: [["apply_patch", add("bad-too")]] },
    { say: "Without a reason.", call: [run("touch silent")] },
  ];
  const { ending } = await driven(rig, [
    on("bad", { kind: "deny", reason: "not that\none" }),
    on("silent", { kind: "deny", reason: " " }),
  ]);
  expect(ending).toBe("done");
  expect(await steps()).toEqual([
    [3, "denied", null, null],
    [4, "done", null, 1],
    [6, "denied", null, null],
    [8, "denied", null, null],
  ]);
  expect(await files()).toEqual(["good"]);
  expect(results().call_0_0).toContain("not that\\none");
  expect(results().call_1_0).toContain("not that\\none");
});

test("a call that is rewritten runs as it was rewritten", async () => {
  rig = await codexRig();
  rig.script = [
    { say: "One.", call: [run("touch asked")] },
    { say: "A patch.", call: [["apply_patch", add("patched")]] },
  ];
  const { ending } = await driven(rig, [
    on("asked", { kind: "rewrite", input: { command: "touch given" } }),
    on("patched", { kind: "rewrite", input: { command: add("given-too") } }),
  ]);
  expect(ending).toBe("done");
  expect(await files()).toEqual(["given", "given-too"]);
  expect((await steps()).map((each) => (each as unknown[])[1])).toEqual(["done", "done"]);
});

test("calls that fail without a word hold nobody up, and results say that they failed", async () => {
  rig = await codexRig();
  rig.script = [
    { say: "A patch that does not fit.", call: [["apply_patch", NO_SUCH], run("touch a")] },
    { say: "An image that is none.", call: [["view_image", { path: "none.png" }], run("touch b")] },
    { say: "No such arguments.", call: [["exec_command", { command: "x" }], run("touch c")] },
    { say: "No such tool.", call: [["no_such_tool", {}], run("touch d")] },
  ];
  expect((await driven(rig, [])).ending).toBe("done");
  expect(await files()).toEqual(["a", "b", "c", "d"]);
  expect(await steps()).toEqual([
    [3, "failed", null, 0],
    [4, "done", null, 1],
    [6, "failed", null, null],
    [7, "done", null, 1],
    [9, "aborted", null, null],
    [10, "done", null, 1],
    [12, "aborted", null, null],
    [13, "done", null, 1],
  ]);
});

test("what a command does that goes on in the background is found with a later step", async () => {
  rig = await codexRig();
  rig.script = [
    {
      say: "A question.",
      call: [["exec_command", { cmd: "read x; echo $x > said; echo ok", yield_time_ms: 250, tty: true }]],
    },
    { say: "An answer.", call: [["write_stdin", { session_id: 0, chars: "hello\n", yield_time_ms: 5000 }]] },
    { say: "More.", call: [run("touch more")] },
  ];
  const answer = rig.provider.answer;
  rig.provider.answer = (asked, response, request) => {
    const said = JSON.stringify(asked.json.input.at(-1).output ?? "");
    const id = /session ID (\d+)/.exec(said)?.[1];
    if (id) Object.assign(rig.script[1]!.call![0]![1], { session_id: Number(id) });
    return answer(asked, response, request);
  };
  expect((await driven(rig, [])).ending).toBe("done");
  expect(await steps()).toEqual([
    [3, "done", null, 0],
    [5, "done", null, null],
    [7, "done", null, 2],
  ]);
  expect(await files()).toEqual(["more", "said"]);
});

test("a script is a step, and the calls that it makes are steps inside of it; who refuses it refuses them", async () => {
  rig = await codexRig("gpt-6-sol");
  const js = (text: string): [string, string] => ["exec", text];
  rig.script = [
    {
      say: "One after the other.",
      call: [
        js(`await tools.exec_command({ cmd: "echo 1 > a" });
          try { await tools.apply_patch(${JSON.stringify(NO_SUCH)}); } catch {}
          text((await tools.exec_command({ cmd: "cat a; echo 2 > b" })).output);`),
      ],
    },
    {
      say: "Two scripts.",
      call: [
        js('await tools.exec_command({ cmd: "echo 3 > c" });'),
        js('await tools.exec_command({ cmd: "echo 4 > d" });'),
      ],
    },
    {
      say: "At once.",
      call: [js('await Promise.all(["e", "f"].map((name) => tools.exec_command({ cmd: "echo 5 > " + name })));')],
    },
    { say: "Refused.", call: [js('/* no */ await tools.exec_command({ cmd: "echo 6 > g" });')] },
    {
      say: "In part.",
      call: [js('try { await tools.exec_command({ cmd: "echo b" + "ad > h" }); } catch {} text("ok");')],
    },
    { say: "Broken.", call: [js('throw new Error("no");')] },
  ];
  const { ending } = await driven(rig, [
    on("/* no */", { kind: "deny", reason: "no scripts" }),
    on("echo bad", { kind: "deny", reason: "not that" }),
  ]);
  expect(ending).toBe("done");
  expect(await files()).toEqual(["a", "b", "c", "d", "e", "f"]);
  const all = (await steps()) as Array<[n: number, status: string, inside: number | null, files: number | null]>;
  expect(all.map(([, status, inside, changed]) => [status, all.findIndex(([n]) => n === inside), changed])).toEqual([
    ["done", -1, null],
    ["done", 0, 1],
    ["failed", 0, 0],
    ["done", 0, 1],
    ["done", -1, null],
    ["done", -1, null],
    ["done", 4, 1],
    ["done", 5, 1],
    ["done", -1, null],
    ["done", 8, 1],
    ["done", 8, 1],
    ["denied", -1, null],
    ["done", -1, null],
    ["denied", 12, null],
    ["failed", -1, null],
  ]);
  // What such a call brought is told to no model, so it stands with its step.
  expect((await rig.shepherd("show", `it@${all[3]![0]}`)).stdout).toMatch(/^\s*1$/m);
});

test("a script that goes on after its model was told so has its calls inside of it, and is waited for by another call", async () => {
  rig = await codexRig("gpt-6-sol");
  const js = `// @exec: {"yield_time_ms": 200}
    await tools.exec_command({ cmd: "until [ -e said ]; do sleep 0.1; done; echo 1 > a" });
    await tools.exec_command({ cmd: "echo 2 > b" });`;
  rig.script = [
    { say: "A long one.", call: [["exec", js]] },
    { say: "I wait.", call: [["wait", { cell_id: "1", yield_time_ms: 20_000 }]] },
  ];
  const answer = rig.provider.answer;
  const { ending } = await driven(rig, [], [], (files) => {
    rig.provider.answer = (asked, response, request) => {
      // The command ends when its model has been told that it goes on.
      if (rig.asked().length === 2) writeFileSync(join(files.host, "said"), "");
      return answer(asked, response, request);
    };
  });
  expect(ending).toBe("done");
  expect(JSON.stringify(rig.asked()[1].input.at(-1).output)).toContain("Script running with cell ID 1");
  const all = (await steps()) as Array<[n: number, status: string, inside: number | null, files: number | null]>;
  expect(all.map(([, status, inside, changed]) => [status, all.findIndex(([n]) => n === inside), changed])).toEqual([
    ["done", -1, null],
    ["done", 0, 2],
    ["done", -1, null],
    ["done", 2, 1],
  ]);
});

test("who waits for a sub-agent holds no lock, and calls of its scripts are inside of those", async () => {
  rig = await codexRig("gpt-6-sol");
  const TASK = "Write the file sub.";
  const write = "echo 1 > sub";
  rig.script = [
    {
      say: "A sub-agent.",
      call: [
        [
          "exec",
          `const { agent_id } = await tools.multi_agent_v1__spawn_agent({ message: "${TASK}" });
              await tools.multi_agent_v1__wait_agent({ targets: [agent_id], timeout_ms: 60000 });
              await tools.exec_command({ cmd: "cp sub main" });`,
        ],
      ],
    },
  ];
  rig.other = (asked, turn) => {
    const users = asked.json.input.filter(({ role }: { role: string }) => role === "user");
    if (!JSON.stringify(users).includes(TASK)) return null;
    return turn === 0
      ? { say: "I write.", tag: "s", call: [["exec", `await tools.exec_command({ cmd: "${write}" });`]] }
      : { say: "written", tag: "s" };
  };
  expect((await driven(rig, [])).ending).toBe("done");
  expect(await files()).toEqual(["main", "sub"]);
  const rows = (await rig.log("it")).filter(({ kind }) => kind === "tool");
  const threadOf = (n: number | null) => rows.find((row) => row.n === n)?.thread ?? null;
  expect(rows.map(({ summary, inside }) => [summary.split(" ")[0], threadOf(inside)]).sort()).toEqual(
    [
      ["exec", null],
      ["spawn_agent", "main"],
      ["multi_agent_v1wait_agent", "main"],
      ["exec", null],
      ["exec_command", "thread-2"],
      ["exec_command", "main"],
    ].sort(),
  );
});

test("a run whose hooks are killed while they ask is over", async () => {
  rig = await codexRig();
  // The command that asks, and the shell around it; no other process has these words.
  const kill = 'for p in $(pgrep -f "7601 [/]shepherd/hook"); do kill -KILL $(ps -o ppid= -p $p) $p; done; sleep 300';
  rig.script = [{ say: "Both.", call: [run(kill), run("sleep 300; touch never")] }];
  const { ending, broken } = await driven(rig, []);
  expect(ending).toBe("failed");
  expect(broken).toBe("A hook of codex ended before it had its answer.");
  expect((await steps()).map((each) => (each as unknown[])[1])).toEqual(["aborted", "aborted"]);
  expect(await files()).toEqual([]);
});

test("without hooks no model is asked", async () => {
  rig = await codexRig();
  rig.script = [{ say: "One.", call: [run("touch a")] }];
  const { ending, broken } = await driven(rig, [], ["--disable", "hooks"]);
  expect(ending).toBe("failed");
  expect(broken).toContain("No hook of codex was heard before it asked a model");
  expect(rig.asked()).toEqual([]);
});
