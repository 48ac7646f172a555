/** Ports of providers against scripted servers: what streams can suffer, what is recorded, what is kept out. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { agentRig, items, type Rig, shape, tool } from "../../../test/support/agent-rig.ts";
import {
  type Answer,
  answered,
  anthropicEvents,
  anthropicWhole,
  chatEvents,
  functionCall,
  outputText,
  type Provider,
  responsesEvents,
  startProvider,
  streamed,
} from "../../../test/support/provider.ts";
import { long, params } from "../../../test/support/runs.ts";
import { getBytes } from "../../scope/thread.ts";
import type { Link } from "../../trace/ports.ts";
import { runAgent } from "../loop.ts";
import { ModelError, type ModelEvent, type ModelPort, type ModelRequest } from "../model.ts";
import { openModel } from "../models.ts";
import { resumeAgent } from "../resume.ts";
import { readTable, userTable } from "../table.ts";
import { functionPort } from "./function.ts";

let rig: Rig;
let server: Provider;
beforeEach(async () => {
  rig = await agentRig();
  server = await startProvider(answered(500, {}));
});
afterEach(async () => {
  await server.close();
  await rig.end();
});

const KEY = "sk-planted-key-0123";
const signal = new AbortController().signal;
const soon = { attempts: 4, delay: () => 0 };
const look = tool("look", "shared", async () => "seen");

const open = (name: string): ModelPort =>
  openModel(name, {
    env: {
      ANTHROPIC_API_KEY: KEY,
      OPENAI_API_KEY: KEY,
      ANTHROPIC_BASE_URL: server.url,
      OPENAI_BASE_URL: `${server.url}/v1`,
    },
  });

/** What asks for one call and then is done, as each provider says it. */
const APIS = [
  {
    name: "claude-haiku-4-5",
    asks: anthropicEvents([
      { type: "text", text: "I look." },
      { type: "tool_use", id: "A", name: "look", input: { path: "ä" } },
    ]),
    done: anthropicEvents([{ type: "text", text: "Done." }]),
  },
  {
    name: "gpt-5.1",
    asks: responsesEvents([outputText("I look."), functionCall("A", "look", { path: "ä" })]),
    done: responsesEvents([outputText("Done.")]),
  },
  {
    name: "openai-chat:local",
    asks: chatEvents({
      content: "I look.",
      tool_calls: [{ id: "A", type: "function", function: { name: "look", arguments: '{"path":"ä"}' } }],
    }),
    done: chatEvents({ content: "Done." }),
  },
] as const;

/** Sends so many bytes of a stream and breaks the connection. */
const cutAt =
  (events: readonly string[], bytes: number): Answer =>
  (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(Buffer.from(events.join("")).subarray(0, bytes), () => response.destroy());
  };
