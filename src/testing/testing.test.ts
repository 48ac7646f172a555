import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { z } from "../../test/support/z.ts";
import { ModelError, type ModelPort, type ModelRequest } from "../agent/model.ts";
import { agent, effect } from "../index.ts";
import { assertSteps, fakeClock, recorded, scripted, type Temporary, temporary, told } from "./index.ts";

let place: Temporary;
beforeEach(() => {
  place = temporary({ "a.txt": "one\n" });
});
afterEach(() => place[Symbol.asyncDispose]());

const fix = agent("fix", { input: z.string(), instruction: (what) => `Fix ${what}` });
const bash = (command: string) => ({ tool: "bash", input: { command } });

test("a scripted model answers a fork and who goes on as it did the first time, and fails where it has no answer", async () => {
  const model = scripted(
    { say: "I look.", call: [bash("cat a.txt")] },
    ({ messages }) => ({ text: "", calls: [bash(`echo ${JSON.stringify(messages).includes("one")} > seen`)] }),
    "Done.",
  );
  const run = fix.start("it", { ...place.at, model });
  expect(await run.result).toBe("Done.");
  await run.merge();
  expect(place.read("seen")).toBe("true\n");
  expect(model.requests.map(({ messages }) => messages.length)).toEqual([1, 3, 5]);
  expect(await run.fork({ at: 2, model }).result).toBe("Done.");
  expect(model.requests.slice(3)).toEqual(model.requests.slice(1, 3));

  const short = fix.start("it", { ...place.at, model: scripted({ call: [bash("true")] }) });
  await expect(short.result).rejects.toThrow(/no answer 2: it has 1\. The conversation ends with .*no output/);
});

test("steps are told the same for each run that does the same, and asserted by kind, name and members", async () => {
  const pay = effect({
    tier: "compensable",
    input: z.object({ cents: z.number() }),
    output: z.string(),
    run: () => "p1",
    undo: () => {},
  });
  const order = agent("order", {
    input: z.object({ cents: z.number() }),
    effects: { pay },
    body: async (input, ctx) => {
      await ctx.bash("echo hello; exit 3");
      return ctx.do.pay(input);
    },
  });
  const lines = async (): Promise<string[]> => {
    const run = order.start({ cents: 5 }, { ...place.at, grants: { allow: ["pay"] } });
    await run.result;
    await assertSteps(run, ["tool bash", { kind: "effect", name: "pay", input: { cents: 5 }, output: /^p\d$/ }]);
    await assertSteps(run, ["run", "tool bash", "effect pay", "effect return"], { exact: true });
    return told(run);
  };
  const first = await lines();
  expect(first).toEqual([
    '0 run → order {"cents":5}',
    '1 tool bash {"command":"echo hello; exit 3"} → failed: hello',
    '2 effect pay {"cents":5} → "p1"',
    '3 effect return "p1" → "p1"',
  ]);
  expect(await lines()).toEqual(first);

  const run = order.run("order", { store: place.at.store });
  const wrong = async (...patterns: Parameters<typeof assertSteps>[1]): Promise<string> =>
    assertSteps(run, patterns).then(
      () => "",
      (error: Error) => error.message,
    );
  expect(await wrong("effect pay", "tool bash")).toMatch(
    /^Step pattern 1 \(tool bash\) is missing\.\nThe run has:\n {2}0 run/,
  );
  expect(await wrong({ name: "pay", input: { cents: 6 } })).toContain(
    '({"name":"pay","input":{"cents":6}}) is missing',
  );
  await expect(assertSteps(run, ["run", "effect pay"], { exact: true })).rejects.toThrow(/is not what step 1 is/);
  await expect(assertSteps(run, ["run", "tool bash"], { exact: true })).rejects.toThrow(/step 2 follows/);
});

test("time passes when the test says so", async () => {
  const clock = fakeClock();
  const wait = agent("wait", {
    body: async (_, ctx) => {
      const from = await ctx.now();
      await Promise.all([ctx.sleep(3_600_000), ctx.sleep(60_000)]);
      await ctx.sleep(1000);
      return (await ctx.now()) - from;
    },
  });
  const run = wait.start(undefined, { ...place.at, clock });
  await clock.asleep(2);
  await clock.advance(3_599_999);
  expect(clock.sleeping).toBe(1);
  await clock.advance(1);
  await clock.asleep();
  await clock.advance(1000);
  expect(await run.result).toBe(3_600_000 + 1000);

  const stopped = wait.start(undefined, { ...place.at, clock });
  await clock.asleep(2);
  await stopped.cancel();
  expect(clock.sleeping).toBe(0);
});

test("a recorded provider is asked once; what it was not asked then names where it parts, and nobody is asked", async () => {
  const file = join(place.at.store, "..", "fix.jsonl");
  let asked = 0;
  const real: ModelPort = {
    name: "real",
    call: async function* () {
      yield { type: "delta", text: "W" };
      yield { type: "block", block: { type: "text", text: `Well, ${++asked}.` } };
      yield { type: "end", stop: "end", usage: { input: 3, output: 2 }, cost: 0.25, raw: Buffer.from("secret") };
    },
  };
  const answer = (what: string, record: boolean) =>
    fix.start(what, { ...place.at, model: recorded(file, real, { record }) }).result;
  await expect(answer("it", false)).rejects.toThrow(/has no recordings: SHEPHERD_RECORD=1 asks/);
  expect(existsSync(file)).toBe(false);
  expect(await answer("it", true)).toBe("Well, 1.");
  expect(await answer("it", true)).toBe("Well, 1.");
  expect(await answer("it", false)).toBe("Well, 1.");
  expect(asked).toBe(1);
  expect(readFileSync(file, "utf8")).not.toMatch(/secret|c2VjcmV0/);
  await expect(answer("that", false)).rejects.toThrow(/parts from it in message 1: .*Fix it.*, and here .*Fix that/);
  expect(asked).toBe(1);
});

test("a request that was asked several times has its answers in their order, and a broken file is told", async () => {
  const file = join(place.at.in, "r.jsonl");
  let asked = 0;
  const real: ModelPort = {
    name: "real",
    call: async function* () {
      yield { type: "block", block: { type: "text", text: String(++asked) } };
      yield { type: "end", stop: "end", usage: {} };
    },
  };
  const request: ModelRequest = { model: "real", system: "", tools: [], messages: [] };
  const ask = async (port: ModelPort): Promise<string> => {
    let text = "";
    for await (const event of port.call(request, new AbortController().signal))
      if (event.type === "block" && event.block.type === "text") text = event.block.text;
    return text;
  };
  const one = recorded(file, real, { record: true });
  expect([await ask(one), await ask(one)]).toEqual(["1", "2"]);
  const two = recorded(file, real);
  expect([await ask(two), await ask(two), await ask(two)]).toEqual(["1", "2", "2"]);
  place.write({ "r.jsonl": "{}\n" });
  expect(() => recorded(file, real)).toThrow(ModelError);
  expect(() => recorded(file, real)).toThrow(/Line 1 of .*r\.jsonl is no recording/);
});

test("a temporary place is gone at the end, whatever a run has left there", async () => {
  const mine = temporary({ "d/x": "x" });
  const run = fix.start("it", {
    ...mine.at,
    model: scripted({ call: [bash("mkdir r; touch r/f; chmod 0 r")] }, "Done."),
  });
  await run.result;
  expect(() => mine.read("../store/format")).toThrow(RangeError);
  await mine[Symbol.asyncDispose]();
  expect(existsSync(join(mine.at.in, ".."))).toBe(false);
});
