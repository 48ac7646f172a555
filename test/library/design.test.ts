/** The program of the design, and variants of it, with functions as models: a meta-agent that manages an agent while it works. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { agent, Cancelled, Conflict, effect, inputs, type ModelFunction, open, runOf } from "../../src/index.ts";
import { random } from "../support/crash.ts";
import { type LibraryRig, libraryRig } from "../support/library-rig.ts";
import { runs, seed } from "../support/runs.ts";
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
  const more = [1, 0, 2, 1].map((at) => run.fork({ at }));
  expect(await Promise.all(more.map(({ scope }) => scope))).toEqual(["walk.2", "walk.3", "walk.4", "walk.5"]);
  await Promise.all(more.map(({ result }) => result));
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

test("what a body does with runs that it was given is done once, however often the body is run", async () => {
  const asked: string[] = [];
  const work = agent("work", { instruction: "Work.", model: async () => `answer ${asked.push("")}` });
  const guard = agent("guard", {
    input: inputs({ run: runOf(work, "observe", "revert", "fork", "inject") }),
    body: async ({ run }, ctx) => {
      for await (const step of run.observe()) if (step.kind === "model") break;
      const { n } = await run.revert(0);
      const best = await Promise.all(["a", "b"].map((instruction) => run.fork({ at: n, instruction }).result));
      return { n, best: best.length, head: (await run.head)?.n, at: typeof (await ctx.now()) };
    },
  });
  const run = work.start(undefined, rig.at);
  await run.result;
  const boss = guard.start({ run }, rig.at);
  const first = await boss.result;
  expect(first).toEqual({ n: 2, best: 2, head: 2, at: "number" });
  expect((await boss.steps()).map((step) => ("name" in step ? step.name : step.kind)).sort()).toEqual([
    "now",
    "return",
    "run",
    "run.fork",
    "run.fork",
    "run.head",
    "run.revert",
  ]);
  expect(asked).toHaveLength(3);
  expect(await guard.resume("guard", { store: rig.at.store }).result).toEqual(first);
  expect(asked).toHaveLength(3);
  expect((await run.steps()).filter(({ kind }) => kind === "revert")).toHaveLength(1);
});

test("a run that is driven elsewhere is observed, gated, told something and cancelled by its name", async () => {
  const sends = effect({ tier: "irreversible", input: z.string(), output: z.string(), run: (to) => `sent to ${to}` });
  const go = gate();
  const mail = agent("mail", {
    effects: { sends },
    body: async (_, ctx) => {
      await ctx.now();
      await go.opened;
      // Nobody waits for it when the run is stopped.
      void ctx.sleep(900_000);
      const sent = await ctx.do.sends("you");
      await ctx.sleep(600_000);
      return sent;
    },
  });
  const run = mail.start(undefined, rig.at);
  for await (const step of run.observe()) if (step.kind === "effect") break;
  const same = mail.run(await run.scope, { store: rig.at.store });
  const { attached } = same.gate(({ name, input }) => (name === "sends" && input === "you" ? "allow" : { deny: "no" }));
  await attached;
  await expect(same.inject("x")).rejects.toThrow("told nothing");
  const steps: string[] = [];
  const watching = (async () => {
    for await (const step of same.observe({ from: 1 })) if ("name" in step) steps.push(`${step.name} ${step.status}`);
  })();
  go.open();
  for await (const step of run.observe({ from: 2 })) if (step.status === "done") break;
  await same.cancel("enough");
  await expect(run.result).rejects.toThrow(Cancelled);
  await expect(same.result).rejects.toThrow("enough");
  await watching;
  expect(steps.slice(0, 2)).toEqual(["now done", "sends done"]);
  // It goes on where it was: nothing is sent twice, and it sleeps on.
  const again = mail.resume("mail", { store: rig.at.store, budget: { ms: 200 } });
  await expect(again.result).rejects.toThrow("The time of 200 ms is over.");
  expect((await again.steps()).filter((step) => "name" in step && step.name === "sends")).toHaveLength(1);
});

test("what follows from the order in which outcomes came is the same when a body is run again", async () => {
  const dice = random(seed);
  const delays = Array.from({ length: 40 }, () => Math.floor(dice() * 4));
  const wait = effect({
    tier: "repeatable",
    input: z.string(),
    output: z.string(),
    run: async (name) => {
      await sleep(delays[name.length % delays.length]);
      return name;
    },
  });
  const race = agent("race", {
    effects: { wait },
    body: async (_, ctx) => {
      const order: string[] = [];
      const lane = async (name: string): Promise<void> => {
        for (let k = 0; k < 4; k++) {
          const [, at] = await Promise.all([ctx.do.wait(`${name}${order.join("")}`), k % 2 ? ctx.random() : ctx.now()]);
          order.push(name, String(at % 7).slice(-1));
        }
      };
      await Promise.all(["a", "b", "c", "d", "e"].map(lane));
      return order.join("");
    },
  });
  const run = race.start(undefined, rig.at);
  const first = await run.result;
  const store = rig.at.store;
  for (let k = 0; k < runs(20, 2); k++) expect(await race.resume("race", { store }).result).toBe(first);
  const steps = await run.steps();
  for (let k = 0; k < runs(20, 2); k++) {
    const fork = run.fork({ at: steps[Math.floor(dice() * steps.length)]!.n });
    const other = await fork.result;
    expect(await race.resume(await fork.scope, { store }).result).toBe(other);
  }
});
