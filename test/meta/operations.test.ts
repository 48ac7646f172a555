/** The table of operations, on runs of each kind: at work here, at work in another process, and at rest. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Right } from "../../src/agent/run.ts";
import { withStore } from "../../src/agent/stores.ts";
import { agent, Conflict, Invalid, inputs, runOf, worker } from "../../src/index.ts";
import { OPERATIONS } from "../../src/meta/operation.ts";
import { useCommand } from "../../src/run/child.ts";
import { findScope } from "../../src/scope/registry.ts";
import { getBytes } from "../../src/scope/thread.ts";
import type { Frame } from "../../src/trace/frame.ts";
import type { Json, Link } from "../../src/trace/ports.ts";
import { built } from "../support/built.ts";
import { type LibraryRig, libraryRig } from "../support/library-rig.ts";
import { runs } from "../support/runs.ts";
import { until } from "../support/user.ts";

beforeAll(async () => useCommand(await built()), 300_000);
let rig: LibraryRig;
beforeEach(() => {
  rig = libraryRig({ "a.txt": "a\n" });
  mkdirSync(gate());
});
afterEach(() => rig.end());

const gate = (): string => join(rig.directory, "gate");
const go = (name: string): void => writeFileSync(join(gate(), name), "");
/** A call that a worker waits in, until it may. */
const wait = (name: string): string =>
  `touch ${gate()}/${name}.begun; until [ -e ${gate()}/${name} ]; do sleep 0.02; done; echo ${name} > ${name}.txt`;
const at = () => ({ ...rig.at, grants: { writable: [gate()] } });

interface Started {
  scope: Promise<string>;
  result: Promise<unknown>;
}

/** A worker whose first call waits. */
interface Kind {
  start(): Started;
  /** What it refuses, and with which words. */
  refuses: { [operation: string]: RegExp };
}

/** Two calls, then a word. */
const model = async ({ messages }: { messages: ReadonlyArray<{ role: string }> }) => {
  const turn = messages.filter(({ role }) => role === "assistant").length;
  const name = ["one", "two"][turn];
  return name === undefined ? "Done." : { calls: [{ tool: "bash", input: { command: wait(name) } }] };
};
const built_in = agent("builtin", { model, instruction: "Work." });
const over = agent("over", {
  model,
  input: inputs({ run: runOf(worker("any"), "observe") }),
  tools: ["bash"],
  instruction: "Watch it, and work yourself.",
});
const body = agent("body", {
  body: async (_: undefined, ctx) => [(await ctx.bash(wait("one"))).code, (await ctx.bash(wait("two"))).code],
});

const KINDS: { [kind: string]: Kind } = {
  "the built-in agent, here": { start: () => built_in.start(undefined, at()), refuses: {} },
  "another meta-agent, here": {
    start: () => {
      const held = worker("command").start({ argv: ["true"] }, rig.at);
      return over.start({ run: held }, at());
    },
    refuses: {},
  },
  "a code body, here": {
    start: () => body.start(undefined, at()),
    refuses: { inject: /told nothing/, handoff: /no conversation/ },
  },
  "the built-in agent, in another process": {
    start: () => {
      const script = join(rig.directory, "script.jsonl");
      const calls = ["one", "two"].map((name) => ({ call: [{ tool: "bash", input: { command: wait(name) } }] }));
      const turns = [...calls, { say: "Done." }, { say: "Again." }];
      writeFileSync(script, turns.map((turn) => JSON.stringify(turn)).join("\n"));
      return worker("agent", { model: `script:${script}` }).start({ task: "Work." }, at());
    },
    refuses: {},
  },
  "a plain command, in another process": {
    start: () => worker("command").start({ argv: ["sh", "-c", `${wait("one")}; ${wait("two")}`] }, at()),
    refuses: { inject: /one step/, handoff: /no conversation/, pause: /one step/ },
  },
};

/** Does an operation as a supervisor would. */
async function act(name: string, run: string, input: { [name: string]: Json } = {}, expected?: number): Promise<Json> {
  const { right, act, tell } = OPERATIONS[name]!;
  return withStore(rig.at.store, async (store) => {
    const by = { who: "boss", right, why: `for ${name}` };
    const acting = {
      signal: new AbortController().signal,
      may: async () => true,
      ...(expected !== undefined && { expect: expected }),
    };
    const done = await act({ store, name: run }, input, by, acting);
    expect(tell(done)).toMatch(/\w/);
    return done;
  });
}

async function framesOf(run: string): Promise<Frame[]> {
  return withStore(rig.at.store, async (store) => {
    const frames: Frame[] = [];
    for await (const frame of store.logs.read((await findScope(store, run))!.log)) frames.push(frame);
    return frames;
  });
}

