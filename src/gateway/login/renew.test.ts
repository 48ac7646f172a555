/** What becomes of the file of a login while it is renewed. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { answered, type Provider, startProvider } from "../../../test/support/provider.ts";
import { until } from "../../../test/support/user.ts";
import { renewLogin } from "./renew.ts";

let home = "";
let file = "";
let server: Provider;
beforeEach(async () => {
  home = fs.mkdtempSync(join(tmpdir(), "shepherd-renew-"));
  file = join(home, ".claude", ".credentials.json");
  fs.mkdirSync(join(home, ".claude"));
  fs.writeFileSync(
    file,
    JSON.stringify({ claudeAiOauth: { accessToken: "at-0", refreshToken: "rt-0", expiresAt: 1 } }),
  );
  server = await startProvider(answered(200, ISSUED));
});
afterEach(async () => {
  await server.close();
  fs.rmSync(home, { recursive: true, force: true });
});

const ISSUED = { access_token: "at-1", refresh_token: "rt-1", expires_in: 9000 };
const renew = () => renewLogin(file, { SHEPHERD_ANTHROPIC_TOKEN_URL: server.url }, ({ token }) => token === "at-0");
const tokens = () => {
  const { accessToken, refreshToken } = JSON.parse(fs.readFileSync(file, "utf8")).claudeAiOauth;
  return [accessToken, refreshToken];
};

test("of two that renew at once, since one took the other's locks for left over, each writes what it got itself", async () => {
  const goes: Array<() => void> = [];
  server.answer = async (...args) => {
    const k = goes.length;
    await new Promise<void>((resolve) => goes.push(resolve));
    await answered(k === 0 ? 200 : 400, k === 0 ? ISSUED : { error: "invalid_grant" })(...args);
  };
  const first = renew();
  await until(() => goes.length === 1);
  fs.rmdirSync(join(home, ".claude.lock"));
  fs.rmdirSync(join(home, ".claude", ".oauth_refresh.lock"));
  const second = renew();
  await until(() => goes.length === 2);
  goes[0]!();
  await first;
  expect(tokens()).toEqual(["at-1", "rt-1"]);
  goes[1]!();
  await expect(second).rejects.toThrow("not renewed");
  expect(tokens()).toEqual(["at-1", "rt-1"]);
  expect(fs.readdirSync(join(home, ".claude"))).toEqual([".credentials.json"]);
});
