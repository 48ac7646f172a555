/** Providers that fail, clients that go away, and what stands in the trace then. */
import { connect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { type GatewayRig, gatewayRig, post } from "../../test/support/gateway-rig.ts";
import {
  type Answer,
  answered,
  anthropicEvents,
  chatEvents,
  functionCall,
  outputText,
  responsesEvents,
  streamed,
} from "../../test/support/provider.ts";
import { until } from "../../test/support/user.ts";
import { getBytes } from "../scope/thread.ts";
import type { Link } from "../trace/ports.ts";

let rig: GatewayRig;
afterEach(() => rig?.end());
const start = async (answer: Answer, options?: Parameters<typeof gatewayRig>[1]): Promise<void> => {
  rig = await gatewayRig(answer, options);
};

const ask = { model: "claude-haiku-4-5", max_tokens: 10, stream: true, messages: [{ role: "user", content: "look" }] };
const SAY = { type: "text", text: "I look." };
const USE = { type: "tool_use", id: "toolu_1", name: "Bash", input: { command: "ls" } };
const model = () => rig.steps("model").map(({ outcome, attempts }) => `${outcome?.status ?? "open"} ${attempts}`);
const error = async (at = 0): Promise<string> =>
  (await getBytes(rig.scope.store, rig.steps("model")[at]!.outcome!.error as Link)).toString();

/** Sends events up to one, then breaks the connection off. */
const cutBehind =
  (events: string[], count: number): Answer =>
  async (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of events.slice(0, count)) response.write(event);
    await new Promise((resolve) => setTimeout(resolve, 30));
    response.destroy();
  };

describe("errors of a provider", () => {
  test("pass as they are, with what they say about trying again", async () => {
    const body = '{"type":"error",  "error":{"type":"overloaded_error","message":"Overloaded"}}\n';
    await start(answered(529, body, { "retry-after": "0", "request-id": "req_9", "x-should-retry": "true" }));
    const reply = await rig.messages(ask);
    expect(reply.status).toBe(529);
    expect(reply.body.toString()).toBe(body);
    expect(reply.headers).toMatchObject({ "retry-after": "0", "request-id": "req_9", "x-should-retry": "true" });
  });

  test("that another try can mend are attempts of one step", async () => {
    await start(answered(529, "{}", { "retry-after": "0" }));
    await rig.messages(ask);
    expect(model()).toEqual(["open 1"]);
    rig.provider.answer = answered(500, "{}");
    await rig.messages(ask);
    rig.provider.answer = streamed(anthropicEvents([SAY]));
    await rig.messages(ask);
    expect(model()).toEqual(["done 3"]);
    expect(await rig.lines()).toEqual([
      "1 intent message",
      "1 outcome done",
      "2 intent model",
      "2 part aborted 1",
      "2 part attempt 2",
      "2 part aborted 2",
      "2 part attempt 3",
      "2 part block",
      "2 part answer",
      "2 outcome done",
    ]);
  });

  test("that it cannot end the step, and so does another request of the thread, and the end", async () => {
    await start(answered(400, '{"error":"bad"}'));
    await rig.messages(ask);
    expect(model()).toEqual(["failed 1"]);
    expect(await error()).toBe('400: {"error":"bad"}');
    rig.provider.answer = answered(503, "later");
    await rig.messages(ask);
    await rig.messages({ ...ask, messages: [...ask.messages, { role: "user", content: "hello?" }] });
    expect(model()).toEqual(["failed 1", "failed 1", "open 1"]);
    await rig.stop();
    expect(model()).toEqual(["failed 1", "failed 1", "failed 1"]);
  });

  test("within a stream end the step", async () => {
    const wrong = 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n';
    const events = anthropicEvents([SAY, USE]);
    await start(streamed([...events.slice(0, 6), wrong]));
    const reply = await rig.messages(ask);
    expect(reply.body.toString()).toContain("overloaded_error");
    expect(model()).toEqual(["cut 1"]);
    expect(await error()).toBe("overloaded_error: Overloaded");
  });
});

