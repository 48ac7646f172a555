/** A client of `shepherd mcp` that has started it, by lines; what it says is what our agent's client says. */
import type { ChildProcess } from "node:child_process";
import { type Carrier, makeRpc } from "../../src/agent/mcp/rpc.ts";
import { isMembers, type Members } from "../../src/gateway/protocol.ts";
import type { Json } from "../../src/trace/ports.ts";
import type { Typed, User } from "./user.ts";

export interface Called {
  text: string;
  failed: boolean;
}

export interface McpClient {
  process: ChildProcess;
  /** What it said on standard error. */
  readonly err: string;
  /** What `initialize` gave. */
  begun: Members;
  /** Messages that it sent without being asked. */
  told: Members[];
  /** Throws `RpcError` for an error. */
  ask(method: string, params?: Members, signal?: AbortSignal): Promise<Members>;
  call(tool: string, input?: Members, signal?: AbortSignal): Promise<Called>;
  /** Names of its tools. */
  tools(): Promise<string[]>;
  /** Ends its input; gives its exit code. */
  close(): Promise<number | null>;
}

export async function startMcp(
  user: User,
  args: string[] = [],
  { name = "tester", ...typed }: Typed & { name?: string } = {},
): Promise<McpClient> {
  const running = user.start(["mcp", ...args], { ...typed, open: true });
  const { process } = running;
  const told: Members[] = [];
  const rpc = makeRpc(() => {});
  let rest = "";
  process.stdout!.on("data", (text: string) => {
    rest += text;
    const lines = rest.split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const message = JSON.parse(line) as Json;
      if (isMembers(message) && typeof message.method === "string") told.push(message);
      rpc.hear(message);
    }
  });
  let broken: Error | null = null;
  void running.ended.then(({ code, err }) => {
    broken = new Error(`it ended (${code}): ${err}`);
    rpc.ended(broken);
  });
  const carrier: Carrier = {
    get broken() {
      return broken;
    },
    send: async (message) => void process.stdin!.write(`${JSON.stringify(message)}\n`),
    close: async () => {},
  };
  const never = new AbortController().signal;
  const ask: McpClient["ask"] = (method, params = {}, signal = never) => rpc.ask(carrier, method, params, signal);
  const begun = await ask("initialize", {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name, version: "1" },
  });
  await carrier.send({ jsonrpc: "2.0", method: "notifications/initialized" }, never);
  return {
    process,
    begun,
    told,
    ask,
    get err() {
      return running.err;
    },
    call: async (tool, input = {}, signal) => {
      const { content, isError } = await ask("tools/call", { name: tool, arguments: input }, signal);
      const [first] = content as Array<{ text: string }>;
      return { text: first!.text, failed: isError === true };
    },
    tools: async () => ((await ask("tools/list")).tools as Array<{ name: string }>).map((tool) => tool.name),
    close: async () => {
      process.stdin!.end();
      return (await running.ended).code;
    },
  };
}
