/** `shepherd mcp`: the operations on runs, for agents that speak the Model Context Protocol. */
import { randomBytes, randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname } from "node:path";
import type { Right } from "../../agent/run.ts";
import { openMcpDoor, PATH } from "../../meta/mcp/http.ts";
import { reachOf } from "../../meta/mcp/reach.ts";
import { makeSession, type Session } from "../../meta/mcp/session.ts";
import { serveStdio } from "../../meta/mcp/stdio.ts";
import { BY_DEFAULT, INSTRUCTIONS, lackingOf, READING, RIGHTS, toolsFor } from "../../meta/mcp/tools.ts";
import { socketPath } from "../../run/socket.ts";
import { storeDirectory } from "../../run/stores.ts";
import { quoteAll } from "../../scope/exec/quote.ts";
import { sha256 } from "../../trace/bytes.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { version } from "../../version.ts";
import { Exit, explain } from "../errors.ts";
import { chooseRun, findWorkspace } from "../select.ts";
import { listening, removeLeft } from "../serve/listen.ts";
import { tokenOf, tokenPath } from "../serve/token.ts";
import { type Context, choice, count, type Flags, list, text, type Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "runs for other agents, over the Model Context Protocol",
  usage: "[RUN…] [--grant RIGHT] [--http] [--print AGENT]",
  goesOn: true,
  agents: true,
  options: {
    grant: {
      type: "string",
      multiple: true,
      value: "RIGHT",
      help: "give a right that is not given by itself, or several: RIGHT,RIGHT",
    },
    "read-only": { type: "boolean", help: "only let them be looked at" },
    as: { type: "string", value: "NAME", help: "who it is in the records, instead of what the client says to be" },
    http: { type: "boolean", help: "listen on 127.0.0.1, for who knows the token, and on a socket of the store" },
    port: { type: "string", value: "PORT", help: "with --http: that port instead of any that is free" },
    print: { type: "string", value: "AGENT", help: "only print what adds it to claude or codex" },
  },
  details:
    `Speaks to the agent that starts it, on standard input and output. Without RUN it is about all runs of this directory; with names about these, and what is forked from them. ` +
    `Given by itself: ${BY_DEFAULT.join(", ")}. With --grant: ${RIGHTS.filter((right) => !BY_DEFAULT.includes(right)).join(", ")}. ` +
    "What is done is written down in the run, with who did it, by which right, and why.",
  examples: ["claude mcp add shepherd -- shepherd mcp", "shepherd mcp fix --grant merge", "shepherd mcp --print codex"],
  run: async (context, flags, args) => {
    const rights = rightsIn(flags);
    const port = count(flags, "port", 0, 65_535);
    if (port !== undefined && !flags.http) throw new Exit(2, "--port is about HTTP: add --http.");
    const store = await context.store();
    const names: string[] = [];
    for (const name of args) names.push((await chooseRun(context, name)).name);
    const of = names.length > 0 ? { names } : { workspace: (await findWorkspace(store, context.cwd)).id };
    const allows = `mcp-${sha256(JSON.stringify([of, rights])).slice(0, 16)}`;
    if (flags.print !== undefined) return print(context, store, flags, names, allows);
    const who = text(flags, "as");
    const during = await context.apart();
    const newSession = (): Session =>
      makeSession({
        tools: toolsFor({
          ...{ store, rights, who, during },
          reach: reachOf(store, of),
          explain: (error) => {
            const { message, hint } = explain(error);
            return hint ? `${message} ${hint}` : message;
          },
        }),
        lacking: lackingOf(rights),
        ...{ instructions: INSTRUCTIONS, version },
      });
    if (process.stdin.isTTY && !flags.http)
      context.out.warn(
        "shepherd: An agent speaks to this, on standard input and output: `shepherd mcp --print claude` prints what adds it. Ctrl-C ends it.",
      );
    if (flags.http) await serveHttp(context, store, { port: port ?? 0, allows, newSession });
    else await serveStdio(newSession(), { input: process.stdin, output: process.stdout }, context.signal);
    return 0;
  },
};

