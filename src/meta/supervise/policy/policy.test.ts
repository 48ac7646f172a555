import { expect, test } from "vitest";
import { granting, view } from "../../../../test/support/views.ts";
import { ModelError, type ModelPort, type ModelRequest } from "../../../agent/model.ts";
import { functionPort, type ModelFunction } from "../../../agent/ports/function.ts";
import { EMPTY, remember } from "../memory.ts";
import type { Look } from "../policy.ts";
import { modelPolicy, requestOf } from "./model.ts";
import { nonePolicy } from "./none.ts";
import { randomPolicy } from "./random.ts";
import { rulesPolicy } from "./rules.ts";

const never = new AbortController().signal;
const pending = [{ n: 13, tool: "bash", input: { command: "rm -rf src" } }];
const at = (more: Partial<Look> = {}): Look => ({
  views: [view("a", { pending }), view("b")],
  granted: granting(["a", "b"]),
  memory: EMPTY,
  ...more,
});
const inject = { worker: "b", action: "inject", reason: "It loops.", guidance: "Stop." };
const saying = (answer: unknown) =>
  modelPolicy({ port: functionPort(() => (typeof answer === "string" ? answer : JSON.stringify(answer))) });

test("none does nothing, rules do what rules say", async () => {
  expect(await nonePolicy.decide(at(), never)).toEqual({ decisions: [], refused: [] });
  expect((await rulesPolicy().decide(at(), never)).decisions).toMatchObject([{ worker: "a", action: "deny", n: 13 }]);
});

test("random does so much, the same for one seed, and nothing that is not granted", async () => {
  const mix = { inject: 3, deny: 1, discard: 1, rewrite: 1, revert: 1, resume: 1 };
  const play = async (seed: number, granted = granting(["a", "b"])) => {
    const policy = randomPolicy({ rate: 0.1, seed, mix });
    const all = [];
    for (let tick = 0; tick < 2000; tick++)
      all.push((await policy.decide(at({ granted, memory: { tick, acts: [] } }), never)).decisions);
    return all;
  };
  const once = await play(7);
  expect(await play(7)).toEqual(once);
  expect(await play(8)).not.toEqual(once);
  // Of 4000 looks at a worker; what is not possible then is none.
  const count = once.flat().length;
  expect(count).toBeGreaterThan(200);
  expect(count).toBeLessThan(450);
  const only = (await play(7, granting(["b"], ["inject"]))).flat();
  expect(new Set(only.map(({ worker, action }) => `${worker} ${action}`))).toEqual(new Set(["b inject"]));
});

test("a model's decisions count as far as they are some; the others are told", async () => {
  const { decisions, refused } = await saying({
    decisions: [inject, { worker: "a", action: "merge", reason: "x" }],
  }).decide(at(), never);
  expect(decisions).toEqual([{ ...inject, cause: "model" }]);
  expect(refused).toEqual([{ worker: "a", action: "merge", why: "There is no such action." }]);
});

test("a bad answer, a model that fails, hangs, or is cut off is no decision, and is told", async () => {
  const fails =
    (message: string): ModelFunction =>
    () =>
      Promise.reject(new ModelError(message, true));
  for (const [port, why] of [
    [functionPort(() => "I would merge them."), /no JSON/],
    [functionPort(fails("No connection.")), /could not be asked: .*No connection/],
    [{ name: "x", call: async function* () {} } as ModelPort, /broke off/],
    [
      {
        name: "x",
        call: async function* () {
          yield { type: "end", stop: "length", usage: {} };
        },
      } as ModelPort,
      /did not come to its end/,
    ],
  ] as const) {
    const { decisions, refused } = await modelPolicy({ port }).decide(at(), never);
    expect(decisions).toEqual([]);
    expect(refused.map((each) => each.why).join()).toMatch(why);
  }
  const hangs: ModelFunction = (_, signal) =>
    new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const hung = await modelPolicy({ port: functionPort(hangs), timeoutMs: 10 }).decide(at(), never);
  expect(hung.refused.length).toBe(1);
  const stop = new AbortController();
  const stopped = modelPolicy({ port: functionPort(hangs) }).decide(at(), stop.signal);
  stop.abort(new Error("enough"));
  await expect(stopped).rejects.toThrow("enough");
});

test("it is asked once for all workers that are at work, and not at all where none is", async () => {
  const asked: ModelRequest[] = [];
  const policy = modelPolicy({
    port: functionPort((request) => {
      asked.push(request);
      return '{"decisions":[]}';
    }),
  });
  await policy.decide(at({ views: [view("a"), view("b"), view("c", { state: "done" })] }), never);
  expect(asked.length).toBe(1);
  const last = JSON.stringify(asked[0]!.messages.at(-1));
  expect(
    [/\\"worker\\":\\"a\\"/, /\\"worker\\":\\"b\\"/, /\\"worker\\":\\"c\\"/].map((each) => each.test(last)),
  ).toEqual([true, true, false]);
  await policy.decide(at({ views: [view("c", { state: "done" })] }), never);
  expect(asked.length).toBe(1);
});

test("a request begins with the same bytes, whatever is seen; what is seen comes last", () => {
  const port = { name: "m", params: { api: "x", temperature: 0 } };
  const ask = (more: Partial<Look>) => requestOf(port, at(more), "Be strict.");
  const [one, two] = [
    ask({}),
    ask({ views: [view("b", { steps: 99 }), view("a", { errors: 9, task: "other" })], memory: { tick: 9, acts: [] } }),
  ];
  expect(two.system).toBe(one.system);
  expect(two.messages[0]).toEqual(one.messages[0]);
  expect(two.messages[1]).not.toEqual(one.messages[1]);
  expect(one.messages.length).toBe(2);
  expect(JSON.stringify(one.messages[0])).toContain("Be strict.");
  expect(one.params).toEqual(port.params);
});

test("what was done needs time to show, but an intent that waits does not wait for that", async () => {
  const memory = remember(EMPTY, [
    { worker: "b", cause: "model", action: "inject" },
    { worker: "a", cause: "model", action: "inject" },
  ]);
  const deny = { worker: "a", action: "deny", n: 13, reason: "It destroys." };
  const policy = saying({ decisions: [inject, deny] });
  const soon = await policy.decide(at({ memory }), never);
  expect(soon.decisions.map(({ action }) => action)).toEqual(["deny"]);
  expect(soon.refused.map(({ why }) => why)).toEqual(["Something was done about it a moment ago."]);
  expect((await policy.decide(at({ memory: { ...memory, tick: 3 } }), never)).decisions.length).toBe(2);
});

test("what asking cost is told, also of a bad answer", async () => {
  const port = functionPort(() => ({ text: "no", usage: { input: 10, output: 2 }, cost: 0.5 }));
  expect(await modelPolicy({ port }).decide(at(), never)).toMatchObject({
    usage: { input: 10, output: 2 },
    usd: 0.5,
    decisions: [],
  });
});
