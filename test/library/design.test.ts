/** The program of the design, and variants of it, with functions as models: a meta-agent that manages an agent while it works. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { agent, Cancelled, Conflict, effect, inputs, type ModelFunction, open, runOf } from "../../src/index.ts";
import { type LibraryRig, libraryRig } from "../support/library-rig.ts";
import { z } from "../support/z.ts";

let rig: LibraryRig;
beforeEach(() => {
  rig = libraryRig({ "a.txt": "a\n" });
});
afterEach(() => rig.end());

const bash = (command: string) => ({ calls: [{ tool: "bash", input: { command } }] });
const calls = (tool: string, input: { [name: string]: string | number }) => ({ calls: [{ tool, input }] });
/** Something that can be waited for. */
const gate = () => {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
};

test("the boss finds that the worker has broken the tests, reverts it while it works, and what it does then lands", async () => {
  const broken = gate();
  const reverted = gate();
  let asks = 0;
  const worker: ModelFunction = async ({ messages }) => {
    const turn = messages.filter(({ role }) => role === "assistant").length;
    if (turn === 0) return bash("echo good > login.txt");
    if (turn === 1) return asks++ === 0 ? bash("echo bad | tee login.txt") : "Done.";
    // It would go on with what it broke, were it not for the boss.
    await reverted.opened;
    return "Never heard.";
  };
  const implement = agent("implement", {
    model: worker,
    input: z.object({ feature: z.string() }),
    instruction: ({ feature }) => `Implement ${feature} in the repo`,
  });
  const told: string[] = [];
  let asked = 0;
  const oversee = agent("oversee", {
    model: async ({ messages }) => {
      const last = messages.at(-1)!;
      told.push(last.content.map((each) => (each.type === "text" ? each.text : "")).join(""));
      asked++;
      if (asked === 1) {
        await broken.opened;
        return calls("observe", { from: 1, wait_ms: 1000 });
      }
      if (asked === 2) return calls("revert", { n: 2 });
      reverted.open();
      return "Reverted to where it was good.";
    },
    input: inputs({ run: runOf(implement, "observe", "revert", "fork") }),
    instruction: "Watch the worker. If its tests break, revert to an earlier state and retry.",
  });

  await using run = implement.start(
    { feature: "login" },
    { ...rig.at, signal: new AbortController().signal, budget: { usd: 2 } },
  );
  const boss = oversee.start({ run }, rig.at);
  for await (const step of run.observe({ filter: ({ kind }) => kind === "tool" })) if (step.n === 4) break;
  broken.open();
  expect(await boss.result).toBe("Reverted to where it was good.");
  expect(await run.result).toBe("Done.");
  expect(told[1]).toContain('4 tool done bash({"command":"echo bad | tee login.txt"})');
  expect((await run.steps()).map(({ n, kind, status }) => `${n} ${kind} ${status}`)).toEqual(
    expect.arrayContaining(["2 tool done", "4 tool done", "6 revert done"]),
  );
  await run.merge();
  expect(rig.read("login.txt")).toBe("good\n");
});

test("a run is observed, forked, told something, cancelled and disposed of; each ends as it says", async () => {
  const held = gate();
  const asked = gate();
  const work = agent("work", { instruction: "Work." });
  const run = work.start(undefined, {
    ...rig.at,
    model: async (request) => {
      const said = request.messages.flatMap((item) => (item.role === "user" ? item.content : []));
      if (said.length > 1) return `told: ${said.map((each) => (each.type === "text" ? each.text : "")).at(-1)}`;
      asked.open();
      await held.opened;
      return bash("echo b > b.txt");
    },
  });
  const live: string[] = [];
  const watching = (async () => {
    for await (const event of run.live()) live.push(event.type);
  })();
  await asked.opened;
  await run.inject("be quick");
  held.open();
  expect(await run.result).toBe("told: be quick");
  await watching;
  expect(live.sort()).toEqual(["block", "block", "call", "model", "model", "result"]);
  const fork = run.fork({ at: 1, instruction: "otherwise", model: async () => "forked" });
  expect(await fork.result).toBe("forked");
  expect(await fork.scope).toBe("work.1");
  let seen: unknown;
  {
    await using again = work.start(undefined, { ...rig.at, model: () => new Promise(() => {}) });
    await again.scope;
    seen = again.result.catch((error) => error);
  }
  expect(await seen).toBeInstanceOf(Cancelled);
  const stopped = work.start(undefined, { ...rig.at, model: () => new Promise(() => {}) });
  for await (const step of stopped.observe()) if (step.kind === "run") break;
  await stopped.cancel("not needed");
  await expect(stopped.result).rejects.toThrow("not needed");
  await run.discard();
  await using store = await open(rig.at.store);
  expect((await store.runs()).map(({ name, state }) => `${name} ${state}`)).toEqual([
    "work discarded",
    "work.1 done",
    "work-2 aborted",
    "work-3 aborted",
  ]);
});

