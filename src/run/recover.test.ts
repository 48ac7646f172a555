import { afterEach, beforeEach, expect, test } from "vitest";
import { agentRig, type Rig } from "../../test/support/agent-rig.ts";
import { attach, type LiveScope } from "../scope/scope.ts";
import { target } from "../trace/bytes.ts";
import type { Tier } from "../trace/frame.ts";
import { operate } from "./operate.ts";
import { doubtsOf, type Recovery, recover } from "./recover.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await agentRig({ "a.txt": "a\n" });
});
afterEach(() => rig.end());

/** A run whose process died while an effect of this tier was under way; step 1. */
async function killed(tier: Tier, options: { allowed: boolean }): Promise<void> {
  const scope = await rig.start();
  const n = await scope.writer.intent({ kind: "effect", tier });
  expect(n).toBe(1);
  if (options.allowed) await scope.writer.note(n, { note: "allowed" });
  await scope.close();
}

async function driven<T>(work: (scope: LiveScope) => Promise<T>): Promise<T> {
  const scope = await attach(rig.store, "fix");
  try {
    return await work(scope);
  } finally {
    await scope.close();
  }
}

const recovery = (done: string[]): Recovery => ({
  model: async () => {},
  again: async (_, { n }) => void done.push(`again ${n}`),
  compensate: async ({ step, key }) => void done.push(`compensate ${step.n} ${key.slice(0, 8)}`),
});

test("a compensable call in doubt is compensated once, and then asked about until the user has decided", async () => {
  await killed("compensable", { allowed: true });
  const done: string[] = [];
  const asked = [{ n: 1, tier: "compensable", compensated: true }];
  for (let crashes = 0; crashes < 3; crashes++)
    expect(await driven((scope) => recover(scope, recovery(done)))).toEqual(asked);
  expect(done).toHaveLength(1);
  // It was taken back, so a revert passes nothing that stands.
  const { outside } = (await operate(rig.store, "fix", "revert", { n: 0 })) as { outside: unknown };
  expect(outside).toEqual([{ n: 1, tier: "compensable", compensated: true, inDoubt: false }]);
  expect(await driven((scope) => recover(scope, recovery(done)))).toEqual([]);
  expect(done).toHaveLength(1);
});

test("a compensation that a crash cut short is tried again with the same key", async () => {
  await killed("compensable", { allowed: true });
  const done: string[] = [];
  const breaks: Recovery = {
    ...recovery(done),
    compensate: async (effect) => {
      await recovery(done).compensate!(effect);
      throw new Error("killed");
    },
  };
  await expect(driven((scope) => recover(scope, breaks))).rejects.toThrow("killed");
  expect(await driven((scope) => recover(scope, recovery(done)))).toHaveLength(1);
  expect(done).toHaveLength(2);
  expect(new Set(done).size).toBe(1);
});

test("a new attempt of a call that was taken back is in doubt by itself, under a key of its own", async () => {
  await killed("compensable", { allowed: true });
  const done: string[] = [];
  await driven((scope) => recover(scope, recovery(done)));
  await driven((scope) => scope.writer.part(1, { part: "attempt", attempt: 2 }));
  await driven((scope) => recover(scope, recovery(done)));
  expect(done).toHaveLength(2);
  expect(new Set(done).size).toBe(2);
});

test("what nobody allowed has not acted, and is performed again", async () => {
  await killed("compensable", { allowed: false });
  const done: string[] = [];
  expect(await driven((scope) => recover(scope, recovery(done)))).toEqual([]);
  expect(done).toEqual(["again 1"]);
});

test("a sync into a run whose owner was killed between a call's files and its commit says that the run must go on first", async () => {
  const scope = await rig.start();
  const { id, state } = scope.head();
  const { workspace } = state!.roots;
  const n = await scope.writer.intent({ kind: "tool", tier: "reversible" });
  await scope.writer.part(n, { part: "files", workspace });
  await scope.close();
  const from = { id: id!, tree: target(workspace), name: "main", log: scope.ref.log };
  const sync = operate(rig.store, "fix", "sync", from);
  await expect(sync).rejects.toThrow("A call of fix was cut short: `shepherd resume fix` first.");
  await driven((again) => again.writer.outcome(n, { status: "aborted" }));
  expect(await operate(rig.store, "fix", "sync", from)).toMatchObject({ status: "nothing" });
});

test("an irreversible call in doubt stays so beside notes and syncs, and over a revert that is refused", async () => {
  await killed("irreversible", { allowed: true });
  await operate(rig.store, "fix", "note", { n: null, facts: { note: "seen" } });
  await expect(operate(rig.store, "fix", "revert", { n: 0 })).rejects.toThrow("--acknowledge");
  expect(await driven(async (scope) => doubtsOf(scope))).toEqual([{ n: 1, tier: "irreversible", compensated: false }]);
  const { outside } = (await operate(rig.store, "fix", "revert", { n: 0, acknowledge: true })) as { outside: unknown };
  expect(outside).toEqual([{ n: 1, tier: "irreversible", compensated: false, inDoubt: true }]);
});
