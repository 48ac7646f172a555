import { expect, test } from "vitest";
import { link, sha256 } from "./bytes.ts";
import type { Frame, IntentFacts, OutcomeFacts } from "./frame.ts";
import type { Link } from "./ports.ts";
import { startFold } from "./seal.ts";

const W = (name: string): Link => link("tree", sha256(name));

/** Folds frames written in short form; tells after each which steps it sealed. */
function folded() {
  const fold = startFold({
    v: 1,
    type: "log",
    id: "0".repeat(32),
    meta: {},
    origin: {
      log: "1".repeat(32),
      n: 0,
      seq: 0,
      commit: sha256("M"),
      state: { roots: { workspace: W("0") }, threads: {} },
      top: 0,
      carry: {},
    },
  });
  let seq = 0;
  const push = (part: object): number[] => {
    const frame = { v: 1, seq: seq++, epoch: 1, prev: sha256(""), ...part } as Frame;
    return fold.push(frame, sha256(String(seq))).map((step) => step.n);
  };
  return {
    fold,
    intent: (n: number, facts: Partial<IntentFacts>, turn?: number) =>
      push({
        phase: "intent",
        n,
        facts: { kind: "tool", tier: "reversible", ...facts },
        ...(turn !== undefined && { links: { turn } }),
      }),
    part: (n: number, part: string) => push({ phase: "part", n, facts: { part } }),
    outcome: (n: number, facts: Partial<OutcomeFacts> = {}) =>
      push({ phase: "outcome", n, facts: { status: "done", ...facts } }),
  };
}

test("a call that was stopped while it waited for the lock holds nobody back", () => {
  const { intent, outcome } = folded();
  intent(1, { kind: "model", tier: "repeatable" });
  intent(2, {}, 1);
  intent(3, {}, 1);
  expect(outcome(1)).toEqual([1]);
  expect(outcome(3, { status: "aborted" })).toEqual([]);
  expect(outcome(2, { workspace: W("1") })).toEqual([2, 3]);
});

test("a sub-agent's call is not sealed before the message that asked for it is whole", () => {
  const { intent, outcome } = folded();
  intent(1, { kind: "model", tier: "repeatable" });
  intent(2, { container: true }, 1);
  expect(outcome(2)).toEqual([]);
  expect(outcome(1)).toEqual([1, 2]);
});

test("what a container captured is not overwritten by an earlier capture that is sealed later", () => {
  const { fold, intent, outcome } = folded();
  intent(1, { kind: "command" });
  intent(2, { kind: "model", tier: "repeatable" });
  intent(3, {}, 2);
  expect(outcome(3, { workspace: W("call") })).toEqual([]);
  expect(outcome(1, { workspace: W("call and container") })).toEqual([]);
  expect(outcome(2)).toEqual([2, 3, 1]);
  expect(fold.head().state!.roots.workspace).toBe(W("call and container"));
});

test("calls whose results are told later are sealed in the order in which their files were captured", () => {
  const { fold, intent, part, outcome } = folded();
  intent(1, { thread: "main" });
  intent(2, { thread: "sub" });
  expect(part(1, "files")).toEqual([]);
  expect(part(2, "files")).toEqual([]);
  expect(outcome(2, { workspace: W("both") })).toEqual([]);
  expect(outcome(1, { workspace: W("one") })).toEqual([1, 2]);
  expect(fold.head().state!.roots.workspace).toBe(W("both"));
});

test("another attempt, or an end without files, holds nobody back", () => {
  const { intent, part, outcome } = folded();
  intent(1, { thread: "main" });
  intent(2, { thread: "sub" });
  part(1, "files");
  part(2, "files");
  part(1, "attempt");
  expect(outcome(2, { workspace: W("2") })).toEqual([2]);
  intent(3, { thread: "sub" });
  part(1, "files");
  part(3, "files");
  expect(outcome(3, { workspace: W("3") })).toEqual([]);
  expect(outcome(1, { status: "aborted" })).toEqual([1, 3]);
});
