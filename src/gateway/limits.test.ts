/** What a call may cost, how fast it may leave, and whose key it has. */
import { execFileSync } from "node:child_process";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type GatewayRig, gatewayRig, post } from "../../test/support/gateway-rig.ts";
import {
  type Answer,
  answered,
  anthropicEvents,
  anthropicWhole,
  responsesEvents,
  streamed,
} from "../../test/support/provider.ts";
import { until } from "../../test/support/user.ts";
import { budgetHandler } from "./budget.ts";
import { type Limiter, makeLimiter, retryAfter } from "./limiter.ts";
import { costOf, PRICES, priceOf, readPrices } from "./prices.ts";
import { upstreamOf } from "./upstream.ts";

let rig: GatewayRig;
afterEach(async () => {
  vi.useRealTimers();
  await rig?.end();
});
const start = async (answer: Answer, options?: Parameters<typeof gatewayRig>[1]): Promise<void> => {
  rig = await gatewayRig(answer, options);
};
const SAY = { type: "text", text: "Hi." };
const ask = (k: number, model = "claude-haiku-4-5") => ({
  model,
  max_tokens: 9,
  messages: [{ role: "user", content: `${k}` }],
});

describe("keys", () => {
  const KEYS = {
    ANTHROPIC_API_KEY: "sk-ant-planted-111111",
    ANTHROPIC_AUTH_TOKEN: "tok-planted-222222",
    CLAUDE_CODE_OAUTH_TOKEN: "oat-planted-333333",
    OPENAI_API_KEY: "sk-planted-444444",
  };
  const CLIENT = "sk-client-planted-555555";

  test("come from the environment at each request where the client sends the dummy, else from the client", async () => {
    const env: NodeJS.ProcessEnv = { ...KEYS };
    await start(answered(200, anthropicWhole([SAY])), { env });
    const sent = async (headers: { [name: string]: string }): Promise<unknown> => {
      await rig.messages(ask(rig.provider.asked.length), { headers });
      const { "x-api-key": key, authorization, "anthropic-beta": beta } = rig.provider.asked.at(-1)!.headers;
      return [key, authorization, beta];
    };
    expect(await sent({ "x-api-key": "shepherd" })).toEqual([KEYS.ANTHROPIC_API_KEY, undefined, undefined]);
    expect(await sent({ authorization: "Bearer shepherd" })).toEqual([KEYS.ANTHROPIC_API_KEY, undefined, undefined]);
    delete env.ANTHROPIC_API_KEY;
    expect(await sent({ "x-api-key": "shepherd" })).toEqual([
      undefined,
      `Bearer ${KEYS.ANTHROPIC_AUTH_TOKEN}`,
      undefined,
    ]);
    delete env.ANTHROPIC_AUTH_TOKEN;
    const oauth = [undefined, `Bearer ${KEYS.CLAUDE_CODE_OAUTH_TOKEN}`, "some-beta,oauth-2025-04-20"];
    expect(await sent({ "x-api-key": "shepherd", "anthropic-beta": "some-beta" })).toEqual(oauth);
    expect(await sent({ "x-api-key": CLIENT })).toEqual([CLIENT, undefined, undefined]);
    expect(await sent({})).toEqual([undefined, undefined, undefined]);
    delete env.CLAUDE_CODE_OAUTH_TOKEN;
    const asked = rig.provider.asked.length;
    const reply = await rig.messages(ask(99), { headers: { "x-api-key": "shepherd" } });
    expect([reply.status, reply.body.toString()]).toEqual([401, expect.stringContaining("no ANTHROPIC_API_KEY")]);
    expect(rig.provider.asked.length).toBe(asked);
  });

  test("are nowhere in the store, nor in what a client is told of errors, even if the provider repeats them", async () => {
    const leak: Answer = ({ headers }, response) => {
      response.writeHead(401, { "content-type": "application/json", "set-cookie": "session=planted-cookie" });
      response.end(
        JSON.stringify({ error: { message: `Wrong key: ${headers.authorization ?? headers["x-api-key"]}` } }),
      );
    };
    await start(leak, { env: KEYS });
    for (const headers of [
      { "x-api-key": "shepherd" },
      { "x-api-key": CLIENT },
      { authorization: `Bearer ${CLIENT}` },
    ]) {
      await rig.messages(ask(1), { headers });
      await rig.chat(ask(2), { headers });
    }
    rig.provider.answer = streamed(anthropicEvents([SAY]));
    await rig.messages(ask(3), { headers: { authorization: `Bearer ${CLIENT}`, cookie: "a=planted-cookie" } });
    rig.provider.answer = streamed(responsesEvents([]));
    await rig.responses({ model: "m", input: "x" }, { headers: { authorization: "Bearer shepherd" } });
    rig.provider.answer = (_, response) => void response.destroy();
    await rig.messages(ask(4), { headers: { "x-api-key": CLIENT } });
    await post(`${rig.gateway.urls.openai}/models`, "", {
      method: "GET",
      headers: { authorization: "Bearer shepherd" },
    });
    await rig.stop();
    await rig.scope.writer.sync();
    const secret = new URL(rig.gateway.urls.openai).pathname.split("/")[1]!;
    // Objects may be deflated: each is looked into as well.
    for (const frame of await rig.frames())
      for (const [, id] of JSON.stringify(frame).matchAll(/(?:blob|json):([0-9a-f]{64})/g)) {
        const bytes = Buffer.from((await rig.scope.store.objects.get(id!)) ?? []).toString();
        expect(bytes).not.toMatch(/planted/);
      }
    for (const word of ["planted", secret]) {
      let found = "";
      try {
        found = execFileSync("grep", ["-ral", word, `${rig.directory}/store`], { encoding: "utf8" });
      } catch {
        // Nothing found.
      }
      expect(found).toBe("");
    }
  });
});

