import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  agentRig,
  call,
  dyingStore,
  end,
  framesOf,
  items,
  line,
  portOf,
  type Rig,
  recording,
  shape,
  stream,
  text,
  tool,
} from "../../test/support/agent-rig.ts";
import { params } from "../../test/support/runs.ts";
import { forkScope } from "../scope/fork.ts";
import { newestUndoable } from "../scope/operations.ts";
import { revertScope } from "../scope/revert.ts";
import type { LiveScope } from "../scope/scope.ts";
import { undoInScope } from "../scope/undo.ts";
import { type AgentOptions, runAgent } from "./loop.ts";
import { say } from "./message.ts";
import type { ModelPort } from "./model.ts";
import { type ResumeOptions, resumeAgent } from "./resume.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await agentRig({ "auth.js": "var a;\n" });
});
afterEach(() => rig.end());

const never = new AbortController().signal;
const soon = { attempts: 2, delay: () => 0 };
const step = (scope: LiveScope, n: number) => scope.writer.fold.steps.get(n)!;
const filesOf = (scope: LiveScope): { [name: string]: string } => {
  const { host } = scope.files!;
  return Object.fromEntries(
    readdirSync(host)
      .sort()
      .map((name) => [name, readFileSync(`${host}/${name}`, "utf8")]),
  );
};

/** Tools that act on the scope's files without a sandbox: one that appends to a file, one that looks at it. */
const toolsOf = (scope: () => LiveScope) => [
  tool("add", "exclusive", async ({ path, text: words }, signal) => {
    await new Promise((resolve) => setImmediate(resolve));
    if (signal.aborted) return { status: "aborted", text: "the call was aborted" };
    const at = `${scope().files!.host}/${path}`;
    writeFileSync(at, `${filesOf(scope())[path as string] ?? ""}${words}\n`);
    return `added ${words}`;
  }),
  tool("look", "shared", async ({ path }) => {
    await new Promise((resolve) => setImmediate(resolve));
    return filesOf(scope())[path as string] ?? "nothing";
  }),
];
const run = (scope: LiveScope, model: ModelPort, options: Partial<AgentOptions> = {}) =>
  runAgent(scope, { model, signal: never, retry: soon, tools: toolsOf(() => scope), ...options });
const resume = (scope: LiveScope, model: ModelPort, options: Partial<ResumeOptions> = {}) =>
  resumeAgent(scope, { model, signal: never, retry: soon, tools: toolsOf(() => scope), ...options });

const add = (path: string, words: string) => ({ tool: "add", input: { path, text: words } });
const look = (path: string) => ({ tool: "look", input: { path } });

/** The worked example's turn: A reads, B changes. */
const EXAMPLE = [{ say: "plan", call: [look("auth.js"), add("auth.js", "let b;")] }, { say: "done" }];

/** Runs until the process dies when it wants to write frame `seq`; gives the scope as the next process drives it. */
async function killedAt(
  seq: number,
  script: ModelPort,
  name = "fix",
  tools?: AgentOptions["tools"],
): Promise<LiveScope> {
  const first = await rig.start("fix it", { name, store: dyingStore(rig.store, seq) });
  const ended = await run(first, script, tools && { tools });
  if (ended.stopped !== "done") expect(ended.error?.message).toBe("killed");
  return rig.drive(name, { store: await rig.successor() });
}

test("after a crash in the midst of an answer it ends as cut, its calls count, and each is attempted again as its own step", async () => {
  // Dies before the outcome of A: B waits for the lock.
  const model = () =>
    portOf(() =>
      stream(
        text("plan"),
        call("A", "add", add("auth.js", "let b;").input),
        call("B", "add", add("auth.js", "let c;").input),
        new Promise(() => {}),
      ),
    );
  const scope = await killedAt(8, model());
  const before = await framesOf(scope);
  expect(before.slice(0, 8).map(line)).toEqual([
    "0 intent run",
    "0 outcome done",
    "1 intent model",
    "1 part block",
    "1 part block",
    "2 intent tool",
    "1 part block",
    "3 intent tool",
  ]);
  expect(before.slice(8).map(line)).toEqual(["1 outcome cut"]);
  expect(filesOf(scope)).toEqual({ "auth.js": "var a;\n" });
  expect(
    await resume(
      scope,
      portOf(() => stream(text("done"), end)),
    ),
  ).toEqual({ stopped: "done", text: "done" });
  expect((await framesOf(scope)).slice(9, 15).map(line)).toEqual([
    "2 part aborted 1",
    "2 part attempt 2",
    "2 outcome done",
    "3 part aborted 1",
    "3 part attempt 2",
    "3 outcome done",
  ]);
  expect(filesOf(scope)).toEqual({ "auth.js": "var a;\nlet b;\nlet c;\n" });
  expect(shape(await items(scope))).toEqual(["user", 'asst("plan",A,B)', "A=done", "B=done", 'asst("done")']);
});

