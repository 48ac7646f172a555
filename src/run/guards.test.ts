/** Gates with a name, over the death of the gate and of the run's owner: what they said counts, and what is declared holds while they are away. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { agentRig, framesOf, type Rig } from "../../test/support/agent-rig.ts";
import { around, type Decision, decide, type EffectView } from "../scope/effect.ts";
import type { Guards } from "../scope/guards.ts";
import type { LiveScope } from "../scope/scope.ts";
import { putBytes } from "../scope/thread.ts";
import { encodeJson } from "../trace/bytes.ts";
import type { Tier } from "../trace/frame.ts";
import type { Json } from "../trace/ports.ts";
import { type Decided, type GateEvent, type GateOptions, type Gates, makeGates, NameTaken } from "./gate.ts";
import { waitingIn } from "./lifecycle.ts";
import type { Answer } from "./question.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await agentRig({ "a.txt": "a\n" });
});
afterEach(() => rig.end());

const NOBODY = new AbortController().signal;

interface Gate {
  events: GateEvent[];
  /** Inputs that it was asked about, in order. */
  inputs(): Json[];
  earlier(): Decided[];
  waiting(): number[];
  leave(): void;
}

/** Comes to a run; `says`: what it says to a question, in turn, nothing without. */
async function come(gates: Gates, as: string | undefined, says: Answer[] = [], more: Partial<GateOptions> = {}) {
  const closed = new AbortController();
  const events: GateEvent[] = [];
  let ready = (): void => {};
  const attached = new Promise<void>((resolve) => {
    ready = resolve;
  });
  const hear = (event: GateEvent): void => {
    events.push(event);
    if (event.type === "attached") ready();
    const said = event.type === "ask" ? says.shift() : undefined;
    if (event.type === "ask" && said) setImmediate(() => gates.answer(event.id, said));
  };
  const over = gates.attach(
    { allow: [], deny: [], asks: true, witness: { by: "anna" }, as, ...more },
    hear,
    closed.signal,
  );
  await Promise.race([attached, over]);
  const gate: Gate = {
    events,
    inputs: () => events.flatMap((event) => (event.type === "ask" ? [event.input] : [])),
    earlier: () => events.flatMap((event) => (event.type === "decided" && event.earlier ? [event] : [])),
    waiting: () => events.flatMap((event) => (event.type === "attached" ? event.waiting : [])),
    leave: () => closed.abort(),
  };
  return gate;
}

const begin = async (guards?: Guards): Promise<LiveScope> => rig.start("go", { grants: guards ? { guards } : {} });

/** Writes the intent of a call. */
async function intend(scope: LiveScope, command: string, tier: Tier = "reversible"): Promise<EffectView> {
  const input = { command };
  const what = await putBytes(scope.store, encodeJson({ type: "call", id: "c", name: "bash", input }));
  const n = await scope.writer.intent({ kind: "tool", tier, thread: "main", what });
  return { scope: "fix", n, kind: "tool", tier, name: "bash", input, readOnly: false };
}

const call = (gates: Gates, view: EffectView, signal = NOBODY): Promise<Decision> =>
  Promise.resolve(gates.handler.handle(view, signal));

/** The run as whoever drives it next finds it: the process before was killed. */
async function next(): Promise<{ scope: LiveScope; gates: Gates }> {
  const scope = await rig.drive("fix", { store: await rig.successor(), recover: false });
  return { scope, gates: makeGates(scope) };
}

const notes = async (scope: LiveScope): Promise<Json[]> =>
  (await framesOf(scope)).flatMap(({ n, facts }) =>
    facts.note === "gate" && n !== null ? [[n, facts.gate ?? null, facts.decision, facts.default ?? facts.how]] : [],
  ) as Json[];

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setImmediate(resolve));
}

