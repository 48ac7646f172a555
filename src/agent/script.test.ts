import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Item } from "../scope/thread.ts";
import type { ModelEvent } from "./model.ts";
import { openModel } from "./models.ts";
import { parseScript } from "./script.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(`${tmpdir()}/shepherd-script-`);
});
afterAll(() => rmSync(directory, { recursive: true }));

const asst: Item = { role: "assistant", content: [] };
const user: Item = { role: "user", content: [] };

function port(text: string) {
  const file = `${directory}/turns.jsonl`;
  writeFileSync(file, text);
  return openModel(`script:${file}`);
}
async function answer(text: string, messages: Item[], signal = new AbortController().signal): Promise<ModelEvent[]> {
  const events: ModelEvent[] = [];
  for await (const event of port(text).call({ model: "", system: "", tools: [], messages }, signal)) events.push(event);
  return events;
}
const wrong = (text: string): string => {
  try {
    port(text);
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing";
};

test("the line is chosen by the number of assistant turns, and ids of calls follow from it", async () => {
  const script = `{"say":"one","call":[{"tool":"bash","input":{"command":"ls"}},{"tool":"read"}]}\n\n{"say":"two"}`;
  expect(await answer(script, [user])).toEqual([
    { type: "block", block: { type: "text", text: "one" } },
    { type: "block", block: { type: "call", id: "call_1_1", name: "bash", input: { command: "ls" } } },
    { type: "block", block: { type: "call", id: "call_1_2", name: "read", input: {} } },
    { type: "end", stop: "calls", usage: { input: 0, output: 0 } },
  ]);
  expect(await answer(script, [user, asst, user])).toEqual([
    { type: "block", block: { type: "text", text: "two" } },
    { type: "end", stop: "end", usage: { input: 0, output: 0 } },
  ]);
});

test("a request past the end is an error that names the turn", async () => {
  await expect(answer('{"say":"one"}\n', [user, asst, user, asst, user])).rejects.toThrow(
    "The script turns.jsonl has no turn 3: it ends after turn 1. Add a line, or give another script.",
  );
  await expect(answer("", [user])).rejects.toThrow("no turn 1");
});

test("a malformed line is an error that names the line and what is wrong with it", () => {
  const head = '{"say":"one"}\n';
  expect(wrong(`${head}{"say":`)).toMatch(/^Line 2 of the script turns.jsonl is not JSON: /);
  expect(wrong(`${head}\n[]`)).toBe('Line 3 of the script turns.jsonl is no object: write {"say": "…"}.');
  expect(wrong(`{"calls":[]}`)).toContain('Line 1 of the script turns.jsonl has an unknown member "calls"');
  expect(wrong(`{"say":1}`)).toContain("has a `say` that is no text");
  expect(wrong("{}")).toContain("has neither `say` nor `call`");
  expect(wrong(`{"say":"","delay":-1}`)).toContain("has a `delay` that is no number");
  expect(wrong(`{"call":{}}`)).toContain("has a `call` that is no list");
  expect(wrong(`{"call":[{"tool":"bash"},{"input":{}}]}`)).toContain("has no `tool` in call 2");
  expect(wrong(`{"call":[{"tool":"bash","command":"ls"}]}`)).toContain('has an unknown member "command" in call 1');
  expect(() => parseScript(Buffer.from([0x7b, 0xff, 0x7d]), "x")).toThrow("Line 1 of the script x is not JSON");
});

test("a script that cannot be read, and a name that is no model, are errors that say what to do", () => {
  expect(() => openModel(`script:${directory}/none`)).toThrow(
    /cannot be read \(ENOENT\): give the path of a file of JSON lines/,
  );
  expect(() => openModel("script:")).toThrow('There is no model "script:": use haiku, sonnet');
  expect(() => openModel("gpt")).toThrow("script:FILE, or one of your table of models.");
});

test("an abort ends an answer that is slow", async () => {
  const control = new AbortController();
  const waits = answer('{"say":"late","delay":60000}', [user], control.signal);
  control.abort();
  await expect(waits).rejects.toThrow();
});
