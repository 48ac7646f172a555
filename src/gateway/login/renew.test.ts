/** What becomes of the file of a login while it is renewed. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { answered, type Provider, startProvider } from "../../../test/support/provider.ts";
import { until } from "../../../test/support/user.ts";
import { renewLogin } from "./renew.ts";

/** A disk that has so many bytes left, and takes so many at a time. */
let free = Number.POSITIVE_INFINITY;
let atOnce = Number.POSITIVE_INFINITY;
vi.mock("node:fs", async (original) => {
  const real = await original<typeof fs>();
  const writeSync = (fd: number, what: Buffer | string, from = 0, length?: number, at?: number): number => {
    const bytes = Buffer.from(what as string).subarray(from, from + (length ?? what.length));
    const { size } = real.fstatSync(fd);
    const place = at ?? size;
    const taken = Math.min(bytes.length, atOnce, size - place + free);
    if (taken <= 0) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    free -= Math.max(0, place + taken - size);
    return real.writeSync(fd, bytes, 0, taken, place);
  };
  return { ...real, writeSync };
});

let home = "";
let file = "";
let server: Provider;
beforeEach(async () => {
  free = atOnce = Number.POSITIVE_INFINITY;
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

test("a full disk is found out before a new token is asked for, since the old one would be lost with it", async () => {
  free = 5000;
  await expect(renew()).rejects.toThrow("no space left");
  expect(server.asked).toEqual([]);
  expect(tokens()).toEqual(["at-0", "rt-0"]);
  expect(fs.readdirSync(join(home, ".claude"))).toEqual([".credentials.json"]);
});

test("a disk that is full by the time the token comes has the room for it, and a part of a write is gone on with", async () => {
  atOnce = 50;
  server.answer = (...args) => {
    free = 0;
    return answered(200, ISSUED)(...args);
  };
  await renew();
  expect(tokens()).toEqual(["at-1", "rt-1"]);
  expect(fs.readdirSync(join(home, ".claude"))).toEqual([".credentials.json"]);
});