const reset: Answer = (_, response) => void response.destroy();
const dripped =
  (events: readonly string[]): Answer =>
  async (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const byte of Buffer.from(events.join(""))) {
      response.write(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    response.end();
  };

function inTurn(...answers: Answer[]): void {
  server.answer = (...given) => answers[server.asked.length - 1]!(...given);
}

async function worked(
  port: ModelPort,
): Promise<{ ended: object; statuses: unknown[]; shape: string[]; attempts: number[] }> {
  const scope = await rig.start();
  const ended = await runAgent(scope, { model: port, signal, tools: [look], retry: soon });
  const steps = [...scope.writer.fold.steps.values()].filter(({ intent }) => intent.kind === "model");
  return {
    ended,
    statuses: steps.map(({ outcome }) => outcome!.status),
    attempts: steps.map(({ attempts }) => attempts),
    shape: shape(await items(scope)),
  };
}

test.each(APIS)(
  "$name: what fails before it has said anything is asked again, and what it asks is heeded",
  async ({ name, asks, done }) => {
    const [first] = asks;
    inTurn(
      reset,
      answered(429, { error: { message: "slow down" } }, { "retry-after-ms": "20" }),
      answered(529, { error: { message: "overloaded" } }),
      streamed([...asks]),
      cutAt(asks, first!.length + 5),
      streamed([first!, "data: {not json\n\n", ...asks.slice(1)]),
      streamed(["data: {not json\n\n", ...done]),
      streamed([...done]),
    );
    const before = performance.now();
    expect(await worked(open(name))).toEqual({
      ended: { stopped: "done", text: "Done." },
      statuses: ["done", "done"],
      attempts: [4, 4],
      shape: ["user", 'asst("I look.",A)', "A=done", 'asst("Done.")'],
    });
    expect(performance.now() - before).toBeGreaterThan(20);
    // Attempts of one intent are the same request.
    const bodies = server.asked.map(({ body }) => body.toString());
    expect(new Set(bodies.slice(0, 4)).size).toBe(1);
    expect(new Set(bodies.slice(4)).size).toBe(1);
  },
);

test.each(APIS.filter((_, k) => long || k === 0))(
  "$name: an answer that drips byte by byte is read as any other",
  async ({ name, asks, done }) => {
    inTurn(dripped(asks), dripped(done));
    expect(await worked(open(name))).toMatchObject({
      ended: { stopped: "done" },
      shape: ["user", 'asst("I look.",A)', "A=done", 'asst("Done.")'],
    });
  },
);

const REQUEST: ModelRequest = { model: "m", system: "s", tools: [], messages: [{ role: "user", content: [] }] };

async function heard(port: ModelPort): Promise<{ blocks: unknown[]; said: string; end: unknown; error: unknown }> {
  const events: ModelEvent[] = [];
  let error: unknown = null;
  try {
    for await (const event of port.call({ ...REQUEST, params: port.params! }, signal)) events.push(event);
  } catch (thrown) {
    error = thrown;
  }
  return {
    blocks: events.flatMap((event) => (event.type === "block" ? [event.block] : [])),
    said: events.flatMap((event) => (event.type === "delta" ? [event.text] : [])).join(""),
    end: events.find(({ type }) => type === "end") ?? null,
    error,
  };
}

test.each(APIS)(
  "$name: cut anywhere, an answer is the first of its blocks, and an error that another attempt may mend",
  async ({ name, asks }) => {
    server.answer = streamed([...asks]);
    const port = open(name);
    const whole = await heard(port);
    expect(whole).toMatchObject({
      said: "I look.",
      error: null,
      end: { stop: "calls", usage: { input: expect.any(Number) } },
    });
    const size = Buffer.byteLength(asks.join(""));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: size - 1 }), async (bytes) => {
        server.answer = cutAt(asks, bytes);
        const { blocks, end, error } = await heard(port);
        expect(blocks).toEqual(whole.blocks.slice(0, blocks.length));
        // Where only what says nothing is lacking, it is whole.
        if (end) expect(blocks).toEqual(whole.blocks);
        else expect(error).toMatchObject({ retryable: true });
      }),
      params(400, 8),
    );
  },
);

test("an answer that breaks off behind a call is cut, with what it has cost", async () => {
  const { asks, done } = APIS[0];
  const called = asks.findLastIndex((event) => event.includes("content_block_stop"));
  inTurn(cutAt(asks, Buffer.byteLength(asks.slice(0, called + 1).join(""))), streamed([...done]));
  const scope = await rig.start();
  expect(await runAgent(scope, { model: open("claude-haiku-4-5"), signal, tools: [look], retry: soon })).toMatchObject({
    stopped: "done",
  });
  const step = scope.writer.fold.steps.get(1)!;
  expect(step.outcome).toMatchObject({ status: "cut", usage: { input: 100, cacheRead: 300 } });
  expect(step.outcomeWitness.cost).toBeGreaterThan(0);
});

test("a refusal that another attempt cannot mend is told at once, in the provider's words", async () => {
  server.answer = answered(400, { type: "error", error: { type: "invalid_request_error", message: "no such thing" } });
  const { ended, statuses } = await worked(open("claude-haiku-4-5"));
  expect(ended).toMatchObject({ stopped: "error", error: { message: expect.stringMatching(/^400: .*no such thing/) } });
  expect([statuses, server.asked.length]).toEqual([["failed"], 1]);
});

test("a server that gives its answer in one piece is understood, too", async () => {
  server.answer = answered(200, anthropicWhole([{ type: "text", text: "Done." }]));
  expect(await worked(open("claude-haiku-4-5"))).toMatchObject({ ended: { stopped: "done", text: "Done." } });
});

