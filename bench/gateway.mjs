// What the recording gateway adds to a model call: a conversation that grows, as an agent's does, sent to a scripted provider directly and through it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fdatasyncSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { Agent, createServer, request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { cli, finallyDo, home, interleaved, median, ms, quantile, quick, table } from "./lib.mjs";

const CALLS = quick ? 4 : 100;
const WORD = "The quick brown fox jumps over the lazy dog. ";
// What an agent says in each request, beside its conversation: about 40 kB.
const system = [{ type: "text", text: WORD.repeat(150) }];
const tools = Array.from({ length: 12 }, (_, k) => ({
  name: `tool${k}`,
  description: WORD.repeat(55),
  input_schema: { type: "object", properties: {} },
}));

/** A provider in a process of its own: answers with a text in 20 deltas and one call, as fast as it can. */
function provide() {
  let calls = 0;
  const server = createServer((incoming, response) => {
    incoming.resume();
    incoming.on("end", () => {
      const id = `toolu_${++calls}`;
      const events = [
        {
          type: "message_start",
          message: { id, type: "message", role: "assistant", content: [], usage: { input_tokens: 1 } },
        },
        { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
        ...Array.from({ length: 20 }, () => ({
          type: "content_block_delta",
          index: 0,
          delta: { type: "text_delta", text: WORD },
        })),
        { type: "content_block_stop", index: 0 },
        { type: "content_block_start", index: 1, content_block: { type: "tool_use", id, name: "tool1", input: {} } },
        { type: "content_block_delta", index: 1, delta: { type: "input_json_delta", partial_json: '{"path":"a"}' } },
        { type: "content_block_stop", index: 1 },
        { type: "message_delta", delta: { stop_reason: "tool_use" }, usage: { output_tokens: 9 } },
        { type: "message_stop" },
      ];
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (const event of events) response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
      response.end();
    });
  });
  server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
}

const children = [];
/** Starts a process, and gives what its first line says. */
function start(args, options = {}) {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"], ...options });
  finallyDo(() => child.kill("SIGKILL"));
  children.push(child);
  const lines = createInterface({ input: child.stdout });
  return new Promise((resolve, reject) => {
    child.once("close", (code) => reject(new Error(`It ended with ${code}.`)));
    lines.on("line", (line) => (line.includes("http") ? resolve({ line, pid: child.pid }) : undefined));
  });
}

const agent = new Agent({ keepAlive: true });
/** One call; gives the ms until its first byte and until its end. */
const call = (url, messages, seen) =>
  new Promise((resolve, reject) => {
    const body = JSON.stringify({ model: "bench", max_tokens: 1, stream: true, system, tools, messages });
    const begun = performance.now();
    const outgoing = request(`${url}/v1/messages`, {
      method: "POST",
      agent,
      headers: { "content-type": "application/json" },
    });
    outgoing.on("error", reject);
    outgoing.on("response", (response) => {
      let first;
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => {
        first ??= performance.now() - begun;
        text += chunk;
      });
      response.on("end", () => {
        const whole = performance.now() - begun;
        seen.first.push(first);
        resolve({ whole, id: /"id":"(toolu_\d+)","name"/.exec(text)[1] });
      });
    });
    outgoing.end(body);
  });

// Until it is killed.
if (process.argv[2] === "provider") {
  provide();
  await new Promise(() => {});
}
const project = join(home, "project");
mkdirSync(project);
const { line: provider } = await start([process.argv[1], "provider"]);
const env = {
  ...process.env,
  SHEPHERD_DIR: join(home, "store"),
  ANTHROPIC_BASE_URL: provider,
  ANTHROPIC_API_KEY: "x",
};
const { line, pid } = await start([cli, "gateway", "--json"], { cwd: project, env });
const gateway = JSON.parse(line).ANTHROPIC_BASE_URL;
/** Ticks of the clock, 10 ms each, that a process has worked. */
const worked = () => {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1].split(" ");
  return Number(fields[11]) + Number(fields[12]);
};
const before = worked();
/** A conversation that grows with each call. */
const talk = (url, seen) => {
  const messages = [{ role: "user", content: "Begin." }];
  return async () => {
    const { whole, id } = await call(url, messages, seen);
    messages.push(
      {
        role: "assistant",
        content: [
          { type: "text", text: WORD.repeat(20) },
          { type: "tool_use", id, name: "tool1", input: { path: "a" } },
        ],
      },
      { role: "user", content: [{ type: "tool_result", tool_use_id: id, content: WORD.repeat(20) }] },
    );
    return whole;
  };
};
const first = { direct: [], gateway: [] };
const files = ["a", "b"].map((name) => openSync(join(home, name), "a"));
const whole = await interleaved(CALLS, {
  direct: talk(provider, { first: first.direct }),
  gateway: talk(gateway, { first: first.gateway }),
  // A tool's time: what the call before left to be synced is, within 50 ms.
  pause: () => sleep(100),
  // What a sync of the store is at least: of a pack and of a log.
  syncs: () => {
    for (const file of files) {
      writeSync(file, WORD);
      fdatasyncSync(file);
    }
  },
});
const row = (what, times) => {
  const added = median(times.gateway) - median(times.direct);
  return [what, ms(median(times.direct)), ms(median(times.gateway)), ms(quantile(times.gateway, 0.9)), ms(added)];
};
const late = Object.fromEntries(
  Object.entries(whole).map(([name, times]) => [name, times.slice(-Math.ceil(CALLS / 5))]),
);
table(
  "gateway",
  "The gateway",
  `${CALLS} model calls of a conversation that grows by two messages with each, 40 kB of instructions and tools beside, directly and through \`shepherd gateway\` in turn, 100 ms apart; the provider answers at once. Each call through it is synced before it leaves: a pack and a log. Two appends with \`fdatasync\` took ${ms(median(whole.syncs))} ms (p90 ${ms(quantile(whole.syncs, 0.9))}), in turn with the calls. The gateway worked ${ms(((worked() - before) * 10) / CALLS)} ms for each call.`,
  ["until", "direct, median ms", "gateway, median ms", "gateway, p90 ms", "added, ms"],
  [
    row("the first byte", first),
    row("the end of the answer", whole),
    row("the end, of the last fifth of the calls", late),
  ],
);
// They are gone before their files are.
for (const child of children) {
  child.kill("SIGTERM");
  await once(child, "exit");
}
process.exit(0);
