import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  agentRig,
  call,
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
import { removeAll } from "../../test/support/remove.ts";
import type { LiveScope } from "../scope/scope.ts";
import { getBytes } from "../scope/thread.ts";
import { target } from "../trace/bytes.ts";
import type { Link } from "../trace/ports.ts";
import { readTree } from "../world/tree.ts";
import { type AgentOptions, runAgent } from "./loop.ts";
import { ModelError, type ModelPort } from "./model.ts";
import { requestOf } from "./request.ts";
import { bash } from "./tools/bash.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await agentRig({ "auth.js": "var a;\n" });
});
afterEach(() => rig.end());

const never = new AbortController().signal;
const soon = { attempts: 4, delay: () => 0 };
const run = (scope: LiveScope, model: ModelPort, options: Partial<AgentOptions> = {}) =>
  runAgent(scope, { model, signal: never, retry: soon, ...options });
const step = (scope: LiveScope, n: number) => scope.writer.fold.steps.get(n)!;
const errorOf = async (scope: LiveScope, n: number) =>
  (await getBytes(rig.store, step(scope, n).outcome!.error as Link)).toString();
/** Resolves when a frame is written that reads so in short. */
const written = (scope: LiveScope, wanted: string): Promise<void> =>
  new Promise((resolve) => {
    const unwatch = scope.writer.watch((frame) => {
      if (line(frame) !== wanted) return;
      unwatch();
      resolve();
    });
  });

test("the worked example, frame by frame: the tools start while the answer still streams, and each step is sealed by itself", async () => {
  const scope = await rig.start();
  const sealedAt: number[][] = [];
  const lines: string[] = [];
  scope.writer.watch((frame, sealed) => {
    lines.push(line(frame));
    sealedAt.push(sealed.map(({ n }) => n));
  });
  const answered = written(scope, "1 outcome done");
  const model = portOf(
    () =>
      stream(
        text("plan"),
        call("A", "bash", { command: "ls" }),
        call("B", "bash", { command: "sed -i s/var/let/ auth.js" }),
        written(scope, "2 outcome done"),
        end,
      ),
    () => stream(text("done"), end),
  );
  // B gets its turn once the answer is whole, as in the example.
  const slow = {
    ...bash,
    run: async (...given: Parameters<typeof bash.run>) => {
      if (given[0].command !== "ls") await answered;
      return bash.run(...given);
    },
  };
  const start = scope.head();
  expect(await run(scope, model, { tools: [slow] })).toEqual({ stopped: "done", text: "done" });
  expect(lines).toEqual([
    "1 intent model",
    "1 part block",
    "1 part block",
    "2 intent tool",
    "1 part block",
    "3 intent tool",
    "2 outcome done",
    "1 outcome done",
    "3 outcome done",
    "4 intent model",
    "4 part block",
    "4 outcome done",
  ]);
  expect(sealedAt).toEqual([[], [], [], [], [], [], [], [1, 2], [3], [], [], [4]]);
  const [c0, c1, c2, c3] = [0, 1, 2, 3].map((n) => step(scope, n).sealed!);
  expect(c0!.id).toBe(start.id);
  expect([c1!.parents, c2!.parents, c3!.parents]).toEqual([[c0!.id], [c1!.id], [c2!.id]]);
  const W0 = c0!.state.roots.workspace;
  expect([c1!.state.roots.workspace, c2!.state.roots.workspace]).toEqual([W0, W0]);
  expect(c3!.state.roots.workspace).not.toBe(W0);
  expect(step(scope, 3).outcomeWitness.changes).toMatchObject({ files: 1, added: 1, removed: 1 });
  expect(step(scope, 2).links).toEqual({ turn: 1 });
  expect(step(scope, 1).intent).toMatchObject({ kind: "model", tier: "repeatable", thread: "main" });
  expect(step(scope, 2).intent).toMatchObject({ kind: "tool", tier: "reversible", thread: "main" });
  expect(shape(await items(scope))).toEqual(["user", 'asst("plan",A,B)', "A=done", "B=done", 'asst("done")']);
  const tree = await readTree(rig.store.objects, target(c3!.state.roots.workspace));
  expect(Buffer.from((await rig.store.objects.get(tree.entries[0]!.id))!).toString()).toBe("let a;\n");
});

