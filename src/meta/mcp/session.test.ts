import { PassThrough } from "node:stream";
import fc from "fast-check";
import { expect, test } from "vitest";
import { params } from "../../../test/support/runs.ts";
import { isMembers, type Members } from "../../gateway/protocol.ts";
import type { Json } from "../../trace/ports.ts";
import { makeSession, type ServedTool, type Session } from "./session.ts";
import { LONGEST, serveStdio } from "./stdio.ts";

const tool = (name: string, call: ServedTool["call"], readOnly = false): ServedTool => ({
  name,
  listed: { name, inputSchema: { type: "object" } },
  readOnly,
  call,
});

/** Ends when its call is taken back, and says so. */
const waiting = (ended: string[], name: string, readOnly: boolean): ServedTool =>
  tool(
    name,
    ({ progress }, context) =>
      new Promise((resolve) => {
        if (progress) for (const done of [1, 1, 2]) context.progress(done, 3, `${done} of 3`);
        context.signal.addEventListener("abort", () => {
          ended.push(name);
          resolve({ text: "left", failed: true });
        });
      }),
    readOnly,
  );

interface Rig {
  session: Session;
  /** Notifications that came. */
  heard: Members[];
  /** Tools whose calls were taken back. */
  ended: string[];
  ask(message: Json, gone?: AbortSignal): Promise<Json>;
}

function rig(revision?: string): Rig {
  const heard: Members[] = [];
  const ended: string[] = [];
  const session = makeSession({
    tools: [
      tool("say", async (input, { client }) => ({ text: `${client}: ${input.text}`, failed: false })),
      tool("fail", async () => ({ text: "it went wrong", failed: true })),
      tool("break", async () => Promise.reject(new TypeError("a secret of the machine"))),
      waiting(ended, "look", true),
      waiting(ended, "change", false),
    ],
    lacking: (name) => (name === "merge" ? "There is no right to merge." : undefined),
    instructions: "Be careful.",
    version: "1",
  });
  const ask: Rig["ask"] = (message, gone) => session.hear(message, (said) => heard.push(said), gone);
  if (revision) void ask(initialize(revision));
  return { session, heard, ended, ask };
}

const NEWEST = "2025-11-25";
const initialize = (protocolVersion: Json, clientInfo: Json = { name: "test", version: "1" }) => ({
  jsonrpc: "2.0",
  id: 0,
  method: "initialize",
  params: { protocolVersion, capabilities: {}, clientInfo },
});
const request = (id: Json, method: string, given: Json = {}) => ({ jsonrpc: "2.0", id, method, params: given });
const call = (id: Json, name: string, input: Json = {}, more: Members = {}) =>
  request(id, "tools/call", { name, arguments: input, ...more });
const cancel = (requestId: Json) => ({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId } });
const error = (id: Json, code: number) => ({ jsonrpc: "2.0", id, error: { code, message: expect.any(String) } });

test("the revision that the client asks for is spoken, the newest one where it is unknown", async () => {
  for (const each of [NEWEST, "2025-06-18", "2025-03-26", "2024-11-05"])
    expect(await rig().ask(initialize(each))).toMatchObject({ result: { protocolVersion: each } });
  for (const odd of ["2031-01-01", "", "1"])
    expect(await rig().ask(initialize(odd))).toMatchObject({ result: { protocolVersion: NEWEST } });
  const { ask } = rig(NEWEST);
  expect(await ask(initialize(NEWEST))).toEqual(error(0, -32600));
  expect(await rig().ask(initialize(7))).toEqual(error(0, -32602));
});

test("what it offers, and how a call goes, is told", async () => {
  const { ask } = rig(NEWEST);
  expect(await ask(request("a", "ping"))).toEqual({ jsonrpc: "2.0", id: "a", result: {} });
  const listed = (await ask(request(1, "tools/list"))) as { result: { tools: Array<{ name: string }> } };
  expect(listed.result.tools.map(({ name }) => name)).toEqual(["say", "fail", "break", "look", "change"]);
  expect(await ask(call(2, "say", { text: "hello" }))).toEqual({
    jsonrpc: "2.0",
    id: 2,
    result: { content: [{ type: "text", text: "test: hello" }], isError: false },
  });
  expect(await ask(call(3, "fail"))).toMatchObject({ result: { isError: true } });
});

