/** What is taken back at a revert or a discard, and what becomes of one that cannot be. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { type LibraryRig, libraryRig } from "../../test/support/library-rig.ts";
import { z } from "../../test/support/z.ts";
import { agent, effect, Failed } from "../index.ts";

let rig: LibraryRig;
let acts: string[];
let closed: string | null;
beforeEach(() => {
  rig = libraryRig();
  acts = [];
  closed = null;
});
afterEach(() => rig.end());

const pay = effect({
  tier: "compensable",
  input: z.string(),
  output: z.string(),
  run: (to) => {
    acts.push(`pay ${to}`);
    return to;
  },
  undo: ({ input }) => {
    if (input === closed) throw new Error("the bank is closed");
    acts.push(`undo ${input}`);
  },
});
const grants = { allow: ["pay"] };
const kinds = (steps: ReadonlyArray<{ kind: string; status: string }>): string[] =>
  steps.map(({ kind, status }) => `${kind} ${status}`);

test("a run at work whose revert cannot be brought to its end stops, and goes on with the revert when it is resumed", async () => {
  let arrive = (): void => {};
  const arrived = new Promise<void>((resolve) => {
    arrive = resolve;
  });
  let first = true;
  const shop = agent("shop", {
    effects: { pay },
    body: async (_input: unknown, ctx) => {
      for (const to of ["a", "b", "c"]) await ctx.do.pay(to);
      arrive();
      if (first) await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
      return ctx.do.pay("d");
    },
  });
  const run = shop.start(undefined, { ...rig.at, name: "shop", grants });
  await arrived;
  closed = "a";
  const failed = await run.revert(0).catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(Failed);
  expect((failed as Failed).message).toBe("The undo of step 1 (shop: pay) failed: the bank is closed");
  expect((failed as Failed).hint).toContain("goes on with it");
  await expect(run.result).rejects.toThrow("shop was stopped");
  const paid = ["pay a", "pay b", "pay c"];
  expect(acts).toEqual([...paid, "undo c", "undo b"]);
  expect(kinds(await run.steps()).slice(-1)).toEqual(["revert intent"]);
  // It stays so until the bank opens.
  await expect(shop.resume("shop", { store: rig.at.store }).result).rejects.toThrow("the bank is closed");
  closed = null;
  first = false;
  expect(await shop.resume("shop", { store: rig.at.store }).result).toBe("d");
  expect(acts).toEqual([...paid, "undo c", "undo b", "undo a", ...paid, "pay d"]);
});

test("who does not know how to take all of it back takes back nothing", async () => {
  const order = agent("order", { input: z.string(), effects: { pay }, body: (to, ctx) => ctx.do.pay(to) });
  const whole = agent("whole", {
    effects: { pay },
    body: async (_input: unknown, ctx) => [await ctx.call(order, "a"), await ctx.do.pay("b")],
  });
  const run = whole.start(undefined, { ...rig.at, grants });
  await run.result;
  // As in a program that has defined another agent of that name.
  agent("order", { body: () => null });
  const words = "The undo of step 1 (order: pay) is not known to this program: define that agent in it.";
  await expect(run.revert(0)).rejects.toThrow(words);
  await expect(run.discard()).rejects.toThrow(words);
  expect(acts).toEqual(["pay a", "pay b"]);
  expect(kinds(await run.steps())).not.toContain("revert intent");
  agent("order", { input: z.string(), effects: { pay }, body: (to, ctx) => ctx.do.pay(to) });
  await run.discard();
  expect(acts).toEqual(["pay a", "pay b", "undo b", "undo a"]);
});

test("what a gate has changed is taken back as it was done", async () => {
  const order = agent("order", {
    input: z.string(),
    effects: { pay },
    body: async (to, ctx) => [await ctx.do.pay(to), await ctx.do.pay("c")],
  });
  const run = order.start("a", { ...rig.at, grants });
  run.gate(({ input }) => (input === "a" ? { rewrite: "b" } : "allow"));
  await run.result;
  await run.revert(0);
  expect(acts).toEqual(["pay b", "pay c", "undo c", "undo b"]);
});

test("what an agent did that was called and failed is taken back with what called it", async () => {
  const order = agent("order", {
    input: z.string(),
    effects: { pay },
    body: async (to, ctx) => {
      await ctx.do.pay(to);
      throw new Error("It is sold out.");
    },
  });
  const chain = agent("chain", {
    effects: { pay },
    body: async (_input: unknown, ctx) => {
      await ctx.do.pay("a");
      await ctx.call(order, "b");
    },
  });
  const whole = agent("whole", {
    effects: { pay },
    body: async (_input: unknown, ctx) => {
      await ctx.do.pay("c");
      await ctx.call(chain, undefined).catch(() => {});
      return ctx.do.pay("d");
    },
  });
  const run = whole.start(undefined, { ...rig.at, grants });
  await run.result;
  const paid = ["pay c", "pay a", "pay b", "pay d"];
  expect(acts).toEqual(paid);
  // Of what lies before, nothing is taken back.
  expect((await run.revert(1)).outside.map(({ compensated }) => compensated)).toEqual([true, true, true]);
  expect(acts).toEqual([...paid, "undo d", "undo b", "undo a"]);
  // Who was called answers for it, too; once is enough.
  const child = (await run.steps()).flatMap((step) => ("child" in step && step.child ? [step.child] : []));
  for (const name of child) await chain.run(name, { store: rig.at.store }).discard();
  await run.discard();
  expect(acts).toEqual([...paid, "undo d", "undo b", "undo a", "undo c"]);
});