test("calls of a turn run beside each other where they only read, and one after the other where they do not", async () => {
  const scope = await rig.start();
  let [running, most] = [0, 0];
  const order: string[] = [];
  const use = (name: string) => async () => {
    most = Math.max(most, ++running);
    order.push(name);
    await new Promise((resolve) => setImmediate(resolve));
    running--;
  };
  const tools = [tool("look", "shared", use("look")), tool("change", "exclusive", use("change"))];
  const calls = (...names: string[]) =>
    portOf(
      () => stream(...names.map((name, k) => call(`c${k}`, name)), end),
      () => stream(end),
    );
  await run(scope, calls("look", "look", "look"), { tools });
  expect(most).toBe(3);
  most = 0;
  order.length = 0;
  const other = await rig.start("again", { name: "again" });
  await run(other, calls("change", "look", "change", "change"), { tools });
  expect(most).toBe(1);
  expect(order).toEqual(["change", "look", "change", "change"]);
});

test("a command starts in the shell that the one before left, also while their answer still streams", async () => {
  const scope = await rig.start();
  const model = portOf(
    () =>
      stream(
        call("A", "bash", { command: "mkdir sub; cd sub; export X=1" }),
        written(scope, "2 outcome done"),
        call("B", "bash", { command: "echo $X; pwd; X=2" }),
        written(scope, "3 outcome done"),
        call("C", "bash", { command: "echo $X; cd .." }),
        written(scope, "4 outcome done"),
        end,
      ),
    () => stream(text("done"), end),
  );
  expect(await run(scope, model)).toMatchObject({ stopped: "done" });
  const said = (await items(scope)).slice(3, 5).map((item) => item.content[0]);
  expect(said).toEqual([
    { type: "text", text: `1\n${rig.workspace}/sub\n` },
    { type: "text", text: "2\n" },
  ]);
  const shells = [2, 3, 4].map((n) => step(scope, n).sealed!.state.threads.main!.shell);
  expect(new Set(shells).size).toBe(3);
});

test("a hundred parallel calls are sealed in the order of their numbers, and so stand their results", async () => {
  const scope = await rig.start();
  const count = 100;
  let open = 0;
  let all = (): void => {};
  const together = new Promise<void>((resolve) => {
    all = resolve;
  });
  const look = tool("look", "shared", async ({ path }) => {
    if (++open === count) all();
    await together;
    // They end in another order than they began.
    for (let k = 0; k < (count - Number(path)) % 7; k++) await new Promise((resolve) => setImmediate(resolve));
    return `saw ${path}`;
  });
  const script = rig.script(
    { say: "look", call: Array.from({ length: count }, (_, k) => ({ tool: "look", input: { path: String(k) } })) },
    { say: "seen" },
  );
  expect(await run(scope, script, { tools: [look] })).toMatchObject({ stopped: "done" });
  expect(scope.writer.fold.sealed.map(({ n }) => n)).toEqual(Array.from({ length: count + 3 }, (_, n) => n));
  const outcomes = (await framesOf(scope)).filter((frame) => frame.phase === "outcome").map(({ n }) => n);
  expect(outcomes).not.toEqual([...outcomes].sort((a, b) => a! - b!));
  const list = await items(scope);
  expect(list.slice(2, 2 + count).map((item) => item.role === "result" && item.call)).toEqual(
    Array.from({ length: count }, (_, k) => `call_1_${k + 1}`),
  );
});