describe("a budget", () => {
  test("lets the call that crosses it finish, and refuses the next in the provider's words", async () => {
    const million = anthropicWhole([SAY]);
    million.usage = { input_tokens: 1_000_000, output_tokens: 0 };
    await start(answered(200, million));
    rig.scope.handlers.push(budgetHandler({ usd: 1.5 }, PRICES, () => rig.scope.writer.fold));
    for (const k of [1, 2]) expect((await rig.messages(ask(k))).status).toBe(200);
    const refused = await rig.messages(ask(3));
    expect([refused.status, refused.headers["x-should-retry"]]).toEqual([402, "false"]);
    expect(JSON.parse(refused.body.toString())).toEqual({
      type: "error",
      error: { type: "billing_error", message: "The budget of $1.5 is spent: $2.0000 so far (--budget)." },
    });
    const chat = await rig.chat(ask(4));
    expect(JSON.parse(chat.body.toString())).toMatchObject({
      error: { message: expect.stringContaining("$1.5"), type: "billing_error" },
    });
    expect(rig.provider.asked.length).toBe(2);
    expect(rig.steps("model").map(({ outcome }) => outcome!.status)).toEqual(["done", "done", "denied", "denied"]);
  });

  test("counts what attempts cost that came to nothing", async () => {
    const events = anthropicEvents([SAY]);
    await start((_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end(events.slice(0, 3).join(""));
    });
    for (const _ of [1, 2]) await rig.messages(ask(1));
    rig.provider.answer = streamed(events);
    await rig.messages(ask(1));
    const price = PRICES["claude-haiku-4-5"]!;
    const usage = { input: 100, cacheRead: 300, cacheWrite: 20 };
    const [step] = rig.steps("model");
    expect(step!.attempts).toBe(3);
    expect(step!.outcomeWitness.cost).toBeCloseTo(
      2 * costOf(price, { ...usage, output: 1 }) + costOf(price, { ...usage, output: 50 }),
    );
  });

  test("refuses models without a price, and calls beyond their number", async () => {
    await start(answered(200, anthropicWhole([SAY])));
    rig.scope.handlers.push(budgetHandler({ usd: 9, calls: 2 }, PRICES, () => rig.scope.writer.fold));
    expect((await rig.messages(ask(1, "mystery-1"))).body.toString()).toContain("Nobody said what mystery-1 costs");
    expect((await rig.messages(ask(2))).status).toBe(200);
    expect((await rig.messages(ask(3))).status).toBe(200);
    expect((await rig.messages(ask(4))).body.toString()).toContain("The limit of 2 model calls is reached");
  });
});

