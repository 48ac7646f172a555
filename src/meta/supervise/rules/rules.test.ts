import { describe, expect, test } from "vitest";
import { call, granting, view } from "../../../../test/support/views.ts";
import { checkDecision } from "../decision.ts";
import { EMPTY, type Memory, remember } from "../memory.ts";
import { applyRules } from "../policy/rules.ts";
import { changedBy, liesIn, limitsIn } from "../regions.ts";
import type { Rule } from "../rule.ts";
import type { CallView, WorkerView } from "../view.ts";
import { budget } from "./budget.ts";
import { destructive } from "./destructive.ts";
import { drift, returnsIn } from "./drift.ts";
import { errors } from "./errors.ts";
import { PARAMETERS, rulesOf } from "./index.ts";
import { loops, periodOf } from "./loops.ts";
import { overlap } from "./overlap.ts";
import { wrongFiles } from "./wrong-files.ts";

const round = (names: string, times: number): CallView[] =>
  [...names.repeat(times)].map((same, n) => call(n, { same, target: same }));
const look = (rule: Rule, views: WorkerView[], memory: Memory = EMPTY) => rule(views[0]!, views, memory);
const after = (cause: string, action: "inject" | "handoff" = "inject", times = 1): Memory => {
  let memory = EMPTY;
  for (let k = 0; k < times; k++) memory = remember(memory, [{ worker: "a", cause, action }]);
  return { ...memory, tick: memory.tick + 10 };
};

describe("loops", () => {
  const of = (calls: CallView[]): number | null => periodOf(calls, 10, 12, 4);
  test("ten same calls are one; nine, and a few tries, are not", () => {
    expect(of(round("x", 10))).toBe(1);
    expect(of([...round("abc", 3), ...round("x", 10)])).toBe(1);
    expect(of(round("x", 9))).toBe(null);
    expect(of([...round("x", 5), ...round("y", 5), ...round("x", 4)])).toBe(null);
    // Over as soon as another call comes.
    expect(of([...round("x", 20), call(99)])).toBe(null);
  });
  test("two to four calls that come in turn are one", () => {
    expect([of(round("xy", 6)), of(round("xyz", 4)), of(round("wxyz", 3))]).toEqual([2, 3, 4]);
    expect([of(round("xy", 5)), of(round("vwxyz", 5)), of(round("wxyz", 2))]).toEqual([null, null, null]);
  });
  test("it is told once, and given a new conversation when that does not help", () => {
    const views = [view("a", { calls: round("x", 10) })];
    expect(look(loops(), views)).toMatchObject({ worker: "a", action: "inject", cause: "loop" });
    expect(look(loops(), views, after("loop"))).toMatchObject({ action: "handoff" });
    expect(look(loops({ ...PARAMETERS.loops, identical: 11 }), views)).toBe(null);
  });
});

describe("errors", () => {
  const failed = (n: number, error: string): CallView => call(n, { status: "failed", error });
  test("ten calls that fail in a row; three to five tries are usual", () => {
    expect(look(errors(), [view("a", { errors: 10 })])).toMatchObject({ action: "inject", cause: "errors" });
    for (const count of [0, 5, 9]) expect(look(errors(), [view("a", { errors: count })])).toBe(null);
  });
  test("one error over and over, also with something done between, however long it took", () => {
    const calls = [...Array(10).keys()].flatMap((n) => [
      call(2 * n),
      failed(2 * n + 1, `AssertionError: expected 1 at 0x${n}ff (${n * 7} ms)`),
    ]);
    expect(look(errors(), [view("a", { errors: 1, calls })])).toMatchObject({
      reason: "The same error comes over and over.",
    });
    // What is over is over.
    expect(look(errors(), [view("a", { errors: 0, calls: [...calls, call(99)] })])).toBe(null);
    const others = calls.map((each, n) => (each.error === undefined ? each : { ...each, error: `Error ${n}` }));
    expect(look(errors(), [view("a", { errors: 1, calls: others })])).toBe(null);
  });
  test("after two words it is left alone", () => {
    expect(look(errors(), [view("a", { errors: 20 })], after("errors"))).not.toBe(null);
    expect(look(errors(), [view("a", { errors: 20 })], after("errors", "inject", 2))).toBe(null);
  });
});