test("what cannot be answered is an error as JSON-RPC numbers it, and says nothing of the machine", async () => {
  const { ask } = rig(NEWEST);
  const asked: Array<[Json, Json]> = [
    [7, error(null, -32600)],
    [null, error(null, -32600)],
    [{}, error(null, -32600)],
    [{ jsonrpc: "1.0", id: 1, method: "ping" }, error(1, -32600)],
    [{ jsonrpc: "2.0", id: null, method: "ping" }, error(null, -32600)],
    [{ jsonrpc: "2.0", id: {}, method: "ping" }, error(null, -32600)],
    [{ jsonrpc: "2.0", id: 1, method: 4 }, error(1, -32600)],
    [{ jsonrpc: "2.0", id: 1, method: "ping", params: [1] }, error(1, -32602)],
    [request(1, "resources/list"), error(1, -32601)],
    [request(1, "__proto__"), error(1, -32601)],
    [request(1, "tools/list", { cursor: "2" }), error(1, -32602)],
    [call(1, "nothing"), error(1, -32602)],
    [call(1, "constructor"), error(1, -32602)],
    [request(1, "tools/call", {}), error(1, -32602)],
    [call(1, "say", [1]), error(1, -32602)],
  ];
  for (const [message, answer] of asked) expect(await ask(message)).toEqual(answer);
  expect(await ask(call(1, "merge"))).toMatchObject({ error: { message: "There is no right to merge." } });
  const broke = await ask(call(1, "break"));
  expect(broke).toEqual(error(1, -32603));
  expect(JSON.stringify(broke)).not.toContain("secret");
  expect(await rig().ask(request(1, "tools/list"))).toEqual(error(1, -32600));
  expect(await rig().ask(call(1, "say"))).toEqual(error(1, -32600));
});

test("notifications and answers get no answer, whatever they say", async () => {
  const { ask } = rig(NEWEST);
  const quiet: Json[] = [
    { jsonrpc: "2.0", method: "notifications/initialized" },
    { jsonrpc: "2.0", method: "nothing", params: [] },
    cancel(99),
    cancel({}),
    { jsonrpc: "2.0", id: 1, result: {} },
    { jsonrpc: "2.0", id: 1, error: { code: 1, message: "x" } },
  ];
  for (const each of quiet) expect(await ask(each)).toBe(null);
});

test("several messages at once are taken in the revision that has them, and in no other", async () => {
  const { ask } = rig("2025-03-26");
  const both = [request(1, "ping"), { jsonrpc: "2.0", method: "notifications/initialized" }, call(2, "fail"), 5];
  expect(await ask(both)).toEqual([
    { jsonrpc: "2.0", id: 1, result: {} },
    expect.objectContaining({ id: 2 }),
    error(null, -32600),
  ]);
  expect(await ask([{ jsonrpc: "2.0", method: "notifications/initialized" }])).toBe(null);
  expect(await ask([])).toEqual(error(null, -32600));
  expect(await ask(Array(65).fill(request(1, "ping")))).toEqual(error(null, -32600));
  for (const each of [NEWEST, "2025-06-18", "2024-11-05"])
    expect(await rig(each).ask(both)).toEqual(error(null, -32600));
});

test("a call that is taken back gets no answer; progress is told to who asked for it, and grows", async () => {
  const { ask, heard, ended } = rig(NEWEST);
  const first = ask(call(1, "change", { progress: true }, { _meta: { progressToken: "t" } }));
  const second = ask(call("1", "look", { progress: true }));
  expect(await ask(call(1, "say"))).toEqual(error(1, -32600));
  await ask(cancel(1));
  expect([await first, ended]).toEqual([null, ["change"]]);
  await ask(cancel("1"));
  expect([await second, ended]).toEqual([null, ["change", "look"]]);
  const told = (progress: number) => ({
    jsonrpc: "2.0",
    method: "notifications/progress",
    params: { progressToken: "t", progress, total: 3, message: `${progress} of 3` },
  });
  expect(heard).toEqual([told(1), told(2)]);
});

test("a client that has gone leaves what only looks; the end of its session takes back all", async () => {
  const { ask, ended, session } = rig(NEWEST);
  const gone = new AbortController();
  const calls = [ask(call(1, "look"), gone.signal), ask(call(2, "change"), gone.signal)];
  gone.abort();
  await calls[0];
  expect([ended, session.busy]).toEqual([["look"], 1]);
  await session.close();
  expect([ended, session.busy]).toEqual([["look", "change"], 0]);
  expect(await calls[1]).toMatchObject({ id: 2, result: { isError: true } });
});

test("so many calls run at once and no more", async () => {
  const { ask, session } = rig(NEWEST);
  const calls = Array.from({ length: 40 }, (_, id) => ask(call(id, "look")));
  expect(session.busy).toBe(32);
  for (const each of calls.slice(32)) expect(await each).toMatchObject({ error: { code: -32603 } });
  await session.close();
  for (const each of calls.slice(0, 32)) expect(await each).toMatchObject({ result: { isError: true } });
});

