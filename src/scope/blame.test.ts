import fc from "fast-check";
import { expect, test } from "vitest";
import { buildHistory, histories, type Op, putTexts, textsIn } from "../../test/support/histories.ts";
import { params } from "../../test/support/runs.ts";
import { tempStore } from "../../test/support/temp-store.ts";
import { target } from "../trace/bytes.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { blameFile } from "./blame.ts";
import { type LiveScope, record, treeLink } from "./scope.ts";
import { readLog, type View } from "./view.ts";

/** What blame says of each line of all files of a step, as `path:line text`, beside the steps that may have brought it. */
async function wrongIn(
  store: EmbeddedStore,
  view: View,
  n: number,
  known: Map<string, Set<string>>,
): Promise<string[]> {
  const step = view.fold.steps.get(n)!;
  const wrong: string[] = [];
  const texts = await textsIn(store, target(step.sealed!.state.roots.workspace));
  for (const [path, lines] of Object.entries(texts)) {
    const at = { log: view.log, step, sealed: step.sealed! };
    const blame = (await blameFile(store, view, at, Buffer.from(path)))!;
    expect(blame.ranges.map(({ from, to }) => to - from).reduce((a, b) => a + b, 0)).toBe(lines.length);
    for (const range of blame.ranges)
      for (const line of lines.slice(range.from, range.to)) {
        // Two scopes that do the same have the same commits.
        const said = range.step.sealed.id;
        const may = [...known.get(line)!];
        if (!may.includes(said)) wrong.push(`${path} at ${n}: ${line} is of ${may}, not ${said}`);
      }
  }
  return wrong;
}

async function check(script: readonly Op[]): Promise<void> {
  const temp = await tempStore();
  try {
    const { store } = temp;
    const history = await buildHistory(store, temp.directory, script);
    const wrong: string[] = [];
    for (const log of [history.main.log, ...history.scopes.map(({ ref }) => ref.log)]) {
      const view = await readLog(store, log);
      // A scope that has just been forked has no step of its own.
      const steps = view.fold.sealed;
      for (const step of new Set([steps.at(-1), steps[Math.floor(steps.length / 2)]]))
        if (step) wrong.push(...(await wrongIn(store, view, step.n, history.known.get(step.sealed!.id)!)));
    }
    await history.close();
    expect(wrong).toEqual([]);
  } finally {
    await temp.end();
  }
}

test("blame is right on histories with known answers", async () => {
  await fc.assert(fc.asyncProperty(histories(30), check), params(200, 12));
});

test("only steps that changed the file are looked into, and lines that were asked for alone", async () => {
  const temp = await tempStore();
  try {
    const { store } = temp;
    const history = await buildHistory(store, temp.directory, []);
    const scope = history.scopes[0] as LiveScope;
    for (let n = 0; n < 50; n++)
      await record(
        scope,
        { kind: "tool", tier: "reversible" },
        { status: "done", workspace: treeLink(await putTexts(store, { a: ["1", n < 10 ? "2" : "3"], b: [`${n}`] })) },
      );
    const contents: string[] = [];
    const get = store.objects.get.bind(store.objects);
    store.objects.get = async (id) => {
      const bytes = await get(id);
      if (bytes && !Buffer.from(bytes).toString("latin1").startsWith("shepherd tree")) contents.push(id);
      return bytes;
    };
    const view = await readLog(store, scope.ref.log);
    const step = view.fold.sealed.at(-1)!;
    const at = { log: view.log, step, sealed: step.sealed! };
    const blame = await blameFile(store, view, at, Buffer.from("a"), { lines: { from: 1, to: 2 } });
    expect(blame!.ranges.map(({ from, to, step }) => [from, to, step.step.n])).toEqual([[1, 2, 11]]);
    // Its own three texts, the oldest of which is the user's.
    expect(new Set(contents).size).toBeLessThanOrEqual(3);
    expect(contents.length).toBeLessThan(10);
    await history.close();
  } finally {
    await temp.end();
  }
});
