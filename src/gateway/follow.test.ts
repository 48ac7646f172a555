/** What is recorded of the calls of a program that asks before it performs one, in whichever order and however little it says. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { type GatewayRig, gatewayRig } from "../../test/support/gateway-rig.ts";
import { answered } from "../../test/support/provider.ts";
import type { Decision } from "../scope/effect.ts";
import { type Call, putItem } from "../scope/thread.ts";
import type { Calls, CallsOptions, ToolTraits } from "./calls.ts";
import { followCalls } from "./follow.ts";

let rig: GatewayRig;
let calls: Calls;
let model: number;
let results: Set<string>;
let broken: string[];
let decision: (name: string) => Decision;
let stop: AbortController;

const TRAITS: { [name: string]: ToolTraits } = {
  read: { shared: true },
  patch: { alone: true },
  script: { unasked: true, script: true },
  more: { unasked: true },
  server: { awaited: 10 },
};

const follow = (options: Partial<CallsOptions> = {}): Calls =>
  followCalls(rig.scope, {
    traits: ({ name }) => TRAITS[name] ?? {},
    results: () => results,
    broken: (why) => broken.push(why),
    signal: stop.signal,
    ...options,
  });

beforeEach(async () => {
  rig = await gatewayRig(answered(200, "{}"));
  [results, broken, stop] = [new Set(), [], new AbortController()];
  decision = () => ({ kind: "forward" });
  rig.scope.handlers.push({ name: "test", handle: ({ name }) => decision(name) });
  calls = follow();
  model = await rig.scope.writer.intent({ kind: "model", tier: "repeatable", thread: "main" });
});
afterEach(() => rig.end());

/** A model asks for calls, by their ids and tools. */
async function asks(...names: Array<[id: string, tool: string]>): Promise<number[]> {
  const { writer, store } = rig.scope;
  const numbers: number[] = [];
  for (const [id, name] of names) {
    const call: Call = { type: "call", id, name, input: { of: id } };
    const what = await putItem(store, { role: "assistant", content: [call] });
    const facts = { kind: "tool" as const, tier: "reversible" as const, thread: "main", what, ...calls.facts(call) };
    const n = await writer.intent(facts, { links: { turn: model } });
    calls.asked(n, call);
    numbers.push(n);
  }
  await writer.outcome(model, { status: "done" });
  return numbers;
}

const begin = (id: string, name?: string, by?: string) =>
  calls.begin(id, { of: id }, name === undefined ? undefined : { name, by });
const steps = () =>
  rig.steps("tool").map(({ n, outcome, links, sealed }) => [n, outcome?.status, links.inside ?? null, sealed !== null]);
/** Whether something has come about by the time that all that can happen has. */
const isDone = async (promise: Promise<unknown>): Promise<boolean> => {
  let done = false;
  promise.then(
    () => {
      done = true;
    },
    () => {},
  );
  await new Promise((resolve) => setTimeout(resolve, 50));
  return done;
};

test("calls of a turn have the lock in the order in which they were asked for, and all of them are sealed", async () => {
  const [a, b] = (await asks(["a", "run"], ["b", "run"])) as [number, number];
  const second = begin("b");
  expect(await isDone(second)).toBe(false);
  expect(await begin("a")).toEqual({ kind: "allow" });
  expect(await isDone(second)).toBe(false);
  await calls.end("a", "done");
  expect(await second).toEqual({ kind: "allow" });
  await calls.end("b", "done");
  await calls.told(a, "done", []);
  await calls.told(b, "failed", []);
  expect(steps()).toEqual([
    [a, "done", null, true],
    [b, "failed", null, true],
  ]);
});

test("calls that only read begin in any order", async () => {
  await asks(["a", "read"], ["b", "read"]);
  expect(await begin("b")).toEqual({ kind: "allow" });
  expect(await begin("a")).toEqual({ kind: "allow" });
});

