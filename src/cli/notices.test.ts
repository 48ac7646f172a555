import { expect, test } from "vitest";
import type { Frame } from "../trace/frame.ts";
import { ring } from "./bell.ts";
import { noticesOf } from "./notices.ts";

const note = (facts: { note: string; [key: string]: unknown }): Frame =>
  ({ phase: "note", n: null, facts, witness: { by: "anna" } }) as unknown as Frame;
const waiting = (...steps: number[]): Frame => note({ note: "waiting", steps });

test("the bell rings once when a run starts to wait for a person, and again only after it has gone on", () => {
  const said: string[] = [];
  const notice = noticesOf({ warn: (text) => said.push(text) }, "fix", () => said.push("bell"));
  for (const frame of [waiting(3), waiting(3, 4), waiting(4), waiting(), waiting(), waiting(7)]) notice(frame);
  expect(said).toEqual([
    "bell",
    "shepherd: fix waits for a person at its gate, before step 3.",
    "bell",
    "shepherd: fix waits for a person at its gate, before step 7.",
  ]);
});

test("a run that waits for a gate says which, and how that comes, once until it is missed again", () => {
  const said: string[] = [];
  const notice = noticesOf({ warn: (text) => said.push(text) }, "fix", () => said.push("bell"));
  const misses = (steps: number[], ...gates: string[]) => notice(note({ note: "waiting", steps, gates }));
  misses([3], "docs", "money");
  misses([3, 4], "docs", "money");
  misses([3, 4], "docs");
  misses([3, 4]);
  misses([3, 4], "money");
  expect(said).toEqual([
    "bell",
    "shepherd: fix waits for its gates docs, money, before step 3: `shepherd gate fix --as docs`.",
    "shepherd: fix waits for its gate money, before step 3, 4: `shepherd gate fix --as money`.",
  ]);
});

test("a pause is told with who wants it; other notes are nobody's matter", () => {
  const said: string[] = [];
  const notice = noticesOf({ warn: (text) => said.push(text) }, "fix", () => said.push("bell"));
  const states = ["started", "paused", "resumed", "ended"];
  for (const state of states) notice(note({ note: "run", state }));
  notice(note({ note: "gate", state: "attached" }));
  expect(said).toEqual([
    "shepherd: fix is paused (anna): `shepherd resume fix` goes on.",
    "shepherd: fix goes on (anna).",
  ]);
});

test("a bell is for terminals", () => {
  const written: string[] = [];
  const stream = (isTTY: boolean) => ({ isTTY, write: (text: string) => written.push(text) > 0 });
  ring(stream(false) as never);
  expect(written).toEqual([]);
  ring(stream(true) as never);
  expect(written).toEqual(["\x07"]);
});
