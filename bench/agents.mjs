// What the benches with the real Claude Code share: a scripted provider that speaks Anthropic Messages, homes of their own, and how it is started.
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { agents, installed } from "../scripts/agents.mjs";
import { cli, finallyDo, quick } from "./lib.mjs";

/** The directory of the real agents, for a PATH; installs them where a whole run needs them. A quick run without them has nothing to show, and ends. */
export function agentsOrNothing() {
  const bin = quick ? installed() : agents();
  if (bin) return bin;
  console.log("Skipped: the real agents are not installed. `node scripts/agents.mjs` installs them.");
  process.exit(0);
}

/** Events of one answer. A tool's input comes in two halves, as from the provider. */
export function events(blocks, { id, model, usage }) {
  const list = [
    {
      type: "message_start",
      message: {
        ...{ id, type: "message", role: "assistant", model, content: [], stop_reason: null, stop_sequence: null },
        usage: { input_tokens: 1, output_tokens: 1, ...usage },
      },
    },
  ];
  for (const [index, block] of blocks.entries()) {
    const delta = (more) => list.push({ type: "content_block_delta", index, delta: more });
    if (block.type === "text") {
      list.push({ type: "content_block_start", index, content_block: { type: "text", text: "" } });
      delta({ type: "text_delta", text: block.text });
    } else {
      const input = JSON.stringify(block.input);
      list.push({ type: "content_block_start", index, content_block: { ...block, input: {} } });
      for (const part of [input.slice(0, input.length >> 1), input.slice(input.length >> 1)])
        delta({ type: "input_json_delta", partial_json: part });
    }
    list.push({ type: "content_block_stop", index });
  }
  const reason = blocks.some(({ type }) => type === "tool_use") ? "tool_use" : "end_turn";
  list.push({
    type: "message_delta",
    delta: { stop_reason: reason, stop_sequence: null },
    usage: { output_tokens: 9 },
  });
  list.push({ type: "message_stop" });
  return list.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join("");
}

/**
 * A provider on loopback. What it says follows from the request alone, the number of the model's turns in it; so forks, retries and resumed runs
 * get what they should. `script` may be set anew between runs: a list of `{ say, call: [[tool, input], …] }`, behind which it says `done`.
 */
export async function startProvider() {
  const provider = {
    script: [],
    latency: 0,
    /** Arrival, end, size and content of each request; whoever reads it empties it. */
    asked: [],
    /** What is told of the tokens of a request. */
    usage: () => ({}),
  };
  const server = createServer((incoming, response) => {
    const chunks = [];
    incoming.on("data", (chunk) => chunks.push(chunk));
    incoming.on("end", async () => {
      if (!incoming.url.startsWith("/v1/messages")) return void response.writeHead(404).end();
      const at = performance.now();
      const body = Buffer.concat(chunks);
      const json = JSON.parse(body);
      const turn = json.messages.filter(({ role }) => role === "assistant").length;
      const { say, call = [] } = provider.script[turn] ?? { say: "done" };
      const blocks = say === undefined ? [] : [{ type: "text", text: say }];
      for (const [i, [name, input]] of call.entries())
        blocks.push({ type: "tool_use", id: `toolu_${turn}_${i}`, name, input });
      const asked = { at, body, json, turn, end: at };
      provider.asked.push(asked);
      const answer = events(blocks, { id: `msg_${turn}`, model: json.model, usage: provider.usage(asked) });
      if (provider.latency > 0) await sleep(provider.latency);
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end(answer);
      asked.end = performance.now();
    });
    response.on("error", () => {});
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  provider.url = `http://127.0.0.1:${server.address().port}`;
  provider.close = () => {
    server.closeAllConnections();
    server.close();
  };
  finallyDo(provider.close);
  return provider;
}

/** Environment of a user whose home is a directory of its own, with nothing of the real one. */
export function userIn(home, bin, provider) {
  mkdirSync(join(home, ".claude"), { recursive: true });
  return {
    PATH: `${bin}:${process.env.PATH}`,
    HOME: home,
    SHEPHERD_DIR: join(home, "store"),
    CLAUDE_CONFIG_DIR: join(home, ".claude"),
    TMPDIR: process.env.TMPDIR ?? "/tmp",
    LANG: "C.UTF-8",
    ANTHROPIC_BASE_URL: provider.url,
    ANTHROPIC_API_KEY: "sk-ant-bench",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    DISABLE_AUTOUPDATER: "1",
    DISABLE_TELEMETRY: "1",
    DISABLE_ERROR_REPORTING: "1",
    IS_SANDBOX: "1",
    NO_COLOR: "1",
    GIT_CONFIG_NOSYSTEM: "1",
    ...Object.fromEntries(
      ["AUTHOR", "COMMITTER"].flatMap((who) => [
        [`GIT_${who}_NAME`, "bench"],
        [`GIT_${who}_EMAIL`, "bench@example.invalid"],
        [`GIT_${who}_DATE`, "2026-01-01T00:00:00Z"],
      ]),
    ),
  };
}

const alive = new Set();
finallyDo(() => {
  for (const child of alive) child.kill("SIGKILL");
});

/** Runs a program to its end; gives code, output, and when it began and ended. It is killed after `limit` ms. */
export function run(program, args, { limit = 120_000, input, ...options } = {}) {
  const begun = performance.now();
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], ...options });
  alive.add(child);
  child.stdin.on("error", () => {});
  child.stdin.end(input ?? "");
  const timer = setTimeout(() => child.kill("SIGKILL"), limit);
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) child[name].setEncoding("utf8").on("data", (text) => (said[name] += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      alive.delete(child);
      resolve({ code: code ?? signal, ...said, begun, ended: performance.now() });
    });
  });
}

export const shepherd = (args, options) => run(process.execPath, [cli, ...args], options);
/** As users start it for one task. What it may do is everything: this is what an accident needs. */
export const claude = (task, options, more = []) =>
  run("claude", ["-p", task, "--dangerously-skip-permissions", ...more], options);
