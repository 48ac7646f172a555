import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type LibraryRig, libraryRig } from "../../../test/support/library-rig.ts";
import { agent, type ModelFunction } from "../../index.ts";
import { taskOf } from "../../run/start.ts";
import { openStore } from "../../trace/store.ts";
import { readerOf } from "./reading.ts";
import { openTails } from "./tails.ts";
import type { WorkerView } from "./view.ts";

const LINES = Array.from({ length: 20 }, (_, n) => `line ${n + 1}\n`).join("");
let rig: LibraryRig;
beforeEach(() => {
  rig = libraryRig({ "a.txt": LINES, "gone.txt": "x\n" });
});
afterEach(() => rig.end());

const work = agent("work", { instruction: "work" });
/** A model that asks for these commands, one after the other. */
const plays = (...commands: string[]): ModelFunction => {
  let at = 0;
  return async () => {
    const command = commands[at++];
    return command === undefined ? "done" : { calls: [{ tool: "bash", input: { command } }] };
  };
};

/** What is seen of the run `work`, by one reader, each time it is asked. */
async function reading<T>(use: (view: () => Promise<WorkerView>) => Promise<T>): Promise<T> {
  const store = await openStore(rig.at.store);
  const tails = openTails(store);
  try {
    const tail = await tails.add("work");
    const reader = readerOf(store, tail, { task: await taskOf(store, "work"), paths: [], workspace: rig.at.in });
    return await use(async () => {
      await tails.caughtUp();
      return reader.view({ state: "running" });
    });
  } finally {
    await tails.close();
    await store.close();
  }
}

test("a worker is seen by what it did: calls, errors, files that differ and where, what it has spent", async () => {
  await using run = work.start(undefined, {
    ...rig.at,
    model: plays(
      "sed -i 's/^line 3$/LINE 3/; s/^line 10$/LINE 10/' a.txt; rm gone.txt; echo n > new.txt",
      "cat nothing.txt",
      "cat nothing.txt",
    ),
  });
  await run.result;
  const view = await reading((look) => look());
  expect(view).toMatchObject({
    name: "work",
    task: "work",
    agent: "agent",
    steps: 7,
    errors: 2,
    still: 2,
    pending: [],
  });
  expect(view.modified.map(({ at, ...each }) => each)).toEqual([
    {
      path: "a.txt",
      change: "changed",
      lines: [
        [3, 3],
        [10, 10],
      ],
    },
    { path: "gone.txt", change: "deleted" },
    { path: "new.txt", change: "added" },
  ]);
  for (const { at } of view.modified) expect(Math.abs(Date.now() - at)).toBeLessThan(600_000);
  const [first, second, third] = view.calls;
  expect(first).toMatchObject({ n: 2, name: "bash", status: "done", tree: expect.any(String) });
  expect(second).toMatchObject({
    status: "failed",
    target: "cat nothing.txt",
    error: expect.stringContaining("No such file"),
  });
  expect([second!.same === third!.same, first!.same === second!.same]).toEqual([true, false]);
  expect(view.spent.calls).toBe(4);
  expect(view.last?.action).toBe("bash cat nothing.txt");
});

test("a reader goes on where it was, also where it is asked twice at once; a new conversation begins with nothing tried", async () => {
  {
    await using run = work.start(undefined, { ...rig.at, model: plays("false", "false") });
    await run.result;
  }
  await reading(async (look) => {
    const [one, other] = await Promise.all([look(), look()]);
    expect(one).toEqual({ ...other, last: one.last, spent: one.spent });
    expect(one.calls).toHaveLength(2);
    await work.run("work", { store: rig.at.store }).revert(2);
    const back = await look();
    expect([back.errors, back.calls]).toEqual([0, []]);
  });
});

test("what was brought from elsewhere is no work of the worker", async () => {
  await using run = work.start(undefined, { ...rig.at, model: plays("sed -i 's/^line 3$/LINE 3/' a.txt") });
  await run.result;
  writeFileSync(`${rig.at.in}/theirs.txt`, "theirs\n");
  await reading(async (look) => {
    expect((await look()).modified.map(({ path }) => path)).toEqual(["a.txt"]);
    await run.sync();
    expect((await look()).modified.map(({ path }) => path)).toEqual(["a.txt"]);
  });
});