test("what a gate with a name said counts for each attempt of the call, whoever drives the run by then", async () => {
  const scope = await begin();
  const gates = makeGates(scope);
  const views = [];
  for (const command of ["one", "two", "three"]) views.push(await intend(scope, command));
  const paid = await intend(scope, "pay", "irreversible");
  await come(gates, "docs", [
    { kind: "allow" },
    { kind: "deny", reason: "not now" },
    { kind: "rewrite", input: { command: "3" } },
    { kind: "allow" },
  ]);
  const decisions: Decision[] = [
    { kind: "forward" },
    { kind: "deny", reason: "the user does not allow it: not now" },
    { kind: "rewrite", input: { command: "3" } },
    { kind: "allow" },
  ];
  const all = [...views, paid];
  for (const [k, view] of all.entries()) expect(await call(gates, view)).toEqual(decisions[k]);
  const written = await notes(scope);
  expect(written).toEqual([
    [views[0]!.n, "docs", "allow", "person"],
    [views[1]!.n, "docs", "deny", "person"],
    [views[2]!.n, "docs", "rewrite", "person"],
    [paid.n, "docs", "allow", "person"],
  ]);
  // Nothing of what came from outside stands in a frame.
  expect(JSON.stringify((await framesOf(scope)).filter(({ phase }) => phase === "note"))).not.toMatch(/now|command/);

  const after = await next();
  for (const [k, view] of all.entries()) expect(await call(after.gates, view)).toEqual(decisions[k]);
  const back = await come(after.gates, "docs");
  for (const [k, view] of all.entries()) expect(await call(after.gates, view)).toEqual(decisions[k]);
  expect(back.inputs()).toEqual([]);
  expect(back.earlier().map(({ n, tool, input, decision, reason }) => ({ n, tool, input, decision, reason }))).toEqual([
    { n: views[0]!.n, tool: "bash", input: { command: "one" }, decision: "allow", reason: null },
    {
      ...{ n: views[1]!.n, tool: "bash", input: { command: "two" }, decision: "deny" },
      reason: "the user does not allow it: not now",
    },
    { n: views[2]!.n, tool: "bash", input: { command: "three" }, decision: "rewrite", reason: null },
    { n: paid.n, tool: "bash", input: { command: "pay" }, decision: "allow", reason: null },
  ]);
  expect(await notes(after.scope)).toEqual(written);
});

test("what several said counts in the order in which they said it, whoever comes first later", async () => {
  const scope = await begin();
  const gates = makeGates(scope);
  const view = await intend(scope, "push");
  const outer = await come(gates, "outer", [{ kind: "allow" }]);
  await come(gates, "inner", [{ kind: "rewrite", input: { command: "push -n" } }]);
  expect(await call(gates, view)).toEqual({ kind: "rewrite", input: { command: "push -n" } });
  expect(outer.inputs()).toEqual([{ command: "push -n" }]);

  const after = await next();
  const both = [await come(after.gates, "inner"), await come(after.gates, "outer")];
  expect(await call(after.gates, view)).toEqual({ kind: "rewrite", input: { command: "push -n" } });
  expect(both.map((each) => each.inputs())).toEqual([[], []]);
  // Another one is asked about what these made of it.
  const third = await come(after.gates, "third", [{ kind: "deny" }]);
  expect(await call(after.gates, view)).toMatchObject({ kind: "deny" });
  expect(third.inputs()).toEqual([{ command: "push -n" }]);
});

test("what it said of one input does not count for another, which somebody without a name made of it", async () => {
  const scope = await begin();
  const gates = makeGates(scope);
  const view = await intend(scope, "rm b");
  await come(gates, "docs", [{ kind: "allow" }]);
  await come(gates, undefined, [{ kind: "rewrite", input: { command: "rm a" } }]);
  expect(await call(gates, view)).toMatchObject({ input: { command: "rm a" } });

  const after = await next();
  const docs = await come(after.gates, "docs", [{ kind: "deny" }]);
  expect(await call(after.gates, view)).toMatchObject({ kind: "deny" });
  expect(docs.inputs()).toEqual([{ command: "rm b" }]);
});