test("prices", () => {
  expect(priceOf("claude-haiku-4-5-20251001")).toBe(PRICES["claude-haiku-4-5"]);
  expect(priceOf("gpt-4o-2024-08-06")).toBe(PRICES["gpt-4o"]);
  expect([priceOf("gpt-4o-audio"), priceOf("toString"), priceOf("")]).toEqual([null, null, null]);
  const usage = { input: 1e6, output: 1e6, cacheRead: 1e6, cacheWrite: 3e6, cacheWriteHour: 1e6 };
  expect(costOf(PRICES["claude-sonnet-4-5"]!, usage)).toBeCloseTo(3 + 15 + 0.3 + 2 * 3.75 + 6);
  expect(costOf({ input: 1, output: 2 }, usage)).toBe(1 + 2 + 1 + 3);
  expect(readPrices('{"m": {"input": 1, "output": 0}}')).toEqual({ m: { input: 1, output: 0 } });
  for (const wrong of ["[]", '{"m": 3}', '{"m": {"input": 1}}', '{"m": {"input": -1, "output": 1}}'])
    expect(() => readPrices(wrong)).toThrow();
});

describe("a provider that asks to be left alone", () => {
  test("is: all requests wait, whichever asked", async () => {
    const held: number[] = [];
    let open = (): void => {};
    let gate: Promise<void> = Promise.resolve();
    const limiter: Limiter = {
      pass: async () => {
        await gate;
        return 7;
      },
      hold: async (_, ms) => {
        held.push(ms);
        gate = new Promise((resolve) => {
          open = resolve;
        });
      },
    };
    await start(answered(429, "{}", { "retry-after": "3" }), { limiter });
    expect((await rig.messages(ask(1))).status).toBe(429);
    expect(held).toEqual([3000]);
    rig.provider.answer = answered(200, anthropicWhole([SAY]));
    const others = [2, 3].map((k) => rig.messages(ask(k)));
    await until(() => rig.steps("model").length === 3);
    expect(rig.provider.asked.length).toBe(1);
    open();
    await Promise.all(others);
    expect(rig.steps("model").map(({ outcomeWitness }) => outcomeWitness.waited)).toEqual([undefined, 7, 7]);
  });

  test("for as long as it says, one after the other, and never longer than a minute", async () => {
    vi.useFakeTimers();
    const limiter = makeLimiter();
    const left: string[] = [];
    const { signal } = new AbortController();
    const go = (name: string, upstream = "a"): void => void limiter.pass(upstream, signal).then(() => left.push(name));
    await limiter.hold("a", 5000);
    await limiter.hold("a", 1000);
    for (const name of ["1", "2"]) go(name);
    go("elsewhere", "b");
    await vi.advanceTimersByTimeAsync(4900);
    expect(left).toEqual(["elsewhere"]);
    await vi.advanceTimersByTimeAsync(120);
    expect(left).toEqual(["elsewhere", "1"]);
    await vi.advanceTimersByTimeAsync(200);
    expect(left).toEqual(["elsewhere", "1", "2"]);
    await limiter.hold("a", 1e9);
    go("3");
    await vi.advanceTimersByTimeAsync(61_000);
    expect(left.at(-1)).toBe("3");
  });

  test("says so in seconds, in ms, or by a date", () => {
    const now = Date.parse("2026-01-01T00:00:00Z");
    expect(retryAfter({ "retry-after": "2" }, now)).toBe(2000);
    expect(retryAfter({ "retry-after": "2", "retry-after-ms": "150" }, now)).toBe(150);
    expect(retryAfter({ "retry-after": "Thu, 01 Jan 2026 00:00:09 GMT" }, now)).toBe(9000);
    expect([retryAfter({}), retryAfter({ "retry-after": "soon" })]).toEqual([null, null]);
  });
});

test("requests go where the user says, where the environment says, or to the provider", () => {
  const base = (env: NodeJS.ProcessEnv, given?: string) => upstreamOf("openai", env, given).base.href;
  expect(base({})).toBe("https://api.openai.com/v1");
  expect(base({ OPENAI_BASE_URL: "http://localhost:8000/v1" })).toBe("http://localhost:8000/v1");
  expect(base({ OPENAI_BASE_URL: "http://localhost:8000/v1" }, "http://other/")).toBe("http://other/");
  const ours = `http://127.0.0.1:4000/${"x".repeat(32)}/openai`;
  expect(() => base({ OPENAI_BASE_URL: ours })).toThrow("leads to a gateway of Shepherd");
  expect(base({}, ours)).toBe(ours);
  for (const wrong of ["localhost", "file:///etc/passwd", "::"]) expect(() => base({}, wrong)).toThrow("no address");
});