describe("wrong files", () => {
  const changed = (path: string) => ({ path, change: "changed" as const, at: 1 });
  const pending = (tool: string, input: object) => [{ n: 13, tool, input: input as never }];
  const regions = ["src/auth/**", "test/auth.test.ts"];
  test("what is changed outside of a declared region is told; inside, and what tools make, is not", () => {
    expect(look(wrongFiles(), [view("a", { regions, modified: [changed("src/db.ts")] })])).toMatchObject({
      action: "inject",
      cause: "wrong-files:src/db.ts",
    });
    for (const path of ["src/auth/login.ts", "src/auth/deep/er.ts", "test/auth.test.ts", "dist/db.js"])
      expect(look(wrongFiles(), [view("a", { regions, modified: [changed(path)] })]), path).toBe(null);
  });
  test("what is about to be changed there is denied", () => {
    for (const [tool, input] of [
      ["write", { path: "src/db.ts", content: "x" }],
      ["Edit", { file_path: "/home/you/project/src/db.ts", old_string: "a", new_string: "b" }],
      ["bash", { command: "echo x > src/db.ts" }],
      ["bash", { command: "cd src && sed -i s/a/b/ db.ts" }],
      ["bash", { command: "sh -c true; cp src/auth/a.ts src/db.ts" }],
    ] as const)
      expect(
        look(wrongFiles(), [view("a", { regions, modified: [], pending: pending(tool, input) })]),
        JSON.stringify(input),
      ).toMatchObject({ action: "deny", n: 13 });
    for (const [tool, input] of [
      ["write", { path: "src/auth/x.ts", content: "x" }],
      ["read", { path: "src/db.ts" }],
      ["bash", { command: "cat src/db.ts > /tmp/x; npm test" }],
    ] as const)
      expect(
        look(wrongFiles(), [view("a", { regions, modified: [], pending: pending(tool, input) })]),
        JSON.stringify(input),
      ).toBe(null);
  });
  test("without a declared region only what the task rules out counts, and is only told", () => {
    const modified = [changed("src/db.ts")];
    for (const task of ["Change files in src/auth/ only.", "Fix the login. Do not touch src/db.ts, please."])
      expect(
        look(wrongFiles(), [
          view("a", { task, modified, pending: pending("write", { path: "src/db.ts", content: "x" }) }),
        ]),
        task,
      ).toMatchObject({ action: "inject" });
    for (const task of ["The test in test/login.test.ts fails: fix it.", "Fix src/auth/login.ts.", "Fix it."])
      expect(look(wrongFiles(), [view("a", { task, modified })]), task).toBe(null);
    expect(
      look(wrongFiles({ ...PARAMETERS.wrongFiles, fromTask: false }), [
        view("a", { task: "In src/auth/ only.", modified }),
      ]),
    ).toBe(null);
  });
  test("each path is told of twice at most", () => {
    const views = [view("a", { regions, modified: [changed("src/db.ts"), changed("src/net.ts")] })];
    expect(look(wrongFiles(), views, after("wrong-files:src/db.ts", "inject", 2))).toMatchObject({
      cause: "wrong-files:src/net.ts",
    });
  });
  test("globs, directories and files name regions", () => {
    const cases: [string, string, boolean][] = [
      ["src/a.ts", "src", true],
      ["src/a.ts", "src/", true],
      ["src/a.ts", "./src/*.ts", true],
      ["src/b/a.ts", "src/*.ts", false],
      ["src/b/a.ts", "src/**", true],
      ["srcs/a.ts", "src", false],
      ["x", ".", true],
    ];
    for (const [path, region, is] of cases) expect(liesIn(path, [region]), `${path} ${region}`).toBe(is);
    expect(
      limitsIn("Use https://example.com/a/b only. Work only in lib/x.ts; never change ../up/y.ts or src/db/."),
    ).toEqual({ only: ["lib/x.ts"], never: ["src/db"] });
    expect(
      changedBy(
        {
          n: 1,
          tool: "bash",
          input: { command: "touch a; rm b; mv c d; x > e; tee f; ls g > /dev/null; cat $H > $X" },
        },
        "/w",
      ),
    ).toEqual(["a", "b", "c", "d", "e", "f"]);
  });
});