test("while a declared gate is not there its default holds, and is noted as such", async () => {
  const scope = await begin({ lax: "allow" });
  const gates = makeGates(scope);
  const [one, pay] = [await intend(scope, "one"), await intend(scope, "pay", "irreversible")];
  expect(await call(gates, one)).toEqual({ kind: "forward" });
  expect(await call(gates, pay)).toEqual({ kind: "allow" });
  expect(await call(gates, { ...one, readOnly: true })).toEqual({ kind: "forward" });
  expect(await notes(scope)).toEqual([
    [one.n, "lax", "default", "allow"],
    [pay.n, "lax", "default", "allow"],
  ]);
  // Nothing was decided by it: once it has come it is asked.
  const lax = await come(gates, "lax", [{ kind: "deny" }]);
  expect(lax.earlier()).toEqual([]);
  expect(await call(gates, one)).toMatchObject({ kind: "deny" });
});

test("of two declared gates one that denies is enough, and nobody is asked in vain", async () => {
  const scope = await begin({ lax: "allow", strict: "deny" });
  const gates = makeGates(scope);
  const lax = await come(gates, "lax", [{ kind: "allow" }]);
  const view = await intend(scope, "one");
  expect(await call(gates, view)).toEqual({
    kind: "deny",
    reason: "the gate strict is not there, and what it was not asked about is denied",
  });
  expect(lax.inputs()).toEqual([]);
  await come(gates, "strict", [{ kind: "allow" }]);
  expect(await call(gates, view)).toEqual({ kind: "forward" });
  expect(lax.inputs()).toEqual([{ command: "one" }]);
});