test("each request starts with the one before, and its bytes follow from what its step recorded", async () => {
  const scope = await rig.start();
  const write = tool("write", "exclusive", async ({ path }) => writeFileSync(`${scope.files!.host}/${path}`, "x"));
  const model = recording(
    rig.script(
      {
        say: "one",
        call: [
          { tool: "write", input: { path: "a" } },
          { tool: "write", input: { path: "b" } },
        ],
      },
      { call: [{ tool: "write", input: { path: "c" } }] },
      { say: "done" },
    ),
  );
  await run(scope, model, { tools: [write] });
  expect(model.requests).toHaveLength(3);
  for (const [at, request] of model.requests.entries()) {
    const before = model.requests[at - 1];
    if (before) expect(request.messages.slice(0, before.messages.length)).toEqual(before.messages);
    expect({ ...request, messages: [] }).toEqual({ ...model.requests[0], messages: [] });
  }
  const asked = scope.writer.fold.sealed.filter(({ intent }) => intent.kind === "model");
  for (const [at, { intent }] of asked.entries())
    expect(await requestOf(rig.store, intent.what!)).toEqual(model.sent[at]);
});

test("a recorded request can be rebuilt when all that follows from the logs was deleted", async () => {
  const scope = await rig.start();
  const model = recording(rig.script({ say: "done" }));
  await run(scope, model);
  await scope.close();
  removeAll(`${rig.directory}/store/cache`);
  const store = await rig.successor();
  expect(await requestOf(store, step(scope, 1).intent.what!)).toEqual(model.sent[0]);
  await expect(requestOf(store, `json:${"0".repeat(64)}` as Link)).rejects.toThrow(
    "is missing from the store: run `shepherd fsck`",
  );
  await expect(requestOf(store, step(scope, 0).intent.what!)).rejects.toThrow("is no request");
});

test("a model call that fails before its first block is attempted again, as parts of its step", async () => {
  const scope = await rig.start();
  const fails = () => stream(Promise.reject(new Error("connection reset")));
  const model = portOf(fails, fails, () => stream(text("here"), end));
  const seen: string[] = [];
  const onEvent: AgentOptions["onEvent"] = (event) =>
    event.type === "attempt" && seen.push(`${event.attempt}: ${event.why}`);
  expect(await run(scope, model, { onEvent })).toEqual({ stopped: "done", text: "here" });
  expect((await framesOf(scope)).slice(2).map(line)).toEqual([
    "1 intent model",
    "1 part aborted 1",
    "1 part attempt 2",
    "1 part aborted 2",
    "1 part attempt 3",
    "1 part block",
    "1 outcome done",
  ]);
  expect(seen).toEqual(["2: connection reset", "3: connection reset"]);
});

test("attempts are bounded, and an error that another attempt cannot mend ends the run at once", async () => {
  const scope = await rig.start();
  let asked = 0;
  const model: ModelPort = {
    name: "test",
    call: () => {
      asked++;
      throw new Error(`down ${asked}`);
    },
  };
  const ended = await run(scope, model);
  expect([ended.stopped, ended.error?.message, asked]).toEqual(["error", "down 4", 4]);
  expect(step(scope, 1).outcome!.status).toBe("failed");
  expect(await errorOf(scope, 1)).toBe("down 4");
  const final = await run(scope, {
    name: "test",
    call: () => stream(Promise.reject(new ModelError("no such model", false))),
  });
  expect([final.stopped, final.error?.message]).toEqual(["error", "no such model"]);
  expect(step(scope, 2).attempts).toBe(1);
});

test("a script that has ended fails the model step, and the error names the turn", async () => {
  const scope = await rig.start();
  const look = tool("look", "shared", async () => {});
  const ended = await run(scope, rig.script({ call: [{ tool: "look" }] }), { tools: [look] });
  expect(ended.stopped).toBe("error");
  expect(ended.error?.message).toMatch(/^The script script-1.jsonl has no turn 2: it ends after turn 1\./);
  expect(step(scope, 3).outcome!.status).toBe("failed");
  // With a longer script the run goes on from there.
  const longer = rig.script({ say: "never asked for" }, { say: "at last" });
  expect(await run(scope, longer, { tools: [look] })).toEqual({ stopped: "done", text: "at last" });
});