test("one that the program answers itself is not waited for, and comes too late when it begins after all", async () => {
  const [a] = (await asks(["a", "run"], ["b", "run"])) as [number];
  const second = begin("b");
  results.add("a");
  expect(await second).toEqual({ kind: "allow" });
  await expect(begin("a")).rejects.toThrow("comes behind");
  await calls.told(a, "failed", []);
  expect(rig.scope.writer.fold.steps.get(a)!.outcome!.status).toBe("not-run");
});

test("so is one of which nothing is heard, by a program that notes down no results", async () => {
  calls = follow({ results: undefined as never });
  await asks(["a", "run"], ["b", "run"]);
  expect(await begin("b")).toEqual({ kind: "allow" });
});

test("one that has ended without a word holds nobody up, once the program has noted its result down", async () => {
  const [a] = (await asks(["a", "run"], ["b", "run"])) as [number];
  await begin("a");
  const second = begin("b");
  expect(await isDone(second)).toBe(false);
  results.add("a");
  expect(await second).toEqual({ kind: "allow" });
  await calls.told(a, "failed", []);
  expect(rig.scope.writer.fold.steps.get(a)!.outcome!.status).toBe("failed");
});

test("one beside which nothing is performed has ended when another begins", async () => {
  await asks(["a", "patch"], ["b", "run"]);
  await begin("a");
  expect(await begin("b")).toEqual({ kind: "allow" });
});

test("a refused call holds up nobody behind it", async () => {
  const [a] = (await asks(["a", "bad"], ["b", "run"])) as [number];
  decision = (name) => (name === "bad" ? { kind: "deny", reason: "no" } : { kind: "forward" });
  expect(await begin("a")).toEqual({ kind: "deny", reason: "no" });
  expect(await begin("b")).toEqual({ kind: "allow" });
  await calls.told(a, "done", []);
  expect(rig.scope.writer.fold.steps.get(a)!.outcome!.status).toBe("denied");
});

test("what a handler answers in place of a tool stands in the conversation as the model is told it", async () => {
  const { store } = rig.scope;
  decision = (name) => (name === "asked" ? { kind: "answer", result: { status: "done" } } : { kind: "forward" });
  const [a, b] = (await asks(["a", "asked"], ["b", "run"])) as [number, number];
  expect(await begin("a")).toEqual({ kind: "deny", reason: "it was answered in place of the tool" });
  expect(await begin("b")).toEqual({ kind: "allow" });
  await calls.end("b", "done");
  const told = (call: string) => putItem(store, { role: "result", call, status: "done", content: [] });
  await calls.told(a, "done", [await told("a")]);
  await calls.told(b, "done", [await told("b")]);
  expect(steps().map(([, status, , sealed]) => [status, sealed])).toEqual(Array(2).fill(["done", true]));
  expect((await rig.items()).map((item) => item.role === "result" && item.call)).toEqual(["a", "b"]);
});

test("calls that a script makes are steps inside of it; those without an end when it ends have failed", async () => {
  const [script] = (await asks(["s", "script"])) as [number];
  expect(await begin("x1", "run")).toEqual({ kind: "allow" });
  await calls.end("x1", "done", { output: "well" });
  expect(await begin("x2", "patch")).toEqual({ kind: "allow" });
  // The patch did not fit, and nothing was said of it.
  expect(await begin("x3", "run")).toEqual({ kind: "allow" });
  await calls.told(script, "done", []);
  expect(steps()).toEqual([
    [script, "done", null, true],
    [script + 1, "done", script, true],
    [script + 2, "failed", script, true],
    [script + 3, "failed", script, true],
  ]);
});

