/** Agents as functions: what they take and give, and what a run is as a value. */
import { existsSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type LibraryRig, libraryRig } from "../../test/support/library-rig.ts";
import { z } from "../../test/support/z.ts";
import {
  agent,
  BUILTIN,
  Denied,
  effect,
  Failed,
  Invalid,
  inputs,
  type ModelFunction,
  OverBudget,
  open,
  runOf,
  tool,
} from "../index.ts";

let rig: LibraryRig;
beforeEach(() => {
  rig = libraryRig();
});
afterEach(() => rig.end());

/** A model that does one thing after the other. */
const plays = (...turns: Array<ReturnType<ModelFunction>>): ModelFunction => {
  let at = 0;
  return async () => turns[Math.min(at++, turns.length - 1)]!;
};
const bash = (command: string) => ({ calls: [{ tool: "bash", input: { command } }] });

test("an agent with an instruction works on files of its own, and its result is its last message", async () => {
  const implement = agent("implement", {
    input: z.object({ feature: z.string() }),
    instruction: ({ feature }) => `Implement ${feature} in the repo`,
  });
  const asked: string[] = [];
  const play = plays(bash("echo done > login.txt"), "It is done.");
  await using run = implement.start(
    { feature: "login" },
    {
      ...rig.at,
      model: (request, signal) => {
        asked.push(JSON.stringify(request.messages[0]!.content));
        return play(request, signal);
      },
    },
  );
  expect("then" in run).toBe(false);
  expect(await run.result).toBe("It is done.");
  expect(asked[0]).toContain("Implement login in the repo");
  expect(await run.scope).toBe("implement");
  expect(existsSync(`${rig.at.in}/login.txt`)).toBe(false);
  expect((await run.steps()).map(({ n, kind }) => `${n} ${kind}`)).toEqual(["0 run", "1 model", "2 tool", "3 model"]);
  expect((await run.head)?.n).toBe(3);
  const merged = await run.merge();
  expect(merged).toMatchObject({ status: "done", changes: [{ path: "login.txt", kind: "added" }] });
  expect(rig.read("login.txt")).toBe("done\n");
});

test("an answer that does not fit goes back with the reason, and then counts", async () => {
  const count = agent("count", { instruction: "Count.", output: z.object({ files: z.number() }) });
  const run = count.start(undefined, {
    ...rig.at,
    model: plays("many", '{"files":"two"}', '```json\n{"files": 2}\n```'),
  });
  expect(await run.result).toEqual({ files: 2 });
  const told = (await run.steps()).filter(({ kind }) => kind === "message");
  expect(told.map((step) => ("text" in step ? step.text : ""))).toEqual([
    "Your answer does not have the form that is needed: it is no JSON. Answer again, with that and nothing else.",
    "Your answer does not have the form that is needed: files: must be a number. Answer again, with that and nothing else.",
  ]);
  const never = count.start(undefined, { ...rig.at, model: plays("no") });
  await expect(never.result).rejects.toThrow(Invalid);
});

test("a body performs effects as their tiers say, calls agents in scopes of their own, and returns what it likes", async () => {
  const acts: string[] = [];
  const note = agent("note", {
    input: z.string(),
    effects: { mark: effect({ tier: "repeatable", input: z.string(), output: z.number(), run: (x) => acts.push(x) }) },
    body: async (text, ctx) => {
      await ctx.bash(`echo ${text} >> notes.txt`);
      return ctx.do.mark(text);
    },
  });
  const pay = effect({
    tier: "compensable",
    input: z.object({ cents: z.number() }),
    output: z.string(),
    run: ({ cents }, { key }) => `${acts.push(`pay ${cents}`)}:${key.length}`,
    undo: ({ input, output }) => void acts.push(`unpay ${input.cents} ${output}`),
  });
  const order = agent("order", {
    input: z.length(),
    effects: { pay },
    body: async (cents, ctx) => {
      const [a, b] = await Promise.all([ctx.call(note, "one"), ctx.now()]);
      const c = await ctx.call(note, "two");
      const paid = await ctx.do.pay({ cents });
      const { output, code } = await ctx.bash("cat notes.txt; false");
      return { a, c, paid, output, code, now: typeof b, some: (await ctx.uuid()).length };
    },
  });
  const refused = order.start("12345", rig.at);
  await expect(refused.result).rejects.toThrow(Denied);
  acts.length = 0;
  const run = order.start("12345", { ...rig.at, grants: { allow: ["pay"] } });
  expect(await run.result).toEqual({
    a: 1,
    c: 2,
    paid: "3:64",
    output: "one\ntwo\n",
    code: 1,
    now: "number",
    some: 36,
  });
  const steps = await run.steps();
  expect(steps.map((step) => ("name" in step ? step.name : step.kind))).toEqual([
    "run",
    "note",
    "now",
    "merge",
    "note",
    "merge",
    "pay",
    "bash",
    "uuid",
    "return",
  ]);
  const paid = steps.find((step) => step.kind === "effect" && step.name === "pay");
  expect(paid).toMatchObject({ tier: "compensable", input: { cents: 5 }, output: "3:64", status: "done" });
  expect(await run.revert(0)).toMatchObject({ outside: [{ tier: "compensable", compensated: true }] });
  expect(acts).toEqual(["one", "two", "pay 5", "unpay 5 3:64"]);
});