/** What is allowed, in one order. */
function rightsIn(flags: Flags): Right[] {
  const granted = list(flags, "grant").flatMap((words) => words.split(","));
  const odd = granted.find((right) => !RIGHTS.some((each) => each === right));
  if (odd !== undefined)
    throw new Exit(2, `There is no right ${JSON.stringify(odd)}: --grant takes ${RIGHTS.join(", ")}.`);
  if (flags["read-only"] && granted.length > 0)
    throw new Exit(2, "--read-only lets nothing be changed: leave --grant out.");
  const given: readonly string[] = flags["read-only"] ? READING : [...BY_DEFAULT, ...granted];
  return RIGHTS.filter((right) => given.includes(right));
}

interface Serving {
  port: number;
  /** The name of the token: it opens servers that allow the same, and no other. */
  allows: string;
  newSession: () => Session;
}

async function serveHttp(
  { out, signal }: Context,
  store: EmbeddedStore,
  { port, allows, newSession }: Serving,
): Promise<void> {
  const path = socketPath(store, `mcp-${process.pid}`);
  const token = tokenOf(store, () => randomBytes(32).toString("base64url"), allows);
  const doors = [token, null].map((each) => openMcpDoor({ token: each, newId: randomUUID, newSession }));
  const servers: Server[] = [];
  try {
    removeLeft(dirname(path), "mcp");
    const [tcp, own] = doors;
    servers.push(await listening(own!.server, { path }));
    servers.push(await listening(tcp!.server, { host: "127.0.0.1", port }));
    const url = `http://127.0.0.1:${(tcp!.server.address() as AddressInfo).port}${PATH}`;
    out.object({ url, token: token.path, socket: path, pid: process.pid });
    out.say(`Listening on ${url} for who knows the token in ${token.path}, and on ${path}. Ctrl-C ends it.`);
    await new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => resolve(), { once: true });
      if (signal.aborted) resolve();
    });
  } finally {
    await Promise.all(doors.map((door) => door.close()));
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
    if (servers.length > 0) rmSync(path, { force: true });
  }
}

/** The variable that holds the token for an agent: what stands in its configuration is only the name. */
const VARIABLE = "SHEPHERD_MCP_TOKEN";

/** Prints the command that adds it to a coding agent. Does nothing else. */
function print({ out }: Context, store: EmbeddedStore, flags: Flags, names: string[], allows: string): 0 {
  const agent = choice(flags, "print", ["claude", "codex"])!;
  const words = ["shepherd", "mcp", ...names];
  for (const right of list(flags, "grant")) words.push("--grant", right);
  if (flags["read-only"]) words.push("--read-only");
  if (flags.as !== undefined) words.push("--as", text(flags, "as")!);
  const lines: string[] = [];
  // Not every client hands its own environment on.
  const place = store.directory === storeDirectory({}) ? [] : ["--env", `SHEPHERD_DIR=${store.directory}`];
  if (!flags.http) lines.push(quoteAll([agent, "mcp", "add", "shepherd", ...place, "--", ...words]));
  else {
    const port = count(flags, "port", 1, 65_535);
    if (port === undefined) throw new Exit(2, "Where will it listen? Add --port PORT.");
    const url = `http://127.0.0.1:${port}${PATH}`;
    lines.push(`${quoteAll([...words, "--http", "--port", String(port)])} &`);
    lines.push(`export ${VARIABLE}="$(cat ${quoteAll([tokenPath(store, allows)])})"`);
    lines.push(
      agent === "claude"
        ? `claude mcp add --transport http shepherd ${url} --header 'Authorization: Bearer \${${VARIABLE}}'`
        : `codex mcp add shepherd --url ${url} --bearer-token-env-var ${VARIABLE}`,
    );
  }
  out.object({ agent, commands: lines });
  for (const line of lines) out.line(line);
  return 0;
}