test("rights that a holder does not have it cannot hand over, whatever the types were told", async () => {
  const work = agent("work", { instruction: "Work." });
  const run = work.start(undefined, { ...rig.at, model: async () => "done" });
  const got: string[] = [];
  const low = agent("low", {
    input: inputs({ run: runOf(work, "observe") }),
    body: async ({ run }, ctx) => {
      got.push(...Object.keys(run).sort());
      const high = agent("high", { input: inputs({ run: runOf(work, "revert") }), body: async () => "reverts" });
      return ctx.call(high, { run: run as never }).catch((error: Error) => `${error.name}: ${error.message}`);
    },
  });
  expect(await low.start({ run }, rig.at).result).toBe(
    "Invalid: The input of high does not fit: run: lacks the right to revert.",
  );
  expect(got).toEqual(["agent", "live", "observe", "result", "scope", "steps", "toJSON"]);
});

test("a body that asks for something else than its log has is stopped, with both named", async () => {
  let name = "one";
  const drifts = agent("drifts", {
    effects: { look: effect({ tier: "repeatable", input: z.string(), output: z.string(), run: (x) => x }) },
    body: async (_, ctx) => {
      await ctx.now();
      return name === "none" ? "nothing" : ctx.do.look(name);
    },
  });
  const run = drifts.start(undefined, rig.at);
  expect(await run.result).toBe("one");
  expect(await drifts.resume("drifts", { store: rig.at.store }).result).toBe("one");
  name = "two";
  const error: Conflict = await drifts.resume("drifts", { store: rig.at.store }).result.then(
    () => null,
    (each) => each,
  );
  expect(error).toBeInstanceOf(Conflict);
  expect([error.run, error.step, error.message]).toEqual([
    "drifts",
    2,
    'The body of drifts asks for look("two"), where its log has look("one") as step 2 of drifts.',
  ]);
  name = "none";
  await expect(drifts.resume("drifts", { store: rig.at.store }).result).rejects.toThrow(
    'The body of drifts asks for nothing more (return), where its log has look("one") as step 2 of drifts.',
  );
  // Back to before it asked, it may ask for another.
  await run.revert(1);
  name = "two";
  expect(await drifts.resume("drifts", { store: rig.at.store }).result).toBe("two");
});

test("what a fork goes on from is what its prefix has: a body does the rest anew", async () => {
  const did: string[] = [];
  const look = effect({ tier: "repeatable", input: z.string(), output: z.number(), run: (x) => did.push(x) });
  const walk = agent("walk", {
    effects: { look },
    body: async (_, ctx) => [await ctx.do.look("a"), await ctx.do.look("b"), await ctx.random()],
  });
  const run = walk.start(undefined, rig.at);
  const first = await run.result;
  const fork = run.fork({ at: 1 });
  const second = await fork.result;
  expect(did).toEqual(["a", "b", "b"]);
  expect([second[0], second[1]]).toEqual([first[0], 3]);
  expect(second[2]).not.toBe(first[2]);
});

test("agents that change the same place conflict, and the body may go on", async () => {
  const write = agent("write", {
    input: z.string(),
    body: async (text, ctx) => (await ctx.bash(`echo ${text} > a.txt`)).code,
  });
  const both = agent("both", {
    body: async (_, ctx) => {
      const done = await Promise.allSettled([ctx.call(write, "x"), ctx.call(write, "y")]);
      return done.map((each) => (each.status === "fulfilled" ? "done" : (each.reason as Error).name)).sort();
    },
  });
  const run = both.start(undefined, { ...rig.at, land: "auto" });
  expect(await run.result).toEqual(["Conflict", "done"]);
  expect(rig.read("a.txt")).toMatch(/^[xy]\n$/);
});