test("usage, cost and the answer as it came stand with the step; no key stands anywhere", async () => {
  const echo = anthropicEvents([{ type: "text", text: `Your key is ${KEY}.` }]);
  inTurn(answered(500, { error: { message: `what a key: ${KEY}` } }), streamed(echo));
  const scope = await rig.start();
  expect(await runAgent(scope, { model: open("claude-haiku-4-5"), signal, retry: soon })).toMatchObject({
    stopped: "done",
  });
  const step = scope.writer.fold.steps.get(1)!;
  expect(step.outcome).toMatchObject({
    stop: "end",
    usage: { input: 100, output: 50, cacheRead: 300, cacheWrite: 20 },
  });
  expect(step.outcomeWitness).toMatchObject({ cost: 0.000405, first: expect.any(Number) });
  expect(server.asked[0]!.headers["x-api-key"]).toBe(KEY);
  await scope.writer.sync();
  const files = (at: string): string[] =>
    readdirSync(at).flatMap((name) =>
      statSync(join(at, name)).isDirectory() ? files(join(at, name)) : [join(at, name)],
    );
  // What a model says is state, and this one says it; but nothing that the provider was sent, or said about that, has it.
  const raw = [...(await parts(scope))].map((bytes) => bytes.toString());
  expect(raw.join("")).toContain("[credential]");
  expect(raw.join("")).not.toContain(KEY);
  for (const file of files(`${rig.directory}/store/logs`)) expect(readFileSync(file).includes(KEY)).toBe(false);
});

async function parts(scope: Awaited<ReturnType<Rig["start"]>>): Promise<Buffer[]> {
  const found: Buffer[] = [];
  for await (const { phase, facts } of rig.store.logs.read(scope.ref.log))
    if (phase === "part" && (facts.part === "answer" || facts.part === "aborted"))
      found.push(await getBytes(rig.store, (facts.what ?? facts.why) as Link));
  return found;
}

test("ids of tokens and how likely each was stand with the step of a server that tells them", async () => {
  const chunk = (delta: object, more: object = {}, finish_reason: string | null = null): string =>
    `data: ${JSON.stringify({ id: "1", choices: [{ index: 0, delta, finish_reason, ...more }] })}\n\n`;
  const logprobs = (logprob: number) => ({ logprobs: { content: [{ token: "x", logprob }] } });
  server.answer = streamed([
    `data: ${JSON.stringify({ id: "1", prompt_token_ids: [1, 2, 3], choices: [{ index: 0, delta: { role: "assistant", content: "" } }] })}\n\n`,
    chunk({ content: "Do" }, { token_ids: [7], ...logprobs(-0.5) }),
    chunk({ content: "ne." }, { token_ids: [8], ...logprobs(-0.25) }),
    chunk({}, {}, "stop"),
    "data: [DONE]\n\n",
  ]);
  const file = `${rig.directory}/models.json`;
  writeFileSync(
    file,
    JSON.stringify({
      local: {
        api: "openai-chat",
        model: "Qwen/Qwen3-8B",
        url: `${server.url}/v1`,
        params: { logprobs: true, return_token_ids: true },
      },
    }),
  );
  const scope = await rig.start();
  await runAgent(scope, {
    model: openModel("local", { table: readTable(file), env: { OPENAI_API_KEY: KEY } }),
    signal,
  });
  const { tokens } = scope.writer.fold.steps.get(1)!.outcome!;
  expect(JSON.parse((await getBytes(rig.store, tokens as Link)).toString())).toEqual({
    type: "tokens",
    v: 1,
    prompt: [1, 2, 3],
    output: [7, 8],
    logprobs: [-0.5, -0.25],
  });
  expect(server.asked[0]!.json).toMatchObject({ model: "Qwen/Qwen3-8B", logprobs: true, return_token_ids: true });
  // To a server that was merely named, no key of the environment goes.
  expect(server.asked[0]!.headers.authorization).toBeUndefined();
});

