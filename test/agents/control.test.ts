/** Control of the real Claude Code from another terminal. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { connect } from "../../src/run/connect.ts";
import type { GateEvent } from "../../src/run/gate.ts";
import { socketPath } from "../../src/run/socket.ts";
import { findScope } from "../../src/scope/registry.ts";
import type { Frame } from "../../src/trace/frame.ts";
import type { Json } from "../../src/trace/ports.ts";
import { type EmbeddedStore, openStore } from "../../src/trace/store.ts";
import type { Wire } from "../support/provider.ts";
import { until } from "../support/user.ts";
import { claudeRig, type Rig, type Said, turnsIn } from "./claude-rig.ts";

let rig: Rig;
let gate: string;
let store: EmbeddedStore;
beforeEach(async () => {
  rig = await claudeRig();
  gate = join(rig.home, "gate");
  fs.mkdirSync(gate);
  fs.writeFileSync(join(rig.project, "a.txt"), "one\n");
  await rig.shepherd("init");
  store = await openStore(rig.store);
});
afterEach(async () => {
  await store.close();
  await rig.end();
});

const bash = (command: string): [string, Wire] => ["Bash", { command, description: "do it" }];
/** A call that tells that it was begun, and ends once it may. */
const wait = (name: string): Said => ({
  say: "I wait.",
  call: [bash(`touch ${gate}/${name}.begun; until [ -e ${gate}/${name} ]; do sleep 0.02; done`)],
});
const go = (name: string): void => fs.writeFileSync(join(gate, name), "");

interface Running {
  code: Promise<number>;
  text: () => string;
}

/** Starts a verb that drives a run, and waits until its call `name` is under way. */
async function atWork(name: string, ...args: string[]): Promise<Running> {
  const child = rig.start(...args);
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream!.on("data", (text: string) => {
      said += text;
    });
  const code = new Promise<number>((resolve) => child.on("close", (ended) => resolve(ended ?? 1)));
  await until(
    () => fs.existsSync(join(gate, `${name}.begun`)),
    () => said,
  );
  return { code, text: () => said };
}
const task = ["run", "claude", "change it", "--scope", "it"];
const start = (name: string): Promise<Running> => atWork(name, ...task, "--write", gate);

const requests = (): Wire[][] =>
  rig.provider.asked.filter(({ url }) => url.startsWith("/v1/messages")).map(({ json }) => json.messages);
/** A conversation without what only says where the provider may cache. */
const plain = (messages: Wire[]): Wire[] =>
  messages.map(({ role, content }) => ({
    role,
    content: (typeof content === "string" ? [{ type: "text", text: content }] : content).map(
      ({ cache_control, ...block }: Wire) => block,
    ),
  }));
const rows = async (): Promise<string[]> =>
  (await rig.log("it")).map(({ kind, status }) => (status === "done" ? kind : `${kind} ${status}`));

async function framesOf(name: string): Promise<Frame[]> {
  const frames: Frame[] = [];
  for await (const frame of store.logs.read((await findScope(store, name))!.log)) frames.push(frame);
  return frames;
}

test("what is injected is in the next request and not before, and is one step, however Claude Code words it", async () => {
  rig.script = [wait("one"), { say: "I look.", call: [bash("cat a.txt")] }, { say: "all done" }];
  const run = await start("one");
  // What begins with a slash is no command.
  const told = await rig.shepherd("inject", "it", "/cost: use <zod> & no yup\nplease");
  expect(told.stdout).toBe("it is told that with its next request to the model.\n");
  expect(JSON.stringify(requests())).not.toContain("zod");
  go("one");
  expect(await run.code).toBe(0);
  const [first, second, third] = requests().map(plain);
  expect(second!.slice(0, first!.length)).toEqual(first);
  expect(JSON.stringify(second!.slice(first!.length + 2))).toContain("/cost: use <zod> & no yup\\nplease");
  expect(JSON.stringify(second!.slice(0, first!.length + 2))).not.toContain("zod");
  expect(third!.slice(0, second!.length)).toEqual(second);
  expect(await rows()).toEqual(["run", "message", "model", "tool", "inject", "model", "tool", "model"]);
  const [row] = (await rig.log("it")).filter(({ kind }) => kind === "inject");
  expect(row.summary).toBe("/cost: use <zod> & no yup⏎please");
  expect((await rig.shepherd("show", "it", "4")).stdout).toMatch(/^by {9}\S+$/m);

  // What goes on from before it was told does not know of it; from behind it, it asks what was asked then.
  for (const [n, next] of [
    [3, plain(second!).slice(0, first!.length + 2)],
    [4, second],
  ] as const) {
    rig.provider.asked.length = 0;
    await rig.shepherd("fork", `it@${n}`, "--scope", `from-${n}`);
    expect((await rig.shepherd("resume", `from-${n}`)).code).toBe(0);
    expect(plain(requests()[0]!), `from step ${n}`).toEqual(next);
    expect(JSON.stringify(requests()).includes("zod")).toBe(n === 4);
  }
});