test("an answer that breaks off after a call ends as cut, and the call counts", async () => {
  const scope = await rig.start();
  const look = tool("look", "shared", async () => "seen");
  const model = portOf(
    () => stream(text("plan"), call("A", "look"), Promise.reject(new Error("connection reset"))),
    () => stream(text("done"), end),
  );
  expect(await run(scope, model, { tools: [look] })).toMatchObject({ stopped: "done" });
  expect(step(scope, 1).outcome!.status).toBe("cut");
  expect(await errorOf(scope, 1)).toBe("connection reset");
  expect(shape(await items(scope))).toEqual(["user", 'asst("plan",A)', "A=done", 'asst("done")']);
});

test("an answer that breaks off before it asks for anything stays in its step, and the same request is made again", async () => {
  const scope = await rig.start();
  const broken = () => stream(text("pla"), Promise.reject(new Error("reset")));
  const model = recording(portOf(broken, () => stream(text("plan"), end)));
  expect(await run(scope, model)).toEqual({ stopped: "done", text: "plan" });
  expect(scope.writer.fold.sealed.map(({ outcome }) => outcome!.status)).toEqual(["done", "cut", "done"]);
  expect(model.sent[1]).toEqual(model.sent[0]);
  expect(shape([JSON.parse((await getBytes(rig.store, step(scope, 1).outcome!.result!)).toString())])).toEqual([
    'asst("pla")',
  ]);
  const other = await rig.start("again", { name: "again" });
  const ended = await run(other, portOf(broken, broken, broken, broken));
  expect([ended.stopped, ended.error?.message]).toEqual(["error", "reset"]);
  expect(other.writer.fold.sealed).toHaveLength(1 + soon.attempts);
});

test("a port that hangs and passes over the signal does not hold up an abort", async () => {
  const scope = await rig.start();
  const control = new AbortController();
  const hangs = portOf(() => stream(new Promise(() => {})));
  const waits = run(scope, hangs, { signal: control.signal });
  await written(scope, "1 intent model");
  control.abort();
  expect(await waits).toEqual({ stopped: "aborted" });
  expect(step(scope, 1).outcome!.status).toBe("aborted");
});

test("a call of a tool that does not exist keeps its place among the results of its turn", async () => {
  const scope = await rig.start();
  const slow = tool("slow", "exclusive", () => new Promise((resolve) => setImmediate(() => setImmediate(resolve))));
  const model = rig.script({ call: [{ tool: "slow" }, { tool: "none" }, { tool: "slow" }] }, { say: "done" });
  expect(await run(scope, model, { tools: [slow] })).toMatchObject({ stopped: "done" });
  expect(shape(await items(scope)).slice(2, 5)).toEqual(["call_1_1=done", "call_1_2=failed", "call_1_3=done"]);
  expect(await run(await rig.start("other", { name: "other" }), model, { tools: [] })).toMatchObject({
    stopped: "done",
  });
});