test("a table says what names stand for, and what is wrong with it", () => {
  const directory = mkdtempSync(`${tmpdir()}/shepherd-models-`);
  const file = join(directory, "models.json");
  const wrong = (table: unknown): string => {
    writeFileSync(file, typeof table === "string" ? table : JSON.stringify(table));
    try {
      openModel("a", { table: userTable(directory, {}), env: {} });
    } catch (error) {
      expect(error).toBeInstanceOf(ModelError);
      return (error as Error).message;
    }
    return "nothing";
  };
  expect(userTable(directory, {})).toEqual({});
  const own = { api: "openai-chat", model: "m", url: "http://localhost:1/v1" };
  expect(wrong({ a: own })).toBe("nothing");
  expect(wrong({ a: "b", b: own })).toBe("nothing");
  expect(wrong({ a: { ...own, key: "MY_KEY" } })).toBe('There is no key for the model "a": MY_KEY is not set.');
  expect(wrong({ a: "haiku" })).toMatch(/^There is no key for the model "a": set ANTHROPIC_API_KEY/);
  expect(wrong({ a: "nothing" })).toMatch(/^There is no model "nothing", for which "a" stands: use haiku/);
  expect(wrong({ a: "a" })).toBe('The name "a" stands for itself in the table of models.');
  expect(wrong("{")).toMatch(/models\.json is no JSON: /);
  expect(wrong([])).toMatch(/is no object: write/);
  expect(wrong({ a: 1 })).toContain('"a" is neither an object nor the name of another model');
  expect(wrong({ a: { api: "x", model: "m" } })).toContain(
    'needs an "api": anthropic-messages, openai-responses, openai-chat',
  );
  expect(wrong({ a: { ...own, modle: 1 } })).toContain('has an unknown member "modle"');
  expect(wrong({ a: { ...own, context: "1" } })).toContain('"context" that is no number of tokens');
  expect(wrong({ a: { ...own, price: { input: 1 } } })).toContain('"price" without "input" and "output"');
  expect(wrong({ a: { ...own, url: "http://me:secret@host/v1" } })).toContain("must have no password in it");
  expect(() => userTable(directory, { SHEPHERD_MODELS: "models.json" })).toThrow("write a path that begins with /");
  expect(() => userTable(directory, { SHEPHERD_MODELS: "/none" })).toThrow("/none cannot be read (ENOENT)");
  expect(() => openModel("http://localhost/v1", { env: {} })).toThrow("has its name behind a #");
  rmSync(directory, { recursive: true });
});

test("a function is a model: it has the whole request, and its calls have ids that follow from their place", async () => {
  const asked: number[] = [];
  const port = functionPort(({ messages }) => {
    asked.push(messages.length);
    return messages.length === 1
      ? {
          text: "Both.",
          calls: [
            { tool: "look", input: { path: "a" } },
            { tool: "look", input: {} },
          ],
          usage: { output: 3 },
          cost: 0.5,
        }
      : "Done.";
  });
  const scope = await rig.start();
  expect(await runAgent(scope, { model: port, signal, tools: [look] })).toEqual({ stopped: "done", text: "Done." });
  expect(asked).toEqual([1, 4]);
  expect(shape(await items(scope))[1]).toBe('asst("Both.",call_1_1,call_1_2)');
  const step = scope.writer.fold.steps.get(1)!;
  expect([step.outcome!.usage, step.outcomeWitness.cost]).toEqual([{ output: 3 }, 0.5]);
  const fails = functionPort(() => {
    throw new Error("no weights");
  });
  const ended = await runAgent(await rig.start("again", { name: "again" }), { model: fails, signal, retry: soon });
  expect(ended).toMatchObject({ stopped: "error", error: { message: "The model failed: no weights" } });
});

test("an answer that was cut at its length, or refused, does not count as work that is done", async () => {
  const says = (stop: string): Answer => streamed(anthropicEvents([{ type: "text", text: "I will" }], { stop }));
  inTurn(says("max_tokens"), streamed([...APIS[0].done]), says("refusal"));
  const model = open("claude-haiku-4-5");
  const scope = await rig.start();
  expect(await runAgent(scope, { model, signal })).toMatchObject({
    stopped: "error",
    text: "I will",
    error: { message: expect.stringContaining("limit of length") },
  });
  expect(await resumeAgent(scope, { model, signal, instruction: "go on" })).toEqual({ stopped: "done", text: "Done." });
  const other = await rig.start("again", { name: "again" });
  expect(await runAgent(other, { model, signal })).toMatchObject({
    stopped: "error",
    error: { message: "The model refused to answer." },
  });
});
