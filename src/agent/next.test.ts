import { expect, test } from "vitest";
import type { Item } from "../scope/thread.ts";
import { next } from "./next.ts";

const user: Item = { role: "user", content: [{ type: "text", text: "fix it" }] };
const asst = (...calls: string[]): Item => ({
  role: "assistant",
  content: [
    { type: "text", text: "plan" },
    ...calls.map((id) => ({ type: "call" as const, id, name: "bash", input: {} })),
  ],
});
const result = (call: string): Item => ({ role: "result", call, status: "done", content: [] });
const open = (items: Item[]) => {
  const todo = next(items);
  return todo.do === "perform" ? todo.calls.map(({ id }) => id) : todo.do;
};

test("what must happen next follows from the conversation alone", () => {
  expect(open([])).toBe("call-model");
  expect(open([user])).toBe("call-model");
  expect(open([user, asst("A", "B")])).toEqual(["A", "B"]);
  expect(open([user, asst("A", "B"), result("A")])).toEqual(["B"]);
  expect(open([user, asst("A", "B"), result("A"), result("B")])).toBe("call-model");
  expect(open([user, asst("A"), result("A"), asst()])).toBe("stop");
  expect(open([user, asst(), user])).toBe("call-model");
  expect(open([user, { role: "assistant", content: [] }])).toBe("stop");
});
