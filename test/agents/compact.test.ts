/** Claude Code makes room: its conversation goes on behind a summary, as one step, and can be gone on with from before and behind it. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { anthropicEvents, type Wire } from "../support/provider.ts";
import { claudeRig, type Rig, turnsIn } from "./claude-rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await claudeRig();
});
afterEach(() => rig.end());

const bash = (command: string): [string, Wire] => ["Bash", { command, description: "do" }];

test("a conversation that is compacted goes on, and forks before and behind that are asked what was asked then", async () => {
  fs.writeFileSync(join(rig.project, "a.txt"), "one\n");
  const inner = rig.provider.answer;
  rig.provider.answer = (asked, response, request) => {
    const all = JSON.stringify(asked.json?.messages ?? "");
    const blocks: Wire[] | null = all.includes("CRITICAL: Respond with TEXT ONLY")
      ? [{ type: "text", text: "<summary>we did things</summary>" }]
      : turnsIn(asked) === 1 && !all.includes("This session is being continued")
        ? [
            { type: "text", text: "big" },
            {
              type: "tool_use",
              id: "toolu_big",
              name: "Bash",
              input: { command: "echo two > b.txt", description: "x" },
            },
          ]
        : null;
    if (!blocks) return inner(asked, response, request);
    const usage =
      blocks.length > 1 ? { input_tokens: 985_000, cache_read_input_tokens: 0, cache_creation_input_tokens: 0 } : {};
    response.writeHead(200, { "content-type": "text/event-stream" });
    const events = anthropicEvents(blocks, { id: `msg_big_${blocks.length}`, model: asked.json.model, usage });
    for (const event of events) response.write(event);
    response.end();
  };
  // By the turns of the conversation that is told: behind the summary one of before is told again.
  rig.script = [
    { say: "look", call: [bash("cat a.txt")] },
    { say: "go on", call: [bash("echo x >> a.txt")] },
    { say: "more", call: [bash("echo y >> a.txt")] },
    { say: "the end" },
  ];
  const done = await rig.shepherd("run", "claude", "do things", "--scope", "it");
  expect(done.code).toBe(0);
  const rows = await rig.log("it");
  const main = rows.filter(({ thread }) => thread === "main");
  expect(main.filter(({ kind }) => kind === "compact")).toHaveLength(1);
  const calls = main.filter(({ kind }) => kind === "tool");
  expect(calls.map(({ status, changes }) => [status, changes.files])).toEqual([
    ["done", 0],
    ["done", 1],
    ["done", 1],
    ["done", 1],
  ]);
  const asked = (): string[] => rig.provider.asked.map(({ body }) => body.toString());
  const before = asked();
  const of = (text: string): string => before.find((each) => each.includes(text) && !each.includes("CRITICAL"))!;
  for (const [n, next] of [
    [calls[0]!.n, before[1]],
    [calls[2]!.n, before.at(-2)],
    [calls[3]!.n, before.at(-1)],
  ] as const) {
    rig.provider.asked.length = 0;
    await rig.shepherd("fork", `it@${n}`, "--scope", `from-${n}`);
    const again = await rig.shepherd("resume", `from-${n}`);
    expect([n, again.code, before.indexOf(asked()[0]!)]).toEqual([n, 0, before.indexOf(next!)]);
    expect((await rig.shepherd("cat", `from-${n}@`, "a.txt")).stdout).toBe("one\nx\ny\n");
  }
  expect(of("This session is being continued")).toBeDefined();
  // At the summary itself it goes on from before.
  const compact = main.find(({ kind }) => kind === "compact")!;
  await rig.shepherd("fork", `it@${compact.n}`, "--scope", "at");
  const at = await rig.shepherd("resume", "at");
  expect(at.stderr).toContain("so it goes on from step");
  expect(at.code).toBe(0);
});
