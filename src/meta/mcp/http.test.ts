import { randomUUID } from "node:crypto";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { send } from "../../../test/support/serve.ts";
import { connectMcp } from "../../agent/mcp/client.ts";
import type { Tool, ToolContext } from "../../agent/tools/tool.ts";
import type { Json } from "../../trace/ports.ts";
import { type McpDoor, openMcpDoor } from "./http.ts";
import { makeSession } from "./session.ts";

const TOKEN = "a-token-of-thirty-two-characters-or-so";
let door: McpDoor;
let port: number;
/** Calls that wait: those that have begun, were left, came to their end. */
let begun: number;
let left: number;
let waited: number;
let go: () => void;
beforeEach(async () => {
  begun = 0;
  left = 0;
  waited = 0;
  const opened = new Promise<void>((resolve) => {
    go = resolve;
  });
  const wait = (name: string, readOnly: boolean) => ({
    name,
    readOnly,
    listed: { name, description: "Waits.", inputSchema: { type: "object" } },
    call: async (
      _input: object,
      { signal, progress }: { signal: AbortSignal; progress: (a: number, b: number, c: string) => void },
    ) => {
      begun++;
      progress(1, 2, "half");
      const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      await Promise.race([opened, aborted]);
      if (signal.aborted) left++;
      else waited++;
      return { text: signal.aborted ? "left" : "waited", failed: false };
    },
  });
  const say = {
    name: "say",
    readOnly: true,
    listed: { name: "say", description: "Says.", inputSchema: { type: "object" } },
    call: async (input: { [key: string]: Json }, { client }: { client: string }) => ({
      text: `${client}: ${input.text}`,
      failed: input.text === "no",
    }),
  };
  const session = { lacking: () => undefined, instructions: "", version: "1" };
  door = openMcpDoor({
    token: { path: "/the/token", isIn: (header) => header === `Bearer ${TOKEN}` },
    newId: randomUUID,
    newSession: () => makeSession({ ...session, tools: [say, wait("look", true), wait("change", false)] }),
  });
  await new Promise<void>((resolve) => door.server.listen(0, "127.0.0.1", resolve));
  port = (door.server.address() as AddressInfo).port;
});
afterEach(async () => {
  await door.close();
  door.server.close();
  door.server.closeAllConnections();
});

const HEADERS = {
  "content-type": "application/json",
  accept: "application/json, text/event-stream",
  authorization: `Bearer ${TOKEN}`,
};
const initialize = (protocolVersion = "2025-11-25") => ({
  jsonrpc: "2.0",
  id: 0,
  method: "initialize",
  params: { protocolVersion, capabilities: {}, clientInfo: { name: "test", version: "1" } },
});
const PING = { jsonrpc: "2.0", id: 1, method: "ping" };
const call = (id: number, name: string, input: object = {}, _meta: object = {}) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name, arguments: input, _meta },
});
const url = (): string => `http://127.0.0.1:${port}/mcp`;
const post = (body: unknown, headers: { [name: string]: string } = {}, signal?: AbortSignal): Promise<Response> =>
  fetch(url(), {
    method: "POST",
    headers: { ...HEADERS, ...headers },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  });
/** Begins a session; gives the header that names it. */
async function begin(revision?: string): Promise<{ "mcp-session-id": string }> {
  const response = await post(initialize(revision));
  expect(response.status).toBe(200);
  return { "mcp-session-id": response.headers.get("mcp-session-id")! };
}
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
};

describe("to the client of the agent", () => {
  const context = (signal: AbortSignal): ToolContext => ({ sandbox, signal }) as unknown as ToolContext;
  const sandbox = () => Promise.reject(new Error("No program is started."));
  const server = (headers: { [name: string]: string }) =>
    connectMcp({ name: "shepherd", at: { url: url(), headers }, tiers: { "*": "reversible" }, readOnly: [] });

  test("its tools are listed and performed, a call that is taken back is told to it, and the session ends", async () => {
    const connection = server({ authorization: `Bearer ${TOKEN}` });
    const control = new AbortController();
    const tools = await connection.tools(sandbox, control.signal);
    const named = (name: string): Tool => tools.find((each) => each.name === `mcp__shepherd__${name}`)!;
    expect(tools.map(({ name }) => name)).toEqual(["change", "look", "say"].map((name) => `mcp__shepherd__${name}`));
    const never = new AbortController().signal;
    expect(await named("say").run({ text: "hello" }, context(never))).toMatchObject({
      status: "done",
      text: "shepherd: hello",
    });
    expect(await named("say").run({ text: "no" }, context(never))).toMatchObject({ status: "failed" });
    const waits = named("change").run({}, context(control.signal));
    await until(() => begun === 1);
    control.abort();
    expect(await waits).toMatchObject({ status: "aborted" });
    await until(() => left === 1);
    await connection.close();
  });

  test("without the token, or with another one, it is no server", async () => {
    for (const headers of [{}, { authorization: "Bearer another-token-of-many-characters" }])
      await expect(server(headers).tools(sandbox, new AbortController().signal)).rejects.toThrow("it answered 401");
  });
});

