/** The user's logins as keys of the gateway. */
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type GatewayRig, gatewayRig } from "../../../test/support/gateway-rig.ts";
import { type Answer, answered, anthropicWhole, type Provider, startProvider } from "../../../test/support/provider.ts";
import { claudeCode } from "../../plugins/claude-code/index.ts";
import { ownKey } from "../credentials.ts";
import type { Upstream } from "../upstream.ts";

let home = "";
let env: NodeJS.ProcessEnv;
let rig: GatewayRig | null = null;
let tokens: Provider;
let renewals = 0;
beforeEach(async () => {
  home = fs.mkdtempSync(join(tmpdir(), "shepherd-login-"));
  renewals = 0;
  tokens = await startProvider((asked, response, request) =>
    answered(200, {
      access_token: `oat-planted-${++renewals}`,
      refresh_token: `ort-planted-${renewals}`,
      expires_in: 9000,
    })(asked, response, request),
  );
  env = { HOME: home, SHEPHERD_ANTHROPIC_TOKEN_URL: tokens.url };
});
afterEach(async () => {
  await rig?.end();
  rig = null;
  await tokens.close();
  fs.rmSync(home, { recursive: true, force: true });
});

const put = (path: string, value: unknown): void => {
  fs.mkdirSync(join(home, path, ".."), { recursive: true });
  fs.writeFileSync(join(home, path), JSON.stringify(value));
};
const logIn = (expiresAt = Date.now() + 3_600_000): void =>
  put(".claude/.credentials.json", {
    claudeAiOauth: { accessToken: "oat-planted-0", refreshToken: "ort-planted-0", expiresAt, scopes: [] },
  });
const SAY = anthropicWhole([{ type: "text", text: "Hi." }]);
const ask = () =>
  rig!.messages(
    { model: "claude-haiku-4-5", max_tokens: 9, messages: [{ role: "user", content: "x" }] },
    { headers: { "x-api-key": "shepherd", "anthropic-beta": "some" } },
  );
const sent = () =>
  rig!.provider.asked.map(({ headers }) => [headers["x-api-key"], headers.authorization, headers["anthropic-beta"]]);
const token = (k: number) => [undefined, `Bearer oat-planted-${k}`, "some,oauth-2025-04-20"];

test("a login is used where the environment has no key, and renewed shortly before its end", async () => {
  logIn();
  rig = await gatewayRig(answered(200, SAY), { env });
  expect((await ask()).status).toBe(200);
  logIn(Date.now() + 60_000);
  expect((await ask()).status).toBe(200);
  env.ANTHROPIC_API_KEY = "sk-planted-key";
  expect((await ask()).status).toBe(200);
  expect(sent()).toEqual([token(0), token(1), ["sk-planted-key", undefined, "some"]]);
  expect(tokens.asked.length).toBe(1);
});

test("a token that the provider does not take is renewed once, as another attempt of the same step; its words are passed on else", async () => {
  logIn();
  // Takes the second token only.
  const only: Answer = (asked, response, request) => {
    const taken = asked.headers.authorization === "Bearer oat-planted-1";
    const wrong = { type: "error", error: { type: "authentication_error", message: asked.headers.authorization } };
    return answered(taken ? 200 : 401, taken ? SAY : wrong)(asked, response, request);
  };
  rig = await gatewayRig(only, { env });
  expect((await ask()).status).toBe(200);
  expect(sent()).toEqual([token(0), token(1)]);
  const [step] = rig.steps("model");
  expect([step!.attempts, step!.outcome!.status]).toEqual([2, "done"]);

  // Now no token is good.
  rig.provider.answer = answered(401, { type: "error", error: { message: "no" } });
  const refused = await ask();
  expect([refused.status, refused.body.toString()]).toEqual([401, '{"type":"error","error":{"message":"no"}}']);
  expect(sent().slice(2)).toEqual([token(1), token(2)]);
  expect(tokens.asked.length).toBe(2);

  await rig.stop();
  await rig.scope.writer.sync();
  for (const frame of await rig.frames())
    for (const [, id] of JSON.stringify(frame).matchAll(/(?:blob|json):([0-9a-f]{64})/g))
      expect(Buffer.from((await rig.scope.store.objects.get(id!)) ?? []).toString()).not.toMatch(/planted/);
  expect(() => execFileSync("grep", ["-ral", "planted", `${rig!.directory}/store`])).toThrow();
});

