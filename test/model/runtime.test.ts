/** The runtime does what the model says: the same commands to both, compared after each. What is left out stands in runtime/within.ts. */
import { describe, expect, it } from "vitest";
import { long, runs, seed } from "../support/runs.ts";
import { allSituations, pairs } from "./runtime/coverage.ts";
import { shortest, type Trial, trial } from "./runtime/trial.ts";

const lots = [
  { count: runs(800, 40), length: 25 },
  { count: runs(80, 3), length: 60 },
  { count: runs(200, 12), length: 25, end: "power fails" as const },
];
/** What less than one sequence in fifteen meets, so that a sample need not. */
const rare: ReadonlySet<string> = new Set([
  "a discard takes an effect back",
  "an effect in doubt is taken back, and asked about",
  "a landing meets what the user saves meanwhile",
  "answer cut",
  "discard ! discarded",
  "gc taken",
  "lock ! gate",
  "resolve ok",
  "revert ! irreversible",
  "revert ! no-step",
  "status external",
  "sync conflict",
  "undo ! expired",
  "undo ! no-op",
]);
const minutes = 60_000;

const told = async (at: number, found: Trial): Promise<string> => {
  const { commands, difference } = await shortest(found);
  return [`seed ${at}:`, ...commands.map((command) => JSON.stringify(command)), difference].join("\n");
};

describe(`the runtime beside the model, from seed ${seed}`, () => {
  const met = new Map<string, number>();

  it.each(
    lots.map(
      (lot) =>
        [`${lot.count} sequences of ${lot.length} commands${lot.end ? `, then the ${lot.end}` : ""}`, lot] as const,
    ),
  )(
    "replies as the model does, and comes to the same commits, files, conversations, locks, operations and effects: %s",
    async (_, { count, length, end }) => {
      for (let at = seed; at < seed + count; at++) {
        const found = await trial(at, length, end);
        for (const what of found.met) met.set(what, (met.get(what) ?? 0) + 1);
        if (found.difference) expect.fail(await told(at, found));
      }
    },
    15 * minutes,
  );

  const expected = [...pairs, ...allSituations].filter((what) => long || !rare.has(what));

  it("meets every pair of command and reply that is compared, and what only follows from several commands", () => {
    expect(expected.filter((what) => !met.has(what))).toEqual([]);
  });

  it("meets no pair that is not on the list", () => {
    expect([...met.keys()].filter((what) => !pairs.includes(what) && !allSituations.includes(what))).toEqual([]);
  });
});