test("a call waits for a gate that is to be waited for, over its death, without a limit of time, and is withdrawn by a stop", async () => {
  const scope = await begin({ docs: "wait" });
  const gates = makeGates(scope);
  const waits = () => waitingIn(scope.writer.fold.notes.get("waiting")!);
  const view = await intend(scope, "one");
  const asked = call(gates, view);
  await until(() => scope.writer.fold.notes.has("waiting"));
  expect(waits()).toEqual({ steps: [view.n], gates: ["docs"] });
  const first = await come(gates, "docs", [], { timeoutMs: 1 });
  expect(first.waiting()).toEqual([view.n]);
  await until(() => first.inputs().length > 0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(waits()).toEqual({ steps: [view.n], gates: [] });
  first.leave();
  await until(() => waits()!.gates.length > 0);
  // Somebody else who comes does not speak for it.
  const other = await come(gates, undefined, [{ kind: "allow" }]);
  await until(() => other.inputs().length > 0);
  const second = await come(gates, "docs", [{ kind: "allow" }]);
  expect(await asked).toEqual({ kind: "forward" });
  expect(second.inputs()).toEqual([{ command: "one" }]);
  expect(waits()).toEqual({ steps: [], gates: [] });

  second.leave();
  other.leave();
  const stop = new AbortController();
  const stopped = call(gates, await intend(scope, "two"), stop.signal);
  await until(() => waits()!.gates.length > 0);
  stop.abort(new Error("Ctrl-C"));
  await expect(stopped).rejects.toThrow("Ctrl-C");
  expect(waits()).toEqual({ steps: [], gates: [] });
});

test("a declared gate that goes away, or is late, in the middle of a question: its default holds", async () => {
  const scope = await begin({ lax: "allow", strict: "deny" });
  const gates = makeGates(scope);
  const pay = await intend(scope, "pay", "irreversible");
  const [lax, strict] = [await come(gates, "lax"), await come(gates, "strict", [{ kind: "allow" }])];
  const allowed = call(gates, pay);
  await until(() => lax.inputs().length > 0);
  lax.leave();
  expect(await allowed).toEqual({ kind: "allow" });
  strict.leave();
  await until(async () => (await come(gates, "strict", [], { timeoutMs: 1 })).events.length > 0);
  const late = await intend(scope, "late");
  expect(await call(gates, late)).toMatchObject({
    kind: "deny",
    reason: expect.stringContaining("strict is not there"),
  });
  expect((await notes(scope)).slice(-1)).toEqual([[late.n, "strict", "default", "deny"]]);
});

test("one that is back in time is asked about a call that others still hold, and its word is the one that it had not said", async () => {
  const scope = await begin();
  const gates = makeGates(scope);
  const pay = await intend(scope, "pay", "irreversible");
  const person = await come(gates, undefined);
  const first = await come(gates, "docs");
  const asked = call(gates, pay);
  await until(() => first.inputs().length > 0);
  first.leave();
  await until(() => person.inputs().length > 0);
  const second = await come(gates, "docs", [{ kind: "allow" }]);
  expect(second.waiting()).toEqual([pay.n]);
  const { id } = person.events.find((event) => event.type === "ask")!;
  gates.answer(id, { kind: "allow" });
  expect(await asked).toEqual({ kind: "allow" });
  expect(second.inputs()).toEqual([{ command: "pay" }]);
});

test("a name is one connection's: a second is refused until the first is gone", async () => {
  const gates = makeGates(await begin());
  const first = await come(gates, "docs");
  await expect(come(gates, "docs")).rejects.toThrow(
    new NameTaken("A gate docs is at fix already: end that one first, or give this one another name."),
  );
  await come(gates, "other");
  const second = come(gates, "docs");
  first.leave();
  expect((await second).waiting()).toEqual([]);
  await expect(come(gates, "No Name")).rejects.toThrow("is no name for a gate");
});

test("what a person allowed always is allowed when the gate of that name is back", async () => {
  const scope = await begin();
  const gates = makeGates(scope);
  await come(gates, "docs", [{ kind: "allow", always: "bash(make *)" }]);
  await call(gates, await intend(scope, "make a"));
  const after = await next();
  const back = await come(after.gates, "docs", [{ kind: "deny" }]);
  expect(await call(after.gates, await intend(after.scope, "make b"))).toEqual({ kind: "forward" });
  expect(await call(after.gates, await intend(after.scope, "rm b"))).toMatchObject({ kind: "deny" });
  expect(back.inputs()).toEqual([{ command: "rm b" }]);
  // Patterns of its own that deny count before.
  back.leave();
  await come(after.gates, "docs", [], { deny: ["bash(make *)"] });
  expect(await call(after.gates, await intend(after.scope, "make c"))).toMatchObject({ kind: "deny" });
});

test("calls of a scope within a step are told apart, and nobody is missed twice", async () => {
  const scope = await begin({ docs: "deny" });
  const gates = makeGates(scope);
  const { n } = await intend(scope, "call");
  const inner = around([gates.handler], n);
  const within = (at: number): EffectView => ({
    ...{ scope: "fix.1", n: at, kind: "tool", tier: "reversible", name: "bash", input: { command: "same" } },
    readOnly: false,
  });
  const run = async (handler: typeof inner, at: number) => (await decide(within(at), [handler], NOBODY)).decision.kind;
  const docs = await come(gates, "docs", [{ kind: "allow" }, { kind: "deny" }]);
  expect([await run(inner, 4), await run(inner, 5)]).toEqual(["allow", "deny"]);
  expect(docs.inputs()).toHaveLength(2);
  const after = await next();
  const again = around([after.gates.handler], n);
  expect([await run(again, 5), await run(again, 4), await run(again, 6)]).toEqual(["deny", "allow", "deny"]);
  expect((await come(after.gates, "docs")).earlier().map(({ n: at, tool }) => [at, tool])).toEqual([
    [n, null],
    [n, null],
  ]);
  // The scope itself is not held back once more by what its grants declare.
  expect(await call(makeGates(after.scope, false), within(4))).toEqual({ kind: "forward" });
});
