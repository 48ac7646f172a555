/** `shepherd gateway` as users type it. */
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { detect } from "../../src/scope/exec/abilities.ts";
import type { Row } from "../support/crash.ts";
import { post } from "../support/gateway-rig.ts";
import { answered, anthropicEvents, anthropicWhole, type Provider, startProvider } from "../support/provider.ts";
import { newUser, type Running, type User, until } from "../support/user.ts";

let user: User;
let provider: Provider;
afterEach(async () => {
  user?.end();
  await provider?.close();
});

const use = (id: string) => ({ type: "tool_use", id, name: "Bash", input: { command: id } });

const begin = async (): Promise<void> => {
  user = await newUser({ "a.txt": "one\n", "dir/b.txt": "" });
  let calls = 0;
  provider = await startProvider((...args) => {
    calls++;
    const content =
      calls < 3 ? [{ type: "text", text: `turn ${calls}` }, use(`t${calls}`)] : [{ type: "text", text: "done" }];
    return answered(200, anthropicWhole(content))(...args);
  });
};

/** A small agent: asks, writes a file for each call, and tells the result. */
const AGENT = `
const messages = [{ role: "user", content: "go" }];
for (;;) {
  const headers = { "content-type": "application/json", "x-api-key": process.env.ANTHROPIC_API_KEY };
  const body = JSON.stringify({ model: "claude-haiku-4-5", max_tokens: 1, messages });
  const reply = await fetch(process.env.ANTHROPIC_BASE_URL + "/v1/messages", { method: "POST", headers, body });
  if (!reply.ok) { console.log(await reply.text()); process.exit(3); }
  const { content } = await reply.json();
  messages.push({ role: "assistant", content });
  const calls = content.filter(({ type }) => type === "tool_use");
  if (calls.length === 0) break;
  for (const { id } of calls) fs.writeFileSync(id + ".txt", id + "\\n");
  messages.push({ role: "user", content: calls.map(({ id }) => ({ type: "tool_result", tool_use_id: id, content: "ok" })) });
}
console.log(process.cwd(), JSON.stringify(Object.keys(process.env).filter((name) => /KEY/.test(name)).sort()));
`;
const agent = ["--", process.execPath, "--input-type=module", "-e", `import fs from "node:fs";${AGENT}`];

test("an answer that breaks off behind a block is a step that was cut, with what it said", async () => {
  await begin();
  provider.answer = async (_asked, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const events = anthropicEvents([{ type: "text", text: "half of it" }]);
    const whole = events.findIndex((event) => event.includes("content_block_stop")) + 1;
    for (const event of events.slice(0, whole)) response.write(event);
    setTimeout(() => response.destroy(), 100);
  };
  const asks = `const headers = { "content-type": "application/json", "x-api-key": process.env.ANTHROPIC_API_KEY };
const messages = [{ role: "user", content: "go" }];
const body = JSON.stringify({ model: "claude-haiku-4-5", max_tokens: 1, stream: true, messages });
const reply = await fetch(process.env.ANTHROPIC_BASE_URL + "/v1/messages", { method: "POST", headers, body });
await reply.text().catch(() => {});`;
  const typed = { env: { ANTHROPIC_API_KEY: "sk-planted-key", ANTHROPIC_BASE_URL: provider.url } };
  const command = ["--", process.execPath, "--input-type=module", "-e", asks];
  await user.does(["gateway", "--scope", "g", ...command], 0, typed);
  const rows = (await user.does(["log", "g", "--json"])).objects<Row>();
  expect(rows.find(({ kind }) => kind === "model")).toMatchObject({ status: "cut", summary: "half of it" });
});

