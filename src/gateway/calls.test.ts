/** Calls of a program that tells before and behind each, and what is observed of them meanwhile. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { type GatewayRig, gatewayRig } from "../../test/support/gateway-rig.ts";
import { answered } from "../../test/support/provider.ts";
import type { Tier } from "../trace/frame.ts";
import type { Calls } from "./calls.ts";
import { followCalls } from "./follow.ts";

let rig: GatewayRig;
let calls: Calls;
let stop: AbortController;
const seen = new Map<number, Tier>();
beforeEach(async () => {
  rig = await gatewayRig(answered(200, {}));
  stop = new AbortController();
  seen.clear();
  calls = followCalls(rig.scope, {
    traits: ({ name }) => (name === "Agent" ? { container: true } : { shared: true }),
    observed: (n) => seen.get(n),
    broken: (why) => expect.fail(why),
    signal: stop.signal,
  });
});
afterEach(() => rig.end());

/** A model has asked for a call. */
async function asked(id: string, name = "Fetch"): Promise<number> {
  const facts = {
    kind: "tool",
    tier: "reversible",
    thread: "main",
    ...(name === "Agent" && { container: true }),
  } as const;
  const n = await rig.scope.writer.intent(facts);
  calls.asked(n, { type: "call", id, name, input: {} });
  return n;
}
const outcomeOf = (n: number) => {
  const { status, tier } = rig.scope.writer.fold.steps.get(n)!.outcome!;
  return [status, tier];
};

test("run from the word that they may until they have ended; one with others inside only while none of these does", async () => {
  const agent = await asked("agent", "Agent");
  const [a, b] = [await asked("a"), await asked("b")];
  expect(calls.running()).toEqual([]);
  await calls.begin("agent", {});
  expect(calls.running()).toEqual([agent]);
  await calls.begin("a", {});
  await calls.begin("b", {});
  expect(calls.running()).toEqual([a, b]);
  await calls.end("a", "done");
  expect(calls.running()).toEqual([b]);
  await calls.told(b, "aborted", []);
  expect(calls.running()).toEqual([agent]);
  await calls.told(a, "done", []);
  await calls.told(agent, "done", []);
  expect(calls.running()).toEqual([]);
});

test("have what was observed until they ended in their outcome, also where they were stopped; what is lower changes nothing", async () => {
  const [a, b, c, d] = [await asked("a"), await asked("b"), await asked("c"), await asked("d")];
  for (const id of ["a", "b", "c"]) await calls.begin(id, {});
  seen.set(a, "irreversible").set(b, "repeatable").set(c, "reversible").set(d, "irreversible");
  await calls.end("a", "done");
  // What comes later is another's.
  seen.set(a, "repeatable");
  await calls.told(a, "done", []);
  await calls.told(b, "aborted", []);
  await calls.end("c", "failed");
  await calls.told(c, "done", []);
  await calls.told(d, "not-run", []);
  expect([a, b, c, d].map(outcomeOf)).toEqual([
    ["done", "irreversible"],
    ["aborted", "repeatable"],
    ["failed", undefined],
    ["not-run", undefined],
  ]);
});
