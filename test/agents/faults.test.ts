/** A provider that fails, before the real Claude Code: the run goes on, or ends in a sentence and can be gone on with. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Answer, anthropicEvents } from "../support/provider.ts";
import { until } from "../support/user.ts";
import { claudeRig, type Rig } from "./claude-rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await claudeRig();
  rig.script = [
    { say: "I write.", call: [["Bash", { command: "echo x >> a.txt", description: "write" }]] },
    { say: "the end" },
  ];
});
afterEach(() => rig.end());

const failing =
  (status: number, type: string, headers: { [name: string]: string } = {}): Answer =>
  (_, response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify({ type: "error", error: { type, message: "the provider says no" } }));
  };
const cut: Answer = (asked, response) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const events = anthropicEvents([{ type: "text", text: "I begin, and" }], { model: asked.json.model });
  for (const event of events.slice(0, 4)) response.write(event);
  setTimeout(() => response.destroy(), 50);
};
const garbage: Answer = (_, response) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.end("event: message_start\ndata: {not json\n\n");
};

test.each<[string, Answer]>([
  ["an overloaded provider", failing(529, "overloaded_error", { "retry-after": "0" })],
  ["a rate limit", failing(429, "rate_limit_error", { "retry-after": "1" })],
  ["an error of the provider's", failing(500, "api_error")],
  ["an answer that is cut", cut],
])("%s, twice, is passed as it comes, and the run goes on", async (_, fault) => {
  const inner = rig.provider.answer;
  let left = 2;
  rig.provider.answer = (...all) => (left-- > 0 ? fault : inner)(...all);
  const done = await rig.shepherd("run", "claude", "write", "--scope", "it");
  expect([done.code, done.stderr]).toEqual([0, ""]);
  expect((await rig.shepherd("cat", "it@", "a.txt")).stdout).toBe("x\n");
  expect((await rig.shepherd("fsck")).code).toBe(0);
});

test("an answer that is none ends the run, which can be gone on with", async () => {
  const inner = rig.provider.answer;
  rig.provider.answer = garbage;
  expect((await rig.shepherd("run", "claude", "write", "--scope", "it")).code).toBe(1);
  rig.provider.answer = inner;
  expect((await rig.shepherd("resume", "it")).code).toBe(0);
  expect((await rig.shepherd("cat", "it@", "a.txt")).stdout).toBe("x\n");
});

test("a refused key ends the run at once, as there is no other; it can be gone on with once it is right", async () => {
  const inner = rig.provider.answer;
  rig.provider.answer = failing(401, "authentication_error");
  const ended = await rig.shepherd("run", "claude", "write", "--scope", "it");
  expect([ended.code, ended.stdout]).toEqual([1, expect.stringContaining("401 the provider says no")]);
  expect(rig.provider.asked).toHaveLength(1);
  expect((await rig.log("it")).find(({ kind }) => kind === "model")).toMatchObject({ status: "failed" });
  rig.provider.answer = inner;
  expect((await rig.shepherd("resume", "it")).code).toBe(0);
  expect((await rig.shepherd("cat", "it@", "a.txt")).stdout).toBe("x\n");
});

test.each([
  ["nobody listens where it should be", "http://127.0.0.1:1", /connect ECONNREFUSED 127\.0\.0\.1:1/],
  [
    "there is no network, or no such name",
    "http://nonexistent.invalid",
    /getaddrinfo (ENOTFOUND|EAI_AGAIN) nonexistent\.invalid/,
  ],
])(
  "a provider that cannot be reached, since %s, is told in a sentence while the agent asks again; stopped, the run can be gone on with",
  async (_, url, why) => {
    rig.env.ANTHROPIC_BASE_URL = url;
    const child = rig.start("run", "claude", "write", "--scope", "it");
    const ended = new Promise((resolve) => child.once("close", resolve));
    let told = "";
    child.stderr!.on("data", (text: string) => {
      told += text;
    });
    await until(() => told.includes("\n"));
    child.kill("SIGINT");
    await ended;
    expect(told.split(why.exec(told)?.[0] ?? "no reason")).toEqual([
      "shepherd: it got no answer from its model 3 times (",
      expect.stringMatching(/^\), and asks again: Ctrl-C stops it, `shepherd resume it` goes on\.\n/),
    ]);
    expect((await rig.log("it")).find(({ kind }) => kind === "model").status).not.toBe("done");
    rig.env.ANTHROPIC_BASE_URL = rig.provider.url;
    expect((await rig.shepherd("resume", "it")).code).toBe(0);
    expect((await rig.shepherd("cat", "it@", "a.txt")).stdout).toBe("x\n");
    expect(existsSync(join(rig.project, "a.txt"))).toBe(false);
    expect((await rig.shepherd("replay", "it")).code).toBe(0);
    expect((await rig.shepherd("fsck")).code).toBe(0);
  },
);
