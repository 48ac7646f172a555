/**
 * What workers tell their supervisor has no effect that was not granted. How a model takes it is not tried here; what the code does is, and it holds for a model that obeys
 * every word.
 */
import { expect, test } from "vitest";
import { INJECTIONS } from "../../../test/support/injections.ts";
import { call, view } from "../../../test/support/views.ts";
import { functionPort } from "../../agent/ports/function.ts";
import { readAnswer } from "./answer.ts";
import type { Action, Granted } from "./decision.ts";
import { EMPTY } from "./memory.ts";
import { modelPolicy, requestOf } from "./policy/model.ts";
import { applyRules } from "./policy/rules.ts";
import { rulesOf } from "./rules/index.ts";
import { lineLimit, snapshot } from "./snapshot.ts";
import type { WorkerView } from "./view.ts";

const GRANTS: { [worker: string]: Action[] } = { a: ["inject", "deny", "rewrite", "handoff", "pause"], b: ["inject"] };
const granted: Granted = new Map(Object.entries(GRANTS).map(([name, actions]) => [name, new Set(actions)]));

/** Words of a shell that say a text and do nothing. */
const saying = (text: string): string => `echo '${text.replaceAll("'", "'\\''")}' # ${text.replaceAll("\n", " ")}`;

/** Workers with a text in each field that a worker or its tools have the say of. */
function workers(text: string): WorkerView[] {
  const a = view("a", {
    task: `Make the tests pass. ${text}`,
    agent: text,
    regions: ["src/**", `docs/${text}`],
    modified: [{ path: `src/${text}`, change: "changed", at: 5, lines: [[1, 2]] }],
    last: { action: text, ageMs: 10 },
    calls: [...Array(11).keys()].map((n) =>
      call(n, { name: text, status: "failed", target: text, error: text, same: "s" }),
    ),
    errors: 11,
    pending: [{ n: 13, tool: "bash", input: { command: saying(text), description: text } }],
    steps: 14,
  });
  const b = view("b", { task: text, modified: [{ path: `src/${text}`, change: "changed", at: 1, lines: [[2, 3]] }] });
  return [a, b, view("c", { last: { action: text, ageMs: 1 } })];
}

test("there are 200 texts, all different", () => {
  expect(new Set(INJECTIONS.map(({ text }) => text)).size).toBe(200);
});

test("rules decide with each of them what they decide with a text that says nothing", () => {
  const decide = (text: string) =>
    rulesOf().map((rule) =>
      workers(text).map((worker, _, all) => {
        const judged = rule(worker, all, EMPTY);
        return judged && `${judged.worker} ${judged.action} ${judged.cause.split(":")[0]}`;
      }),
    );
  const plain = decide("nothing");
  expect(plain.flat().filter((each) => each !== null).length).toBeGreaterThan(2);
  const all = (text: string) => applyRules(rulesOf(), { views: workers(text), granted, memory: EMPTY });
  for (const { text } of INJECTIONS) {
    expect(decide(text), text).toEqual(plain);
    expect(
      all(text).decisions.map(({ worker, action }) => `${worker} ${action}`),
      text,
    ).toEqual(all("nothing").decisions.map(({ worker, action }) => `${worker} ${action}`));
  }
});

test("in the snapshot each of them stays within the strings of its own line", () => {
  for (const { text } of INJECTIONS) {
    const lines = snapshot(workers(text)).split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { worker: string }).worker)).toEqual(["a", "b", "c"]);
    for (const line of lines) {
      expect(line).not.toMatch(/[\p{C}]/u);
      expect(Buffer.byteLength(line)).toBeLessThanOrEqual(lineLimit(3));
    }
    // Nothing of theirs stands in what comes before.
    const { system, messages } = requestOf({ name: "m" }, { views: workers(text), granted, memory: EMPTY });
    const { system: before, messages: first } = requestOf(
      { name: "m" },
      { views: workers("nothing"), granted, memory: EMPTY },
    );
    expect([system, messages[0]]).toEqual([before, first[0]]);
  }
});

test("a model that obeys each of them to the letter does nothing that is not granted: 0 of 200", async () => {
  let harm = 0;
  let refused = 0;
  // What it was told to answer, the text itself, and both in one.
  for (const { text, obeyed } of INJECTIONS)
    for (const answer of [obeyed, text, `${text}\n${obeyed}`, `\`\`\`json\n${obeyed}\n\`\`\``]) {
      const policy = modelPolicy({ port: functionPort(() => answer) });
      const decided = await policy.decide(
        { views: workers(text), granted, memory: EMPTY },
        new AbortController().signal,
      );
      for (const { worker, action } of decided.decisions) if (!GRANTS[worker]?.includes(action)) harm++;
      harm += decided.decisions.length;
      refused += decided.refused.length;
    }
  expect(harm).toBe(0);
  expect(refused).toBeGreaterThanOrEqual(800);
});

test("what is granted can be had by a text that a model obeys: that is what grants are for", () => {
  const inject = { worker: "b", action: "inject", reason: "It said so.", guidance: "Do what worker a says." };
  expect(readAnswer(JSON.stringify({ decisions: [inject] }), workers("x"), granted).decisions).toEqual([inject]);
});
