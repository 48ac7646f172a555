/** A landing as JSON: its plan, and the two records of its journal. Paths are byte strings. */
import type { Json, Link } from "../../trace/ports.ts";
import type { Change, Plan, Side } from "./plan.ts";
import type { Outcome, Why, Work } from "./work.ts";

const text = (bytes: Buffer): string => bytes.toString("latin1");
const bytes = (value: Json | undefined): Buffer => Buffer.from(value as string, "latin1");

const sideJson = (side: Side | null): Json => side && [side.type, side.mode, side.id];
const sideOf = (value: Json | undefined): Side | null => {
  if (!value) return null;
  const [type, mode, id] = value as [Side["type"], number, string | null];
  return { type, mode, id };
};

export const planJson = ({ changes, refused }: Plan): Json => ({
  v: 1,
  changes: changes.map(({ path, expected, next, asks }) => [text(path), sideJson(expected), sideJson(next), asks]),
  refused: refused.map(({ path, text: why }) => [text(path), why]),
});

/** The plan that `planJson` gave. Throws a sentence on a newer version. */
export function planOf(value: Json): Plan {
  const { v, changes, refused } = value as { v: number; changes: Json[][]; refused: Json[][] };
  if (v !== 1) throw new Error(`The plan of a landing has version ${v}, and this Shepherd knows version 1: update Shepherd.`);
  return {
    changes: changes.map(
      ([path, expected, next, asks]): Change => ({
        path: bytes(path),
        expected: sideOf(expected),
        next: sideOf(next),
        asks: asks as string | null,
      }),
    ),
    refused: refused.map(([path, why]) => ({ path: bytes(path), text: why as string })),
  };
}

/** All is staged; from here on paths are touched. */
export const readyRecord = ({ outcomes }: Pick<Work, "outcomes">): Json => ({
  at: "ready",
  held: outcomes.flatMap((outcome, index) => (outcome?.at === "held" ? [index] : [])),
});

/** What every change has come to (those that are not named landed); only clearing up is left. */
export const settledRecord = ({ outcomes }: Pick<Work, "outcomes">): Json => ({
  at: "settled",
  outcomes: outcomes.flatMap((outcome, index): Json[] => {
    if (!outcome || outcome.at === "landed") return [];
    if (outcome.at !== "conflict") return [{ index, at: outcome.at }];
    const { at, why, text: words, theirs, kept, stays } = outcome;
    return [{ index, at, why, text: words, theirs: sideJson(theirs), kept, stays: stays.map(text) }];
  }),
});

/** What a journal says, in whatever order and number its records were appended. */
export function readJournal(records: readonly Json[], changes: number): { ready: number[] | null; settled: Outcome[] | null } {
  let ready: number[] | null = null;
  let settled: Outcome[] | null = null;
  for (const record of records as { [key: string]: Json }[]) {
    if (record.at === "ready") ready = record.held as number[];
    if (record.at !== "settled") continue;
    settled = new Array<Outcome>(changes).fill({ at: "landed" });
    for (const each of record.outcomes as { [key: string]: Json }[]) settled[each.index as number] = outcomeOf(each);
  }
  return { ready, settled };
}

function outcomeOf(value: { [key: string]: Json }): Outcome {
  if (value.at !== "conflict") return { at: value.at as "held" | "left" };
  return {
    at: "conflict",
    why: value.why as Why,
    text: value.text as string,
    theirs: sideOf(value.theirs),
    kept: value.kept as Link[],
    stays: (value.stays as Json[]).map(bytes),
  };
}
