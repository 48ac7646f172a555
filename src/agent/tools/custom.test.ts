import { afterEach, beforeEach, expect, test } from "vitest";
import { agentRig, call, end, items, portOf, type Rig, stream } from "../../../test/support/agent-rig.ts";
import { textOf } from "../../scope/thread.ts";
import { runAgent } from "../loop.ts";
import type { Schema } from "../schema.ts";
import { tool } from "./custom.ts";
import { misfitOf } from "./jsonschema.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await agentRig();
});
afterEach(() => rig.end());

const PERSON = {
  type: "object",
  properties: { name: { type: "string", minLength: 1 }, age: { type: "integer", minimum: 0 } },
  required: ["name"],
  additionalProperties: false,
} as const;

/** Takes a text and makes a number of it. */
const counted: Schema<unknown, { count: number }> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => {
      const count = Number((value as { count: string }).count);
      return Number.isNaN(count) ? { issues: [{ message: "is no number", path: ["count"] }] } : { value: { count } };
    },
  },
};

test("a tool of a program's is called with what fits, and tells the model what does not", async () => {
  const greeted: unknown[] = [];
  const greet = tool({
    name: "greet",
    description: "Greets.",
    input: PERSON,
    readOnly: true,
    run: (person: { name: string }, { key }) => {
      greeted.push([person, typeof key]);
      return { hello: person.name };
    },
  });
  const count = tool({
    name: "count",
    description: "Counts.",
    input: counted,
    schema: { type: "object", properties: { count: { type: "string" } } },
    tier: "reversible",
    run: ({ count }) => (count > 9 ? Promise.reject(new Error("too many")) : `${count + 1}`),
  });
  const pay = tool({ name: "pay", description: "Pays.", input: { type: "object" }, run: () => "paid" });
  expect([greet, count, pay].map(({ tier, lock }) => [tier, lock])).toEqual([
    ["repeatable", "shared"],
    ["reversible", "exclusive"],
    ["irreversible", "exclusive"],
  ]);
  const scope = await rig.start();
  const port = portOf(
    () =>
      stream(
        call("a", "greet", { name: "Ada" }),
        call("b", "greet", { name: "" }),
        call("c", "count", { count: "1" }),
        call("d", "count", { count: "x" }),
        call("e", "count", { count: "10" }),
        call("f", "pay"),
        end,
      ),
    () => stream(end),
  );
  await runAgent(scope, { model: port, tools: [greet, count, pay], signal: new AbortController().signal });
  expect(
    (await items(scope)).slice(2, -1).map((item) => (item.role === "result" ? [item.status, textOf(item)] : [])),
  ).toEqual([
    ["done", '{"hello":"Ada"}'],
    ["failed", "The input of greet does not fit: name must be at least 1 characters."],
    ["done", "2"],
    ["failed", "The input of count does not fit: count: is no number."],
    ["failed", "too many"],
    ["denied", "not allowed: nobody allowed this irreversible effect; a gate can allow it"],
  ]);
  expect(greeted).toEqual([[{ name: "Ada" }, "string"]]);
});

test("a definition that does not fit is refused when it is made", () => {
  const of = (more: object) => () => tool({ name: "x", description: "", input: PERSON, run: () => "", ...more });
  expect(of({ name: "a b" })).toThrow("needs a name of letters");
  expect(of({ input: counted })).toThrow("needs the JSON Schema of an object: give it as `schema`");
  const tells = { "~standard": { ...counted["~standard"], jsonSchema: { input: () => PERSON } } };
  expect(of({ input: tells })().input).toEqual(PERSON);
});

test.each([
  [{ type: "string" }, 1, "it must be string"],
  [{ type: ["string", "null"] }, null, null],
  [{ enum: ["a", { b: 1 }] }, { b: 1 }, null],
  [{ enum: ["a"] }, "b", 'it must be one of "a"'],
  [{ const: 1 }, 2, "it must be 1"],
  [{ maximum: 3 }, 4, "it must be at most 3"],
  [{ items: { type: "integer" }, minItems: 1 }, [1, 1.5], "it[1] must be integer"],
  [{ items: { type: "integer" }, minItems: 1 }, [], "it must be at least 1 entries"],
  [PERSON, { name: "a", nick: "b" }, "nick is not known"],
  [PERSON, {}, "name is lacking"],
  [{ properties: { a: { properties: { b: { type: "null" } } } } }, { a: { b: 1 } }, "a.b must be null"],
  [{ additionalProperties: { type: "number" } }, { x: "1" }, "x must be number"],
  [{ anyOf: [{ type: "string" }, { type: "number" }] }, true, "it must be string"],
  [{ oneOf: [{ minimum: 1 }, { minimum: 2 }] }, 3, "it fits more than one of what it may be"],
  [{ allOf: [{ minimum: 1 }, { maximum: 2 }] }, 3, "it must be at most 2"],
  [true, 1, null],
  [{ properties: { a: false } }, { a: 1 }, "a is not known"],
  [{ $ref: "#/none" }, 1, null],
])("%j and %j: %j", (schema, value, misfit) => {
  expect(misfitOf(schema, value)).toBe(misfit);
});
