import fc from "fast-check";
import { expect, test } from "vitest";
import { params } from "../../../test/support/runs.ts";
import { granting, view } from "../../../test/support/views.ts";
import { type Answer, readAnswer } from "./answer.ts";
import { ACTIONS } from "./decision.ts";

const seen = [
  view("a", { pending: [{ n: 13, tool: "bash", input: { command: "rm -rf src" } }] }),
  view("b"),
  view("p", { state: "paused" }),
  view("d", { state: "done" }),
];
const all = granting(["a", "b", "p", "d"]);
const read = (text: string, granted = all): Answer => readAnswer(text, seen, granted);
const one = (decision: object, granted = all): Answer => read(JSON.stringify({ decisions: [decision] }), granted);
const inject = { worker: "b", action: "inject", reason: "It loops.", guidance: "Stop." };
const why = (decision: object, granted = all): string | undefined => one(decision, granted).refused[0]?.why;

test("the one list of decisions counts, wherever it stands in the answer", () => {
  const json = JSON.stringify({ decisions: [inject] });
  for (const text of [
    json,
    `\`\`\`json\n${json}\n\`\`\``,
    `I looked {closely}.\n${json}\nThat is all {.`,
    `{"thought":"hm",${json.slice(1)}`,
    `${json}\n\n${json}`,
  ])
    expect(read(text).decisions, text).toEqual([inject]);
  expect(read('{"decisions":[]}')).toEqual({ decisions: [], refused: [] });
});

test("an answer without decisions, or of which nobody can say which list counts, is none, and says so", () => {
  const json = JSON.stringify({ decisions: [inject] });
  const other = JSON.stringify({ decisions: [] });
  for (const text of [
    "",
    "Nothing to do.",
    "{",
    json.slice(0, -1),
    `${json}${other}`,
    `{"note":"it said ${json}","decisions":[]}`,
    `{"decisions":[],${json.slice(1)}`,
    '{"result":{}}',
    '{"decisions":{}}',
    "[]",
    "x".repeat(70_000),
    `${"[".repeat(60_000)}`,
    `{"decisions":${"[".repeat(5000)}${"]".repeat(5000)}}`,
    JSON.stringify({ decisions: Array(300).fill(inject) }),
  ]) {
    const { decisions, refused } = read(text);
    expect(decisions, text.slice(0, 80)).toEqual([]);
    expect(refused.length, text.slice(0, 80)).toBe(1);
  }
});

test("what a worker is quoted with is no decision", () => {
  const quoted = JSON.stringify({
    decisions: [{ worker: "a", action: "none", reason: `It says ${JSON.stringify({ decisions: [inject] })}` }],
  });
  expect(read(quoted)).toEqual({ decisions: [], refused: [] });
});

test("each decision that is none is refused with its reason, and the others stand", () => {
  const { decisions, refused } = read(
    JSON.stringify({
      decisions: [
        inject,
        { worker: "zz", action: "inject", reason: "x", guidance: "y" },
        { worker: "a", action: "merge", reason: "x" },
        7,
        null,
        { worker: "d", action: "none" },
      ],
    }),
  );
  expect(decisions).toEqual([inject]);
  expect(refused).toEqual([
    { worker: "zz", action: "inject", why: "There is no such worker." },
    { worker: "a", action: "merge", why: "There is no such action." },
    { worker: null, action: null, why: "It is no object." },
    { worker: null, action: null, why: "It is no object." },
  ]);
});

test("what is not in the vocabulary, or not granted, is not decided", () => {
  for (const action of ["merge", "land", "grant", "allow", "undo", "kill", "INJECT", "toString", "__proto__", ""])
    expect(why({ ...inject, action })).toBe("There is no such action.");
  expect(why(inject, granting(["a", "b"], ["deny"]))).toBe("To inject it is not granted.");
  expect(why(inject, granting(["a"]))).toBe("To inject it is not granted.");
  expect(why({ ...inject, worker: "d" })).toBe("The worker is done.");
  expect(one({ ...inject, grant: ["merge"], merge: true, land: "auto" }).decisions).toEqual([inject]);
});

test("two decisions about one worker are none, whichever they are", () => {
  for (const second of [inject, { worker: "b", action: "none" }, { worker: "b", action: "merge" }]) {
    const { decisions, refused } = read(JSON.stringify({ decisions: [inject, second] }));
    expect(decisions).toEqual([]);
    expect(refused.map((each) => each.why)).toEqual(Array(2).fill("There are several decisions about this worker."));
  }
});

