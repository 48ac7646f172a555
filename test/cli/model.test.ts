/** `shepherd run --model M "TASK"`: the built-in agent with a model behind a provider. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { anthropicEvents, chatEvents, type Provider, startProvider, streamed } from "../support/provider.ts";
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

test("a server by its address is a model", async () => {
  server.asked.length = 0;
  server.answer = streamed(chatEvents({ content: "Hello." }));
  const { out } = await user.does(["run", "--model", `${server.url}/v1#Qwen/Qwen3-8B`, "say hello"]);
  expect(out).toContain("· Hello.");
  expect(server.asked[0]).toMatchObject({ url: "/v1/chat/completions", json: { model: "Qwen/Qwen3-8B" } });
});

test.each([
  [["--model", "none"], 'There is no model "none": use haiku'],
  [["--model", "opus"], 'There is no key for the model "opus": set ANTHROPIC_API_KEY'],
  [["--model", "gpt-5.1"], 'There is no key for the model "gpt-5.1": set OPENAI_API_KEY'],
  [["--model", "http://localhost/v1"], "has its name behind a #"],
  [["--model", "http://me:secret@localhost/v1#m"], "must have no password in it"],
])("%j is refused in a sentence, before anything is made", async (words, sentence) => {
  const runs = (await user.does(["status", "--json"])).out;
  const { err } = await user.does(["run", ...words, "do it"], 2);
  expect(err).toMatch(/^shepherd: [^\n]+\n$/);
  expect(err).toContain(sentence);
  expect((await user.does(["status", "--json"])).out).toBe(runs);
});
