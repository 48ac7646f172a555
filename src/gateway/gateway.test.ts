import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { framesOf, line } from "../../test/support/agent-rig.ts";
import { type GatewayRig, gatewayRig, post } from "../../test/support/gateway-rig.ts";
import {
  type Answer,
  answered,
  anthropicEvents,
  anthropicWhole,
  chatEvents,
  functionCall,
  outputText,
  responsesEvents,
  streamed,
} from "../../test/support/provider.ts";
import { until } from "../../test/support/user.ts";
import { getBytes } from "../scope/thread.ts";
import { encodeJson } from "../trace/bytes.ts";
import type { Link } from "../trace/ports.ts";
import type { Step } from "../trace/seal.ts";
import { anthropicMessages } from "./anthropic.ts";
import { openaiChat } from "./chat.ts";
import { requestOf } from "./request.ts";
import { openaiResponses } from "./responses.ts";
import { behind } from "./route.ts";

let rig: GatewayRig;
afterEach(() => rig?.end());

const start = async (answer: Answer, options?: Parameters<typeof gatewayRig>[1]): Promise<GatewayRig> => {
  rig = await gatewayRig(answer, options);
  return rig;
};

const user = (content: unknown) => ({ role: "user", content });
const asking = (messages: unknown[], more: object = {}) => ({
  model: "claude-haiku-4-5",
  max_tokens: 100,
  stream: true,
  messages,
  ...more,
});
const THINK = { type: "thinking", thinking: "Let me look.", signature: "c2ln" };
const SAY = { type: "text", text: "I look – 中文 and 🙂." };
const USE = { type: "tool_use", id: "toolu_1", name: "Bash", input: { command: "ls", nested: { a: [1, 2] } } };
const RESULT = { type: "tool_result", tool_use_id: "toolu_1", content: "a.txt" };

/** Says what a client of the usual kind would not, and gives the beginning of the answer. */
const sayRaw = (port: number, text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    socket.on("error", reject);
    socket.once("data", (chunk) => {
      socket.destroy();
      resolve(chunk.toString());
    });
  });