test("who may not come in, and what is no request, gets a sentence, whatever it asks for", async () => {
  const refused: Array<[number, string, Parameters<typeof send>[2], string?]> = [
    [401, "Authorization must be", { headers: { ...HEADERS, authorization: "" } }],
    [401, "Authorization must be", { headers: { ...HEADERS, authorization: `Bearer ${TOKEN}x` } }],
    [401, "Authorization must be", { headers: { ...HEADERS, authorization: "" }, method: "GET", body: "" }],
    [403, "Pages of a browser", { headers: { ...HEADERS, origin: "http://127.0.0.1" } }],
    [403, "Pages of a browser", { headers: { ...HEADERS, origin: "null" } }],
    [403, "Pages of a browser", { headers: { ...HEADERS, "sec-fetch-site": "cross-site" } }],
    [403, "another host", { headers: { ...HEADERS, host: "rebound.invalid" } }],
    [403, "another host", { headers: { ...HEADERS, host: "127.0.0.1.rebound.invalid" } }],
    [405, "by POST", { headers: HEADERS, method: "GET", body: "" }],
    [404, "no such address", { headers: HEADERS }, "/"],
    [404, "no such address", { headers: HEADERS }, "/mcp/../v1/status"],
    [415, "application/json", { headers: { ...HEADERS, "content-type": "text/plain" } }],
    [400, "no JSON", { headers: HEADERS, body: "{" }],
    [400, "no JSON", { headers: HEADERS, body: Buffer.from('{"a":"\xff"}', "latin1") }],
    [413, "too large", { headers: HEADERS, body: Buffer.alloc((8 << 20) + 1, " ") }],
    [400, "Mcp-Session-Id is missing", { headers: HEADERS, body: JSON.stringify(PING) }],
    [404, "no such session", { headers: { ...HEADERS, "mcp-session-id": "x" }, body: JSON.stringify(PING) }],
    [404, "no such session", { headers: { ...HEADERS, "mcp-session-id": "x" }, method: "DELETE", body: "" }],
    [400, "no revision", { headers: { ...HEADERS, "mcp-protocol-version": "1999" }, body: JSON.stringify(PING) }],
  ];
  for (const [status, why, how, path = "/mcp"] of refused) {
    const answer = await send({ port }, path, how);
    expect([answer.status, answer.lines]).toEqual([status, [{ error: expect.stringContaining(why) }]]);
  }
  expect(begun).toBe(0);
});

test("what is asked is answered with JSON, a call with a stream that has its progress; notifications with 202", async () => {
  const session = await begin();
  const ping = await post(PING, session);
  expect([ping.headers.get("content-type"), await ping.json()]).toEqual([
    "application/json",
    { jsonrpc: "2.0", id: 1, result: {} },
  ]);
  const told = await post({ jsonrpc: "2.0", method: "notifications/initialized" }, session);
  expect([told.status, await told.text()]).toEqual([202, ""]);
  const asked = await post(call(2, "change", {}, { progressToken: 7 }), session);
  expect(asked.headers.get("content-type")).toBe("text/event-stream");
  go();
  const events = (await asked.text()).trim().split("\n\n");
  expect(events.map((event) => JSON.parse(/^event: message\ndata: (.*)$/.exec(event)![1]!).method)).toEqual([
    "notifications/progress",
    undefined,
  ]);
  const plain = await post(call(3, "say", { text: "x" }), { ...session, accept: "application/json" });
  expect(await plain.json()).toMatchObject({ id: 3, result: { content: [{ text: "test: x" }] } });
});

test("sessions know nothing of each other, and end when they are told to", async () => {
  const [one, other] = [await begin(), await begin("2025-03-26")];
  expect(one).not.toEqual(other);
  expect(await (await post([PING], other)).json()).toMatchObject([{ id: 1 }]);
  expect(await (await post([PING], one)).json()).toMatchObject({ error: { code: -32600 } });
  // One cannot take back what the other asked for.
  const call5 = post(call(5, "change"), one);
  await until(() => begun === 1);
  await post({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 5 } }, other);
  const ended = await fetch(url(), { method: "DELETE", headers: { ...HEADERS, ...other } });
  expect([ended.status, left]).toEqual([204, 0]);
  expect((await post(PING, other)).status).toBe(404);
  go();
  expect(await (await call5).text()).toContain("waited");
});

test("who goes away leaves what only looks, and what changes something comes to its end", async () => {
  const session = await begin();
  const control = new AbortController();
  const calls = ["look", "change"].map(async (name, id) => {
    const response = await post(call(id, name), session, control.signal);
    return response.text();
  });
  for (const each of calls) each.catch(() => {});
  await until(() => begun === 2);
  control.abort();
  await until(() => left === 1);
  go();
  await until(() => waited === 1);
  expect(left).toBe(1);
});

test("of many sessions the ones that were silent for longest go", async () => {
  const first = await begin();
  const second = await begin();
  for (let k = 0; k < 62; k++) await begin();
  expect((await post(PING, first)).status).toBe(200);
  await begin();
  expect((await post(PING, first)).status).toBe(200);
  expect((await post(PING, second)).status).toBe(404);
});
