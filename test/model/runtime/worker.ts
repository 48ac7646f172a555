/** The worker: what the model says of its calls and messages, as effects and outcomes of the runtime. */
import type { Performed } from "../../../src/scope/effect.ts";
import { type LiveScope, record } from "../../../src/scope/scope.ts";
import { putBytes } from "../../../src/scope/thread.ts";
import { encodeJson } from "../../../src/trace/bytes.ts";
import type { Link } from "../../../src/trace/ports.ts";
import { blocksOf, containerOf, current, isCall, isContainer, pending, traceOf } from "../query.ts";
import type { Step, Trace } from "../seal.ts";
import type { Call as Asked, Item, Output, System } from "../types.ts";
import { type Call, comes, type Wanted } from "./calls.ts";
import { blockOf, itemOf, outputOf } from "./contents.ts";
import type { Driven } from "./real.ts";
import { must, Unlike } from "./reply.ts";

export const putValue = (live: LiveScope, value: unknown): Promise<Link> => putBytes(live.store, encodeJson(value));
export const said = async (
  live: LiveScope,
  thread: string,
  items: readonly Item[],
): Promise<NonNullable<Performed["threads"]>> => {
  const append: Link[] = [];
  for (const item of items) append.push(await putValue(live, itemOf(item)));
  return { [thread]: { append } };
};

/** How a call ends: its output, and its answer in the thread if a message asked for it. */
export async function result(
  live: LiveScope,
  s: Step,
  status: Performed["status"],
  output: Output,
): Promise<Performed> {
  const { thread, of } = s.intent.facts;
  return {
    status,
    result: await putBytes(live.store, outputOf(output)),
    ...(thread !== undefined &&
      of !== undefined && { threads: await said(live, thread, [{ role: "result", of, status, output }]) }),
  };
}

/** How a message ends; null stands for one that said nothing. */
export async function message(
  live: LiveScope,
  s: Step,
  status: "done" | "cut" | "failed" | "aborted",
): Promise<Performed> {
  const blocks = blocksOf(s);
  if (status !== "done" && blocks.length === 0) return { status: status === "cut" ? "failed" : status };
  const thread = s.intent.facts.thread as string;
  return {
    status: status === "done" ? "done" : "cut",
    threads: await said(live, thread, [{ role: "assistant", blocks }]),
  };
}

export const links = (turn: number | undefined, inside: number | undefined) => ({
  ...(turn !== undefined && { turn }),
  ...(inside !== undefined && { inside }),
});

/** The effect of a call; without `of`, one that the container's own code makes. */
export async function callEffect(
  live: LiveScope,
  asked: Asked,
  place: { thread?: string; of?: number; turn?: number; inside?: number },
): Promise<Wanted> {
  const { thread, of, turn, inside } = place;
  const block = blockOf({ call: asked }, of ?? 0);
  const container = asked.mode === "container";
  return {
    intent: {
      kind: "tool",
      tier: asked.tier,
      ...(thread !== undefined && { thread }),
      // A call without an object of its own is known by its facts.
      ...(of === undefined ? { asks: `${asked.tool} ${asked.mode}` } : { what: await putValue(live, block) }),
      ...(container && { container: true }),
    },
    name: asked.tool,
    lock: asked.mode === "container" ? "none" : asked.mode,
    ...links(turn, inside),
    refuse: async () => ({
      status: "denied",
      result: await putBytes(live.store, outputOf("denied")),
      ...(thread !== undefined &&
        of !== undefined && {
          threads: await said(live, thread, [{ role: "result", of, status: "denied", output: "denied" }]),
        }),
    }),
  };
}
export const effectOf = (live: LiveScope, s: Step): Promise<Wanted> => {
  const { thread, of, call } = s.intent.facts;
  const { turn, inside } = s.intent.links;
  return callEffect(live, call as Asked, {
    ...(thread !== undefined && { thread }),
    ...(of !== undefined && { of }),
    ...links(turn, inside),
  });
};