test("killed at any frame, a run is gone on with to the same conversation, requests and files", async () => {
  const script = () =>
    rig.script(
      { say: "one", call: [add("x", "1")] },
      { say: "two", call: [look("x")] },
      { call: [add("x", "2")] },
      { say: "done" },
    );
  const whole = await rig.start("fix it", { name: "whole" });
  const sent = recording(script());
  await run(whole, sent);
  const frames = (await framesOf(whole)).length;
  const expected = await items(whole);
  for (let seq = 2; seq <= frames; seq++) {
    const scope = await killedAt(seq, script(), `killed-${seq}`);
    const again = recording(script());
    expect(await resume(scope, again), `at ${seq}`).toEqual({ stopped: "done", text: "done" });
    expect(await items(scope), `at ${seq}`).toEqual(expected);
    expect(filesOf(scope)).toEqual(filesOf(whole));
    const known = sent.sent.map((each) => each.toString().replace(/script-\d+/, ""));
    for (const each of again.sent) expect(known).toContain(each.toString().replace(/script-\d+/, ""));
    expect(scope.writer.fold.pending()).toEqual([]);
    await scope.close();
  }
});

test("killed again and again while it goes on, a run of parallel calls still answers each of its calls once", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 6 }), fc.nat(1e6), async (deaths, id) => {
      const name = `run-${id}`;
      if (await rig.store.refs.get(`scope/${name}`)) return;
      const script = rig.script(
        { say: "one", call: [look("auth.js"), add("x", "1"), look("x"), add("y", "1")] },
        { call: [look("x"), look("y"), add("x", "2")] },
        { say: "done" },
      );
      let scope = await rig.start("fix it", { name });
      let from = 2;
      for (const frames of deaths) {
        const { ref } = scope;
        await scope.close();
        from = (await rig.store.logs.end(ref.log)).seq + frames;
        scope = await rig.drive(name, { store: dyingStore(await rig.successor(), from) }).catch(() => null as never);
        // Recovery itself may be what the crash cut short.
        if (scope) await resume(scope, script);
        scope = await rig.drive(name, { store: await rig.successor() });
      }
      expect(await resume(scope, script)).toMatchObject({ stopped: "done", text: "done" });
      expect(scope.writer.fold.pending()).toEqual([]);
      const list = await items(scope);
      for (const [at, item] of list.entries()) {
        if (item.role !== "assistant") continue;
        const calls = item.content.flatMap((block) => (block.type === "call" ? [block.id] : []));
        const results = list.slice(at + 1, at + 1 + calls.length).map((each) => each.role === "result" && each.call);
        expect(results).toEqual(calls);
      }
      await scope.close();
    }),
    params(60, 5),
  );
});

test("aborted at any moment, a run can be gone on with, and each call has one result", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 14 }), { minLength: 1, maxLength: 4 }),
      fc.nat(1e6),
      async (moments, id) => {
        const name = `aborted-${id}`;
        if (await rig.store.refs.get(`scope/${name}`)) return;
        const script = rig.script(
          { say: "one", call: [look("auth.js"), add("x", "1"), add("x", "2"), look("x")] },
          { call: [look("x"), add("y", "1")] },
          { say: "done" },
        );
        const scope = await rig.start("fix it", { name });
        const asked: string[][] = [];
        const model: ModelPort = {
          name: "test",
          call: (request, signal) => {
            asked.push(request.messages.map((item) => JSON.stringify(item)));
            return script.call(request, signal);
          },
        };
        for (const moment of moments) {
          const control = new AbortController();
          let frames = 0;
          const unwatch = scope.writer.watch(() => ++frames === moment && control.abort());
          const ended = await resume(scope, model, { signal: control.signal });
          unwatch();
          expect(["aborted", "done"]).toContain(ended.stopped);
          const waits = scope.writer.fold.pending();
          expect(waits.filter(({ intent }) => intent.kind !== "tool")).toEqual([]);
        }
        expect(await resume(scope, model)).toMatchObject({ stopped: "done", text: "done" });
        expect(scope.writer.fold.pending()).toEqual([]);
        const list = await items(scope);
        const calls = list
          .flatMap((item) => (item.role === "assistant" ? item.content : []))
          .filter((block) => block.type === "call");
        expect(
          list.filter((item) => item.role === "result").map((item) => item.role === "result" && item.call),
        ).toEqual(calls.map((each) => each.id));
        for (const [at, request] of asked.entries())
          expect(request.slice(0, asked[at - 1]?.length ?? 0)).toEqual(asked[at - 1] ?? []);
        await scope.close();
      },
    ),
    params(100, 8),
  );
});

