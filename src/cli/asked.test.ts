import { expect, test } from "vitest";
import { askedOf, callLines } from "./asked.ts";

test("a call is told as it would be typed or written", () => {
  expect(callLines("bash", { command: "cd a\nmake\n" })).toEqual(["$ cd a", "> make"]);
  expect(callLines("write", { path: "a.txt", content: "one\ntwo\n" })).toEqual([
    "write",
    "  path: a.txt",
    "  content:",
    "    one",
    "    two",
  ]);
  expect(callLines("odd", { n: 3, of: [1] })).toEqual(["odd", "  n: 3", "  of: [1]"]);
  expect(callLines("odd", "text")).toEqual(['odd("text")']);
});

test("what was asked is a task, a command or a call", () => {
  const of = (kind: string, value: unknown) => askedOf(kind, JSON.stringify(value));
  expect(of("run", { worker: "agent", text: "fix it" })).toEqual({ word: "task", lines: ["fix it"] });
  expect(of("run", { worker: "command", text: "npm test" })).toEqual({ word: "command", lines: ["$ npm test"] });
  expect(of("command", { text: "npm test" })).toEqual({ word: "command", lines: ["$ npm test"] });
  expect(of("tool", { name: "bash", input: { command: "ls" } })).toEqual({ word: "call", lines: ["$ ls"] });
  expect(of("effect", { name: "pay", input: { cents: 5 } })).toEqual({ word: "effect", lines: ["pay", "  cents: 5"] });
  expect(of("model", { messages: [] })).toBeNull();
  for (const input of [null, "[forgotten]", "null", "3", "{}"])
    for (const kind of ["run", "tool"]) expect(askedOf(kind, input)).toBeNull();
});
