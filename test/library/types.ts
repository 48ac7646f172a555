/** What the types of the library let pass and what not: compiled with the rest, each line below `@ts-expect-error` must be an error. */
import { agent, agentOf, type Context, effect, inputs, type Run, runOf, worker } from "../../src/index.ts";
import { z } from "../support/z.ts";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_is: Same<A, B>): void => {};

const implement = agent("implement", {
  model: "haiku",
  input: z.object({ feature: z.string() }),
  instruction: ({ feature }) => `Implement ${feature} in the repo`,
});
const oversee = agent("oversee", {
  model: "opus",
  input: inputs({ run: runOf(implement, "observe", "revert", "fork") }),
  instruction: "Watch the worker. If its tests break, revert to an earlier state and retry.",
});

export async function design(signal: AbortSignal): Promise<void> {
  await using run = implement.start({ feature: "login" }, { in: ".", signal, budget: { usd: 2 } });
  const boss = oversee.start({ run });
  await boss.result;
  await run.merge();
  same<Awaited<typeof run.result>, string>(true);
  // A third can manage boss.
  const third = agent("third", { input: inputs({ boss: runOf(oversee, "observe") }), instruction: "Watch them." });
  third.start({ boss });
  // @ts-expect-error a run is not thenable
  run.then;
  // @ts-expect-error the input is what its schema takes
  implement.start({ feature: 1 });
  // @ts-expect-error there must be one
  implement.start();
  // @ts-expect-error of another agent
  oversee.start({ run: agent("other", { output: z.number(), instruction: "x" }).start() });
  // @ts-expect-error there is no such right
  runOf(implement, "observe", "own");
  // @ts-expect-error an instruction or a body
  agent("neither", { model: "haiku" });
}

// Rights shrink, and do not grow again.
const needsRevert = agent("needs", { input: inputs({ run: runOf(implement, "revert") }), instruction: "x" });
const needsLess = agent("less", { input: inputs({ run: runOf(implement, "observe") }), instruction: "x" });
export const watches = agent("watches", {
  input: inputs({ run: runOf(implement, "observe", "fork") }),
  body: async ({ run }, ctx) => {
    for await (const step of run.observe({ from: 3, filter: ({ kind }) => kind === "model" })) step.n;
    await ctx.call(needsLess, { run });
    // @ts-expect-error it was not given the right to revert
    await run.revert(1);
    // @ts-expect-error nor can it give that
    await ctx.call(needsRevert, { run });
    const fork = run.fork({ at: 1 });
    const [first] = run.forks(3, { at: 1, intent: true, why: "three ways", expect: 4 });
    same<string | undefined, Awaited<NonNullable<typeof first>["result"]> | undefined>(true);
    // @ts-expect-error nor any other right
    run.handoff;
    // @ts-expect-error nor that
    run.land;
    // @ts-expect-error nor that
    run.spawn;
    return (await fork.result).length;
  },
});

const pay = effect({
  tier: "compensable",
  input: z.object({ cents: z.length() }),
  output: z.string(),
  run: ({ cents }, { key }) => {
    same<typeof cents, number>(true);
    return key;
  },
  undo: ({ input, output }) => {
    same<typeof input.cents, number>(true);
    same<typeof output, string | undefined>(true);
  },
});
// @ts-expect-error what can be compensated has an undo
effect({ tier: "compensable", input: z.string(), output: z.string(), run: (x) => x });
// @ts-expect-error and nothing else has one
effect({ tier: "irreversible", input: z.string(), output: z.string(), run: (x) => x, undo: () => {} });
// @ts-expect-error there are four tiers
effect({ tier: "harmless", input: z.string(), output: z.string(), run: (x) => x });
// @ts-expect-error what it gives is what the schema of its output takes
effect({ tier: "repeatable", input: z.string(), output: z.number(), run: (x) => x });

const order = agent("order", {
  input: z.length(),
  effects: { pay },
  body: async (cents, ctx) => {
    same<typeof cents, number>(true);
    const paid = await ctx.do.pay({ cents: "12" });
    same<typeof paid, string>(true);
    // @ts-expect-error the input of the effect
    await ctx.do.pay({ cents: 12 });
    // @ts-expect-error there is no such effect
    await ctx.do.refund({ cents: "12" });
    const told = await ctx.call(implement, { feature: "x" });
    same<typeof told, string>(true);
    // @ts-expect-error the input of the agent
    await ctx.call(implement, { what: "x" });
    return { paid, cents };
  },
});
same<Parameters<typeof order.start>[0], string>(true);
same<Awaited<ReturnType<typeof order.start>["result"]>, { paid: string; cents: number }>(true);

export async function seen(run: Run<unknown, { pay: typeof pay }>): Promise<void> {
  run.gate((asked) => {
    if (asked.name === "pay") {
      same<typeof asked.input, { cents: string }>(true);
      return { deny: "no" };
    }
    return "allow";
  });
  // @ts-expect-error a verdict is allow, deny or rewrite
  run.gate(() => "maybe");
  for await (const step of run.observe()) {
    if (step.kind !== "effect" || step.name !== "pay") continue;
    same<typeof step.input, { cents: string }>(true);
    same<typeof step.output, string | undefined>(true);
  }
}

const checked = agent("checked", { output: z.object({ n: z.length() }), body: async () => ({ n: "four" }) });
same<Awaited<ReturnType<typeof checked.start>["result"]>, { n: number }>(true);
// @ts-expect-error what it returns is what its output takes
agent("unchecked", { output: z.object({ n: z.length() }), body: async () => ({ n: 4 }) });

export class Shop {
  stock = 3;
  @agent({ input: z.length(), effects: { pay } })
  async order(cents: number, ctx: Context<{ pay: typeof pay }>): Promise<string> {
    return `${this.stock} ${await ctx.do.pay({ cents: "x".repeat(cents) })}`;
  }
  // @ts-expect-error the method takes what the schema makes
  @agent({ input: z.length() })
  async wrong(cents: string): Promise<string> {
    return cents;
  }
}
const shop = new Shop();
export const started: Run<string, { pay: typeof pay }> = agentOf(shop.order).start(3);

// Workers that no program defines are agents like others.
const claude = worker("claude", { model: "haiku" });
export const leads = agent("leads", {
  input: inputs({
    one: runOf(claude, "observe"),
    two: runOf(claude, "handoff", "pause", "resume", "sync", "replay", "land", "spawn"),
  }),
  body: async ({ one, two }, ctx) => {
    same<string, Awaited<typeof one.result>>(true);
    await two.pause({ why: "to look" });
    same<string, Awaited<ReturnType<typeof two.resume>["scope"]>>(true);
    await two.handoff({ guidance: "go on with theirs", from: one, at: 3, expect: 7 });
    same<number, Awaited<ReturnType<typeof two.replay>>["steps"]>(true);
    same<"done" | "nothing", Awaited<ReturnType<typeof two.sync>>["status"]>(true);
    await two.land({ take: "ours" });
    const spawned = two.spawn(worker("command"), { argv: ["true"] }, { at: 3 });
    same<string, Awaited<typeof spawned.result>>(true);
    // @ts-expect-error a handoff has something to say
    await two.handoff({});
    // @ts-expect-error a command has words
    two.spawn(worker("command"), { task: "true" });
    // @ts-expect-error it may only be observed
    await one.pause();
    return ctx.call(claude, { task: "go on" });
  },
});
// @ts-expect-error any is only for runs that exist
worker("any").start({ task: "x" });
// @ts-expect-error a task, and no words of a command
claude.start({ argv: ["true"] });