test("calls of a script that goes on after its model was told so end when they end, or with the run", async () => {
  calls = follow({ outcome: () => "goes on" });
  const [script] = (await asks(["s", "script"])) as [number];
  await begin("x1", "run");
  const result = { role: "result" as const, call: "s", status: "done", content: [] };
  await calls.told(script, "done", [], result);
  expect(steps()).toEqual([
    [script, "done", null, true],
    [script + 1, undefined, script, false],
  ]);
  await calls.end("x1", "done");
  // It makes calls while its model is asked.
  await begin("x2", "run");
  await calls.close();
  expect(steps().slice(1)).toEqual([
    [script + 1, "done", script, true],
    [script + 2, "aborted", null, true],
  ]);
});

test("what its program does not wait for any more holds nobody up", async () => {
  await asks(["s", "script"]);
  await begin("x1", "server");
  expect(await begin("x2", "run")).toEqual({ kind: "allow" });
  await calls.end("x2", "done");
  expect(steps().map(([, status]) => status)).toEqual([undefined, "done", "done"]);
});

test("of two scripts that were asked for at once, calls belong to the first that has no result yet", async () => {
  const [first, second] = (await asks(["s1", "script"], ["s2", "script"])) as [number, number];
  await begin("x1", "run");
  await calls.end("x1", "done");
  results.add("s1");
  await begin("x2", "run");
  await calls.end("x2", "done");
  expect(steps().map(([, , inside]) => inside)).toEqual([null, null, first, second]);
});

test("calls of scripts of sub-agents are inside of those", async () => {
  const { writer, store } = rig.scope;
  const numbers: { [thread: string]: number } = {};
  for (const thread of ["main", "thread-2", "thread-3"]) {
    const call: Call = { type: "call", id: `s ${thread}`, name: "script", input: {} };
    const what = await putItem(store, { role: "assistant", content: [call] });
    const facts = { kind: "tool" as const, tier: "reversible" as const, thread, what, ...calls.facts(call) };
    const n = await writer.intent(facts, { links: { turn: model } });
    calls.asked(n, call);
    numbers[thread] = n;
  }
  for (const [id, by] of [
    ["x1", "a"],
    ["x2", "b"],
    ["x3", "a"],
    ["x4", undefined],
  ] as const) {
    await begin(id, "run", by);
    await calls.end(id, "done");
  }
  const inside = rig.steps("tool").slice(3);
  const { main, "thread-2": a, "thread-3": b } = numbers;
  expect(inside.map(({ links }) => links.inside)).toEqual([a, b, a, main]);
});

test("who refuses a script refuses what it asks for, and nothing of that is written", async () => {
  decision = (name) => (name === "script" ? { kind: "deny", reason: "no scripts" } : { kind: "forward" });
  const [script] = (await asks(["s", "script"])) as [number];
  expect(await begin("x1", "run")).toEqual({ kind: "deny", reason: "no scripts" });
  await calls.told(script, "done", []);
  expect(steps()).toEqual([[script, "denied", null, true]]);
  expect(broken).toEqual([]);
});

test("a program that does not ask cannot be refused, and must be ended", async () => {
  decision = () => ({ kind: "deny", reason: "no" });
  const [n] = (await asks(["m", "more"])) as [number];
  await calls.told(n, "done", []);
  expect(broken).toEqual([`Step ${n} was refused (no), and its program does not ask before it performs that.`]);
});

test("a program that performs what it was refused, or otherwise than it was told, must be ended", async () => {
  await asks(["a", "bad"], ["b", "other"], ["c", "other"]);
  decision = (name) => (name === "bad" ? { kind: "deny", reason: "no" } : { kind: "rewrite", input: { of: "us" } });
  await begin("a");
  await expect(calls.end("a", "done")).rejects.toThrow("has not kept to what it was told");
  expect(await begin("b")).toEqual({ kind: "allow", input: { of: "us" } });
  await calls.end("b", "done", { input: { of: "us" } });
  await begin("c");
  await expect(calls.end("c", "done", { input: { of: "c" } })).rejects.toThrow("has not kept");
  expect(broken).toHaveLength(2);
});

test("a call begins once", async () => {
  await asks(["a", "run"]);
  await begin("a");
  await expect(begin("a")).rejects.toThrow("has begun before");
});
