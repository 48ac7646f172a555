/** Codex makes room: its conversation goes on behind a summary, as one step, and can be gone on with from before and behind it. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { responsesEvents, type Wire } from "../support/provider.ts";
import { codexRig, itemsOf, type Rig, type Said } from "./codex-rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await codexRig();
  fs.appendFileSync(join(rig.home, ".codex", "config.toml"), "model_auto_compact_token_limit = 90000\n");
});
afterEach(() => rig.end());

const run = (cmd: string): [string, object] => ["exec_command", { cmd }];
/** What the model says, by what it was told last; where its usage is large the conversation is made shorter before it is asked again. */
const ANSWERS: Array<{ on: string; says: Said; large?: boolean }> = [
  { on: "CONTEXT CHECKPOINT", says: { say: "SUMMARY of it" } },
  { on: "SUMMARY of it", says: { say: "Three.", tag: "3", call: [run("echo 3 >> a.txt")] } },
  { on: "call_0_03", says: { say: "Four.", tag: "4", call: [run("echo 4 >> a.txt")] } },
  { on: "call_0_04", says: { say: "the end", tag: "5" } },
  { on: "call_0_01", says: { say: "Two.", tag: "2", call: [run("echo 2 >> a.txt")] }, large: true },
  { on: "go", says: { say: "One.", tag: "1", call: [run("echo 1 >> a.txt")] } },
];

/** Results have names and times of their own where their calls are performed anew. */
const bare = (request: Wire): string =>
  JSON.stringify(request)
    .replace(/Chunk ID: \w+\\nWall time: [\d.]+ seconds/g, "")
    .replace(/"fco_[^"]+"/g, '""');

/** By what it was told since it spoke. */
function answerTo({ input }: Wire): (typeof ANSWERS)[number] {
  const spoke = input.findLastIndex(({ role, type }: Wire) => role === "assistant" || type === "function_call");
  const told = JSON.stringify(input.slice(spoke + 1));
  return ANSWERS.find(({ on }) => told.includes(on)) ?? { on: "", says: { say: `Told what? ${told.slice(0, 300)}` } };
}

test("a conversation that is compacted goes on, and forks before and behind that are asked what was asked then", async () => {
  rig.provider.answer = ({ url, json }, response) => {
    if (url !== "/v1/responses") return void response.writeHead(404).end();
    const { says, large } = answerTo(json);
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of responsesEvents(itemsOf(0, says), `resp_${says.tag}`))
      response.write(large ? event.replace(/"total_tokens":\d+/, '"total_tokens":999999') : event);
    response.end();
  };
  const done = await rig.shepherd("run", "codex", "go", "--scope", "it");
  expect([done.code, done.stdout]).toEqual([0, expect.stringContaining("the end")]);
  const before = rig.asked();
  const rows = await rig.log("it");
  expect(rows.every(({ thread, kind }) => thread === "main" || kind === "run")).toBe(true);
  expect(rows.map(({ kind }) => kind).filter((kind) => kind === "compact")).toHaveLength(1);
  const calls = rows.filter(({ kind }) => kind === "tool");
  expect(calls.map(({ status, changes }) => [status, changes.files])).toEqual(Array(4).fill(["done", 1]));

  for (const [i, { n }] of calls.entries()) {
    await rig.shepherd("fork", `it@${n}`, "--scope", `from-${n}`);
    rig.provider.asked.length = 0;
    const again = await rig.shepherd("resume", `from-${n}`);
    const next = before[i < 1 ? 1 : i === 1 ? 2 : i + 2];
    expect([n, again.code, bare(rig.asked()[0]) === bare(next)]).toEqual([n, 0, true]);
    expect((await rig.shepherd("cat", `from-${n}@`, "a.txt")).stdout).toBe("1\n2\n3\n4\n");
  }
  // At the answer behind the summary, whose call is still to come, nobody is asked for it.
  const third = rows.findLast(({ kind, n }) => kind === "model" && n < calls[2].n)!;
  await rig.shepherd("fork", `it@${third.n}`, "--scope", "third");
  rig.provider.asked.length = 0;
  expect((await rig.shepherd("resume", "third")).code).toBe(0);
  expect(rig.asked().map((each) => JSON.stringify(each.input.at(-1)).includes("call_0_03"))[0]).toBe(true);
  expect((await rig.shepherd("cat", "third@", "a.txt")).stdout).toBe("1\n2\n3\n4\n");
  expect((await rig.shepherd("fsck")).code).toBe(0);
});
