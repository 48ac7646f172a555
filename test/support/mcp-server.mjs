// A small server of the Model Context Protocol: over its standard input and output where it is run, else by `answer`.
import { appendFileSync, writeFileSync } from "node:fs";

const TOOLS = [
  {
    name: "echo",
    description: "Says it again.",
    inputSchema: { type: "object", properties: { text: { type: "string" } } },
  },
  {
    name: "put",
    description: "Writes a file.",
    inputSchema: { type: "object", properties: { path: { type: "string" } } },
  },
  { name: "fail", description: "Fails.", inputSchema: { type: "object" } },
  { name: "wait", description: "Waits.", inputSchema: { type: "object" } },
  { name: "die", description: "Ends the server.", inputSchema: { type: "object" } },
  { name: "odd", description: "Gives more than text.", inputSchema: { type: "object" } },
];
const text = (words) => ({ content: [{ type: "text", text: words }] });

/** What is answered to a message; undefined for what gets none. */
export function answer({ id, method, params }, log = () => {}) {
  log(`${method} ${params?.name ?? params?.requestId ?? ""}`);
  const result = (value) => ({ jsonrpc: "2.0", id, result: value });
  if (method === "initialize")
    return result({
      protocolVersion: params.protocolVersion,
      capabilities: { tools: {} },
      serverInfo: { name: "test", version: "1" },
    });
  // A page for each half.
  if (method === "tools/list")
    return result(params?.cursor ? { tools: TOOLS.slice(3) } : { tools: TOOLS.slice(0, 3), nextCursor: "2" });
  if (method !== "tools/call")
    return id === undefined ? undefined : { jsonrpc: "2.0", id, error: { code: -32601, message: "no such method" } };
  const { name, arguments: input } = params;
  if (name === "echo") return result(text(`${input.text} ${process.env.SAID ?? ""}`.trim()));
  if (name === "put") {
    writeFileSync(input.path, "from the server\n");
    return result(text("written"));
  }
  if (name === "fail") return result({ ...text("it went wrong"), isError: true });
  if (name === "odd")
    return result({
      content: [
        { type: "image", mimeType: "image/png", data: "AA==" },
        { type: "resource", resource: { uri: "x:y", text: "of it" } },
      ],
    });
  if (name === "die") process.exit(3);
  return undefined;
}

if (process.argv[1] === import.meta.filename) {
  const log = process.env.LOG ? (line) => appendFileSync(process.env.LOG, `${line}\n`) : undefined;
  process.stdout.write("hello, I am a server\n");
  let rest = "";
  process.stdin.on("data", (chunk) => {
    rest += chunk;
    const lines = rest.split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const said = answer(JSON.parse(line), log);
      if (said) process.stdout.write(`${JSON.stringify(said)}\n`);
    }
  });
}