test("what is injected while Claude Code says its last word is told behind it, and at rest when it goes on", async () => {
  rig.script = [wait("one"), { say: "all done" }, { say: "tests too" }, { say: "and docs" }];
  const { answer } = rig.provider;
  let asked = (): void => {};
  let open = (): void => {};
  const held = new Promise<void>((resolve) => {
    asked = resolve;
  });
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  rig.provider.answer = async (request, response, raw) => {
    if (request.json && turnsIn(request) === 1) {
      asked();
      await opened;
    }
    return answer(request, response, raw);
  };
  const run = await start("one");
  go("one");
  await held;
  await rig.shepherd("inject", "it", "write tests");
  open();
  expect(await run.code).toBe(0);
  expect(await rows()).toEqual(["run", "message", "model", "tool", "model", "inject", "model"]);
  const before = requests().map(plain);
  expect(JSON.stringify(before[1])).not.toContain("write tests");
  expect(JSON.stringify(before[2]!.slice(before[1]!.length))).toContain("write tests");

  expect((await rig.shepherd("inject", "it", "and docs")).stdout).toContain("when `shepherd resume it` goes on");
  const again = await rig.shepherd("resume", "it");
  expect(again.code).toBe(0);
  expect((await rows()).slice(7)).toEqual(["inject", "model"]);
  expect((await rig.shepherd("resume", "it")).code).toBe(0);
  expect(await rows()).toHaveLength(9);
});

test("what a gate denies does not run, and the model is told why; what only reads passes", async () => {
  rig.script = [
    wait("one"),
    { say: "I write.", call: [bash("touch denied.txt")] },
    { say: "I write.", call: [["Write", { file_path: join(rig.project, "src/b.txt"), content: "b\n" }]] },
    { say: "I read.", call: [["Read", { file_path: join(rig.project, "a.txt") }]] },
    { say: "all done" },
  ];
  const run = await start("one");
  const child = rig.start("gate", "it", "--deny", "Bash(touch *)", "--allow", "write(src/*)", "--json");
  let out = "";
  child.stdout!.on("data", (text: string) => {
    out += text;
  });
  const ready = new Promise<void>((resolve) => child.stderr!.on("data", () => resolve()));
  const left = new Promise((resolve) => child.on("close", resolve));
  await ready;
  go("one");
  expect(await run.code).toBe(0);
  expect(await left).toBe(0);
  const decided = out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(decided.map(({ tool, decision }) => [tool, decision])).toEqual([
    ["Bash", "deny"],
    ["Write", "allow"],
  ]);
  expect((await rows()).filter((row) => row.startsWith("tool"))).toEqual(["tool", "tool denied", "tool", "tool"]);
  expect(JSON.stringify(requests()[2]!.at(-1))).toContain("the user does not allow what fits Bash(touch *)");
  expect((await rig.shepherd("cat", "it@", "denied.txt")).code).not.toBe(0);
  expect((await rig.shepherd("cat", "it@", "src/b.txt")).stdout).toBe("b\n");
});