test("results that wait for a call before them are not asked for twice", async () => {
  const control = new AbortController();
  let looked = 0;
  const scope = await rig.start("fix it", {
    handlers: [
      {
        name: "gate",
        // Somebody is asked about the first call, and never answers.
        handle: ({ input }, signal) =>
          (input as { path?: string }).path === "first" && looked < 1
            ? new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
            : { kind: "allow" },
      },
    ],
  });
  const tools = [
    tool("look", "shared", async ({ path }) => {
      if (path === "second") looked++;
      return `saw ${path}`;
    }),
  ];
  const model = rig.script({ call: [look("first"), look("second")] }, { say: "done" });
  scope.writer.watch((frame) => line(frame) === "3 outcome done" && setImmediate(() => control.abort()));
  expect(await run(scope, model, { tools, signal: control.signal })).toMatchObject({ stopped: "aborted" });
  expect([step(scope, 2).outcome, step(scope, 3).outcome?.status, step(scope, 3).sealed]).toEqual([null, "done", null]);
  expect(await resume(scope, model, { tools })).toMatchObject({ stopped: "done" });
  expect(looked).toBe(1);
  expect(shape(await items(scope))).toEqual([
    "user",
    "asst(call_1_1,call_1_2)",
    "call_1_1=done",
    "call_1_2=done",
    'asst("done")',
  ]);
});

test("a new instruction after a crash answers the calls that wait, behind the results that waited for them", async () => {
  const control = new AbortController();
  const scope = await rig.start("fix it", {
    handlers: [
      {
        name: "gate",
        handle: ({ input }, signal) =>
          (input as { path?: string }).path === "first"
            ? new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
            : { kind: "allow" },
      },
    ],
  });
  scope.writer.watch((frame) => line(frame) === "3 outcome done" && setImmediate(() => control.abort()));
  const model = recording(rig.script({ call: [look("first"), look("second")] }, { say: "as you like" }));
  await run(scope, model, { signal: control.signal });
  expect(await resume(scope, model, { instruction: "stop that" })).toEqual({ stopped: "done", text: "as you like" });
  expect(shape(await items(scope))).toEqual([
    "user",
    "asst(call_1_1,call_1_2)",
    "call_1_2=done",
    "call_1_1=not-run",
    "user",
    'asst("as you like")',
  ]);
  expect(step(scope, 2).outcome!.status).toBe("not-run");
  expect(scope.writer.fold.pending()).toEqual([]);
});

test("after a revert the open call is answered as not run; the answer is a step of its own", async () => {
  const scope = await rig.start();
  const model = recording(rig.script(...EXAMPLE));
  await run(scope, model);
  expect((await revertScope(scope, 2)).n).toBe(5);
  expect(shape(await items(scope))).toEqual(["user", 'asst("plan",call_1_1,call_1_2)', "call_1_1=done"]);
  expect(filesOf(scope)).toEqual({ "auth.js": "var a;\n" });
  expect(await resume(scope, model)).toMatchObject({ stopped: "done" });
  expect(step(scope, 6)).toMatchObject({
    intent: { kind: "message", tier: "reversible", thread: "main" },
    outcome: { status: "done" },
  });
  const asked = model.requests.at(-1)!.messages;
  expect(shape(asked)).toEqual(["user", 'asst("plan",call_1_1,call_1_2)', "call_1_1=done", "call_1_2=not-run"]);
  expect(asked.at(-1)!.content).toEqual([{ type: "text", text: "not run: reverted" }]);
  expect(filesOf(scope)).toEqual({ "auth.js": "var a;\n" });
});