describe("one call", () => {
  test("its intent is there before the request arrives, each block before its end is passed on, the outcome before the end", async () => {
    const events = anthropicEvents([THINK, SAY, USE]);
    const seen: { [at: string]: string[] } = {};
    await start(async (_, response) => {
      seen.arrived = await rig.lines();
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (const event of events) {
        response.write(event);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      response.end();
    });
    const told = new Map<string, string[]>();
    const reply = await rig.messages(asking([user("look")]), {
      onData: async (soFar) => {
        for (const [, index] of soFar.toString().matchAll(/"type":"content_block_stop","index":(\d)\}\n/g))
          if (!told.has(index!)) told.set(index!, await rig.lines());
        if (soFar.includes('message_stop"}\n') && !told.has("end")) told.set("end", await rig.lines());
      },
    });
    expect(seen.arrived).toEqual(["1 intent message", "1 outcome done", "2 intent model"]);
    const blocks = ["2 part block", "2 part block", "2 part block", "3 intent tool"];
    expect(told.get("0")).toEqual([...seen.arrived!, ...blocks.slice(0, 1)]);
    expect(told.get("1")).toEqual([...seen.arrived!, ...blocks.slice(0, 2)]);
    expect(told.get("2")).toEqual([...seen.arrived!, ...blocks]);
    expect(told.get("end")!.slice(-2)).toEqual(["2 part answer", "2 outcome done"]);
    expect(reply.body.toString()).toBe(events.join(""));
    const [step] = rig.steps("model");
    expect(step!.outcome).toMatchObject({
      stop: "calls",
      usage: { input: 100, output: 50, cacheRead: 300, cacheWrite: 20 },
    });
    expect(step!.outcomeWitness).toMatchObject({ ms: expect.any(Number), first: expect.any(Number), cost: 0.000405 });
    expect((await rig.items()).at(-1)).toEqual({
      role: "assistant",
      content: [
        { type: "native", api: "anthropic-messages", value: THINK },
        { type: "text", text: SAY.text },
        { type: "call", id: "toolu_1", name: "Bash", input: USE.input },
      ],
    });
  });

  test("what ends a block waits until the block is written; all before it does not", async () => {
    const events = anthropicEvents([SAY, USE]);
    await start(streamed(events));
    const { logs } = rig.scope.store;
    const { append } = logs;
    let held = 0;
    const parts: Array<() => void> = [];
    Object.assign(logs, {
      append: async (...args: Parameters<typeof append>) => {
        const { phase, facts } = args[3][0]!;
        if (phase === "part" || (phase === "intent" && facts.kind === "tool"))
          await new Promise<void>((resolve) => {
            held++;
            parts.push(resolve);
          });
        return append(...args);
      },
    });
    let got = "";
    const done = rig.messages(asking([user("look")]), {
      onData: (soFar) => {
        got = soFar.toString();
      },
    });
    const bare = events.join("").split("\n");
    const stops = bare.flatMap((line, at) => (/^data: .*"(content_block_stop|message_stop)"/.test(line) ? [at] : []));
    // The part of each block, the intent of the call, the answer as it came.
    for (const [count, stop] of [stops[0], stops[1], stops[1], stops[2]].entries()) {
      await until(() => held === count + 1 && got.length > 0);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(got).toBe(bare.slice(0, stop! + 1).join("\n"));
      parts[count]!();
    }
    expect((await done).body.toString()).toBe(events.join(""));
    Object.assign(logs, { append });
  });

  test.each([
    ["an answer in one piece", answered(200, anthropicWhole([SAY, USE]))],
    ["a stream", streamed(anthropicEvents([SAY, USE]))],
  ])("of Anthropic goes on with its results: %s", async (_, answer) => {
    await start(answer);
    await rig.messages(asking([user("look")]));
    const reply = await rig.messages(
      asking([
        user([{ type: "text", text: "look" }]),
        { role: "assistant", content: [SAY, USE] },
        user([RESULT, { type: "text", text: "and now?" }]),
      ]),
    );
    expect(reply.status).toBe(200);
    expect(await rig.lines()).toEqual([
      "1 intent message",
      "1 outcome done",
      "2 intent model",
      "2 part block",
      "2 part block",
      "3 intent tool",
      "2 part answer",
      "2 outcome done",
      "3 outcome done",
      "4 intent message",
      "4 outcome done",
      "5 intent model",
      "5 part block",
      "5 part block",
      "6 intent tool",
      "5 part answer",
      "5 outcome done",
    ]);
    expect((await rig.items()).map(({ role }) => role)).toEqual(["user", "assistant", "result", "user", "assistant"]);
  });

  test("of Responses: text and calls, streamed and whole, with the items told again", async () => {
    const items = [
      { type: "reasoning", id: "rs_1", summary: [] },
      outputText("I look."),
      functionCall("c1", "shell", { cmd: "ls" }),
      functionCall("c2", "shell", { cmd: "cat" }),
    ];
    await start(streamed(responsesEvents(items)));
    const body = (input: unknown) => ({ model: "gpt-5", instructions: "work", stream: true, input });
    const first = await rig.responses(
      body([{ type: "message", role: "user", content: [{ type: "input_text", text: "look" }] }]),
    );
    expect(first.body.toString()).toBe(responsesEvents(items).join(""));
    expect(rig.provider.asked[0]!.url).toBe("/v1/responses");
    rig.provider.answer = answered(200, {
      id: "resp_2",
      object: "response",
      status: "completed",
      output: [outputText("Done.")],
      usage: { input_tokens: 5, output_tokens: 2 },
    });
    const told = items.map(({ id: _, status: __, ...item }) => item);
    await rig.responses(
      body([
        { role: "user", content: "look" },
        ...told,
        { type: "function_call_output", call_id: "c2", output: "two" },
        { type: "function_call_output", call_id: "c1", output: [{ type: "input_text", text: "one" }] },
      ]),
    );
    expect((await rig.items()).map((item) => (item.role === "result" ? item.call : item.role))).toEqual([
      "user",
      "assistant",
      "c1",
      "c2",
      "assistant",
    ]);
    expect(rig.steps("tool").map(({ outcome }) => outcome?.status)).toEqual(["done", "done"]);
    expect(rig.steps("model")[0]!.outcome).toMatchObject({
      stop: "calls",
      usage: { input: 100, output: 30, cacheRead: 20 },
    });
  });

  test("tokens that a server tells are an object that the outcome names", async () => {
    const message = { role: "assistant", content: "Hi." };
    const choice = { index: 0, message, finish_reason: "stop", token_ids: [5, 6] };
    await start(answered(200, { id: "x", choices: [choice], prompt_token_ids: [1, 2] }));
    await rig.chat({ model: "local", messages: [user("hello")], return_token_ids: true });
    const [{ outcome }] = rig.steps("model") as [Step];
    const tokens = JSON.parse((await getBytes(rig.scope.store, outcome!.tokens as Link)).toString());
    expect(tokens).toEqual({ type: "tokens", v: 1, prompt: [1, 2], output: [5, 6], logprobs: null });
  });

  test("of Responses that names the answer before is told in all", async () => {
    await start(streamed(responsesEvents([outputText("One.")], "resp_a")));
    await rig.responses({ model: "gpt-5", input: "first" });
    await rig.responses({ model: "gpt-5", input: "second", previous_response_id: "resp_a" });
    expect((await rig.items()).map(({ role }) => role)).toEqual(["user", "assistant", "user", "assistant"]);
  });

  test.each([true, false])("of Chat Completions: streamed, whole, and told again; with [DONE]: %s", async (done) => {
    const message = {
      role: "assistant",
      reasoning_content: "Hm, well.",
      content: "I look.",
      tool_calls: [1, 2].map((k) => ({
        id: `call_${k}`,
        type: "function",
        function: { name: "bash", arguments: `{ "k": ${k} }` },
      })),
    };
    await start(streamed(chatEvents(message, { done })));
    const first = [{ role: "system", content: "work" }, user("look")];
    const reply = await rig.chat({ model: "gpt-4o", stream: true, messages: first });
    expect(reply.body.toString()).toBe(chatEvents(message, { done }).join(""));
    rig.provider.answer = answered(200, {
      id: "x",
      choices: [{ index: 0, message: { role: "assistant", content: "Done.", refusal: null }, finish_reason: "stop" }],
      usage: { prompt_tokens: 4, completion_tokens: 2 },
    });
    const { reasoning_content: _, ...told } = message;
    await rig.chat({
      model: "gpt-4o",
      messages: [...first, told, ...[2, 1].map((k) => ({ role: "tool", tool_call_id: `call_${k}`, content: `${k}` }))],
    });
    expect((await rig.items()).map((item) => (item.role === "result" ? item.call : item.role))).toEqual([
      "system",
      "user",
      "assistant",
      "call_1",
      "call_2",
      "assistant",
    ]);
    expect((await rig.items())[2]).toEqual({
      role: "assistant",
      content: [
        { type: "native", api: "openai-chat", value: { reasoning_content: "Hm, well." } },
        { type: "text", text: "I look." },
        { type: "call", id: "call_1", name: "bash", input: { k: 1 }, extra: { raw: '{ "k": 1 }' } },
        { type: "call", id: "call_2", name: "bash", input: { k: 2 }, extra: { raw: '{ "k": 2 }' } },
      ],
    });
    expect(rig.steps("model")[0]!.outcome).toMatchObject({
      stop: "calls",
      usage: { input: 32, output: 9, cacheRead: 8 },
    });
  });

  test("the canonical request follows from what was recorded, also where the client told a message otherwise", async () => {
    await start(streamed(anthropicEvents([THINK, SAY, USE])));
    const system = [{ type: "text", text: "Be brief.", cache_control: { type: "ephemeral" } }];
    const tools = [{ name: "Bash", input_schema: { type: "object" }, cache_control: { type: "ephemeral" } }];
    const bodies: object[] = [];
    const said: unknown[] = [user("look")];
    for (const told of [null, [SAY, USE], [{ ...SAY, cache_control: { type: "ephemeral" } }, USE]]) {
      if (told) said.push({ role: "assistant", content: told }, user([{ ...RESULT, is_error: true }]));
      const body = asking([...said], { system, tools, metadata: { user_id: "u" } });
      bodies.push(body);
      await rig.messages(body);
    }
    const steps = rig.steps("model");
    expect(steps.length).toBe(3);
    expect(new Set(steps.map(({ intent }) => intent.thread))).toEqual(new Set(["main"]));
    for (const [at, step] of steps.entries()) {
      const canonical = await requestOf(rig.scope.store, step.intent.what!);
      expect(encodeJson(canonical).toString()).toBe(
        encodeJson(anthropicMessages.canonical(bodies[at] as never)).toString(),
      );
    }
  });

  test("a request leaves byte for byte, with its headers but for those of the connection", async () => {
    await start(answered(200, anthropicWhole([SAY]), { "x-ratelimit": "9", "set-cookie": "a=b" }));
    const body = `{ "max_tokens":1, "messages" :[{"role":"user","content":"\\u00e4 ä"}],\n"model": "m", "odd": 1e2 }`;
    const headers = {
      "anthropic-beta": "x,y",
      "x-own": "1",
      "accept-encoding": "gzip",
      connection: "keep-alive, x-hop",
      "x-hop": "2",
    };
    const reply = await rig.messages(body as never, { headers });
    const [asked] = rig.provider.asked;
    expect(asked!.body.toString()).toBe(body);
    expect(asked!.url).toBe("/v1/messages?beta=true");
    expect(asked!.headers).toMatchObject({ "anthropic-beta": "x,y", "x-own": "1", "accept-encoding": "identity" });
    expect(asked!.headers).not.toHaveProperty("x-hop");
    expect(reply.headers).toMatchObject({ "x-ratelimit": "9", "set-cookie": ["a=b"] });
  });

  test.each([
    ["a stream", "text/event-stream", () => anthropicEvents([SAY, USE]).join("")],
    ["an answer in one piece", "application/json", () => JSON.stringify(anthropicWhole([SAY, USE]))],
    ["a stream under another name", "text/plain", () => anthropicEvents([SAY, USE]).join("")],
  ])("%s that comes packed all the same is passed on packed, and recorded", async (_, type, text) => {
    const packed = gzipSync(text());
    await start((_, response) => {
      response.writeHead(200, { "content-type": type, "content-encoding": "gzip" });
      response.write(packed.subarray(0, 20));
      response.end(packed.subarray(20));
    });
    const reply = await rig.messages(asking([user("look")]));
    expect(reply.body.equals(packed)).toBe(true);
    expect(rig.steps("model")[0]!.outcome).toMatchObject({ status: "done", stop: "calls" });
    expect(rig.steps("tool").length).toBe(1);
  });

  test("what is no model call is passed on, and not recorded", async () => {
    await start(answered(200, { input_tokens: 3 }));
    const counted = await post(`${rig.gateway.urls.anthropic}/v1/messages/count_tokens`, { messages: [] });
    expect(counted.body.toString()).toBe('{"input_tokens":3}');
    const models = await post(`${rig.gateway.urls.openai}/models?limit=3`, "", { method: "GET" });
    expect(models.status).toBe(200);
    expect(rig.provider.asked.map(({ method, url }) => `${method} ${url}`)).toEqual([
      "POST /v1/messages/count_tokens",
      "GET /v1/models?limit=3",
    ]);
    expect(await rig.lines()).toEqual([]);
  });

  test.each(["DELETE", "GET", "OPTIONS", "POST"])(
    "what a client sends as the body of a %s leaves as nothing else",
    async (method) => {
      await start(answered(200, {}), { env: { ANTHROPIC_API_KEY: "sk-planted" } });
      const { port, pathname } = new URL(rig.gateway.urls.anthropic);
      const hidden = "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";
      const head = `${method} ${pathname}/v1/files HTTP/1.1\r\nhost: x\r\nx-api-key: shepherd\r\n`;
      const size = hidden.length;
      const chunked = `transfer-encoding: chunked\r\n\r\n${size.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`;
      for (const framed of [
        chunked,
        `content-length: ${size}\r\n\r\n${hidden}`,
        `connection: content-length\r\ncontent-length: ${size}\r\n\r\n${hidden}`,
      ])
        expect(await sayRaw(Number(port), head + framed)).toMatch(/^HTTP\/1.1 200/);
      // What can be read in two ways is not read.
      expect(await sayRaw(Number(port), `${head}content-length: 3\r\n${chunked}`)).toMatch(/^HTTP\/1.1 400/);
      await post(`${rig.gateway.urls.anthropic}/v1/models`, "", { method: "GET" });
      expect(rig.provider.asked.map(({ method, url, body }) => [method, url, body.toString()])).toEqual([
        ...[1, 2, 3].map(() => [method, "/v1/files", hidden]),
        ["GET", "/v1/models", ""],
      ]);
    },
  );

  test.each([
    "/v1/../../admin",
    "/v1/messages/..",
    "/v1/./messages",
    "/v1/%2e%2E/admin",
    "//v1/messages",
    "/v1//messages?beta=true",
    "/v1/%6Dessages",
    "/v1%2fmessages",
    "/v1/..\\admin",
    "/v1/messages;x",
    "/v1/messages%00",
  ])("a path that could be read as another is refused: %s", async (path) => {
    await start(answered(200, anthropicWhole([SAY])), { env: { ANTHROPIC_API_KEY: "sk-planted" } });
    const { port, pathname } = new URL(rig.gateway.urls.anthropic);
    const head = "host: x\r\nx-api-key: shepherd\r\ncontent-length: 0";
    const said = await sayRaw(Number(port), `POST ${pathname}${path} HTTP/1.1\r\n${head}\r\n\r\n`);
    expect(said).toMatch(/^HTTP\/1.1 400 .*"Shepherd passes on paths as they are/s);
    expect(rig.provider.asked).toEqual([]);
  });

  test("a model call is recorded however its path is spelt, and by no other method than POST", async () => {
    await start(answered(200, anthropicWhole([SAY])));
    const at = rig.gateway.urls.anthropic;
    expect((await post(`${at}/V1/Messages/`, asking([user("look")], { stream: false }))).status).toBe(200);
    expect(rig.steps("model")).toHaveLength(1);
    expect((await post(`${at}/v1/messages`, asking([user("look")]), { method: "PUT" })).status).toBe(405);
    expect(rig.provider.asked).toHaveLength(1);
  });

  test("whether the version is a part of the address or of the path, a call is recorded, and has it once", async () => {
    await start(answered(200, anthropicWhole([SAY])));
    const { anthropic, openai } = rig.gateway.urls;
    await post(`${anthropic}/messages?beta=true`, asking([user("look")], { stream: false }));
    await post(`${anthropic}/messages/count_tokens`, { messages: [] });
    await post(`${openai}/v1/chat/completions`, { model: "m", messages: [user("look")] });
    expect(rig.provider.asked.map(({ url }) => url)).toEqual([
      "/v1/messages?beta=true",
      "/v1/messages/count_tokens",
      "/v1/chat/completions",
    ]);
    expect(rig.steps("model")).toHaveLength(2);
    const base = new URL("http://x/v1");
    expect(["/v1/messages", "/models", "/v1x"].map((path) => behind({ base }, path))).toEqual([
      "/messages",
      "/models",
      "/v1x",
    ]);
  });

  test("a path with other escapes, and any query, leaves as it is", async () => {
    await start(answered(200, {}));
    for (const path of ["/v1/files/a%20b%C3%A9", "/v1/models/x.y..z?at=%2F..%2F//./"])
      await post(`${rig.gateway.urls.anthropic}${path}`, "", { method: "GET" });
    expect(rig.provider.asked.map(({ url }) => url)).toEqual([
      "/v1/files/a%20b%C3%A9",
      "/v1/models/x.y..z?at=%2F..%2F//./",
    ]);
  });

  test("web sockets are refused, since they would pass unread", async () => {
    await start(answered(200, {}));
    const headers = { connection: "upgrade", upgrade: "websocket" };
    const reply = await post(`${rig.gateway.urls.openai}/responses`, "", { method: "GET", headers });
    expect(reply.status).toBe(426);
    expect(rig.provider.asked).toEqual([]);
  });

  test("nobody gets in without the secret", async () => {
    await start(answered(200, {}));
    const { origin, pathname } = new URL(rig.gateway.urls.anthropic);
    for (const path of ["/v1/messages", "/x/anthropic/v1/messages", `${pathname}x/v1/messages`, "/"])
      expect((await post(`${origin}${path}`, {})).status).toBe(404);
    expect(rig.provider.asked).toEqual([]);
    expect(await framesOf(rig.scope).then((frames) => frames.map(line))).toEqual(["0 intent run", "0 outcome done"]);
  });
});

test("string and list of one text are the same message in each protocol", () => {
  const pairs: Array<[unknown, unknown]> = [
    [
      anthropicMessages.canonical(asking([user("x")], { system: "s" }) as never),
      anthropicMessages.canonical(
        asking([user([{ type: "text", text: "x", cache_control: { type: "ephemeral" } }])], {
          system: [{ type: "text", text: "s" }],
          stream: false,
        }) as never,
      ),
    ],
    [
      openaiResponses.canonical({ model: "m", input: "x" }),
      openaiResponses.canonical({
        model: "m",
        input: [{ type: "message", role: "user", content: [{ type: "input_text", text: "x" }] }],
      }),
    ],
    [
      openaiChat.canonical({ model: "m", messages: [user("x")] } as never),
      openaiChat.canonical({ model: "m", messages: [user([{ type: "text", text: "x" }])] } as never),
    ],
  ];
  for (const [a, b] of pairs) expect(encodeJson(a)).toEqual(encodeJson(b));
});
