/** A real LangGraph.js program as a worker: the example of a supervisor over it, and what else can be done with its run. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
// @ts-expect-error a script
import { langgraph } from "../../scripts/agents.mjs";
import { EXAMPLES, placeExamples, runExample } from "../support/examples.ts";
import { answered, type Wire } from "../support/provider.ts";
import { until } from "../support/user.ts";
import { type AgentRig, agentRig } from "./rig.ts";

let rig: AgentRig;
/** What was asked: which turn of the conversation, and whether the file that the program has read forbids `eval`. */
let asked: Array<[turn: number, told: boolean]>;
beforeEach(async () => {
  rig = await agentRig(".config");
  for (const name of ["graph.mjs", "SPEC.md"]) fs.cpSync(join(EXAMPLES, "langgraph", name), join(rig.project, name));
  fs.symlinkSync(langgraph() as string, join(rig.project, "node_modules"));
  Object.assign(rig.env, { OPENAI_API_KEY: "sk-planted-key", OPENAI_BASE_URL: `${rig.provider.url}/v1` });
  asked = [];
});
afterEach(() => rig.end());

const WRONG = "console.log(eval(process.argv[2]));\n";
const RIGHT = "console.log(process.argv[2].split('+').reduce((sum, each) => sum + Number(each), 0));\n";

/** A model that writes what its conversation lets it. @param holds whether it does not answer once the wrong file is written */
const answer = (holds: boolean) => {
  rig.provider.answer = (request, ...rest) => {
    const { messages }: Wire = request.json;
    const turn = messages.filter(({ role }: Wire) => role === "assistant").length;
    const told = JSON.stringify(messages).includes("Never use eval");
    asked.push([turn, told]);
    if (holds && turn === 2 && !told) return;
    const call = [
      { name: "read_file", arguments: '{"path":"SPEC.md"}' },
      { name: "write_file", arguments: JSON.stringify({ path: "calc.mjs", content: told ? RIGHT : WRONG }) },
    ][turn];
    const message = call
      ? { content: null, tool_calls: [{ id: `call_${turn}`, type: "function", function: call }] }
      : { content: "It calculates." };
    const choice = {
      index: 0,
      message: { role: "assistant", ...message },
      finish_reason: call ? "tool_calls" : "stop",
    };
    const usage = { prompt_tokens: 9, completion_tokens: 9, total_tokens: 18 };
    const whole = { object: "chat.completion", created: 1, model: "gpt-4.1-mini", choices: [choice], usage };
    // A graph takes a message for another one by its id.
    return answered(200, { id: `chatcmpl-${messages.length}`, ...whole })(request, ...rest);
  };
};

const kinds = async (): Promise<string[]> =>
  (await rig.log("node-graph")).map(({ kind, summary }) => (kind === "tool" ? String(summary) : String(kind)));

test("an agent watches it, holds it, sets it back, steers it by its files, and it goes on to its end", async () => {
  answer(true);
  await placeExamples(rig.home);
  const printed = await runExample(rig.home, "langgraph.mjs", [rig.project], rig.env);
  expect(printed).toBe("It calculates.\n\nadded calc.mjs\n");
  expect(fs.readFileSync(join(rig.project, "calc.mjs"), "utf8")).toBe(RIGHT);
  // The first answer was on record: nobody was asked for it again.
  expect(asked).toEqual([
    [0, false],
    [1, false],
    [2, false],
    [1, true],
    [2, true],
  ]);
  const seen = await kinds();
  expect(seen.filter((kind) => kind !== "message")).toEqual([
    "run",
    "command",
    "model",
    "read_file SPEC.md",
    "model",
    "write_file calc.mjs",
    "work",
    "model",
    "revert",
    "revert",
    "command",
    "sync",
    "model",
    "read_file SPEC.md",
    "model",
    "write_file calc.mjs",
    "work",
    "model",
  ]);
  expect((await rig.shepherd("replay", "node-graph")).code).toBe(0);
  expect((await rig.shepherd("fsck", "--full")).code).toBe(0);
});

test("its run is held back, forked and resumed as any other; its calls cannot be gated, and its model is told nothing", async () => {
  answer(true);
  const child = rig.start("gateway", "--scope", "node-graph", "--land", "never", "--", process.execPath, "graph.mjs");
  const ended = new Promise((resolve) => child.once("exit", resolve));
  await until(
    () => asked.length === 3,
    () => `${JSON.stringify(asked)} is all that it asked`,
  );
  for (const verb of [["gate"], ["inject"]]) {
    const words = verb[0] === "inject" ? ["node-graph", "Never use eval."] : ["node-graph"];
    const refused = await rig.shepherd(...verb, ...words);
    expect([verb, refused.code, refused.stderr]).toEqual([
      verb,
      3,
      expect.stringContaining("performs its calls itself"),
    ]);
  }
  expect((await rig.shepherd("pause", "node-graph")).code).toBe(0);
  child.kill("SIGINT");
  await ended;
  // A fork of it is driven through what is on record, and asks for what is not.
  asked = [];
  answer(false);
  expect((await rig.shepherd("fork", "node-graph", "5")).code).toBe(0);
  const forked = await rig.shepherd("resume", "node-graph.1");
  expect([forked.code, forked.stdout]).toEqual([0, expect.stringContaining("It calculates.")]);
  expect(asked).toEqual([[2, false]]);
});
