/** The laws on guided journeys, what these cover, and that the laws notice mistakes. EXAMPLE.md stands in example.test.ts. */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { long, runs, seed } from "../support/runs.ts";
import { reachable, seldom } from "./coverage.ts";
import { dice } from "./dice.ts";
import { baseOf, commits, nearest } from "./graph.ts";
import { journey, shortest } from "./journey.ts";
import type { Verdict } from "./laws.ts";
import { load, mutants } from "./mutants.ts";
import { play } from "./play.ts";
import { probes } from "./probes.ts";
import * as model from "./step.ts";
import { initial, step, traceOf } from "./step.ts";
import { type Command, type Reply, refusals } from "./types.ts";
import { same } from "./value.ts";

const count = runs(2000, 300);
const length = 40;
const minutes = 60_000;

describe(`the model, on ${count} journeys of ${length} commands from seed ${seed}`, () => {
  const hits = new Set<string>();

  it(
    "keeps all laws",
    () => {
      const wrong: string[] = [];
      for (let i = 0; i < count; i++) {
        const { commands, hits: pairs, verdict, end } = journey(model, seed + i, length);
        if (verdict) {
          const short = shortest(model, commands);
          expect.fail(`${short.verdict ?? verdict}\n${short.commands.map((c) => JSON.stringify(c)).join("\n")}`);
        }
        for (const pair of pairs) hits.add(pair);
        // Whatever is asked has a reply, and a refusal leaves the system as it is.
        for (const command of probes(end, dice(seed + i))) {
          const [after, reply] = step(end, command);
          hits.add(pairOf(command, reply));
          if ("refused" in reply && (after !== end || !refusals.includes(reply.refused)))
            wrong.push(pairOf(command, reply));
        }
      }
      expect(wrong).toEqual([]);
    },
    10 * minutes,
  );

  it("meets every pair of command and reply that can be reached, and no other", () => {
    expect(reachable.filter((pair) => !hits.has(pair))).toEqual([]);
    expect([...hits].filter((pair) => ![...reachable, ...seldom].includes(pair))).toEqual([]);
  });

  it("has no refusal that nothing meets", () => {
    expect(refusals.filter((reason) => !reachable.some((pair) => pair.endsWith(`! ${reason}`)))).toEqual([]);
  });
});

const pairOf = (c: Command, reply: Reply): string => `${c.do} ${"ok" in reply ? reply.ok : `! ${reply.refused}`}`;

describe("a mistake of one line breaks a law", () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "model-"));
  afterAll(() => fs.rmSync(dir, { recursive: true }));

  it.each(mutants.map((m, i) => [m.says, m, i] as const))(
    "%s",
    async (_, m, i) => {
      const machine = await load(m, fs.mkdtempSync(path.join(dir, `${i}-`)));
      let verdict: Verdict;
      const from = long ? seed : m.seed;
      for (let at = from; !verdict && at < from + 4000; at++) verdict = journey(machine, at, length, false).verdict;
      expect(verdict).toBeDefined();
    },
    5 * minutes,
  );
});

describe("where several common commits are nearest", () => {
  const shell = { tool: "sh", mode: "exclusive", tier: "reversible" } as const;
  const wrote = (scope: string, n: number, file: string, content: number): Command[] => [
    { do: "ask", scope, thread: "main" },
    { do: "block", scope, thread: "main", block: { call: shell } },
    { do: "answer", scope, thread: "main" },
    { do: "call", scope, thread: "main", of: 0 },
    { do: "lock", scope, n: n + 1 },
    { do: "write", scope, n: n + 1, edit: [file, content] },
    { do: "end", scope, n: n + 1, status: "done", output: 0 },
  ];
  /** r.1 does A and merges B from its child; r.2 does B and merges A from its child. Siblings that do the same share ids, so A and B are common. */
  const crossed = (a: readonly [string, number], b: readonly [string, number]) =>
    play(initial({ x: 1, y: 1 }), [
      { do: "run", scope: "r", task: 0, grants: ["ask", "write"] },
      { do: "fork", scope: "r", n: 0, at: "step", k: 2 },
      { do: "fork", scope: "r.1", n: 0, at: "step", k: 1 },
      { do: "fork", scope: "r.2", n: 0, at: "step", k: 1 },
      ...wrote("r.1", 1, ...a),
      ...wrote("r.1.1", 1, ...b),
      ...wrote("r.2", 1, ...b),
      ...wrote("r.2.1", 1, ...a),
      { do: "merge", scope: "r.1.1" },
      { do: "merge", scope: "r.2.1" },
    ]);

  it("their merge is the base", () => {
    const sys = crossed(["x", 2], ["y", 2]);
    const [one, two] = ["r.1", "r.2"].map((name) => traceOf(sys, name).head as string) as [string, string];
    expect(nearest(commits(sys), one, two)).toHaveLength(2);
    expect(baseOf(commits(sys), one, two)).toEqual({ x: 2, y: 2 });
    const back = play(sys, [...wrote("r.2", 4, "y", 1), { do: "merge", scope: "r.1" }, { do: "merge", scope: "r.2" }]);
    expect(traceOf(back, "r").state.workspace).toEqual({ x: 2, y: 1 });
  });

  it("a conflict between them stays one, unless both sides came to the same", () => {
    const sys = crossed(["x", 2], ["x", 3]);
    const resolved = (scope: string, x: number): Command => ({ do: "resolve", scope, n: 3, choices: { x } });
    const end = (ours: number, theirs: number) => {
      const [, reply] = step(
        play(sys, [resolved("r.1", ours), resolved("r.2", theirs), { do: "merge", scope: "r.1" }]),
        { do: "merge", scope: "r.2" },
      );
      return reply;
    };
    expect(end(5, 6)).toMatchObject({ ok: "conflict" });
    expect(end(5, 5)).toMatchObject({ ok: "merged" });
  });
});

it("a conflict of an undo cannot be resolved any more once the operation was taken back otherwise", () => {
  const shell = { tool: "sh", mode: "exclusive", tier: "reversible" } as const;
  const turn = (scope: string): Command[] => [
    { do: "ask", scope, thread: "main" },
    { do: "block", scope, thread: "main", block: { call: shell } },
    { do: "answer", scope, thread: "main" },
  ];
  const conflicting = play(initial({ x: 1 }), [
    { do: "run", scope: "r", task: 0, grants: ["ask", "write"] },
    { do: "fork", scope: "r", n: 0, at: "step", k: 1 },
    ...turn("r.1"),
    { do: "call", scope: "r.1", thread: "main", of: 0 },
    { do: "lock", scope: "r.1", n: 2 },
    { do: "end", scope: "r.1", n: 2, status: "done", output: 0 },
    { do: "merge", scope: "r.1" },
    ...turn("r"),
  ]);
  const [sys, reply] = step(conflicting, { do: "undo", scope: "r" });
  expect(reply).toMatchObject({ ok: "conflict" });
  const { n } = reply as { n: number };
  const undone = play(sys, [
    { do: "revert", scope: "r", n: 0 },
    { do: "undo", scope: "r", op: 0 },
  ]);
  expect(step(undone, { do: "resolve", scope: "r", n, choices: {} })[1]).toEqual({ refused: "undone" });
});

it("is a function: the same commands come to equal systems", () => {
  const commands = journey(model, seed, length).commands;
  const go = () => commands.reduce((sys, c) => step(sys, c)[0], initial({ a: 1, b: 2 }));
  expect(same(go(), go())).toBe(true);
});