test("after a revert with open calls performed, the next request is the recorded one, byte for byte", async () => {
  const scope = await rig.start();
  const model = recording(rig.script(...EXAMPLE));
  await run(scope, model);
  await revertScope(scope, 2);
  expect(await resume(scope, model, { open: "perform" })).toMatchObject({ stopped: "done" });
  expect(step(scope, 6)).toMatchObject({ intent: { kind: "tool" }, links: { turn: 1 }, outcome: { status: "done" } });
  expect(model.sent).toHaveLength(3);
  expect(model.sent[2]).toEqual(model.sent[1]);
  expect(filesOf(scope)).toEqual({ "auth.js": "var a;\nlet b;\n" });
});

test("calls that still waited when the run was reverted are not performed any more", async () => {
  const scope = await rig.start();
  const control = new AbortController();
  scope.writer.watch((frame) => line(frame) === "1 outcome done" && control.abort());
  const model = rig.script({ call: [add("x", "1"), add("x", "2")] }, { say: "done" });
  await run(scope, model, { signal: control.signal });
  expect(step(scope, 3).outcome).toBeNull();
  await revertScope(scope, 1);
  expect(await resume(scope, model, { open: "perform" })).toMatchObject({ stopped: "done" });
  expect([3, 5, 6].map((n) => [step(scope, n).intent.kind, step(scope, n).outcome!.status])).toEqual([
    ["tool", "not-run"],
    ["tool", "done"],
    ["tool", "done"],
  ]);
  expect(filesOf(scope)).toEqual({ "auth.js": "var a;\n", x: "1\n2\n" });
  expect(scope.writer.fold.pending()).toEqual([]);
});

test("an answer in doubt whose request belongs to a past that was reverted does not come into the conversation", async () => {
  const first = await rig.start("fix it", { store: dyingStore(rig.store, 11) });
  const script = rig.script({ call: [look("auth.js")] }, { say: "so", call: [look("auth.js")] }, { say: "done" });
  await run(first, script);
  const scope = await rig.drive("fix", { store: await rig.successor(), recover: false });
  expect(scope.writer.fold.pending().map(({ n, intent }) => [n, intent.kind])).toEqual([
    [3, "model"],
    [4, "tool"],
  ]);
  await revertScope(scope, 0);
  expect(
    await resume(
      scope,
      portOf(() => stream(text("anew"), end)),
    ),
  ).toEqual({ stopped: "done", text: "anew" });
  expect(step(scope, 3).outcome).toMatchObject({ status: "aborted", result: expect.any(String) });
  expect(step(scope, 4).outcome!.status).toBe("not-run");
  expect(shape(await items(scope))).toEqual(["user", 'asst("anew")']);
});

test("after a revert is undone, the conversation stands where it stood", async () => {
  const scope = await rig.start();
  const model = recording(rig.script(...EXAMPLE));
  await run(scope, model);
  const before = await items(scope);
  await revertScope(scope, 2);
  await undoInScope(scope, (await newestUndoable(rig.store, scope.ref.workspace))!);
  expect(await items(scope)).toEqual(before);
  expect(await resume(scope, model)).toEqual({ stopped: "done", text: "done" });
  expect(model.sent).toHaveLength(2);
});

test("a message to a run that was reverted carries the answers to its open calls", async () => {
  const scope = await rig.start();
  const model = recording(rig.script(...EXAMPLE));
  await run(scope, model);
  await revertScope(scope, 1);
  expect(await resume(scope, model, { instruction: "something else" })).toMatchObject({ stopped: "done" });
  expect(step(scope, 6).intent.kind).toBe("message");
  expect(shape(model.requests.at(-1)!.messages)).toEqual([
    "user",
    'asst("plan",call_1_1,call_1_2)',
    "call_1_1=not-run",
    "call_1_2=not-run",
    "user",
  ]);
});

test("a message after the first is a step; it can also be said with the open calls performed before it", async () => {
  const scope = await rig.start();
  const model = recording(rig.script(...EXAMPLE, { say: "you are welcome" }));
  await run(scope, model);
  expect(await say(scope, "main", "thanks \ud800")).toBe(5);
  expect(step(scope, 5)).toMatchObject({ intent: { kind: "message" }, outcome: { status: "done" } });
  expect((await items(scope)).at(-1)).toEqual({ role: "user", content: [{ type: "text", text: "thanks \ufffd" }] });
  expect(await run(scope, model)).toEqual({ stopped: "done", text: "you are welcome" });
  await revertScope(scope, 2);
  expect(await resume(scope, model, { instruction: "and then?", open: "perform" })).toMatchObject({ stopped: "done" });
  expect(shape(await items(scope)).slice(2)).toEqual(["call_1_1=done", "call_1_2=done", "user", 'asst("done")']);
});