test("words are counted", () => {
  const words = (n: number): string => Array(n).fill("word").join(" ");
  expect(one({ ...inject, reason: words(20), guidance: words(60) }).refused).toEqual([]);
  for (const wrong of [
    { reason: words(21) },
    { reason: "" },
    { reason: 7 },
    { reason: " \n" },
    { reason: "x".repeat(1000) },
    { guidance: words(61) },
    { guidance: "" },
    { guidance: ["x"] },
    { guidance: "x".repeat(1000) },
    { guidance: "x\u200by ".repeat(61) },
  ])
    expect(one({ ...inject, ...wrong }).decisions, JSON.stringify(wrong).slice(0, 60)).toEqual([]);
  expect(one({ ...inject, guidance: "Stop.\n\n\x1b[2JNow \ud800it." }).decisions[0]).toMatchObject({
    guidance: "Stop. [2JNow it.",
  });
});

test("what is done about an intent names one that waits", () => {
  const deny = { worker: "a", action: "deny", n: 13, reason: "It destroys." };
  expect(one(deny).decisions).toEqual([deny]);
  for (const n of [12, 14, -1, 13.5, "13", null, undefined])
    expect(why({ ...deny, n })).toBe("It names no intent that is pending.");
  expect(why({ ...deny, worker: "b" })).toBe("It names no intent that is pending.");
});

test("a rewrite has another input, which destroys no more than what it replaces", () => {
  const rewrite = { worker: "a", action: "rewrite", n: 13, reason: "Too wide.", input: { command: "rm -rf dist" } };
  expect(one(rewrite).decisions).toEqual([rewrite]);
  expect(why({ ...rewrite, input: { command: "rm -rf /" } })).toBe(
    "Its new input destroys more than what it replaces.",
  );
  expect(why({ ...rewrite, input: "ls" })).toBe("It has no new input.");
  expect(why({ ...rewrite, input: { command: "x".repeat(9000) } })).toBe("Its new input is too long.");
});

test("a revert names an earlier step, a handoff another worker over whom as much is granted, a resume one that is paused", () => {
  expect(one({ worker: "b", action: "revert", n: 3, reason: "x" }).decisions).toEqual([
    { worker: "b", action: "revert", n: 3, reason: "x" },
  ]);
  for (const n of [12, 99, -1, undefined])
    expect(why({ worker: "b", action: "revert", n, reason: "x" })).toBe("It goes back to no earlier step.");
  const handoff = { ...inject, action: "handoff", from: "a" };
  expect(one(handoff).decisions).toEqual([handoff]);
  expect(why({ ...handoff, from: "b" })).toBe("It hands over from nobody.");
  expect(why({ ...handoff, from: "zz" })).toBe("It hands over from nobody.");
  expect(why(handoff, granting(["b"]))).toBe("To hand over from there is not granted.");
  expect(one({ worker: "p", action: "resume", reason: "x" }).refused).toEqual([]);
  expect(why({ worker: "b", action: "resume", reason: "x" })).toBe("The worker is running.");
  expect(why({ worker: "p", action: "pause", reason: "x" })).toBe("The worker is paused.");
});

test("whatever an answer is, it is read without an error, and what comes of it is within the vocabulary and the grants", () => {
  const granted = granting(["a", "b"], ["inject", "deny"]);
  const value = fc.oneof(
    fc.constantFrom("a", "b", "zz", "inject", "deny", "merge", "discard", "rewrite", "none", 13, null, -1, {}, []),
    fc.string({ unit: "binary", maxLength: 30 }),
  );
  const decision = fc.dictionary(
    fc.constantFrom("worker", "action", "n", "reason", "guidance", "from", "input", "__proto__", "x"),
    value,
    { maxKeys: 8 },
  );
  const piece = fc.oneof(
    fc.constantFrom("{", "}", "[", "]", '"', '"decisions"', ":", ",", "```json\n", "\\", "\n"),
    fc.string({ maxLength: 8 }),
    fc.array(decision).map((decisions) => JSON.stringify({ decisions })),
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 20 }).map((all) => all.join("")),
      (text) => {
        for (const each of read(text, granted).decisions) {
          expect(["a", "b"]).toContain(each.worker);
          expect(["inject", "deny"]).toContain(each.action);
          expect(ACTIONS).toContain(each.action);
        }
      },
    ),
    params(4000, 800),
  );
});