test("where nothing can be renewed the provider's words are passed on as they came", async () => {
  logIn();
  tokens.answer = answered(400, { error: "invalid_grant" });
  rig = await gatewayRig(answered(401, { type: "error", error: { message: "ended" } }), { env });
  const refused = await ask();
  expect([refused.status, refused.body.toString()]).toEqual([401, '{"type":"error","error":{"message":"ended"}}']);
  // And the agent is told that it need not ask again.
  expect(refused.headers["x-should-retry"]).toBe("false");
  expect(rig.provider.asked.length).toBe(1);
});

test("without a login and without a key a request is answered with what to do", async () => {
  rig = await gatewayRig(answered(200, SAY), { env });
  expect(await ask()).toMatchObject({ status: 401, body: expect.anything() });
  expect((await ask()).body.toString()).toContain("no ANTHROPIC_API_KEY, and Claude Code has no login");
  const chat = await rig.chat({ model: "m", messages: [] }, { headers: { authorization: "Bearer shepherd" } });
  expect(chat.body.toString()).toContain("no OPENAI_API_KEY, and Codex has no login");
});

const openai: Upstream = { provider: "openai", base: new URL("https://api.openai.com/v1"), own: true };
const keys = () => ({ env, exclusive: <T>(_: string, work: () => Promise<T>): Promise<T> => work() });

test("Codex's login is a key of the platform, or a token of ChatGPT that is taken elsewhere", async () => {
  expect(await ownKey(openai, keys(), {})).toBe(null);
  put(".codex/auth.json", { OPENAI_API_KEY: null, tokens: { access_token: "jwt", account_id: "acc" } });
  expect(await ownKey(openai, keys(), {})).toEqual({
    headers: { authorization: "Bearer jwt", "chatgpt-account-id": "acc" },
    base: new URL("https://chatgpt.com/backend-api/codex"),
  });
  put(".codex/auth.json", { OPENAI_API_KEY: "sk-of-codex", tokens: { access_token: "jwt" } });
  expect(await ownKey(openai, keys(), {})).toMatchObject({ headers: { authorization: "Bearer sk-of-codex" } });
  put("elsewhere/auth.json", { OPENAI_API_KEY: "sk-elsewhere" });
  env.CODEX_HOME = join(home, "elsewhere");
  expect(await ownKey(openai, keys(), {})).toMatchObject({ headers: { authorization: "Bearer sk-elsewhere" } });
  // What the user put in the provider's place gets no login.
  expect(await ownKey({ ...openai, own: false }, keys(), {})).toBe(null);
});

test("a run of Claude Code is not begun without a login, unless what it asks is the user's own", () => {
  const detected = { program: "/claude", version: "2.1.329", support: "exact" as const };
  const wrong = (more: NodeJS.ProcessEnv) =>
    claudeCode.problems({ ...env, ...more }, detected).map(({ severity }) => severity);
  expect(wrong({})).toEqual(["error"]);
  expect(claudeCode.problems(env, detected)[0]!.what).toMatch(/^[A-Z][^.]*(\.[^ ][^.]*)*\.$/);
  expect(wrong({ ANTHROPIC_BASE_URL: "https://api.anthropic.com/" })).toEqual(["error"]);
  expect(wrong({ ANTHROPIC_BASE_URL: "http://localhost:4000" })).toEqual([]);
  for (const name of ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"])
    expect(wrong({ [name]: "x" })).toEqual([]);
  logIn(1000);
  expect(wrong({})).toEqual([]);
  put(".claude/.credentials.json", { claudeAiOauth: { accessToken: "x", expiresAt: 1000 } });
  expect(wrong({})).toEqual(["error"]);
});