/** What stands in the log of a run by a right: the step or note, and why it was done. */
async function saidIn(run: string, right: Right): Promise<string[]> {
  const said: string[] = [];
  for (const { witness, facts, phase } of await framesOf(run)) {
    if (witness?.by !== "boss" || witness.right !== right) continue;
    const why = await withStore(rig.at.store, (store) => getBytes(store, witness.why as Link));
    said.push(`${phase === "note" ? String(facts.note).split(" ")[0] : facts.kind} ${why}`);
  }
  return said;
}

const begun = (name = "one"): Promise<void> =>
  until(
    () => existsSync(join(gate(), `${name}.begun`)),
    () => `${name} has not begun`,
  );
const head = async (run: string): Promise<number> => ((await act("snapshot", run)) as { head: number }).head;

describe.each(Object.entries(KINDS))("%s", (_name, { start, refuses }) => {
  /** Does it, or sees it refused. What is done stands in the log of the worker. */
  const does = async (name: string, run: string, input: { [name: string]: Json } = {}): Promise<Json> => {
    const { right, readOnly } = OPERATIONS[name]!;
    const before = (await framesOf(run)).length;
    if (refuses[name]) {
      const error = await act(name, run, input).catch((error) => error);
      expect([name, error]).toEqual([name, expect.any(Invalid)]);
      expect(error.message).toMatch(refuses[name]);
      expect(await saidIn(run, right)).toEqual([]);
      return null;
    }
    const done = await act(name, run, input);
    if (readOnly) expect(await saidIn(run, right)).toEqual([]);
    else expect((await saidIn(run, right)).length).toBeGreaterThan(0);
    expect((await framesOf(run)).length).toBeGreaterThanOrEqual(before);
    return done;
  };

  test("at work", async () => {
    const started = start();
    const run = await started.scope;
    const ended = started.result.catch((error) => error);
    await begun();
    expect(await act("snapshot", run)).toMatchObject({ run, state: "running" });
    const seen = (await does("observe", run)) as { lines: string[]; cursor: number };
    expect(seen.lines.at(-1)).toContain("intent");
    await does("replay", run);
    await does("inject", run, { text: "Be quick." });
    await does("pause", run);
    if (!refuses.pause) {
      expect(await act("snapshot", run)).toMatchObject({ state: "paused" });
      expect(await does("resume", run)).toMatchObject({ released: true });
    }
    writeFileSync(join(rig.at.in, "user.txt"), "u\n");
    // It comes between two calls.
    const synced = does("sync", run);
    await sleep(200);
    go("one");
    expect(await synced).toMatchObject({ status: "done" });
    await begun("two");
    await does("fork", run, { still: true, count: 2 });
    const spawned = (await does("spawn", run, { worker: "command", task: "cat user.txt" })) as { spawned: string };
    expect(await worker("command").run(spawned.spawned, { store: rig.at.store }).result).toBe("u\n");
    await does("handoff", run, { guidance: "Mind the gap." });
    const back = (await does("revert", run, { n: 0 })) as { n: number };
    expect(back.n).toBeGreaterThan(0);
    expect(await act("cancel", run, { reason: "enough" })).toMatchObject({ run });
    await ended;
    expect(["aborted", "failed", "done"]).toContain(((await act("snapshot", run)) as { state: string }).state);
    expect(await saidIn(run, "cancel")).toEqual(["cancelled for cancel"]);
    await does("discard", run);
    expect(await act("snapshot", run)).toMatchObject({ state: "discarded" });
  });

  test("at rest", async () => {
    for (const name of ["one", "two"]) go(name);
    const started = start();
    const run = await started.scope;
    await started.result;
    const before = (await framesOf(run)).length;
    const stands = await head(run);
    await does("observe", run);
    await does("replay", run);
    expect((await framesOf(run)).length).toBe(before);
    if (!refuses.pause) expect(await act("pause", run).catch((error) => error)).toBeInstanceOf(Conflict);
    expect(await act("cancel", run, { reason: "x" })).toMatchObject({ stood: true });
    const { runs: forks } = (await does("fork", run, { still: true, at: stands, count: 2 })) as { runs: string[] };
    expect(forks).toEqual([`${run}.1`, `${run}.2`]);
    writeFileSync(join(rig.at.in, "user.txt"), "u\n");
    const { n: synced } = (await does("sync", run)) as { n: number };
    await does("revert", run, { n: synced });
    await does("handoff", forks[0]!, { guidance: "Mind the gap." });
    await does("inject", run, { text: "Be quick." });
    await act("resume", run);
    await until(
      async () => ((await act("snapshot", run)) as { state: string }).state === "done",
      () => "it goes on for ever",
    );
    expect(await act("merge", forks[1]!)).toMatchObject({ into: run });
    const landed = (await act("land", run)) as { status: string; changes: Array<{ path: string }> };
    expect(landed.changes.map(({ path }) => path).sort()).toEqual(["one.txt", "two.txt"]);
    expect(rig.read("two.txt")).toBe("two\n");
    expect(rig.read("user.txt")).toBe("u\n");
    await does("discard", forks[0]!);
    await does("discard", run);
  });
});