describe("overlap", () => {
  const file = (at: number, lines?: [number, number][]) => ({
    path: "src/x.ts",
    change: "changed" as const,
    at,
    ...(lines && { lines }),
  });
  test("the same lines: who came later is handed over, who came first is not", () => {
    const first = view("b", { modified: [file(1, [[10, 20]])] });
    const later = view("a", { modified: [file(2, [[20, 25]])] });
    expect(look(overlap(), [later, first])).toMatchObject({
      worker: "a",
      action: "handoff",
      cause: "overlap:src/x.ts",
    });
    expect(look(overlap(), [first, later])).toBe(null);
    expect(look(overlap({ ...PARAMETERS.overlap, follow: true }), [later, first])).toMatchObject({ from: "b" });
  });
  test("other lines of one file are none; without lines the file is", () => {
    const first = view("b", { modified: [file(1, [[10, 20]])] });
    expect(look(overlap(), [view("a", { modified: [file(2, [[23, 30]])] }), first])).toBe(null);
    expect(look(overlap(), [view("a", { modified: [file(2, [[21, 30]])] }), first])).not.toBe(null);
    expect(look(overlap(), [view("a", { modified: [file(2)] }), first])).not.toBe(null);
    expect(look(overlap(), [view("a"), view("b")])).toBe(null);
  });
  test("of two at one moment exactly one gives way; one that was discarded keeps nothing", () => {
    const [a, b] = [view("a", { modified: [file(5)] }), view("b", { modified: [file(5)] })];
    expect([look(overlap(), [a, b]), look(overlap(), [b, a])].filter(Boolean).length).toBe(1);
    expect(look(overlap(), [view("a", { modified: [file(6)] }), { ...b, state: "discarded" }])).toBe(null);
    expect(look(overlap(), [view("a", { modified: [file(6)] }), { ...b, state: "done" }])).not.toBe(null);
  });
  test("a file that the other has made anew is kept from being written", () => {
    const pending = [{ n: 13, tool: "write", input: { path: "src/x.ts", content: "x" } }];
    expect(look(overlap(), [view("a", { pending }), view("b", { modified: [file(1)] })])).not.toBe(null);
    expect(look(overlap(), [view("a", { pending }), view("b", { modified: [file(1, [[1, 2]])] })])).toBe(null);
  });
});

test("destructive: each intent that would destroy work is denied, however often it comes", () => {
  const pending = [
    { n: 13, tool: "bash", input: { command: "ls" } },
    { n: 14, tool: "bash", input: { command: "rm -rf src" } },
  ];
  expect(look(destructive(), [view("a", { pending })])).toMatchObject({
    action: "deny",
    n: 14,
    cause: "destructive:14",
  });
  expect(look(destructive({ ...PARAMETERS.destructive, from: "outside" }), [view("a", { pending })])).toBe(null);
  const scratch = { path: "work/x", change: "added" as const, at: 1 };
  expect(
    look(destructive(), [
      view("a", { modified: [scratch], pending: [{ n: 13, tool: "bash", input: { command: "rm -rf work/x" } }] }),
    ]),
  ).toBe(null);
});

test("budget: told once for each kind, and paused when it is spent", () => {
  const spent = (usd: number, more: Partial<WorkerView> = {}): WorkerView[] => [
    view("a", { spent: { tokens: 1, usd, calls: 1, ms: 1 }, budget: { usd: 2, tokens: 1000 }, ...more }),
  ];
  expect(look(budget(), spent(1.6))).toBe(null);
  expect(look(budget(), spent(1.8))).toMatchObject({ action: "inject", cause: "budget:usd" });
  expect(look(budget(), spent(1.9), after("budget:usd"))).toBe(null);
  expect(look(budget(), spent(2), after("budget:usd"))).toMatchObject({ action: "pause" });
  expect(look(budget(), spent(2, { state: "paused" }), after("budget:usd"))).toBe(null);
  expect(look(budget(), spent(9, { budget: {} }))).toBe(null);
});