export const modelEffect = async (live: LiveScope, thread: string, inside: number | undefined): Promise<Wanted> => ({
  intent: {
    kind: "model",
    tier: "repeatable",
    thread,
    what: await putValue(live, live.head().state?.threads[thread]?.items ?? null),
  },
  name: "model",
  lock: "none",
  ...links(undefined, inside),
  refuse: async () => ({ status: "denied" }),
});

/** Begins a call of the thread's newest message. */
export async function beginCall(driven: Driven, t: Trace, thread: string, of: number): Promise<Call> {
  const { live, calls } = driven;
  const { turn, calls: asked } = current(t, thread);
  const inside = containerOf(t, thread) ?? undefined;
  const effect = await callEffect(live, must(asked[of], "no such call"), { thread, of, ...links(turn, inside) });
  return calls.start(live, effect);
}

export const callOf = (driven: Driven, n: number): Call => must(driven.calls.all.get(n), `step ${n} has not begun`);

export async function runs(call: Call): Promise<void> {
  if (!(await comes(call.runs))) throw new Unlike(`step ${call.n} does not come to run`);
}

/** Ends a step that did not come to run. */
export async function without(driven: Driven, s: Step, status: "denied" | "not-run" | "aborted", output: Output) {
  await driven.calls.all.get(s.n)?.stop();
  driven.asked.delete(s.n);
  driven.behind.delete(s.n);
  const { live } = driven;
  const { result: what, threads } = await result(live, s, status, output);
  await live.writer.outcome(s.n, {
    status,
    ...(what && { result: what }),
    ...(threads && { threads }),
    ...(status === "denied" && { by: "gate" }),
  });
}

/** The worker is stopped: what is pending ends, what is inside before what is around it. */
export async function stop(driven: Driven, sys: System): Promise<void> {
  const { live, name, calls } = driven;
  const t = traceOf(sys, name);
  const all = pending(t);
  const holders = sys.scopes[name]?.live?.holders ?? [];
  // At one blow, so that none of those that wait gets the lock from one that is stopped before it.
  const waiting = all.filter((s) => isCall(s) && !isContainer(s) && !holders.includes(s.n));
  await Promise.all(waiting.map((s) => calls.all.get(s.n)?.stop()));
  for (const s of [...all.filter((s) => !isContainer(s)), ...all.filter(isContainer).toReversed()]) {
    const call = driven.calls.all.get(s.n);
    if (!isCall(s)) await callOf(driven, s.n).end(await message(live, s, "aborted"));
    else if (call && (isContainer(s) || holders.includes(s.n)))
      await call.end(await withTier(call, await result(live, s, "aborted", "aborted")));
    else await without(driven, s, "aborted", "aborted");
  }
  driven.asked.clear();
  driven.behind.clear();
}

export const withTier = async (call: Call, performed: Performed): Promise<Performed> =>
  call.tier ? { ...performed, tier: call.tier } : performed;

/** Each open call of a thread is a step that was not run. */
export async function dropOpen(driven: Driven, t: Trace, thread: string): Promise<void> {
  const { live } = driven;
  const { turn, calls, open } = current(t, thread);
  const inside = containerOf(t, thread) ?? undefined;
  for (const of of open) {
    const asked = calls[of]!;
    const { intent, lock } = await callEffect(live, asked, { thread, of });
    const facts = { ...intent, ...(lock === "shared" && { shared: true }) };
    const n = await live.writer.intent(facts, { links: links(turn, inside) });
    await live.writer.outcome(n, {
      status: "not-run",
      result: await putBytes(live.store, outputOf("reverted")),
      threads: await said(live, thread, [{ role: "result", of, status: "not-run", output: "reverted" }]),
    });
  }
}

export async function say({ live }: Driven, kind: "message" | "inject", text: number): Promise<number> {
  const threads = await said(live, "main", [{ role: "user", text }]);
  const what = threads.main!.append![0]!;
  return (await record(live, { kind, tier: "reversible", thread: "main", what }, { status: "done", threads })).n;
}