describe("an answer that breaks off", () => {
  test.each([
    ["anthropic", () => rig.messages(ask), anthropicEvents([SAY, USE, SAY]), 11],
    [
      "responses",
      () => rig.responses({ model: "m", input: "look" }),
      responsesEvents([functionCall("c", "bash", {}), outputText("x")]),
      9,
    ],
    [
      "chat",
      () => rig.chat({ model: "m", messages: ask.messages }),
      chatEvents({
        content: "x",
        tool_calls: [1, 2].map((k) => ({ id: `c${k}`, function: { name: "bash", arguments: "{}" } })),
      }),
      7,
    ],
  ] as const)("is cut; its blocks stand, and its calls count: %s", async (_, send, events, count) => {
    await start(cutBehind(events, count));
    const reply = await send();
    expect(reply.whole).toBe(false);
    expect(reply.body.toString()).toBe(events.slice(0, count).join(""));
    expect(model()).toEqual(["cut 1"]);
    const calls = (await rig.items()).at(-1)!.content.filter(({ type }) => type === "call");
    expect(calls.length).toBe(1);
    await rig.stop();
    expect(rig.steps("tool").map(({ outcome }) => outcome!.status)).toEqual(["aborted"]);
  });

  test("before its first block is attempted again", async () => {
    await start(cutBehind(anthropicEvents([SAY]), 4));
    await rig.messages(ask);
    rig.provider.answer = streamed(anthropicEvents([SAY]));
    expect((await rig.messages(ask)).whole).toBe(true);
    expect(model()).toEqual(["done 2"]);
  });

  test("without calls is no part of the conversation", async () => {
    await start(cutBehind(anthropicEvents([SAY, USE]), 7));
    await rig.messages(ask);
    expect(model()).toEqual(["cut 1"]);
    expect((await rig.items()).map(({ role }) => role)).toEqual(["user"]);
    rig.provider.answer = streamed(anthropicEvents([SAY]));
    await rig.messages(ask);
    expect((await rig.items()).map(({ role }) => role)).toEqual(["user", "assistant"]);
  });

  test.each([
    ["of the wrong kind", answered(200, "<html>It works!</html>")],
    ["of broken JSON", answered(200, '{"type":"message","content":[')],
    ["of nothing", answered(200, "")],
    ["of a stream of nonsense", streamed(["data: {]\n\n", "\x00\x01\n", "data: {}\n\n"])],
  ])("or is none, %s, fails; the client sees what came", async (_, answer) => {
    await start(answer);
    expect((await rig.messages(ask)).status).toBe(200);
    await rig.stop();
    expect(model()).toEqual(["failed 1"]);
  });
});

test.each(["099 x", "000 x", "200 O\x01K"])(
  "an answer that is no HTTP, %j, is told as none, and the gateway goes on",
  async (status) => {
    await start((_, response) => {
      response.socket!.end(`HTTP/1.1 ${status}\r\ncontent-length: 5000\r\n\r\n`);
    });
    const reply = await rig.messages(ask);
    expect([reply.status, reply.whole]).toEqual([502, true]);
    expect(reply.body.toString()).toContain("its answer is no HTTP");
    const models = await post(`${rig.gateway.urls.anthropic}/v1/models`, "", { method: "GET" });
    expect([models.status, models.whole]).toEqual([502, true]);
    rig.provider.answer = streamed(anthropicEvents([SAY]));
    expect((await rig.messages(ask)).status).toBe(200);
  },
);

test("headers of an answer pass byte for byte, also before any of its body has come", async () => {
  await start((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream", "x-name": "caf\xe9 \xc3\xa9" });
    for (const event of anthropicEvents([SAY])) response.write(event);
    response.end();
  });
  expect((await rig.messages(ask)).headers["x-name"]).toBe("caf\xe9 \xc3\xa9");
});

test("a change to another protocol is no answer", async () => {
  await start((_, response) => {
    response.socket!.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
  });
  expect((await rig.messages(ask)).status).toBe(502);
  expect((await post(`${rig.gateway.urls.anthropic}/v1/models`, "", { method: "GET" })).status).toBe(502);
});

test("nobody who answers: the client is told in the provider's words, and its next try is an attempt", async () => {
  await start(streamed([]));
  await rig.provider.close();
  for (const reply of [await rig.messages(ask), await rig.messages(ask)]) {
    expect(reply.status).toBe(502);
    expect(JSON.parse(reply.body.toString())).toMatchObject({ type: "error", error: { type: "api_error" } });
  }
  expect(model()).toEqual(["open 2"]);
});