test("of two supervisors that decided on the same step exactly one has its way, and the other is told", async () => {
  for (const name of ["one", "two"]) go(name);
  const started = built_in.start(undefined, at());
  const run = await started.scope;
  await started.result;
  for (let i = 0; i < runs(40, 8); i++) {
    const stands = await head(run);
    const ops: Array<[string, { [name: string]: Json }]> = [
      ["revert", { n: i % 3 }],
      i % 2 ? ["handoff", { guidance: `Try ${i}.` }] : ["revert", { n: (i + 1) % 3 }],
    ];
    const ended = await Promise.allSettled(ops.map(([name, input]) => act(name, run, input, stands)));
    const lost = ended.filter((each) => each.status === "rejected").map(({ reason }) => reason);
    expect([i, lost.length]).toEqual([i, 1]);
    expect(lost[0]).toBeInstanceOf(Conflict);
    expect(lost[0].message).toContain(`and not at step ${stands} any more: nothing was changed`);
    expect(await head(run)).toBe(stands + 1);
  }
});

test("nor do two both have it on a run that is at work in another process", async () => {
  const started = KINDS["the built-in agent, in another process"]!.start();
  const run = await started.scope;
  const ended = started.result.catch((error) => error);
  await begun();
  for (let i = 0; i < runs(10, 3); i++) {
    const stands = await head(run);
    const both = await Promise.allSettled([
      act("revert", run, { n: 0 }, stands),
      act("handoff", run, { guidance: `Try ${i}.` }, stands),
    ]);
    expect([i, ...both.map(({ status }) => status).sort()]).toEqual([i, "fulfilled", "rejected"]);
    const lost = both.find((each) => each.status === "rejected")!;
    expect((lost as PromiseRejectedResult).reason).toBeInstanceOf(Conflict);
    // The worker goes on from there: wait until its call is under way again.
    await until(
      async () =>
        ((await act("snapshot", run)) as { open: Array<{ name: string }> }).open.some(({ name }) => name === "bash"),
      () => "it does not go on",
    );
  }
  await act("cancel", run, { reason: "enough" });
  await ended;
});

test("a program behind the gateway, in another process: all but what it would have to be told", async () => {
  const name = "behind";
  const command = "until [ -e go.txt ]; do sleep 0.05; done; echo out > out.txt";
  const child = spawn(
    process.execPath,
    [await built(), "gateway", "--scope", name, "--network", "host", "--json", "--", "sh", "-c", command],
    { cwd: rig.at.in, env: { ...process.env, SHEPHERD_DIR: rig.at.store }, stdio: "ignore" },
  );
  const ended = once(child, "exit");
  await until(
    async () =>
      existsSync(rig.at.store) &&
      ((await act("snapshot", name).catch(() => null)) as { open?: unknown[] } | null)?.open?.length === 1,
    () => "it has not begun",
  );
  expect(await act("observe", name)).toMatchObject({ state: "running" });
  expect(await act("replay", name)).toMatchObject({ wrong: [] });
  for (const [operation, input] of [
    ["inject", { text: "x" }],
    ["handoff", { guidance: "x" }],
  ] as const) {
    const error = await act(operation, name, input).catch((error) => error);
    expect([operation, error]).toEqual([operation, expect.any(Invalid)]);
  }
  await act("pause", name);
  expect(await act("resume", name)).toMatchObject({ released: true });
  expect(await saidIn(name, "pause")).toEqual(["run for pause"]);
  expect(await act("fork", name, { still: true, at: 0 })).toMatchObject({ runs: [`${name}.1`] });
  writeFileSync(join(rig.at.in, "go.txt"), "");
  expect(await act("sync", name)).toMatchObject({ status: "done" });
  await ended;
  expect(await act("snapshot", name)).toMatchObject({ state: "done" });
  expect(((await act("land", name)) as { changes: unknown[] }).changes).toHaveLength(1);
  expect(rig.read("out.txt")).toBe("out\n");
  expect(await act("revert", name, { n: 0 })).toMatchObject({ to: 0 });
  await act("discard", name);
});
