import { expect, test } from "vitest";
import { maskedIn } from "../../mask.ts";
import { NOTHING_SPENT } from "../standing.ts";
import type { Report } from "./data.ts";
import { html } from "./html.ts";
import { markdown } from "./markdown.ts";
import { quantiles } from "./quantiles.ts";

const HOSTILE = "</td><script>alert(1)</script> | `x` | <img src=x onerror=1> [a](javascript:1)\n# No heading \"'&";
const KEY = "sk-ant-planted0123456789abcdef";

const report = (words: string): Report => ({
  run: "supervise",
  from: 1000,
  to: 61_000,
  plan: { policy: { name: "model", model: words }, check: words, every: 5000, guard: "wait", budget: null },
  workers: [
    {
      name: "one",
      task: words,
      agent: words,
      state: "done",
      merged: "done",
      handedBack: { conflict: 1, check: 0 },
      steps: 2,
      spent: { calls: 3, tokens: 2000, usd: 0.5 },
      changes: { files: 1, added: 2, removed: 3 },
      moments: [{ n: 1, kind: "tool", status: words, at: 2000 }],
    },
  ],
  ticks: [{ at: 3000, news: 1, waited: 500, asked: 900, model: true, spent: { calls: 1, tokens: 100, usd: 0.01 } }],
  decisions: [{ at: 3000, worker: "one", action: "inject", reason: words, guidance: words, refused: words }],
  verdicts: [{ run: "one", n: 1, tool: words, input: words, decision: "deny", reason: words, at: 2000 }],
  judged: [1.5],
  merges: [{ worker: "one", status: "conflict", paths: [words] }],
  checks: [{ code: 1, tail: words }],
  handedBack: [{ worker: "one", cause: "conflict", round: 1, refused: words }],
  spent: { workers: { calls: 3, tokens: 2000, usd: 0.5 }, policy: { calls: 1, tokens: 100, usd: 0.01 } },
  finished: null,
});

test("what others wrote stays text, in both forms", () => {
  const page = html(report(HOSTILE));
  expect(page).not.toContain("<script");
  expect(page).not.toContain("<img");
  const text = markdown(report(HOSTILE));
  expect(text).not.toMatch(/^# No heading/m);
  expect(text).not.toContain("<script");
  // A row is a row: as many cells as its head.
  const rows = text.split("\n").filter((line) => line.startsWith("| one") || line.startsWith("| 1970"));
  expect(rows.length).toBeGreaterThan(2);
  for (const row of rows) expect(row.replaceAll("\\|", "").split("|").length).toBeLessThanOrEqual(12);
});

test("the page loads nothing and runs nothing, and has its plots in it", () => {
  const page = html(report("words"));
  expect(page).toContain("default-src 'none'");
  expect(page).not.toMatch(/https?:|<link|<script|@import|url\(/);
  expect(page.match(/<svg/g)!.length).toBe(4);
});

test("what supervision cost stands beside what the workers cost", () => {
  for (const text of [html(report("x")), markdown(report("x"))]) {
    expect(text).toContain("3 model calls, 2000 tokens, $0.50");
    expect(text).toContain("1 model calls, 100 tokens (5.0 % of it), $0.0100");
  }
});

test("keys are masked before it is written", () => {
  const masked = maskedIn(report(`a ${KEY} b`));
  for (const text of [html(masked), markdown(masked)]) expect(text).not.toContain(KEY);
});

test("one with nothing in it can be written, too", () => {
  const empty: Report = {
    ...report("x"),
    ...{ workers: [], ticks: [], decisions: [], verdicts: [], judged: [], merges: [], checks: [], handedBack: [] },
    spent: { workers: NOTHING_SPENT, policy: NOTHING_SPENT },
  };
  expect(html(empty)).not.toMatch(/NaN|Infinity|undefined/);
  expect(markdown(empty)).not.toMatch(/NaN|Infinity|undefined/);
});

test("quantiles", () => {
  expect(quantiles([])).toBeNull();
  expect(quantiles([3, 1, 2])).toEqual({ count: 3, median: 2, p95: 3, most: 3 });
});