test("an abort ends what runs and says so; what waits keeps only its intent, and both go on later", async () => {
  const scope = await rig.start();
  const control = new AbortController();
  const change = tool("change", "exclusive", async ({ path }, signal) => {
    if (path === "slow" && !signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
    return signal.aborted ? { status: "aborted", text: "half of it\n[the call was aborted]" } : "all of it";
  });
  const model = portOf(
    () =>
      stream(
        call("A", "change", { path: "slow" }),
        call("B", "change", { path: "quick" }),
        written(scope, "3 intent tool"),
        new Promise(() => {}),
      ),
    () => stream(text("done"), end),
  );
  const waits = run(scope, model, { signal: control.signal, tools: [change] });
  await written(scope, "3 intent tool");
  control.abort();
  expect(await waits).toMatchObject({ stopped: "aborted" });
  expect([1, 2, 3].map((n) => step(scope, n).outcome?.status)).toEqual(["cut", "aborted", undefined]);
  expect(shape(await items(scope))).toEqual(["user", "asst(A,B)", "A=aborted"]);
  expect(await run(scope, model, { tools: [change] })).toEqual({ stopped: "done", text: "done" });
  expect(shape(await items(scope))).toEqual(["user", "asst(A,B)", "A=aborted", "B=done", 'asst("done")']);
  expect(step(scope, 3)).toMatchObject({ attempts: 2, outcome: { status: "done" } });
  expect(scope.writer.fold.pending()).toEqual([]);
});

test("a running command is ended by an abort with what it wrote", async () => {
  const scope = await rig.start();
  const control = new AbortController();
  const model = rig.script({ call: [{ tool: "bash", input: { command: "echo begun; touch made; sleep 60" } }] });
  const waits = run(scope, model, { signal: control.signal });
  await written(scope, "1 outcome done");
  const until = Date.now() + 20_000;
  while (!existsSync(`${scope.files!.host}/made`) && Date.now() < until)
    await new Promise((resolve) => setTimeout(resolve, 5));
  control.abort();
  expect(await waits).toMatchObject({ stopped: "aborted" });
  expect(step(scope, 2).outcome!.status).toBe("aborted");
  const list = await items(scope);
  expect(list.at(-1)!.content[0]).toMatchObject({ text: expect.stringMatching(/^begun\n\[the call was aborted\]/) });
  expect(scope.head().state!.roots.workspace).not.toBe(step(scope, 0).sealed!.state.roots.workspace);
});

test("what is wrong with the host ends the run with an error, its call still open; the calls beside it are stopped", async () => {
  const scope = await rig.start();
  let broken = true;
  let stopped = false;
  const tools = [
    tool("breaks", "shared", async () => {
      if (broken) throw new Error("no space left");
    }),
    tool("waits", "shared", async (_, signal) => {
      if (broken) await new Promise((resolve) => signal.addEventListener("abort", resolve));
      stopped = signal.aborted;
      return signal.aborted ? { status: "aborted", text: "aborted" } : {};
    }),
  ];
  const model = rig.script({ call: [{ tool: "waits" }, { tool: "breaks" }] }, { say: "done" });
  const ended = await run(scope, model, { tools });
  expect([ended.stopped, ended.error?.message, stopped]).toEqual(["error", "no space left", true]);
  broken = false;
  expect(await run(scope, model, { tools })).toEqual({ stopped: "done", text: "done" });
  expect(shape(await items(scope))).toEqual([
    "user",
    "asst(call_1_1,call_1_2)",
    "call_1_1=aborted",
    "call_1_2=done",
    'asst("done")',
  ]);
});

test("a handler can deny a call, put another input in its place, and deny the model", async () => {
  const seen: unknown[] = [];
  const look = tool("look", "shared", async (input) => void seen.push(input.path));
  const model = () =>
    rig.script(
      {
        call: [
          { tool: "look", input: { path: "a" } },
          { tool: "look", input: { path: "secret" } },
        ],
      },
      { say: "done" },
    );
  const scope = await rig.start("fix", {
    handlers: [
      {
        name: "gate",
        handle: ({ kind, input }) =>
          kind !== "tool"
            ? { kind: "allow" }
            : (input as { path: string }).path === "secret"
              ? { kind: "deny", reason: "it is secret" }
              : { kind: "rewrite", input: { path: "b" } },
      },
    ],
  });
  expect(await run(scope, model(), { tools: [look] })).toMatchObject({ stopped: "done" });
  expect(seen).toEqual(["b"]);
  expect(shape(await items(scope))).toEqual([
    "user",
    "asst(call_1_1,call_1_2)",
    "call_1_1=done",
    "call_1_2=denied",
    'asst("done")',
  ]);
  expect((await items(scope))[3]!.content).toEqual([{ type: "text", text: "not allowed: it is secret" }]);
  const refused = await rig.start("other", {
    name: "other",
    handlers: [{ name: "budget", handle: () => ({ kind: "deny", reason: "the budget is spent" }) }],
  });
  const ended = await run(refused, model(), { tools: [look] });
  expect([ended.stopped, ended.error?.message]).toEqual(["error", "the budget is spent"]);
  expect(step(refused, 1).outcome!.status).toBe("denied");
});

test("what the agent is told stands before its next request, also where it would be done", async () => {
  const scope = await rig.start();
  const model = recording(rig.script({ say: "one" }, { say: "two" }));
  const asked: string[] = [];
  const said = [["a", "b"], [], ["c"]];
  const inbox = async (ending: boolean) => {
    asked.push(`${ending ? "ending" : "asking"} ${model.sent.length}`);
    return (said.shift() ?? []).map((each) => ({ text: each, witness: { by: each } }));
  };
  expect(await run(scope, model, { inbox })).toMatchObject({ stopped: "done", text: "two" });
  // Once more behind each time that it was told something.
  expect(asked).toEqual(["asking 0", "asking 0", "ending 1", "asking 1", "ending 2"]);
  const words = (await items(scope)).map(({ content }) => (content[0] as { text: string }).text);
  expect(words).toEqual(["fix it", "a", "b", "one", "c", "two"]);
  const told = [...scope.writer.fold.steps.values()].filter(({ intent }) => intent.kind === "inject");
  expect(told.map(({ witness }) => witness.by)).toEqual(["a", "b", "c"]);
});

test("the number of model calls can be limited, and the run goes on later", async () => {
  const scope = await rig.start();
  const look = tool("look", "shared", async () => {});
  const model = rig.script({ call: [{ tool: "look" }] }, { call: [{ tool: "look" }] }, { say: "done" });
  expect(await run(scope, model, { tools: [look], maxTurns: 2 })).toEqual({ stopped: "limit", text: "" });
  expect(await run(scope, model, { tools: [look], maxTurns: 2 })).toEqual({ stopped: "done", text: "done" });
});

test("who listens sees the run as it goes, and cannot disturb it", async () => {
  const scope = await rig.start();
  const look = tool("look", "shared", async () => "seen");
  const model = portOf(
    () => stream({ type: "delta", text: "pl" }, text("plan"), call("A", "look"), end),
    () => stream(text("done"), end),
  );
  const warnings: Error[] = [];
  const warned = (warning: Error): void => void warnings.push(warning);
  process.on("warning", warned);
  const seen: string[] = [];
  await run(scope, model, {
    tools: [look],
    onEvent: (event) => {
      seen.push(`${event.type} ${event.n}`);
      if (event.type === "delta") throw new Error("a listener that breaks");
    },
  });
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", warned);
  expect(seen.filter((each) => !each.startsWith("result"))).toEqual([
    "model 1",
    "delta 1",
    "block 1",
    "call 2",
    "block 1",
    "model 3",
    "block 3",
  ]);
  expect(seen).toContain("result 2");
  expect(warnings.map(({ message }) => message)).toContain("a listener that breaks");
});

test("the conversation is stored once, however often it is sent", async () => {
  const scope = await rig.start();
  const look = tool("look", "shared", async ({ path }) => `${path} `.repeat(200));
  const turns = 40;
  const model = recording(
    rig.script(
      ...Array.from({ length: turns }, (_, k) => ({
        say: `turn ${k}`,
        call: [{ tool: "look", input: { path: String(k) } }],
      })),
      { say: "done" },
    ),
  );
  const size = () => rig.store.objects.packs().reduce((sum, pack) => sum + pack.segment.size(), 0);
  const before = size();
  expect(await run(scope, model, { tools: [look] })).toMatchObject({ stopped: "done" });
  const sent = model.sent.reduce((sum, each) => sum + each.length, 0);
  expect(size() - before).toBeLessThan(sent / 8);
  expect(readFileSync(`${rig.workspace}/auth.js`, "utf8")).toBe("var a;\n");
});
