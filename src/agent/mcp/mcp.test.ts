import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { agentRig, call, end, items, portOf, type Rig, stream } from "../../../test/support/agent-rig.ts";
import { startProvider } from "../../../test/support/provider.ts";
import type { Handler } from "../../scope/effect.ts";
import type { LiveScope } from "../../scope/scope.ts";
import { textOf } from "../../scope/thread.ts";
import { runAgent } from "../loop.ts";
import type { ModelEvent } from "../model.ts";
import type { Tool } from "../tools/tool.ts";
import { connectMcp, type McpConnection, type McpServer } from "./client.ts";
import { readMcp } from "./config.ts";

let rig: Rig;
const open: McpConnection[] = [];
beforeEach(async () => {
  rig = await agentRig({ "server.mjs": readFileSync(SERVER, "utf8") });
});
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
  await rig.end();
});
const signal = new AbortController().signal;
const SERVER = `${import.meta.dirname}/../../../test/support/mcp-server.mjs`;
const { answer } = (await import(SERVER)) as { answer(message: object): object | undefined };
/** A variable in a file. */
const variable = (name: string): string => `$\{${name}}`;

const program = (env: { [name: string]: string } = {}): McpServer => ({
  name: "test",
  at: { command: process.execPath, args: ["server.mjs"], env },
  tiers: { "*": "reversible" },
  readOnly: ["echo", "wait"],
});

async function toolsOf(server: McpServer, scope: LiveScope): Promise<Tool[]> {
  const connection = connectMcp(server);
  open.push(connection);
  return connection.tools(() => scope.files!.sandbox(), signal);
}

/** Performs calls in one turn; gives status and text of each. */
async function use(
  scope: LiveScope,
  tools: Tool[],
  calls: Array<[name: string, input?: object]>,
  until: AbortSignal = signal,
): Promise<Array<[string, string]>> {
  const turn: ModelEvent[] = calls.map(([name, input], k) => call(`c${k}`, `mcp__test__${name}`, input));
  const before = (await items(scope)).length;
  const port = portOf(
    () => stream(...turn, end),
    () => stream(end),
  );
  await runAgent(scope, { model: port, tools, signal: until, maxTurns: 1 });
  return (await items(scope))
    .slice(before + 1)
    .map((item) => [item.role === "result" ? item.status : "?", textOf(item)]);
}

test("a server that is a program runs in the sandbox: its tools are the agent's, what it writes is the scope's", async () => {
  const scope = await rig.start();
  const tools = await toolsOf(program({ SAID: "too" }), scope);
  expect(tools.map(({ name, lock, tier }) => [name, lock, tier])).toEqual([
    ["mcp__test__die", "exclusive", "reversible"],
    ["mcp__test__echo", "shared", "reversible"],
    ["mcp__test__fail", "exclusive", "reversible"],
    ["mcp__test__odd", "exclusive", "reversible"],
    ["mcp__test__put", "exclusive", "reversible"],
    ["mcp__test__wait", "shared", "reversible"],
  ]);
  expect(
    await use(scope, tools, [
      ["echo", { text: "one" }],
      ["echo", { text: "two" }],
      ["put", { path: "b.txt" }],
      ["fail"],
      ["odd"],
    ]),
  ).toEqual([
    ["done", "one too"],
    ["done", "two too"],
    ["done", "written"],
    ["failed", "it went wrong"],
    ["done", "(image, image/png)\nof it"],
  ]);
  expect(readFileSync(`${scope.files!.host}/b.txt`, "utf8")).toBe("from the server\n");
  expect(existsSync(`${rig.workspace}/b.txt`)).toBe(false);
  expect(scope.writer.fold.steps.get(4)!.outcomeWitness.changes).toMatchObject({ files: 1 });
  // One that has ended is started anew for the next call, and nothing is asked twice of it.
  expect(await use(scope, tools, [["die"], ["echo", { text: "again" }]])).toEqual([
    ["failed", "test: it ended (exit code 3)."],
    ["done", "again too"],
  ]);
});

test("a call that is aborted is told to the server, and ends", async () => {
  const scope = await rig.start();
  const log = `${scope.files!.path}/log`;
  const tools = await toolsOf(program({ LOG: log }), scope);
  const control = new AbortController();
  const waits = use(scope, tools, [["wait"]], control.signal);
  const host = `${scope.files!.host}/log`;
  while (!existsSync(host) || !readFileSync(host, "utf8").includes("tools/call wait"))
    await new Promise((resolve) => setTimeout(resolve, 5));
  control.abort();
  expect(await waits).toEqual([["aborted", "The call was aborted."]]);
  while (!readFileSync(host, "utf8").includes("notifications/cancelled"))
    await new Promise((resolve) => setTimeout(resolve, 5));
});

