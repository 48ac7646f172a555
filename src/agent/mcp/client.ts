/** Tools of servers of the Model Context Protocol, as tools of the agent. */
import { isMembers, type Members } from "../../gateway/protocol.ts";
import type { Sandbox } from "../../scope/exec/sandbox.ts";
import type { LiveScope } from "../../scope/scope.ts";
import type { Tier } from "../../trace/frame.ts";
import type { Json } from "../../trace/ports.ts";
import { serial } from "../../trace/serial.ts";
import type { Tool, ToolResult } from "../tools/tool.ts";
import { type Address, openAddress } from "./http.ts";
import { type Carrier, errorOf, makeRpc, NO_METHOD, REVISIONS, RpcError, resultOf } from "./rpc.ts";
import { type Program, startProgram } from "./stdio.ts";

export interface McpServer {
  name: string;
  /** A program that runs in the sandbox of the scope, or a server at an address. */
  at: Program | Address;
  /** Tiers of tools by their names; `*` is of all others. What is not named is irreversible, whatever the server says of it. */
  tiers: { [tool: string]: Tier };
  /** Tools that change nothing: calls of these run beside each other. */
  readOnly: readonly string[];
}

export interface McpConnection {
  /** What the server offers. Throws a sentence where it offers nothing. */
  tools(sandbox: () => Promise<Sandbox>, signal: AbortSignal): Promise<Tool[]>;
  close(): Promise<void>;
}

/** The revision that is asked for; a server may answer with another one. */
const [REVISION] = REVISIONS;
/** How long a server may take to be there, and to answer a call, in ms. */
const START_MS = 60_000;
const CALL_MS = 600_000;
/** So many pages of tools are asked for at most. */
const PAGES = 100;

export function connectMcp(server: McpServer): McpConnection {
  let carrier: Carrier | null = null;
  let revision: string | null = null;
  const inTurn = serial();
  const rpc = makeRpc((asked) => {
    const { id, method } = asked;
    const said = method === "ping" ? resultOf(id!, {}) : errorOf(id!, NO_METHOD, "There is no such method.");
    void carrier?.send(said, AbortSignal.timeout(CALL_MS)).catch(() => {});
  });

  /** The connection; another one where that broke, since a revert ends what runs in a sandbox. */
  const connected = (sandbox: () => Promise<Sandbox>, signal: AbortSignal): Promise<Carrier> =>
    inTurn(async () => {
      if (carrier && !carrier.broken) return carrier;
      revision = null;
      const opened =
        "url" in server.at
          ? openAddress(server.at, () => revision, rpc)
          : await startProgram(await sandbox(), server.at, rpc);
      carrier = opened;
      const both = AbortSignal.any([signal, AbortSignal.timeout(START_MS)]);
      try {
        const params = { protocolVersion: REVISION, capabilities: {}, clientInfo: { name: "shepherd", version: "1" } };
        const { protocolVersion } = await rpc.ask(opened, "initialize", params, both);
        revision = typeof protocolVersion === "string" ? protocolVersion : REVISION;
        await opened.send({ jsonrpc: "2.0", method: "notifications/initialized" }, both);
        return opened;
      } catch (error) {
        carrier = null;
        await opened.close().catch(() => {});
        throw error;
      }
    });

  const call = async (
    name: string,
    input: Json,
    sandbox: () => Promise<Sandbox>,
    signal: AbortSignal,
  ): Promise<ToolResult> => {
    const both = AbortSignal.any([signal, AbortSignal.timeout(CALL_MS)]);
    try {
      return toolResult(
        await rpc.ask(await connected(sandbox, signal), "tools/call", { name, arguments: input }, both),
      );
    } catch (error) {
      if (signal.aborted) return { status: "aborted", text: "The call was aborted." };
      const { message } = error as Error;
      const why = both.aborted ? `it did not answer within ${CALL_MS / 60_000} minutes` : message;
      return { status: "failed", text: `${server.name}: ${error instanceof RpcError ? message : `${why}.`}` };
    }
  };

  return {
    tools: async (sandbox, signal) => {
      try {
        const given: Members[] = [];
        const connection = await connected(sandbox, signal);
        let cursor: Json | undefined;
        for (let page = 0; page < PAGES; page++) {
          const params = cursor === undefined ? {} : { cursor };
          const both = AbortSignal.any([signal, AbortSignal.timeout(START_MS)]);
          const { tools, nextCursor } = await rpc.ask(connection, "tools/list", params, both);
          given.push(...(Array.isArray(tools) ? tools.filter(isMembers) : []));
          if (typeof nextCursor !== "string" || nextCursor === "") break;
          cursor = nextCursor;
        }
        // In an order of its own, so that requests stay equal.
        return given.flatMap((each) => toolOf(server, each, call)).sort((a, b) => (a.name < b.name ? -1 : 1));
      } catch (error) {
        if (signal.aborted) throw error;
        throw new Error(`The MCP server ${server.name} cannot be used: ${(error as Error).message}.`);
      }
    },
    close: async () => {
      const open = carrier;
      carrier = null;
      await open?.close();
    },
  };
}

