import fc from "fast-check";
import { expect, test } from "vitest";
import { buildHistory, histories, type Op, textsIn } from "../../test/support/histories.ts";
import { params } from "../../test/support/runs.ts";
import { tempStore } from "../../test/support/temp-store.ts";
import { readLog } from "../scope/view.ts";
import { target } from "../trace/bytes.ts";
import { bisect, statesBetween, type Verdict } from "./bisect.ts";

/** Asks as `bisect` does, and gives what it found and how often it asked. */
async function asked(verdicts: readonly Verdict[]) {
  const tried: number[] = [];
  const found = await bisect(verdicts.length, async (at) => {
    tried.push(at);
    return verdicts[at]!;
  });
  expect(new Set(tried).size, "each state is tried once").toBe(tried.length);
  return { found, tried };
}

test("bisect finds the first of the states that fail, in as few tries as halving takes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 2, max: 3000 }), fc.nat(), async (count, at) => {
      const first = 1 + (at % (count - 1));
      const { found, tried } = await asked(Array.from({ length: count }, (_, i) => (i < first ? "passes" : "fails")));
      expect(found).toEqual({ how: "found", first });
      expect(tried.length).toBeLessThanOrEqual(2 + Math.ceil(Math.log2(count)));
    }),
    params(200),
  );
});

test("what is skipped is gone around; where nothing else is left, what remains is told", async () => {
  const verdict = fc.constantFrom<Verdict>("passes", "fails", "skipped");
  await fc.assert(
    fc.asyncProperty(fc.array(verdict, { minLength: 1, maxLength: 30 }), async (verdicts) => {
      const { found } = await asked(verdicts);
      if (found.how === "found")
        expect([verdicts[found.first - 1], verdicts[found.first]]).toEqual(["passes", "fails"]);
      else if (found.how === "skipped") {
        expect([verdicts[found.after], verdicts[found.last]]).toEqual(["passes", "fails"]);
        expect(found.last - found.after).toBeGreaterThan(1);
        expect(new Set(verdicts.slice(found.after + 1, found.last))).toEqual(new Set(["skipped"]));
      } else if (found.how === "unknown") expect(verdicts[found.at]).toBe("skipped");
      else expect([verdicts[0], verdicts.at(-1)]).toContain(found.how);
    }),
    params(200),
  );
});

/** A line that stands in the newest state is what fails: the known answer is the first step on the way that has it, where it never goes again. */
async function check(script: readonly Op[], pick: number): Promise<void> {
  const temp = await tempStore();
  try {
    const { store } = temp;
    const history = await buildHistory(store, temp.directory, script);
    for (const { ref } of history.scopes) {
      const view = await readLog(store, ref.log, ref);
      const newest = view.fold.sealed.at(-1);
      if (!newest) continue;
      const states = (await statesBetween(store, view, null, { log: ref.log, step: newest }))!;
      const path = states.flatMap(({ steps }) => steps);
      expect([path[0]!.step.n, path.at(-1)!.step]).toEqual([0, newest]);
      const linesAt = async (at: number): Promise<string[]> =>
        Object.values(await textsIn(store, target(path[at]!.step.sealed!.state.roots.workspace))).flat();
      const has: boolean[] = [];
      const lines = await linesAt(path.length - 1);
      const line = lines[pick % lines.length]!;
      for (let at = 0; at < path.length; at++) has.push((await linesAt(at)).includes(line));
      const known = has.indexOf(true);
      const found = await bisect(states.length, async (at) =>
        has[path.indexOf(states[at]!.steps[0]!)] ? "fails" : "passes",
      );
      if (has[0]) expect(found).toEqual({ how: "fails" });
      else {
        if (found.how !== "found") throw new Error(found.how);
        const first = path.indexOf(states[found.first]!.steps[0]!);
        expect([has[first - 1], has[first]]).toEqual([false, true]);
        if (!has.slice(known).includes(false)) expect(first).toBe(known);
        // From a step behind the answer on there is nothing to be found.
        const good = path[first]!.step.sealed!.id;
        const later = (await statesBetween(store, view, good, path.at(-1)!))!;
        expect(later[0]!.steps[0]).toEqual(path[first]);
      }
      // Each step on the way stands on the one before it; a revert on what it went back to, unless that was undone.
      for (let at = 1; at < path.length; at++) {
        const { intent, sealed } = path[at]!.step;
        expect([sealed!.parents[0], intent.to]).toContain(path[at - 1]!.step.sealed!.id);
      }
    }
    await history.close();
  } finally {
    await temp.end();
  }
}

test("bisect is right on histories with known answers", async () => {
  await fc.assert(fc.asyncProperty(histories(30), fc.nat(), check), params(200, 8));
});