test("a tool of which nothing is known is irreversible: it runs when somebody allows it", async () => {
  const unknown: McpServer = { ...program(), tiers: { fail: "repeatable" } };
  const scope = await rig.start();
  const tools = await toolsOf(unknown, scope);
  expect(await use(scope, tools, [["put", { path: "b" }], ["fail"]])).toEqual([
    ["denied", "not allowed: nobody allowed this irreversible effect; a gate can allow it"],
    ["failed", "it went wrong"],
  ]);
  const allow: Handler = { name: "user", handle: () => ({ kind: "allow" }) };
  const other = await rig.start("again", { name: "again", handlers: [allow] });
  expect(await use(other, await toolsOf(unknown, other), [["put", { path: "b" }]])).toEqual([["done", "written"]]);
});

test.each(["json", "stream"])(
  "a server at an address, that answers by %s, keeps a session and may forget it",
  async (how) => {
    let session = 0;
    let forgotten = false;
    const server = await startProvider(({ json, headers }, response) => {
      if (json?.method === "initialize") session++;
      else if (headers["mcp-session-id"] !== `s${session}` || forgotten) {
        forgotten = false;
        return void response.writeHead(404).end(`no session for ${headers.authorization}`);
      }
      const said = answer(json ?? {});
      if (!said) return void response.writeHead(202).end();
      const kept = { "mcp-session-id": `s${session}` };
      if (how === "json")
        response.writeHead(200, { "content-type": "application/json", ...kept }).end(JSON.stringify(said));
      else {
        response.writeHead(200, { "content-type": "text/event-stream", ...kept });
        const told = { jsonrpc: "2.0", method: "notifications/message", params: {} };
        response.end(`event: message\ndata: ${JSON.stringify(told)}\n\ndata: ${JSON.stringify(said)}\n\n`);
      }
    });
    try {
      const scope = await rig.start();
      const headers = { authorization: "Bearer planted-secret" };
      const tools = await toolsOf({ ...program(), at: { url: `${server.url}/mcp`, headers } }, scope);
      expect(await use(scope, tools, [["echo", { text: "one" }], ["echo", { text: "two" }], ["wait"]])).toEqual([
        ["done", "one"],
        ["done", "two"],
        ["failed", "test: its answer broke off."],
      ]);
      expect(server.asked.at(-1)!.headers).toMatchObject({
        "mcp-protocol-version": "2025-11-25",
        "mcp-session-id": "s1",
        ...headers,
      });
      forgotten = true;
      const [lost, found] = await use(scope, tools, [["fail"], ["echo", { text: "back" }]]);
      expect(lost).toEqual(["failed", "test: it answered 404: no session for [credential]."]);
      expect([found, session]).toEqual([["done", "back"], 2]);
    } finally {
      await server.close();
    }
  },
);

test("a server that cannot be used is named, with the reason", async () => {
  const scope = await rig.start();
  const of = (at: McpServer["at"]) => toolsOf({ ...program(), at }, scope);
  await expect(of({ command: "no-such-program", args: [], env: {} })).rejects.toThrow(
    /^The MCP server test cannot be used: /,
  );
  await expect(of({ command: "false", args: [], env: {} })).rejects.toThrow("cannot be used: it ended (exit code 1).");
  const gone = await startProvider(() => {});
  await gone.close();
  await expect(of({ url: gone.url, headers: {} })).rejects.toThrow("it cannot be reached (ECONNREFUSED).");
});

test("a file says which servers there are, and what is wrong with it", () => {
  const file = `${rig.directory}/mcp.json`;
  const read = (servers: unknown, env = {}) => {
    writeFileSync(file, typeof servers === "string" ? servers : JSON.stringify({ mcpServers: servers }));
    return readMcp(file, env);
  };
  expect(
    read({ a: { url: "https://x/mcp", headers: { authorization: `Bearer ${variable("TOKEN")}` } } }, { TOKEN: "t" }),
  ).toEqual([
    { name: "a", at: { url: "https://x/mcp", headers: { authorization: "Bearer t" } }, tiers: {}, readOnly: [] },
  ]);
  expect(
    read({ a: { command: "npx", args: [variable("X:-y")], tiers: { "*": "reversible" }, readOnly: ["z"] } }),
  ).toEqual([
    { name: "a", at: { command: "npx", args: ["y"], env: {} }, tiers: { "*": "reversible" }, readOnly: ["z"] },
  ]);
  const wrong: Array<[unknown, string]> = [
    ["{", "are no JSON"],
    ["[]", "are not there: write"],
    [{ "a b": { command: "x" } }, '"a b" is no name'],
    [{ a: {} }, '"a" needs either "command" or "url"'],
    [{ a: { command: "x", args: "y" } }, '"args" that are no list'],
    [{ a: { command: "x", tiers: { y: "maybe" } } }, '"tiers" that are not reversible, repeatable or irreversible'],
    [{ a: { url: "ftp://x" } }, "has no address that begins with http"],
    [{ a: { command: variable("NONE") } }, "names NONE, which is not set"],
  ];
  for (const [servers, sentence] of wrong) expect(() => read(servers)).toThrow(sentence);
  expect(() => readMcp("/none", {})).toThrow("The servers of /none cannot be read (ENOENT).");
});
