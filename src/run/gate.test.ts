import { expect, test } from "vitest";
import type { Decision, EffectView } from "../scope/effect.ts";
import type { LiveScope } from "../scope/scope.ts";
import type { Json } from "../trace/ports.ts";
import { type GateEvent, type GateOptions, makeGates } from "./gate.ts";
import type { Answer } from "./question.ts";

interface Gate {
  events: GateEvent[];
  /** Answers the oldest question, once there is one. */
  say(answer: Answer): Promise<void>;
  /** Resolves once there is a question. */
  asked(): Promise<void>;
  leave(): void;
}

const NEVER = new AbortController().signal;

/** Gates of a scope without files; `notes`: what was noted of each call, and what waits. `broken`: a call of which nothing can be noted. */
function gates(broken?: number) {
  const notes: Json[] = [];
  const note = async (n: number | null, facts: { [key: string]: Json }) => {
    if (n === broken) throw new Error("the disk is full");
    notes.push(facts.note === "waiting" ? `waits ${facts.steps}` : `${n} ${facts.decision ?? facts.state}`);
  };
  const { handler, attach, answer } = makeGates({
    writer: { note, fold: { pending: () => [] } },
    grants: {},
    files: null,
  } as unknown as LiveScope);
  const open = async (options: Partial<GateOptions> = {}): Promise<Gate> => {
    const closed = new AbortController();
    const events: GateEvent[] = [];
    const questions: string[] = [];
    let wake = (): void => {};
    let ready = (): void => {};
    const attached = new Promise<void>((resolve) => {
      ready = resolve;
    });
    const hear = (event: GateEvent): void => {
      events.push(event);
      if (event.type === "attached") ready();
      if (event.type === "ask") questions.push(event.id);
      wake();
    };
    void attach({ allow: [], deny: [], asks: true, witness: { by: "anna" }, ...options }, hear, closed.signal);
    await attached;
    const asked = async (): Promise<void> => {
      while (questions.length === 0)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    };
    return {
      events,
      asked,
      say: async (word) => {
        await asked();
        answer(questions.shift()!, word);
      },
      leave: () => closed.abort(),
    };
  };
  const call = (input: Json, more: Partial<EffectView> = {}): Promise<Decision> =>
    Promise.resolve(
      handler.handle(
        { scope: "fix", n: 1, kind: "tool", tier: "reversible", name: "bash", input, readOnly: false, ...more },
        NEVER,
      ),
    );
  return { open, call, notes, handler, answer };
}

const make = { command: "make" };

test("without a gate, for what only reads and for model calls, others decide", async () => {
  const { open, call, notes } = gates();
  expect(await call(make)).toEqual({ kind: "forward" });
  await open();
  expect(await call({ path: "a" }, { name: "read", readOnly: true })).toEqual({ kind: "forward" });
  expect(await call({}, { kind: "model", tier: "repeatable", name: "model" })).toEqual({ kind: "forward" });
  expect(notes).toEqual(["null attached"]);
});

test("what is denied by a pattern counts before what is allowed, and for what only reads too", async () => {
  const { open, call } = gates();
  await open({ allow: ["*"], deny: ["bash(rm *)", "read(/etc/*)"], asks: false });
  const off = (pattern: string) => ({ kind: "deny", reason: `the user does not allow what fits ${pattern}` });
  expect(await call({ command: "make; rm x" })).toEqual(off("bash(rm *)"));
  expect(await call({ path: "/etc/hosts" }, { name: "read", readOnly: true })).toEqual(off("read(/etc/*)"));
  expect(await call(make)).toEqual({ kind: "forward" });
});