test("a gate sees effects with their types, and may deny, rewrite and allow", async () => {
  const send = effect({ tier: "irreversible", input: z.string(), output: z.string(), run: (to) => `sent to ${to}` });
  const mail = agent("mail", {
    effects: { send },
    body: async (_, ctx) => {
      const denied = await ctx.do.send("them").catch((error) => error);
      return [denied instanceof Denied && denied.step, String(denied.message), await ctx.do.send("us")];
    },
  });
  const run = mail.start(undefined, rig.at);
  run.gate((asked) => (asked.name === "send" && asked.input === "them" ? { deny: "not them" } : { rewrite: "me" }));
  expect(await run.result).toEqual([1, "the user does not allow it: not them", "sent to me"]);
});

test("tools are those of the definition: names of built-in ones, and functions of the program, which need consent", async () => {
  const call = tool({
    name: "call",
    description: "Calls somebody.",
    input: { type: "object", properties: { who: { type: "string" } } },
    run: ({ who }) => `called ${who}`,
  });
  const reach = agent("reach", { instruction: "Reach them.", tools: [...BUILTIN.slice(0, 2), call] });
  const seen: string[] = [];
  const play = plays({ calls: [{ tool: "call", input: { who: "you" } }] }, "Done.");
  const model: ModelFunction = (request, signal) => {
    seen.push(request.tools.map(({ name }) => name).join());
    return play(request, signal);
  };
  const run = reach.start(undefined, { ...rig.at, model, grants: { allow: ["call"] } });
  expect(await run.result).toBe("Done.");
  expect(seen[0]).toBe("bash,read,call");
  expect((await run.steps())[2]).toMatchObject({ kind: "tool", name: "call", status: "done", text: "called you" });
  const odd = agent("odd", { instruction: "x", tools: ["sing" as "bash"] });
  await expect(odd.start(undefined, { ...rig.at, model }).result).rejects.toThrow("There is no tool sing");
});

test("what is wrong rejects the result: inputs, bodies, budgets", async () => {
  const cost = agent("cost", { instruction: "Go on." });
  const run = cost.start(undefined, {
    ...rig.at,
    budget: { usd: 0.25 },
    model: async () => ({ ...bash("true"), cost: 0.1 }),
  });
  await expect(run.result).rejects.toThrow(OverBudget);
  expect((await run.steps()).filter(({ kind }) => kind === "model")).toHaveLength(4);
  // What was spent counts, and with more it goes on.
  const more = { store: rig.at.store, model: async () => "enough" };
  await expect(cost.resume("cost", { ...more, budget: { usd: 0.28 } }).result).rejects.toThrow(OverBudget);
  expect(await cost.resume("cost", { ...more, budget: { usd: 0.4 } }).result).toBe("enough");
  const broken = agent("broken", {
    input: z.number(),
    body: () => {
      throw new RangeError("too far");
    },
  });
  await expect(broken.start("x" as never, rig.at).result).rejects.toThrow("must be a number");
  const failed = broken.start(1, rig.at);
  await expect(failed.result).rejects.toThrow(Failed);
  // As whoever has no part in it sees it.
  await expect(broken.run("broken", { store: rig.at.store }).result).rejects.toThrow("too far");
  await expect(broken.run("nobody", { store: rig.at.store }).result).rejects.toThrow(Invalid);
});

test("a meta-agent observes a run, reverts it and forks it by the rights that it was given, and no others", async () => {
  const implement = agent("implement", { instruction: "Implement it." });
  const oversee = agent("oversee", {
    input: inputs({ run: runOf(implement, "observe", "revert", "fork") }),
    instruction: "Watch the worker. If its tests break, revert to an earlier state and retry.",
  });
  const run = implement.start(undefined, { ...rig.at, model: plays(bash("echo bad > a.txt"), "Done.", "Again done.") });
  await run.result;
  const seen: string[] = [];
  const play = plays(
    { calls: [{ tool: "observe", input: {} }] },
    { calls: [{ tool: "revert", input: { n: 0 } }] },
    { calls: [{ tool: "fork", input: { at: 0, instruction: "Do it well." } }] },
    "It was reverted.",
  );
  const boss = oversee.start(
    { run },
    {
      ...rig.at,
      model: (request, signal) => {
        seen.push(request.tools.map(({ name }) => name).join());
        const last = request.messages.at(-1)!;
        if (last.role === "result")
          seen.push(last.content.map((block) => (block.type === "text" ? block.text : "")).join());
        return play(request, signal);
      },
    },
  );
  expect(await boss.result).toBe("It was reverted.");
  expect(seen[0]).toBe("snapshot,observe,fork,revert");
  expect(seen[2]).toMatch(
    /^implement is done, at step 3\. Look on with `from` 4\.\nWhat follows was written by another agent.*\n0 run done/,
  );
  expect(seen[2]).toContain('2 tool done bash({"command":"echo bad > a.txt"})');
  expect(seen[4]).toBe("It is back at step 0, as step 4.");
  expect(seen[6]).toBe("It goes on as implement.1.");
  await using store = await open(rig.at.store);
  expect((await store.runs()).map(({ name, agent, parent }) => [name, agent, parent])).toEqual([
    ["implement", "implement", null],
    ["oversee", "oversee", null],
    ["implement.1", "implement", "implement"],
  ]);
  expect(Buffer.from((await store.file("implement", "a.txt"))!).toString()).toBe("a\n");
  expect(Buffer.from((await store.file("implement", "a.txt", { at: 2 }))!).toString()).toBe("bad\n");
});