/** Works with the tools of servers, which are there as long as the work lasts. For a scope with files once these are there. */
export async function withServers<T>(
  scope: LiveScope,
  servers: readonly McpServer[],
  signal: AbortSignal,
  work: (tools: Tool[]) => Promise<T>,
): Promise<T> {
  const open = servers.map(connectMcp);
  const sandbox = (): Promise<Sandbox> => {
    if (!scope.files) throw new Error(`${scope.ref.name} has no files here, so no server can run in it.`);
    return scope.files.sandbox();
  };
  try {
    const tools = await Promise.all(open.map((each) => each.tools(sandbox, signal)));
    return await work(tools.flat());
  } finally {
    await Promise.all(open.map((each) => each.close().catch(() => {})));
  }
}

type Perform = (name: string, input: Json, sandbox: () => Promise<Sandbox>, signal: AbortSignal) => Promise<ToolResult>;

function toolOf(server: McpServer, { name, description, inputSchema }: Members, perform: Perform): Tool[] {
  if (typeof name !== "string" || name === "") return [];
  const named = (table: { [tool: string]: Tier }): Tier =>
    (Object.hasOwn(table, name) ? table[name] : table["*"]) ?? "irreversible";
  return [
    {
      name: `mcp__${server.name}__${name}`.replace(/[^\w-]/g, "_").slice(0, 64),
      description: typeof description === "string" ? description : name,
      input: isMembers(inputSchema) ? inputSchema : { type: "object" },
      lock: server.readOnly.includes(name) ? "shared" : "exclusive",
      tier: named(server.tiers),
      // The server itself checks it.
      check: (input) => (isMembers(input) ? { input } : `The input of ${name} must be an object.`),
      run: (input, { sandbox, signal }) => perform(name, input as Json, sandbox, signal),
    },
  ];
}

/** What a server gives, as text; the whole of it is kept. */
function toolResult(result: Members): ToolResult {
  const content = Array.isArray(result.content) ? result.content.filter(isMembers) : [];
  const texts = content.map((each) => {
    if (each.type === "text") return String(each.text ?? "");
    const of = isMembers(each.resource) ? each.resource : each;
    if (typeof of.text === "string") return of.text;
    const where = of.uri === undefined ? "" : ` ${of.uri}`;
    return `(${each.type}${where}${of.mimeType === undefined ? "" : `, ${of.mimeType}`})`;
  });
  const structured = result.structuredContent === undefined ? [] : [JSON.stringify(result.structuredContent)];
  const text = (texts.length > 0 ? texts : structured).join("\n");
  return {
    status: result.isError === true ? "failed" : "done",
    text: text === "" ? "(no output)" : text,
    output: Buffer.from(JSON.stringify(result)),
  };
}