test("what comes is passed on at once: the rest is sent only when the client has the beginning", async () => {
  const events = anthropicEvents([SAY, USE]);
  let next = (): void => {};
  await start(async (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of events) {
      const seen = new Promise<void>((resolve) => {
        next = resolve;
      });
      response.write(event);
      await seen;
    }
    response.end();
  });
  let known = 0;
  const reply = await rig.messages(ask, {
    onData: (soFar) => {
      const count = soFar.toString().split("\n\n").length - 1;
      if (count > known) next();
      known = count;
    },
  });
  expect(reply.body.toString()).toBe(events.join(""));
});

describe("a client that goes away", () => {
  const hanging =
    (count: number, gone: () => void): Answer =>
    (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.on("close", gone);
      for (const event of anthropicEvents([SAY, USE]).slice(0, count)) response.write(event);
    };

  test.each([
    ["behind a block", 8, "cut"],
    ["before any", 3, "aborted"],
  ])("ends the request to the provider: %s", async (_, count, status) => {
    let gone = false;
    await start(hanging(count, () => (gone = true)));
    const leave = new AbortController();
    const asked = rig.messages(ask, { signal: leave.signal, onData: () => leave.abort() }).catch(() => {});
    await until(() => gone);
    await asked;
    await rig.stop();
    expect(model()).toEqual([`${status} 1`]);
  });

  test("takes with it what it asked behind a request that is not answered yet", async () => {
    let under = 0;
    await start((_, response) => {
      under++;
      response.on("close", () => under--);
    });
    const { port, pathname } = new URL(rig.gateway.urls.anthropic);
    const head = `host: x\r\ncontent-type: application/json\r\ncontent-length: `;
    const saying = (content: string) => JSON.stringify({ ...ask, messages: [{ role: "user", content }] });
    const request = (path: string, body: string) =>
      `POST ${pathname}/v1/${path} HTTP/1.1\r\n${head}${body.length}\r\n\r\n${body}`;
    const socket = connect(Number(port), "127.0.0.1");
    socket.write(request("messages", saying("one")) + request("messages", saying("two")) + request("other", ""));
    await until(() => under === 3);
    socket.destroy();
    await until(() => under === 0);
  });

  test("and comes back goes on with the same step while it had no block", async () => {
    let gone = false;
    await start(hanging(2, () => (gone = true)));
    const leave = new AbortController();
    await rig.messages(ask, { signal: leave.signal, onData: () => leave.abort() }).catch(() => {});
    await until(() => gone);
    rig.provider.answer = streamed(anthropicEvents([SAY]));
    await rig.messages(ask);
    expect(model()).toEqual(["done 2"]);
  });
});

test("the end of the gateway ends what is under way, with its outcome", async () => {
  let arrived = 0;
  await start((_, response) => {
    arrived++;
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of anthropicEvents([SAY, USE, SAY]).slice(0, arrived === 1 ? 12 : 3)) response.write(event);
  });
  const first = rig.messages(ask);
  const second = rig.messages({ ...ask, messages: [{ role: "user", content: "other" }] });
  // It may break off before anybody waits for it.
  for (const each of [first, second]) each.catch(() => {});
  await until(() => arrived === 2 && rig.steps("tool").length === 1);
  await rig.stop();
  expect((await first).whole).toBe(false);
  await second.catch(() => {});
  expect(model().sort()).toEqual(["aborted 1", "cut 1"]);
  expect(rig.scope.writer.fold.pending()).toEqual([]);
});

test("a store that takes no writes lets no request out", async () => {
  await start(streamed(anthropicEvents([SAY])));
  const { logs } = rig.scope.store;
  const { append } = logs;
  Object.assign(logs, { append: () => Promise.reject(new Error("no room")) });
  try {
    const reply = await rig.messages(ask);
    expect([reply.status, reply.body.toString()]).toEqual([400, expect.stringContaining("no room")]);
    expect(rig.provider.asked).toEqual([]);
  } finally {
    Object.assign(logs, { append });
  }
});

test("requests that cannot be read, or are packed, are not passed on", async () => {
  await start(streamed(anthropicEvents([SAY])));
  for (const body of ["", "{", "[]", "null", "{}", '{"model":1}', '{"model":"m","messages":[1]}'])
    expect([body, (await rig.messages(body as never)).status]).toEqual([body, 400]);
  expect((await rig.messages(ask, { headers: { "content-encoding": "gzip" } })).status).toBe(415);
  expect(rig.provider.asked).toEqual([]);
  expect((await rig.messages(ask, { headers: { "content-encoding": "Identity" } })).status).toBe(200);
});