test("a command behind it runs on files of its own; each call finds what was written before it, and nobody sees the key", async () => {
  await begin();
  const typed = { env: { ANTHROPIC_API_KEY: "sk-planted-key", ANTHROPIC_BASE_URL: provider.url, OTHER_KEY: "x" } };
  const done = await user.does(["gateway", "--scope", "g", ...agent], 0, typed);
  expect(done.out).toContain(`${user.project} ["ANTHROPIC_API_KEY","OPENAI_API_KEY","OTHER_KEY"]`);
  expect(done.out).toContain("g has 3 model calls, $0.0001.");
  const [cost] = (await user.does(["cost", "g", "--json"])).objects<{ usd: number }>();
  expect(cost).toMatchObject({ scope: "g", calls: 3, unpriced: 0, models: [{ model: "claude-haiku-4-5", calls: 3 }] });
  expect(cost!.usd.toFixed(4)).toBe("0.0001");
  const [written] = (await user.does(["blame", "t1.txt", "g", "--json"])).objects();
  expect(written).toMatchObject({ lines: ["t1"], step: { scope: "g", kind: "work" }, for: { kind: "command" } });
  expect(done.out).toContain("g is done and changed 2 files (+2 -0); your own files");
  expect(provider.asked.map(({ headers }) => headers["x-api-key"])).toEqual(Array(3).fill("sk-planted-key"));
  expect(Object.keys(user.files())).toEqual(["a.txt", "dir/b.txt"]);
  const rows = (await user.does(["log", "g", "--json"])).objects<
    Row & { inside: number | null; turn: number | null; changes: { files: number } | null }
  >();
  expect(
    rows
      .sort((a, b) => a.n - b.n)
      .map(({ n, kind, inside, turn, changes }) => [n, kind, inside, turn, changes?.files ?? null]),
  ).toEqual([
    [0, "run", null, null, null],
    [1, "command", null, null, 0],
    [2, "message", 1, null, null],
    [3, "model", 1, null, null],
    [4, "tool", 1, 3, null],
    [5, "work", 1, null, 1],
    [6, "model", 1, null, null],
    [7, "tool", 1, 6, null],
    [8, "work", 1, null, 1],
    [9, "model", 1, null, null],
  ]);
  expect((await user.does(["cat", "g", "6", "t1.txt"])).out).toBe("t1\n");
  expect((await user.shepherd(["cat", "g", "6", "t2.txt"])).code).not.toBe(0);
  // Back behind the second turn: files and conversation.
  await user.does(["revert", "g", "6"]);
  expect((await user.does(["diff", "g"])).out).not.toContain("t2.txt");
  await user.does(["merge", "g"]);
  expect(Object.keys(user.files())).toEqual(["a.txt", "dir/b.txt", "t1.txt"]);
  await user.does(["fsck", "--full"]);
});

test("a command reaches the gateway and nothing else, unless it is said", async () => {
  await begin();
  const { port } = new URL(provider.url);
  const script = `fetch("http://127.0.0.1:${port}/").then(() => console.log("reached"), () => console.log("not reached"))`;
  const command = ["--", process.execPath, "-e", script];
  const env = { ANTHROPIC_BASE_URL: provider.url };
  const { samePath } = await detect();
  const alone = await user.does(["gateway", "--scope", "a", ...command], 0, { env });
  expect(alone.out).toContain(samePath ? "not reached" : "reached");
  const open = await user.does(["gateway", "--scope", "b", "--network", "host", ...command], 0, { env });
  expect(open.out).toMatch(/^reached$/m);
});

test("a command that is refused for its budget is told so, and fails", async () => {
  await begin();
  const typed = { env: { ANTHROPIC_API_KEY: "sk-planted-key" } };
  const options = ["gateway", "--scope", "g", "--max-calls", "1", "--upstream", `anthropic=${provider.url}`];
  const done = await user.does([...options, ...agent], 1, typed);
  expect(done.out).toContain("The limit of 1 model call is reached (--max-calls).");
  expect(provider.asked.length).toBe(1);
  expect((await user.does(["log", "g"])).out).toContain(
    "The limit of 1 model call is reached (--max-calls).  ✗ denied",
  );
});

const urlOf = async (running: Running): Promise<string> => {
  await until(
    () => /ANTHROPIC_BASE_URL=\S+\n/.test(running.out),
    () => running.err,
  );
  return /ANTHROPIC_BASE_URL=(\S+)\n/.exec(running.out)![1]!;
};