test("what a person edits is what runs, and the model still sees what it asked for", async () => {
  rig.script = [wait("one"), { say: "I write.", call: [bash("echo theirs > b.txt")] }, { say: "all done" }];
  const run = await start("one");
  const owner = await connect(socketPath(store, (await findScope(store, "it"))!.log));
  const asks: Array<Extract<GateEvent, { type: "ask" }>> = [];
  let attached = false;
  const left = owner
    .request("gate", { by: "anna", asks: true }, (event) => {
      const heard = event as unknown as GateEvent;
      if (heard.type === "ask") asks.push(heard);
      attached ||= heard.type === "attached";
    })
    .catch(() => {});
  await until(() => attached);
  go("one");
  await until(() => asks.length > 0, run.text);
  const { id, input } = asks[0]!;
  const edited = { ...(input as { [name: string]: Json }), command: "echo mine > b.txt" };
  await owner.request("answer", { id, answer: { kind: "rewrite", input: edited } });
  expect(await run.code).toBe(0);
  await left;
  expect((await rig.shepherd("cat", "it@", "b.txt")).stdout).toBe("mine\n");
  expect(JSON.stringify(requests()[2])).toContain("echo theirs > b.txt");
  expect(JSON.stringify(requests()[2])).not.toContain("echo mine");
  const [rewrite] = (await framesOf("it")).filter(({ phase, facts }) => phase === "part" && facts.part === "rewrite");
  expect(rewrite?.facts.by).toBe("gate");
});

test("a paused run asks its model nothing until it goes on, and then tells what it was told meanwhile", async () => {
  rig.script = [wait("one"), { say: "I look.", call: [bash("cat a.txt")] }, { say: "all done" }];
  const run = await start("one");
  expect((await rig.shepherd("pause", "it")).code).toBe(0);
  go("one");
  await until(async () => (await framesOf("it")).some(({ facts }) => facts.part === "files"));
  expect((await rig.shepherd("status", "--json")).stdout).toContain('"state":"paused"');
  await rig.shepherd("inject", "it", "slowly");
  expect((await rig.shepherd("resume", "it")).stdout).toBe("it goes on.\n");
  expect(await run.code).toBe(0);
  const frames = await framesOf("it");
  const resumed = frames.find(({ facts }) => facts.note === "run" && facts.state === "resumed")!;
  const models = frames.filter(({ phase, facts }) => phase === "intent" && facts.kind === "model");
  expect(models).toHaveLength(3);
  expect(models.filter(({ seq }) => seq > resumed.seq)).toHaveLength(2);
  expect(await rows()).toEqual(["run", "message", "model", "tool", "inject", "model", "tool", "model"]);
});

test("requests and steps are the same with three observers and a gate that allows as without", async () => {
  rig.script = [
    { say: "I look.", call: [bash("cat a.txt")] },
    wait("one"),
    { say: "I change.", call: [bash("sed -i s/one/two/ a.txt")] },
    { say: "I write.", call: [["Write", { file_path: join(rig.project, "b.txt"), content: "new\n" }]] },
    { say: "I fail.", call: [bash("echo three >> a.txt; exit 3")] },
    { say: "all done" },
  ];
  go("one");
  const base = await start("one");
  expect(await base.code).toBe(0);

  const go_on = async (name: string, watched: boolean): Promise<unknown> => {
    for (const each of fs.readdirSync(gate)) fs.rmSync(join(gate, each));
    rig.provider.asked.length = 0;
    // All go on from one step, since each run has a name of its own in what it asks.
    await rig.shepherd("fork", "it@3", "--scope", name);
    const run = await atWork("one", "resume", name);
    const watching: Array<Promise<unknown>> = [];
    const watch = async (...args: string[]): Promise<void> => {
      const child = rig.start(...args);
      watching.push(new Promise((resolve) => child.on("close", resolve)));
      await new Promise<void>((resolve) => {
        for (const stream of [child.stdout, child.stderr]) stream!.on("data", () => resolve());
      });
    };
    if (watched) {
      for (let k = 0; k < 3; k++) await watch("observe", name, "--follow", "--json");
      await watch("gate", name, "--allow", "*");
    }
    go("one");
    expect(await run.code).toBe(0);
    expect(await Promise.all(watching)).toEqual(watched ? [0, 0, 0, 0] : []);
    const frames = await framesOf(name);
    const outcomes = new Map(frames.flatMap((frame) => (frame.phase === "outcome" ? [[frame.n, frame.facts]] : [])));
    return {
      asked: rig.provider.asked.map(({ body }) => body.toString()),
      steps: frames.flatMap(({ phase, n, facts }) =>
        phase === "intent" ? [[n, facts, outcomes.get(n!)!.status, outcomes.get(n!)!.workspace]] : [],
      ),
    };
  };
  const alone = await go_on("alone", false);
  expect(await go_on("watched", true)).toEqual(alone);
  expect((alone as { steps: unknown[] }).steps.length).toBeGreaterThan(8);
});