test("a fork is answered like its parent, byte for byte, until it is given another script", async () => {
  const scope = await rig.start();
  const script = rig.script(
    { say: "plan", call: [look("auth.js"), add("auth.js", "let b;")] },
    { call: [add("auth.js", "let c;")] },
    { say: "done" },
  );
  const model = recording(script);
  await run(scope, model);
  await forkScope(rig.store, "fix", 3, { count: 2 });
  const one = await rig.drive("fix.1");
  const same = recording(script);
  expect(await resume(one, same)).toMatchObject({ stopped: "done" });
  expect(same.sent).toEqual(model.sent.slice(1));
  expect(one.writer.fold.sealed.map(({ n }) => n)).toEqual([4, 5, 6]);
  expect(one.head().id).toBe(scope.head().id);
  const two = await rig.drive("fix.2");
  const other = recording(
    rig.script({ say: "never asked for" }, { call: [add("auth.js", "let d;")] }, { say: "done otherwise" }),
  );
  expect(await resume(two, other)).toEqual({ stopped: "done", text: "done otherwise" });
  expect(other.requests[0]!.messages).toEqual(model.requests[1]!.messages);
  expect(filesOf(two)).toEqual({ "auth.js": "var a;\nlet b;\nlet d;\n" });
  expect(filesOf(scope)).toEqual({ "auth.js": "var a;\nlet b;\nlet c;\n" });
});

test("a fork at an intent performs the open call, and asks as its parent asked", async () => {
  const scope = await rig.start();
  const script = rig.script(...EXAMPLE);
  const model = recording(script);
  await run(scope, model);
  await forkScope(rig.store, "fix", 3, { atIntent: true });
  const fork = await rig.drive("fix.1");
  expect(shape(await items(fork))).toEqual(["user", 'asst("plan",call_1_1,call_1_2)', "call_1_1=done"]);
  const same = recording(script);
  expect(await resume(fork, same)).toMatchObject({ stopped: "done" });
  expect(same.sent).toEqual([model.sent[1]]);
  expect(step(fork, 3)).toMatchObject({ intent: { kind: "tool" }, links: { turn: 1 } });
});

test("a model call in doubt is attempted again as its own step, unless another model or a message comes in between", async () => {
  const hangs = () => portOf(() => stream(Promise.reject(new Error("never sent"))));
  const wait: ModelPort = { ...hangs(), call: () => stream(new Promise(() => {})) };
  const start = async (name: string): Promise<LiveScope> => {
    const first = await rig.start("fix it", { name, store: dyingStore(rig.store, 3) });
    const control = new AbortController();
    first.writer.watch(() => setImmediate(() => control.abort()));
    await run(first, wait, { signal: control.signal });
    return rig.drive(name, { store: await rig.successor() });
  };
  const here = (name: string): ModelPort => ({ name, call: () => stream(text("here"), end) });
  const same = await start("same");
  expect(await resume(same, here("test"))).toEqual({ stopped: "done", text: "here" });
  expect((await framesOf(same)).slice(2).map(line)).toEqual([
    "1 intent model",
    "1 part aborted 1",
    "1 part attempt 2",
    "1 part block",
    "1 outcome done",
  ]);
  const other = await start("other");
  await resume(other, here("another"));
  expect((await framesOf(other)).slice(3).map(line)).toEqual([
    "1 outcome aborted",
    "2 intent model",
    "2 part block",
    "2 outcome done",
  ]);
  const told = await start("told");
  await resume(told, here("test"), { instruction: "hurry" });
  expect((await framesOf(told)).slice(3).map(line)).toEqual([
    "1 outcome aborted",
    "2 intent message",
    "2 outcome done",
    "3 intent model",
    "3 part block",
    "3 outcome done",
  ]);
});

test("what a cut answer said without a call is told with the next message, and left out without one", async () => {
  const script = portOf(
    () => stream(text("I will delete it"), new Promise(() => {})),
    () => stream(text("kept"), end),
  );
  const scope = await rig.start();
  const control = new AbortController();
  scope.writer.watch((frame) => line(frame) === "1 part block" && setImmediate(() => control.abort()));
  expect(await run(scope, script, { signal: control.signal })).toMatchObject({ stopped: "aborted" });
  expect(shape(await items(scope))).toEqual(["user"]);
  expect(await resume(scope, script, { instruction: "no, keep it" })).toEqual({ stopped: "done", text: "kept" });
  expect(shape(await items(scope))).toEqual(["user", 'asst("I will delete it")', "user", 'asst("kept")']);
});
