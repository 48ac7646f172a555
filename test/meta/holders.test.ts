/** Bodies of code that hold runs: each thing that they do is a step of theirs, done once, however often the body is run. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { agent, Conflict, Invalid, inputs, open, runOf, worker } from "../../src/index.ts";
import { useCommand } from "../../src/run/child.ts";
import { built } from "../support/built.ts";
import { type LibraryRig, libraryRig } from "../support/library-rig.ts";

beforeAll(async () => useCommand(await built()), 300_000);
let rig: LibraryRig;
beforeEach(() => {
  rig = libraryRig({ "a.txt": "a\n" });
});
afterEach(() => rig.end());

const bash = (command: string) => ({ calls: [{ tool: "bash", input: { command } }] });
const work = agent("work", {
  model: async ({ messages }) => {
    const said = messages.filter(({ role }) => role === "user").length;
    const turn = messages.filter(({ role }) => role === "assistant").length;
    if (turn === 0) return bash("echo b > b.txt");
    return said > 1 ? "Told." : "Done.";
  },
  instruction: "Work.",
});

test("all that it does by its rights is done once, and stands in its own log", async () => {
  const run = work.start(undefined, rig.at);
  await run.result;
  let stops = true;
  const boss = agent("boss", {
    input: inputs({
      run: runOf(work, "observe", "fork", "handoff", "resume", "sync", "replay", "revert", "spawn", "inject"),
    }),
    body: async ({ run }, ctx) => {
      const three = run.forks(3, { at: 2, instruction: "Go on.", why: "three ways" });
      const results = await Promise.all(three.map((fork) => fork.result));
      const before = run.fork({ at: 2, intent: true });
      results.push(await before.result);
      const { wrong } = await run.replay();
      writeFileSync(join(rig.at.in, "user.txt"), "u\n");
      const synced = await run.sync({ why: "it is newer" });
      const handed = await run.handoff({ guidance: "Anew.", expect: synced.n! });
      const stale = await run.revert(1, { expect: 2 }).catch((error) => (error as Error).name);
      await run.inject("And this.");
      const again = await run.resume().result;
      const spawned = await run.spawn(worker("command"), { argv: ["cat", "b.txt", "user.txt"] }, { at: synced.n! })
        .result;
      // The first time it is stopped here, and run again from its beginning.
      await ctx.bash("true");
      if (stops) {
        stops = false;
        throw new Error("stopped");
      }
      return { results, wrong, handed: handed.n, stale, again, spawned };
    },
  });
  const first = boss.start({ run }, rig.at);
  await expect(first.result).rejects.toThrow("stopped");
  const name = await first.scope;
  const made = async (): Promise<string[]> => {
    await using store = await open(rig.at.store);
    const all = await store.runs();
    return await Promise.all(all.map(async ({ name }) => `${name} ${(await store.steps(name)).length}`));
  };
  const before = (await made()).filter((each) => !each.startsWith("boss "));
  const again = boss.resume(name, { store: rig.at.store });
  expect(await again.result).toEqual({
    results: ["Told.", "Told.", "Told.", "Done."],
    wrong: [],
    handed: 5,
    stale: "Conflict",
    again: "Told.",
    spawned: "b\nu\n",
  });
  expect(before).toHaveLength(6);
  expect((await made()).filter((each) => !each.startsWith("boss "))).toEqual(before);
  const did = (await again.steps()).flatMap((step) => ("name" in step ? [`${step.name} ${step.status}`] : []));
  expect(did.filter((each) => each.startsWith("run."))).toEqual([
    "run.fork done",
    "run.fork done",
    "run.replay done",
    "run.sync done",
    "run.handoff done",
    "run.revert failed",
    "run.inject done",
    "run.resume done",
    "run.spawn done",
  ]);
});

test("a handle has no method of a right that it was not given, and gives none that it has not", async () => {
  const run = work.start(undefined, rig.at);
  await run.result;
  const seen: string[][] = [];
  const inner = agent("inner", {
    input: inputs({ run: runOf(work, "observe") }),
    body: async ({ run }) => {
      seen.push(Object.getOwnPropertyNames(run));
    },
  });
  const outer = agent("outer", {
    input: inputs({ run: runOf(work, "observe", "replay") }),
    body: async ({ run }, ctx) => {
      seen.push(Object.getOwnPropertyNames(run));
      await ctx.call(inner, { run });
      await ctx.call(agent("greedy", { input: inputs({ run: runOf(work, "land") }), body: async () => 1 }), {
        run: run as never,
      });
    },
  });
  await expect(outer.start({ run }, rig.at).result).rejects.toThrow("lacks the right to land");
  const known = ["agent", "scope", "toJSON", "observe", "live", "steps", "result", "head"];
  expect(seen.map((names) => names.sort())).toEqual([[...known, "replay"].sort(), [...known].sort()]);
});

test("what cannot be done is refused in a sentence, and changes nothing", async () => {
  const run = work.start(undefined, rig.at);
  await run.result;
  const steps = (await run.steps()).length;
  await expect(run.pause()).rejects.toThrow(Conflict);
  await expect(
    run.handoff({ guidance: "x", from: { agent: "x", scope: Promise.resolve("x") } as never }),
  ).rejects.toThrow(Invalid);
  await expect(run.handoff({ guidance: "x", expect: 0 })).rejects.toThrow("stands at step 3, and not at step 0");
  await expect(run.sync({ expect: "0".repeat(64) })).rejects.toThrow(Conflict);
  await expect(run.forks(2, { expect: 1 })[0]!.scope).rejects.toThrow(Conflict);
  await expect(run.merge({ expect: 1 })).rejects.toThrow(Conflict);
  await expect(run.discard({ expect: 1 })).rejects.toThrow(Conflict);
  await expect(run.inject("x", { expect: 1 })).rejects.toThrow(Conflict);
  expect((await run.steps()).length).toBe(steps);
});
