/** `shepherd run --model M "TASK"`: the built-in agent with a model behind a provider. */
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { anthropicEvents, chatEvents, type Provider, startProvider, streamed } from "../support/provider.ts";
import { long } from "../support/runs.ts";
import { newUser, type User } from "../support/user.ts";

const KEY = "sk-planted-key-4711";
let user: User;
let server: Provider;
beforeAll(async () => {
  user = await newUser({ "a.txt": "one\n" });
  server = await startProvider(() => {});
  for (const name of ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY"]) delete user.env[name];
});
afterAll(async () => {
  await server.close();
  user.end();
});

const filesIn = (at: string): string[] =>
  readdirSync(at).flatMap((name) => {
    const path = join(at, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat?.isDirectory() ? filesIn(path) : stat?.isFile() ? [path] : [];
  });

test("it works, what it costs is known, and the key stands nowhere", async () => {
  const call = { type: "tool_use", id: "A", name: "write", input: { path: "b.txt", content: "two\n" } };
  const answers = [anthropicEvents([call]), anthropicEvents([{ type: "text", text: "Written." }])];
  server.answer = (...given) => streamed(answers[server.asked.length - 1]!)(...given);
  const env = { ANTHROPIC_API_KEY: KEY, ANTHROPIC_BASE_URL: server.url };
  const ran = await user.does(["run", "--scope", "w", "--model", "haiku", "--land", "auto", "write it", "--json"], 0, {
    env,
  });
  expect(user.read("b.txt")).toBe("two\n");
  expect(server.asked.map(({ headers, json }) => [headers["x-api-key"], json.model])).toEqual([
    [KEY, "claude-haiku-5-5"],
    [KEY, "claude-haiku-5-5"],
  ]);
  const shown = (await user.does(["show", "w", "1", "--json"])).objects<{ witness: { cost: number } }>();
  expect(shown[0]!.witness.cost).toBeGreaterThan(0);
  expect(ran.out + ran.err).not.toContain(KEY);
  for (const file of filesIn(user.store)) expect(readFileSync(file).includes(KEY), file).toBe(false);
});

test.runIf(long)("a server by its address is a model", async () => {
  server.asked.length = 0;
  server.answer = streamed(chatEvents({ content: "Hello." }));
  const { out } = await user.does(["run", "--model", `${server.url}/v1#Qwen/Qwen3-8B`, "say hello"]);
  expect(out).toContain("· Hello.");
  expect(server.asked[0]).toMatchObject({ url: "/v1/chat/completions", json: { model: "Qwen/Qwen3-8B" } });
});

test("what cannot be a model is refused in a sentence, before anything is made", async () => {
  const runs = (await user.does(["status", "--json"])).out;
  const refused: Array<[model: string, sentence: string]> = [
    ["none", 'There is no model "none": use haiku'],
    ["opus", 'There is no key for the model "opus": set ANTHROPIC_API_KEY'],
    ["http://me:secret@localhost/v1#m", "must have no password in it"],
  ];
  for (const [model, sentence] of refused) {
    const { err } = await user.does(["run", "--model", model, "do it"], 2);
    expect(err).toMatch(/^shepherd: [^\n]+\n$/);
    expect(err).toContain(sentence);
  }
  expect((await user.does(["status", "--json"])).out).toBe(runs);
});

/** Asks for a call each time. */
const asks = (): void => {
  const call = { type: "tool_use", id: "A", name: "bash", input: { command: "echo hi" } };
  server.answer = streamed(anthropicEvents([call]));
};
const env = () => ({ ANTHROPIC_API_KEY: KEY, ANTHROPIC_BASE_URL: server.url });
const stopped = (...words: string[]) =>
  user.does(["run", "--model", "haiku", "--land", "never", ...words], 1, { env: env() });

test("what a limit allows is done, and no more; a resume names another, and goes on", async () => {
  asks();
  server.asked.length = 0;
  const { err } = await stopped("--scope", "calls", "--max-calls", "2", "work");
  expect(err).toContain("The limit of 2 model calls is reached (--max-calls).");
  expect(server.asked).toHaveLength(2);
  server.answer = streamed(anthropicEvents([{ type: "text", text: "Done." }]));
  await user.does(["resume", "calls", "--max-calls", "9"], 0, { env: env() });
  expect(server.asked).toHaveLength(3);
  server.answer = () => {};
  expect((await stopped("--scope", "time", "--max-time", "300ms", "work")).err).toContain(
    "The time of 0.3 s that it had is over.",
  );
});

test.runIf(long)("each limit is one of the run, and not of one command", async () => {
  asks();
  expect((await stopped("--scope", "usd", "--budget", "0.00001", "work")).err).toMatch(
    /The budget of \$0.00001 is spent: \$0\.\d+ so far/,
  );
  const { err } = await user.does(["resume", "usd"], 1, { env: env() });
  expect(err).toContain("The budget of $0.00001 is spent");
  expect((await stopped("--scope", "tokens", "--max-tokens", "500", "work")).err).toContain(
    "The limit of 500 tokens is reached",
  );
  const of = "--max-calls is for a run of `shepherd gateway`, or of the built-in agent";
  expect((await user.does(["run", "--max-calls", "2", "--", "true"], 2)).err).toContain(of);
  const soon = await user.does(["run", "--model", "haiku", "--max-time", "soon", "x"], 2, { env: env() });
  expect(soon.err).toContain('--max-time takes a duration as 90s, 5m or 2h, not "soon".');
});

test("all that a call gave can be seen, however little its agent was told", async () => {
  const script = user.script([{ call: [{ tool: "bash", input: { command: "seq 20000" } }] }, { say: "done" }]);
  await user.does(["run", "--scope", "long", "--land", "never", "--model", script, "count"]);
  expect((await user.does(["show", "long", "2"])).out).toContain("characters left out here");
  expect((await user.does(["show", "long", "2", "--output"])).out).toBe(
    Array.from({ length: 20_000 }, (_, k) => `${k + 1}\n`).join(""),
  );
});

test("servers of tools work in the run, and what nobody gave a tier is refused", async () => {
  const at = `${import.meta.dirname}/../support/mcp-server.mjs`;
  user.write({ "server.mjs": readFileSync(at, "utf8") });
  const mcp = join(user.directory, "mcp.json");
  const test = { command: process.execPath, args: ["server.mjs"], tiers: { put: "reversible" } };
  writeFileSync(mcp, JSON.stringify({ mcpServers: { test } }));
  const script = user.script([
    {
      call: [
        { tool: "mcp__test__put", input: { path: "made.txt" } },
        { tool: "mcp__test__echo", input: { text: "x" } },
      ],
    },
    { say: "done" },
  ]);
  const { out } = await user.does([
    "run",
    "--scope",
    "mcp",
    "--land",
    "auto",
    "--mcp",
    mcp,
    "--model",
    script,
    "put it",
  ]);
  expect(out).toMatch(/tool {4}· mcp__test__put made\.txt {2}\+1 -0/);
  expect(out).toMatch(/tool {4}· mcp__test__echo .* ✗ denied/);
  expect(user.read("made.txt")).toBe("from the server\n");
  // Who goes on has them, too; where they have gone, it says so.
  rmSync(mcp);
  expect((await user.does(["resume", "mcp", "again"], 2)).err).toContain("mcp.json cannot be read (ENOENT).");
});

test.runIf(long)("servers are for the built-in agent, and must be there", async () => {
  const script = user.script([{ say: "done" }]);
  const none = await user.does(["run", "--mcp", "none.json", "--model", script, "do it"], 2);
  expect(none.err).toContain("none.json cannot be read (ENOENT).");
  const command = await user.does(["run", "--mcp", "none.json", "--", "true"], 2);
  expect(command.err).toContain("--mcp is for the built-in agent");
});
