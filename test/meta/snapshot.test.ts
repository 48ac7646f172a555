/** Snapshots: how a run stands, in few words, whatever it has written; looking again costs what is new. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { withStore } from "../../src/agent/stores.ts";
import { agent, type ModelFunction } from "../../src/index.ts";
import { QUOTED } from "../../src/meta/quote.ts";
import { look, tellSnapshot } from "../../src/meta/snapshot.ts";
import type { EmbeddedStore } from "../../src/trace/store.ts";
import { type LibraryRig, libraryRig } from "../support/library-rig.ts";
import { until } from "../support/user.ts";

let rig: LibraryRig;
beforeEach(() => {
  rig = libraryRig({ "a.txt": "a\n" });
});
afterEach(() => rig.end());

/** An agent that makes these calls, one a turn. */
const making = (commands: readonly string[], task = "Work.") => {
  const model: ModelFunction = async ({ messages }) => {
    const command = commands[messages.filter(({ role }) => role === "assistant").length];
    return command === undefined ? "Done." : { calls: [{ tool: "bash", input: { command } }] };
  };
  return agent("work", { model, instruction: task });
};
const on = <T>(work: (store: EmbeddedStore) => Promise<T>): Promise<T> => withStore(rig.at.store, work);
const start = (who: ReturnType<typeof making>) => who.start(undefined, rig.at);

test("it tells the task, the steps, what was changed, what went wrong last, and the newest calls", async () => {
  const run = start(
    making(
      ["echo b > b.txt; mkdir d; echo c > d/c.txt", "rm a.txt", "echo no >&2; exit 3", "false"],
      `Do ${"it ".repeat(200)}`,
    ),
  );
  await run.result;
  const { snapshot } = await on((store) => look(store, "work"));
  expect(snapshot).toMatchObject({
    run: "work",
    state: "done",
    head: 9,
    steps: 10,
    errors: 0,
    more: 0,
    open: [],
    waits: [],
  });
  expect(snapshot.task).toHaveLength(351);
  expect(snapshot.changed).toEqual(["a.txt", "b.txt", "d", "d/c.txt"]);
  expect(snapshot.calls.map(({ n, name, status }) => `${n} ${name} ${status}`)).toEqual([
    "2 bash done",
    "4 bash done",
    "6 bash failed",
    "8 bash failed",
  ]);
  expect(snapshot.calls[2]).toMatchObject({ target: "echo no >&2; exit 3", error: expect.stringContaining("no") });
  expect(snapshot.last).toMatchObject({ n: 9, name: "model" });
  const text = tellSnapshot(snapshot);
  expect(text).toContain("work is done, at step 9; 10 steps.");
  expect(text).toContain("changed a.txt b.txt d d/c.txt");
});

test("ten of runs that wrote as much as they could are fewer than 12,000 characters, with all that counts", async () => {
  const long = "x".repeat(300);
  const commands = Array.from({ length: 40 }, (_, i) =>
    i % 2
      ? `echo ${i} > ${"f".repeat(100)}${i}.txt; echo 'sk-ant-0123456789abcdef0123 "\\" ${long}' >&2; exit ${i}`
      : `: ${long} ${i}`,
  );
  const run = start(making(commands, `${'"\n'.repeat(500)} end`));
  await run.result;
  const { snapshot } = await on((store) => look(store, "work"));
  expect(snapshot.calls).toHaveLength(25);
  for (const { error } of snapshot.calls) expect((error ?? "").length).toBeLessThanOrEqual(151);
  const text = tellSnapshot(snapshot);
  expect(text.length + QUOTED.length + 1).toBeLessThan(1200);
  expect(text).not.toContain("0123456789abcdef0123");
  // The newest calls are those that are told.
  expect(text).toContain("80 bash failed");
  // One line each, whatever was written.
  expect(
    text.split("\n").every((line) => /^(work is|task "|changed |last |under way |waits |\d+ bash )/.test(line)),
  ).toBe(true);
});

test("looking again reads what is new, and tells the same as a first look", async () => {
  const gate = join(rig.directory, "gate");
  mkdirSync(gate);
  const file = join(gate, "go");
  const commands = [
    ...Array.from({ length: 20 }, (_, i) => `echo ${i} > ${i}.txt`),
    `until [ -e ${file} ]; do sleep 0.02; done`,
  ];
  const run = making(commands).start(undefined, { ...rig.at, grants: { writable: [gate] } });
  const name = await run.scope;
  await until(
    async () => (await run.steps()).some(({ n, kind }) => kind === "tool" && n === 42),
    () => "the last call has not begun",
  );
  await on(async (store) => {
    let reads = 0;
    const counting: EmbeddedStore = {
      ...store,
      objects: new Proxy(store.objects, {
        get: (objects, key) => {
          const value = Reflect.get(objects, key) as unknown;
          if (key === "get") reads++;
          return typeof value === "function" ? value.bind(objects) : value;
        },
      }),
    };
    const first = await look(counting, name, undefined, 0);
    const cold = reads;
    reads = 0;
    const again = await look(counting, name, first.seen, 0);
    expect(again.snapshot).toEqual(first.snapshot);
    expect(cold).toBeGreaterThan(40);
    expect(reads).toBeLessThan(cold / 4);
    writeFileSync(file, "");
    await run.result;
    const fresh = await look(store, name, undefined, 0);
    expect((await look(counting, name, again.seen, 0)).snapshot).toEqual(fresh.snapshot);
    expect(fresh.snapshot).toMatchObject({ state: "done", errors: 0 });
  });
});