test("programs find it by a variable; it shows each step, goes on while it is reverted, and ends sound with Ctrl-C", async () => {
  await begin();
  const start = (): Running => user.start(["gateway", "--scope", "g", "--upstream", `anthropic=${provider.url}`]);
  let running = start();
  let url = await urlOf(running);
  const messages: object[] = [{ role: "user", content: "go" }];
  const ask = async (): Promise<void> => {
    const reply = await post(`${url}/v1/messages`, { model: "m", max_tokens: 1, messages });
    messages.push({ role: "assistant", content: (JSON.parse(reply.body.toString()) as { content: object[] }).content });
  };
  await ask();
  messages.push({ role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "ok" }] });
  await ask();
  await until(() => running.out.includes("turn 2"));
  await user.does(["revert", "g", "2"]);
  // It stands where it was reverted to: what the program tells beyond that is new again.
  messages.push({ role: "user", content: [{ type: "tool_result", tool_use_id: "t2", content: "ok" }] });
  await ask();
  running.process.kill("SIGINT");
  const done = await running.ended;
  expect([done.code, done.out]).toEqual([0, expect.stringContaining("g has 3 model calls.\nNext: ")]);
  running = start();
  url = await urlOf(running);
  messages.push({ role: "user", content: "once more" });
  await ask();
  running.process.kill("SIGINT");
  expect((await running.ended).code).toBe(0);
  const rows = (await user.does(["log", "g", "--json"])).objects<Row & { thread: string }>().reverse();
  expect(rows.filter(({ kind }) => kind === "model").map(({ thread, status }) => `${thread} ${status}`)).toEqual(
    Array(4).fill("main done"),
  );
  expect(rows.filter(({ status }) => !["done", "aborted"].includes(status))).toEqual([]);
  await user.does(["replay", "g"]);
  expect((await user.does(["resume", "g"], 2)).err).toContain("`shepherd gateway --scope g` goes on with it");
});

test.each([
  [["--budget", "much"], "--budget takes US dollars"],
  [["--budget", "0"], "--budget takes US dollars"],
  [["--max-calls", "0"], "--max-calls takes a whole number"],
  [["--upstream", "http://localhost"], "--upstream takes anthropic=URL or openai=URL"],
  [["--upstream", "openai=localhost"], "no address"],
  [["--prices", "nowhere.json"], "--prices nowhere.json"],
  [["--land", "auto"], "--land is for a command"],
  [["--land", "live", "--", "true"], "--land takes ask, auto or never"],
  [["--network", "moon", "--", "true"], "--network takes gateway or host"],
  [["--network", "host"], "--network is for a command"],
  [["--scope", "other"], "a run of another kind"],
  [["--"], "Which command?"],
])("%j is bad usage", async (options, sentence) => {
  user = await newUser();
  if (options[1] === "other") await user.does(["run", "--scope", "other", "--", "true"]);
  expect((await user.does(["gateway", ...options], 2)).err).toContain(sentence);
});

test("where its files cannot be prepared, what was written down is told before why", async () => {
  user = await newUser();
  const running = user.start(["gateway", "--scope", "g", "--", "sh", "-c", "echo begun; sleep 100"]);
  await until(
    () => running.out.includes("\nbegun"),
    () => running.out + running.err,
  );
  running.process.kill("SIGKILL");
  await running.ended;
  const [log] = readdirSync(join(user.store, "cache/work")).filter((name) => /^[0-9a-f]{32}$/.test(name));
  const work = join(user.store, "cache/work", log!);
  rmSync(work, { recursive: true, force: true });
  writeFileSync(work, "in the way");
  const done = await user.shepherd(["gateway", "--scope", "g", "--json", "--", "true"]);
  expect(done.objects().map(({ kind, error }) => kind ?? typeof error)).toEqual(["command", "string"]);
  expect(done.code).toBe(1);
});