test("what a client says to be is cleaned and bounded", async () => {
  const named = async (name: Json): Promise<unknown> => {
    const { ask } = rig();
    await ask(initialize(NEWEST, { name }));
    const said = (await ask(call(1, "say", { text: "" }))) as { result: { content: Array<{ text: string }> } };
    return said.result.content[0]!.text;
  };
  expect(await named("a\nb\u202e\u0000c")).toBe("a b  c: ");
  expect(await named("x".repeat(1000))).toBe(`${"x".repeat(64)}: `);
  expect(await named(["no"])).toBe(": ");
  expect(await named("\ud800")).toBe("\ufffd: ");
});

/** Lines of a client, and what is answered to them; ends with the input. */
async function lines(bytes: Uint8Array[]): Promise<Json[]> {
  const { session } = rig();
  const [input, output] = [new PassThrough(), new PassThrough()];
  const served = serveStdio(session, { input, output }, new AbortController().signal);
  for (const each of bytes) input.write(each);
  await new Promise((resolve) => setImmediate(resolve));
  input.end();
  await served;
  const said = (output.read() as Buffer | null)?.toString() ?? "";
  return said
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Json);
}

test("lines are messages however they are cut; what is no JSON or too long is told, and the next is heard", async () => {
  const sent = Buffer.from(
    `${JSON.stringify(initialize(NEWEST))}\n\r\n{\n${JSON.stringify(call(1, "say", { text: "ü" }))}\r\n${JSON.stringify(request(2, "ping"))}`,
  );
  const answers = [
    error(null, -32700),
    expect.objectContaining({ id: 0 }),
    expect.objectContaining({ id: 1, result: { content: [{ type: "text", text: "test: ü" }], isError: false } }),
  ];
  for (const cut of [[sent], [...sent].map((byte) => Uint8Array.of(byte))]) {
    const said = await lines(cut);
    expect(said).toEqual(expect.arrayContaining(answers));
    expect(said).toHaveLength(3);
  }
  const long = [Buffer.alloc(LONGEST, "x"), Buffer.from(`x\n${JSON.stringify(request(3, "ping"))}\n`)];
  expect(await lines(long)).toEqual([error(null, -32600), { jsonrpc: "2.0", id: 3, result: {} }]);
});

test("whatever comes, each request gets one answer with its id, and nothing else does", async () => {
  const word = fc.constantFrom(...["initialize", "ping", "tools/list", "tools/call", "notifications/cancelled", "x"]);
  const odd = fc.jsonValue({ maxDepth: 3 });
  const given = fc.oneof(
    odd,
    fc.record({ name: fc.constantFrom("say", "fail", "break", "merge"), arguments: odd, _meta: odd }),
    fc.record({ protocolVersion: fc.constantFrom(NEWEST, "2025-03-26", "x"), clientInfo: odd }),
    fc.record({ requestId: fc.integer({ min: 0, max: 3 }) }),
  );
  const message = fc.oneof(
    odd,
    fc.record(
      {
        jsonrpc: fc.oneof({ weight: 9, arbitrary: fc.constant("2.0") }, odd),
        id: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.string(), odd),
        method: fc.oneof({ weight: 9, arbitrary: word }, odd),
        params: given,
      },
      { requiredKeys: [] },
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(message, { maxLength: 12 }), async (messages) => {
      const { ask, session } = rig();
      const sent = messages as Json[];
      const answers = await Promise.all(sent.map((each) => ask(each)));
      await session.close();
      for (const [at, answer] of answers.entries()) {
        const each = sent[at]!;
        if (Array.isArray(each)) continue;
        const isRequest = isMembers(each) && each.jsonrpc === "2.0" && typeof each.method === "string";
        if (isRequest && each.id === undefined) expect(answer).toBe(null);
        if (isRequest && (typeof each.id === "string" || typeof each.id === "number"))
          expect(answer).toMatchObject({ jsonrpc: "2.0", id: each.id });
        if (answer !== null) {
          const { result, error } = answer as Members;
          expect((result === undefined) !== (error === undefined)).toBe(true);
        }
      }
      const alive = await ask(request("last", "ping"));
      expect(alive).toEqual({ jsonrpc: "2.0", id: "last", result: {} });
    }),
    params(2000, 200),
  );
});

test("whatever bytes come, what is said back is lines of JSON-RPC, and it ends with its input", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }), async (chunks) => {
      const noise = chunks.flatMap((each) => [each, Buffer.from("\n")]);
      const said = await lines([...noise, Buffer.from(`${JSON.stringify(request("last", "ping"))}\n`)]);
      for (const each of said) expect(each).toMatchObject({ jsonrpc: "2.0" });
      expect(said.at(-1)).toEqual({ jsonrpc: "2.0", id: "last", result: {} });
    }),
    params(2000, 100),
  );
});