test("drift: no change for long, and changes that are taken back", () => {
  expect(look(drift(), [view("a", { still: 49 })])).toBe(null);
  expect(look(drift(), [view("a", { still: 50 })])).toMatchObject({ action: "inject", cause: "drift:still" });
  expect(look(drift(), [view("a", { still: 90 })], after("drift:still"))).toBe(null);
  const trees = (text: string): CallView[] => [...text].map((tree, n) => call(n, { tree }));
  expect(returnsIn(trees("aaaa"))).toBe(0);
  expect(returnsIn(trees("abcd"))).toBe(0);
  expect(returnsIn(trees("abababa"))).toBe(5);
  expect(look(drift(), [view("a", { calls: trees("ababa") })])).toMatchObject({ cause: "drift:returns" });
});

describe("all rules together", () => {
  const granted = granting(["a", "b"]);
  test("one decision a worker, the most urgent; nothing again within two looks for one cause", () => {
    const views = [
      view("a", {
        calls: round("x", 12),
        errors: 12,
        pending: [{ n: 13, tool: "bash", input: { command: "git reset --hard" } }],
      }),
      view("b"),
    ];
    let memory = EMPTY;
    const done: string[] = [];
    for (let tick = 0; tick < 8; tick++) {
      const { decisions } = applyRules(rulesOf(), { views, granted, memory });
      expect(decisions.length).toBeLessThanOrEqual(1);
      done.push(decisions.map(({ action, cause }) => `${action} ${cause}`).join());
      memory = remember(memory, decisions);
    }
    // Calls that fail are the loop's, about which it was just told.
    expect(done).toEqual([
      "deny destructive:13",
      "inject loop",
      "",
      "deny destructive:13",
      "handoff loop",
      "",
      "deny destructive:13",
      "handoff loop",
    ]);
  });
  test("what is not granted is not done, and another rule may have its turn", () => {
    const views = [
      view("a", { calls: round("x", 12), pending: [{ n: 13, tool: "bash", input: { command: "rm -rf src" } }] }),
    ];
    const { decisions, refused } = applyRules(rulesOf(), {
      views,
      granted: granting(["a"], ["inject"]),
      memory: EMPTY,
    });
    expect(decisions.map(({ action }) => action)).toEqual(["inject"]);
    expect(refused).toEqual([{ worker: "a", action: "deny", why: "To deny it is not granted." }]);
    expect(applyRules(rulesOf(), { views, granted: new Map(), memory: EMPTY }).decisions).toEqual([]);
  });
  test("at a worker at whom nothing is wrong, or who has ended, nothing is done", () => {
    expect(applyRules(rulesOf(), { views: [view("a"), view("b")], granted, memory: EMPTY })).toEqual({
      decisions: [],
      refused: [],
    });
    const ended = view("a", { state: "done", calls: round("x", 20) });
    expect(applyRules(rulesOf(), { views: [ended], granted, memory: EMPTY }).decisions).toEqual([]);
  });
  test("a rule can be left out or have other parameters", () => {
    const views = [view("a", { calls: round("x", 12) })];
    expect(applyRules(rulesOf({ loops: null }), { views, granted, memory: EMPTY }).decisions).toEqual([]);
    expect(applyRules(rulesOf({ loops: { identical: 20 } }), { views, granted, memory: EMPTY }).decisions).toEqual([]);
  });
  test("whatever names and errors workers have, a decision is within the limits of words", () => {
    for (const text of ["a b ".repeat(400), '\n"`'.repeat(300), "漢".repeat(900), "x".repeat(9000)]) {
      const path = `src/${text}`;
      const more: Partial<WorkerView> = {
        regions: [`lib/${text}`],
        modified: [{ path, change: "changed", at: 9 }],
        errors: 30,
        calls: [...Array(12).keys()].map((n) =>
          call(n, { same: "s", name: text, target: text, error: text, tree: "ab"[n % 2]! }),
        ),
        still: 99,
        spent: { tokens: 9, usd: 9, calls: 9, ms: 9 },
        budget: { usd: 1 },
      };
      const views = [view("a", more), view("b", { modified: [{ path, change: "changed", at: 1 }] })];
      for (const [at, rule] of rulesOf().entries()) {
        const judged = rule(views[0]!, views, EMPTY);
        if (!judged) continue;
        const { cause: _, ...raw } = judged;
        expect(checkDecision(raw, views, granted), String(at)).toHaveProperty("decision");
      }
    }
  });
});
