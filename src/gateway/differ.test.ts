import { expect, test } from "vitest";
import { differences } from "./differ.ts";
import type { Canonical } from "./protocol.ts";

const request = (of: Partial<Canonical>): Canonical => ({
  api: "a",
  model: "m",
  system: null,
  tools: [],
  params: {},
  messages: [],
  ...of,
});
const says = (text: string): Canonical["messages"] => [{ role: "user", content: [{ type: "text", text }] }];

test("each part that differs is told, from where it does", () => {
  const was = request({ system: "be kind", params: { max: 1, old: true }, messages: says("one") });
  const is = request({
    model: "n",
    system: "be short",
    params: { max: 2 },
    messages: [...says("one"), ...says("two")],
  });
  expect(differences(was, is).map(({ part }) => part)).toEqual([
    "the model",
    "the instructions",
    "the parameter max",
    "the parameter old",
    "message 2, of the user,",
  ]);
  expect(differences(was, is)[1]).toEqual({ part: "the instructions", was: 'kind"', is: 'short"' });
  expect(differences(was, is).at(-1)).toMatchObject({ was: null, is: expect.stringContaining("two") });
  expect(differences(was, was)).toEqual([]);
});

test("what an agent makes up anew is no difference, nor is it told of one", () => {
  const [was, is] = [request({ messages: says("took 12 ms: good") }), request({ messages: says("took 3 ms: bad") })];
  expect(differences(was, is, /\d+(?= ms)/g)).toMatchObject([
    { was: expect.stringMatching(/^good/), is: expect.stringMatching(/^bad/) },
  ]);
  expect(differences(was, request({ messages: says("took 5 ms: good") }), /\d+(?= ms)/g)).toEqual([]);
});

test("a character of two halves is not cut", () => {
  expect(differences(request({ model: "a😀" }), request({ model: "a😁" }))).toMatchObject([{ was: "😀", is: "😁" }]);
});
