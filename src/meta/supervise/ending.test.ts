import { expect, test } from "vitest";
import type { RunState } from "../../run/lifecycle.ts";
import { finish, type HandBack } from "./ending.ts";

interface World {
  /** What a merge of a worker gives, one after the other; `done` past the end. */
  merges?: { [worker: string]: string[] };
  /** Exit codes of the check, one after the other; 0 past the end. */
  checks?: number[];
  culprit?: string | null;
  /** Why it cannot be handed back. */
  refused?: string;
  /** How workers stand behind what was handed back to them. */
  later?: { [worker: string]: RunState };
}

/** The end of workers that stand so, with what was done in its order. */
async function ended(states: { [worker: string]: RunState }, check: string | null, world: World = {}) {
  const did: string[] = [];
  const stood = new Map(Object.entries(states));
  let n = 0;
  const does = {
    common: async () => "all",
    merge: async ({ worker }: { worker: string }) => {
      const status = (world.merges?.[worker]?.shift() ?? "done") as "done" | "nothing" | "conflict";
      did.push(`merge ${worker}: ${status}`);
      return { status, n: status === "done" ? ++n : null, conflicts: [] };
    },
    check: async () => {
      const code = world.checks?.shift() ?? 0;
      did.push(`check: ${code}`);
      return { code, n: ++n, tail: "the end" };
    },
    culprit: async ({ merges }: { merges: Array<{ worker: string }> }) => {
      did.push(`culprit of ${merges.map(({ worker }) => worker).join(",")}`);
      return { worker: world.culprit ?? null };
    },
    handBack: async ({ worker, cause, round, failed }: HandBack) => {
      did.push(`back to ${worker}: ${cause} ${round}${failed?.alone ? " alone" : ""}`);
      return { refused: world.refused ?? null };
    },
  };
  const watch = async (workers: string[]): Promise<void> => {
    for (const worker of workers) stood.set(worker, world.later?.[worker] ?? "done");
  };
  return { did, end: await finish(does as never, stood, watch, { check, at: null }) };
}

test("who is not done is left out, and then all is not well; where nobody is done there is nothing to merge", async () => {
  const { did, end } = await ended({ a: "done", b: "failed", c: "done" }, null);
  expect(did).toEqual(["merge a: done", "merge c: done"]);
  expect([end.ok, end.into, end.workers.map(({ merged }) => merged)]).toEqual([false, "all", ["done", "left", "done"]]);
  expect(await ended({ a: "error" }, "x")).toMatchObject({ did: [], end: { ok: false, into: null, check: null } });
});

test("a conflict is handed back twice, and then left; the others are merged all the same", async () => {
  const conflicts = { a: ["conflict", "conflict", "conflict"] };
  const { did, end } = await ended({ a: "done", b: "done" }, null, { merges: conflicts });
  expect(did).toEqual([
    "merge a: conflict",
    "back to a: conflict 1",
    "merge a: conflict",
    "back to a: conflict 2",
    "merge a: conflict",
    "merge b: done",
  ]);
  expect([end.ok, end.workers[0]]).toMatchObject([
    false,
    { merged: "conflict", handedBack: { conflict: 2, check: 0 } },
  ]);
});

test("who is not done behind what was handed back is not merged again", async () => {
  const { did, end } = await ended({ a: "done" }, "x", { merges: { a: ["conflict"] }, later: { a: "error" } });
  expect(did).toEqual(["merge a: conflict", "back to a: conflict 1", "check: 0"]);
  expect(end).toMatchObject({ ok: false, workers: [{ state: "error", merged: "conflict" }] });
});

test("of several the one whose merge made the check fail gets it, else the last; one alone is not looked for", async () => {
  const two = await ended({ a: "done", b: "done" }, "x", { checks: [1], culprit: "a" });
  expect(two.did.slice(2)).toEqual(["check: 1", "culprit of a,b", "back to a: check 1", "merge a: done", "check: 0"]);
  expect(two.end.ok).toBe(true);
  const nobody = await ended({ a: "done", b: "done" }, "x", { checks: [1], culprit: null });
  expect(nobody.did).toContain("back to b: check 1");
  const alone = await ended({ a: "done" }, "x", { checks: [1, 1, 1] });
  expect(alone.did.filter((each) => !/merge|check:/.test(each))).toEqual([
    "back to a: check 1 alone",
    "back to a: check 2 alone",
  ]);
  expect(alone.end).toMatchObject({ ok: false, check: { code: 1 } });
});

test("where nothing can be told, the check fails and that is the end", async () => {
  const { did, end } = await ended({ a: "done" }, "x", { checks: [1], refused: "It is a command." });
  expect(did).toEqual(["merge a: done", "check: 1", "back to a: check 1 alone"]);
  expect(end).toMatchObject({ ok: false, workers: [{ handedBack: { check: 0 } }] });
});
