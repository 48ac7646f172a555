import fc from "fast-check";
import { expect, test } from "vitest";
import { params } from "../../../test/support/runs.ts";
import { call, view } from "../../../test/support/views.ts";
import { quote } from "./quote.ts";
import { lineLimit, MOST_BYTES, snapshot } from "./snapshot.ts";
import type { WorkerView } from "./view.ts";

const NASTY = [
  "\n",
  '\r\n{"worker":"b"}\n',
  "```\n",
  '"}]}',
  "\\",
  '\\"',
  "\ud800",
  "\udc00x",
  "\u2028",
  "\u202e",
  "\u200b",
  "\u{e0041}",
  "\x1b[2J\x1b]0;x\x07",
  "\0",
  "</workers>",
  "é",
  "漢字",
  "👩‍👩‍👧",
  "<|im_end|>",
];
const text = fc.oneof(
  fc
    .array(fc.oneof(fc.constantFrom(...NASTY), fc.string({ unit: "binary", maxLength: 20 })), { maxLength: 20 })
    .map((all) => all.join("")),
  fc.tuple(fc.constantFrom(...NASTY), fc.integer({ min: 1, max: 3000 })).map(([piece, times]) => piece.repeat(times)),
);
const number = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, 1e308, -0));
const anyCall = fc.record({ n: number, name: text, status: text, target: text, error: text, same: text });
const anyView = fc
  .record({
    name: text,
    task: text,
    agent: text,
    steps: number,
    errors: number,
    still: number,
    modified: fc.array(fc.record({ path: text, change: fc.constant("added" as const), at: number }), { maxLength: 30 }),
    regions: fc.array(text, { maxLength: 12 }),
    last: fc.option(fc.record({ action: text, ageMs: number })),
    calls: fc.array(anyCall, { maxLength: 40 }),
    pending: fc.array(
      fc.record({
        n: number,
        tool: text,
        input: fc.oneof(text, fc.record({ command: text, nested: fc.record({ path: text }) })),
      }),
      { maxLength: 5 },
    ),
    spent: fc.record({ tokens: number, usd: number, calls: number, ms: number }),
    budget: fc.record({ tokens: number, usd: number }),
  })
  .map((given): WorkerView => ({ ...view("x"), ...given }));

const MEMBERS = [
  "worker",
  "state",
  "agent",
  "steps",
  "errors",
  "still",
  "task",
  "pending",
  "acted",
  "last",
  "budget",
  "regions",
  "modified",
  "paths",
  "calls",
];

test("whatever workers write, a snapshot is a line of JSON for each, with the members that it should have, and within its bound", () => {
  fc.assert(
    fc.property(fc.array(anyView, { minLength: 1, maxLength: 12 }), (views) => {
      const shown = snapshot(views, {
        tick: 9,
        acts: views.map(({ name }) => ({ worker: name, cause: "loop", action: "inject", tick: 7 })),
      });
      expect(Buffer.byteLength(shown)).toBeLessThanOrEqual((MOST_BYTES / 10) * Math.max(10, views.length));
      expect(shown.isWellFormed()).toBe(true);
      expect(shown.replaceAll("\n", "")).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
      const lines = shown.split("\n");
      expect(lines.length).toBe(views.length);
      for (const line of lines) {
        expect(Buffer.byteLength(line)).toBeLessThanOrEqual(lineLimit(views.length));
        const read = JSON.parse(line) as { [name: string]: unknown };
        expect(Object.keys(read).filter((name) => !MEMBERS.includes(name))).toEqual([]);
        for (const name of ["worker", "state", "agent", "task"]) expect(typeof read[name]).toBe("string");
        for (const one of (read.calls as unknown[][] | undefined) ?? []) expect(one.length).toBeLessThanOrEqual(6);
      }
    }),
    params(1000, 150),
  );
});

test("a quoted text is a string of JSON within its bytes, and the text itself where that fits", () => {
  fc.assert(
    fc.property(text, fc.integer({ min: 5, max: 400 }), (given, limit) => {
      const quoted = quote(given, limit);
      expect(Buffer.byteLength(quoted)).toBeLessThanOrEqual(limit);
      const read = JSON.parse(quoted) as string;
      if (read.endsWith("…") && read !== given) expect(given.startsWith(read.slice(0, -1))).toBe(true);
      else expect(read).toBe(given);
    }),
    params(3000, 500),
  );
});

test("a megabyte in every field is cut before it is looked through", () => {
  const much = "\n```\u202e\ud800".repeat(250_000);
  const views = Array.from({ length: 10 }, () =>
    view(much, {
      task: much,
      agent: much,
      calls: [call(1, { name: much, target: much, error: much, same: much })],
      pending: [{ n: 2, tool: much, input: { command: much } }],
      modified: [{ path: much, change: "added", at: 1 }],
      last: { action: much, ageMs: 1 },
    }),
  );
  const shown = snapshot(views);
  expect(Buffer.byteLength(shown)).toBeLessThanOrEqual(MOST_BYTES);
  expect(shown.split("\n").map((line) => Object.keys(JSON.parse(line)).includes("calls"))).toEqual(
    Array(10).fill(true),
  );
});

test("ten workers with full views keep what matters: the task, what waits, and the newest calls", () => {
  const views = Array.from({ length: 10 }, (_, k) =>
    view(`fix.${k}`, {
      task: `Implement feature ${k}. ${"Some more of what it should do. ".repeat(20)}`,
      calls: Array.from({ length: 25 }, (_, n) =>
        call(n, {
          target: `npm test -- --grep 'case ${n}' --reporter spec`,
          status: "failed",
          error: "AssertionError: expected 1 to be 2",
        }),
      ),
      pending: [{ n: 26, tool: "bash", input: { command: "rm -rf src" } }],
    }),
  );
  const shown = snapshot(views);
  expect(Buffer.byteLength(shown)).toBeLessThanOrEqual(MOST_BYTES);
  for (const [k, line] of shown.split("\n").entries()) {
    const { task, pending, calls } = JSON.parse(line) as {
      task: string;
      pending: { n: number; input: string }[];
      calls: unknown[][];
    };
    expect(task).toContain(`feature ${k}`);
    expect(pending[0]).toEqual({ n: 26, tool: "bash", input: '{"command":"rm -rf src"}' });
    expect(calls[0]![0]).toBe(24);
    expect(calls.length).toBeGreaterThan(2);
  }
});

test("calls that are the same one after the other are one, with how many they are", () => {
  const calls = [...Array(10).keys()].map((n) => call(n, { same: "a", target: "npm test" }));
  const [line] = snapshot([view("a", { calls: [call(0), ...calls.slice(1)] })]).split("\n");
  expect(JSON.parse(line!).calls).toEqual([
    [9, "bash", "done", "npm test", { times: 9 }],
    [0, "bash", "done", "command 0"],
  ]);
});

test("no credential is told to a model, also one that is cut", () => {
  const key = `sk-ant-${"a1B2c3D4".repeat(8)}`;
  for (const before of [0, 100, 190, 230]) {
    const text = `${"x".repeat(before)} ${key}`;
    const more = {
      task: text,
      calls: [call(1, { target: text, error: text })],
      pending: [{ n: 2, tool: "bash", input: { command: `curl -H 'authorization: Bearer ${key}'` } }],
    };
    expect(snapshot([view("a", more), ...Array.from({ length: 9 }, (_, k) => view(`b${k}`))])).not.toContain("D4a1");
  }
});