test("an effect that needs consent has it from a gate that lets it pass, also with another input, and is denied without an answer", async () => {
  const { open, call } = gates();
  const paid = { tier: "irreversible", kind: "effect", name: "pay", readOnly: true } as const;
  const anna = await open();
  const allowed = call({ usd: 1 }, paid);
  await anna.say({ kind: "allow" });
  expect(await allowed).toEqual({ kind: "allow" });
  const changed = call({ usd: 9 }, paid);
  await anna.say({ kind: "rewrite", input: { usd: 2 } });
  expect(await changed).toEqual({ kind: "rewrite", input: { usd: 2 }, allow: true });
  const left = call({ usd: 9 }, paid);
  await anna.asked();
  anna.leave();
  expect(await left).toEqual({ kind: "deny", reason: "the gate went away before it answered" });
  await open({ allow: ["*"] });
  await open({ timeoutMs: 1 });
  expect(await call({ usd: 9 }, paid)).toEqual({ kind: "deny", reason: "the gate did not answer in time" });
  // What can be taken back goes on.
  expect(await call(make)).toEqual({ kind: "forward" });
});

test("one that lets pass does not speak for another: who came first has the last word", async () => {
  const { open, call } = gates();
  const first = await open({ deny: ["bash(push*)"] });
  const last = await open({ allow: ["bash"] });
  expect(await call({ command: "push" })).toMatchObject({ kind: "deny" });
  expect(last.events.at(-1)).toMatchObject({ decision: "allow", by: "pattern" });
  const asked = call(make);
  await first.say({ kind: "deny", reason: "not now" });
  expect(await asked).toEqual({ kind: "deny", reason: "the user does not allow it: not now" });
  const changes = await open();
  const changed = call(make);
  await changes.say({ kind: "rewrite", input: { command: "push --dry-run" } });
  expect(await changed).toMatchObject({ kind: "deny", reason: "the user does not allow what fits bash(push*)" });
});

test("a call is waited for until it is answered, and what is decided is noted", async () => {
  const { open, call, notes } = gates();
  const anna = await open();
  const one = call(make);
  const two = call({ command: "true" }, { n: 2 });
  await anna.say({ kind: "allow", always: "bash(true *)" });
  await anna.say({ kind: "deny" });
  expect(await one).toEqual({ kind: "forward" });
  expect(await two).toEqual({ kind: "deny", reason: "the user does not allow it" });
  expect(await call({ command: "true" }, { n: 3 })).toEqual({ kind: "forward" });
  expect(notes.filter((each) => !String(each).startsWith("waits"))).toEqual([
    "null attached",
    "1 allow",
    "2 deny",
    "3 allow",
  ]);
  expect(notes.filter((each) => String(each).startsWith("waits"))).toEqual([
    "waits 1",
    "waits 1,2",
    "waits 2",
    "waits ",
  ]);
});

test("a gate that fails lets nothing pass", async () => {
  const { open, call } = gates(1);
  await open({ allow: ["*"] });
  const failed = { kind: "deny", reason: "the gate failed: the disk is full" };
  expect(await call(make)).toEqual(failed);
  expect(await call({ path: "a" }, { name: "read", readOnly: true })).toEqual(failed);
  expect(await call(make, { n: 2 })).toEqual({ kind: "forward" });
});

test("a question that nobody waits for any more is withdrawn", async () => {
  const { open, handler, answer } = gates();
  const anna = await open();
  const stop = new AbortController();
  const view: EffectView = {
    scope: "fix",
    n: 1,
    kind: "tool",
    tier: "reversible",
    name: "bash",
    input: make,
    readOnly: false,
  };
  const asked = handler.handle(view, stop.signal);
  await anna.asked();
  stop.abort(new Error("reverted"));
  await expect(asked).rejects.toThrow("reverted");
  const ids = anna.events.flatMap((event) => ("id" in event ? [event.id] : []));
  expect(anna.events.map(({ type }) => type)).toEqual(["attached", "ask", "withdrawn"]);
  expect(ids[0]).toBe(ids[1]);
  expect(() => answer(ids[0]!, { kind: "allow" })).toThrow("Nobody waits for that answer any more.");
});
