/** Several processes of one user before one provider. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { answered, type Provider, startProvider } from "../../test/support/provider.ts";
import { until } from "../../test/support/user.ts";
import { type Limiter, makeLimiter } from "./limiter.ts";
import { claudeToken } from "./login/claude.ts";
import { sharedLimiter } from "./shared.ts";

const root = resolve(import.meta.dirname, "../..");
let compiled = "";
let directory = "";
const children = new Set<ChildProcess>();

beforeAll(() => {
  compiled = fs.mkdtempSync(join(tmpdir(), "together-"));
  const config = {
    extends: join(root, "tsconfig.json"),
    compilerOptions: { noEmit: false, noCheck: true, rootDir: root, outDir: join(compiled, "out"), types: [] },
    include: [],
    files: [join(root, "test/support/together-child.ts")],
  };
  fs.writeFileSync(join(compiled, "tsconfig.json"), JSON.stringify(config));
  execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", join(compiled, "tsconfig.json")]);
  fs.writeFileSync(join(compiled, "out/package.json"), '{"type":"module"}');
});
afterAll(() => fs.rmSync(compiled, { recursive: true, force: true }));
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "together-"));
});
afterEach(() => {
  vi.useRealTimers();
  for (const child of children) child.kill("SIGKILL");
  fs.rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
});

interface Child {
  process: ChildProcess;
  lines: string[];
  ended: Promise<unknown>;
}
function start(what: "pass" | "token", where: string, upstream = "", env: NodeJS.ProcessEnv = {}): Child {
  const script = join(compiled, "out/test/support/together-child.js");
  const child = spawn(process.execPath, [script, what, where, upstream], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.add(child);
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  return { process: child, lines, ended: once(child, "close").then(() => children.delete(child)) };
}
const begun = (all: Child[]) => until(() => all.every(({ lines }) => lines.includes("begun")));

test.each([
  ["of one process", () => makeLimiter()],
  ["of several", () => sharedLimiter(directory)],
])("a limiter %s lets those that waited leave one after the other, not before it was said", async (_, make) => {
  vi.useFakeTimers();
  const limiter: Limiter = make();
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
  const stopped = new AbortController();
  await limiter.hold("a", 1000);
  const waits = limiter.pass("a", stopped.signal);
  stopped.abort(new Error("no more"));
  await expect(waits).rejects.toThrow("no more");
});

test("a clock that is set back holds nobody until it is what it was", async () => {
  let clock = 10_000_000;
  const limiter = sharedLimiter(directory, () => clock);
  const { signal } = new AbortController();
  await limiter.hold("a", 60_000);
  const [folder] = fs.readdirSync(directory);
  fs.writeFileSync(join(directory, folder!, `go-${clock + 60_050}`), "");
  clock -= 3_600_000;
  expect(await limiter.pass("a", signal)).toBe(0);
  expect(fs.readdirSync(join(directory, folder!))).toEqual([]);
});

test("one answer that asks to wait keeps eight processes back, which then leave one after the other; one that is killed holds up nobody", async () => {
  const limiter = sharedLimiter(directory);
  const asked = Date.now();
  await limiter.hold("api.example", 1500);
  const all = Array.from({ length: 9 }, () => start("pass", directory, "api.example"));
  const [victim, ...others] = all as [Child, ...Child[]];
  await begun(all);
  victim.process.kill("SIGKILL");
  await Promise.all(all.map(({ ended }) => ended));
  const left = others.map(({ lines }) => Number(/^left (\d+) /m.exec(lines.join("\n"))![1]));
  expect(left.filter((at) => at < asked + 1500)).toEqual([]);
  expect(new Set(left).size).toBeGreaterThan(1);
  // What is past goes.
  await limiter.hold("api.example", 0);
  await until(async () => {
    await limiter.pass("api.example", new AbortController().signal);
    const [folder] = fs.readdirSync(directory);
    return fs.readdirSync(join(directory, folder!)).length <= 1;
  });
});

const LOGIN = {
  mcpOAuth: { other: { accessToken: "kept" } },
  claudeAiOauth: {
    accessToken: "at-0-planted",
    refreshToken: "rt-0-planted",
    expiresAt: 1000,
    scopes: ["user:inference", "user:profile"],
    subscriptionType: "max",
    rateLimitTier: "x",
  },
};

/** Gives a new token for each one that comes, and none for one that came before. */
async function tokenServer(): Promise<Provider & { held: Promise<void>; issued: number }> {
  const server = Object.assign(await startProvider(answered(500, {})), { held: Promise.resolve(), issued: 0 });
  server.answer = async ({ json }, response, request) => {
    await server.held;
    if (json.refresh_token !== `rt-${server.issued}-planted`)
      return answered(400, { error: "invalid_grant" })(null as never, response, request);
    const k = ++server.issued;
    await answered(200, {
      token_type: "Bearer",
      access_token: `at-${k}-planted`,
      refresh_token: `rt-${k}-planted`,
      expires_in: 28_800,
      refresh_token_expires_in: 1000,
      scope: "user:inference user:profile",
    })(null as never, response, request);
  };
  return server;
}

function home(login: object = LOGIN): NodeJS.ProcessEnv & { file: string } {
  const at = join(directory, "home");
  fs.mkdirSync(join(at, ".claude"), { recursive: true });
  const file = join(at, ".claude", ".credentials.json");
  fs.writeFileSync(file, JSON.stringify(login), { mode: 0o644 });
  return { HOME: at, file };
}

test("eight processes renew a login once, and leave its file as its owner would", async () => {
  const server = await tokenServer();
  try {
    let go = (): void => {};
    server.held = new Promise((resolve) => {
      go = resolve;
    });
    const { file, ...env } = home();
    env.SHEPHERD_ANTHROPIC_TOKEN_URL = `${server.url}/v1/oauth/token`;
    const all = Array.from({ length: 8 }, () => start("token", join(directory, "store"), "", env));
    await begun(all);
    await until(() => server.asked.length > 0);
    go();
    await Promise.all(all.map(({ ended }) => ended));
    expect(all.map(({ lines }) => lines.at(-1))).toEqual(Array(8).fill("token at-1-planted"));
    expect(server.asked.map(({ method, url, json }) => [method, url, json])).toEqual([
      [
        "POST",
        "/v1/oauth/token",
        {
          grant_type: "refresh_token",
          refresh_token: "rt-0-planted",
          client_id: expect.any(String),
          scope: "user:inference user:profile",
        },
      ],
    ]);
    const written = JSON.parse(fs.readFileSync(file, "utf8"));
    expect(written).toEqual({
      ...LOGIN,
      claudeAiOauth: {
        ...LOGIN.claudeAiOauth,
        accessToken: "at-1-planted",
        refreshToken: "rt-1-planted",
        expiresAt: expect.any(Number),
        refreshTokenExpiresAt: expect.any(Number),
      },
    });
    expect(written.claudeAiOauth.expiresAt).toBeGreaterThan(Date.now());
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
    // No lock and no half-written file is left.
    expect(fs.readdirSync(join(env.HOME!, ".claude"))).toEqual([".credentials.json"]);
    expect(fs.readdirSync(env.HOME!)).toEqual([".claude"]);
  } finally {
    await server.close();
  }
});

test("a process that is killed while it renews leaves the login as it was, and the next one goes on", async () => {
  const server = await tokenServer();
  try {
    server.held = new Promise(() => {});
    const { file, ...env } = home();
    env.SHEPHERD_ANTHROPIC_TOKEN_URL = server.url;
    const store = join(directory, "store");
    const victim = start("token", store, "", env);
    await until(() => server.asked.length === 1);
    victim.process.kill("SIGKILL");
    await victim.ended;
    expect(JSON.parse(fs.readFileSync(file, "utf8"))).toEqual(LOGIN);
    // As a minute later.
    const old = new Date(Date.now() - 61_000);
    for (const lock of [join(env.HOME!, ".claude.lock"), join(env.HOME!, ".claude", ".oauth_refresh.lock")])
      fs.utimesSync(lock, old, old);
    server.held = Promise.resolve();
    const all = [start("token", store, "", env), start("token", store, "", env)];
    await Promise.all(all.map(({ ended }) => ended));
    expect(all.map(({ lines }) => lines.at(-1))).toEqual(Array(2).fill("token at-1-planted"));
    expect(server.issued).toBe(1);
    expect(fs.readdirSync(join(env.HOME!, ".claude"))).toEqual([".credentials.json"]);
  } finally {
    await server.close();
  }
});

test("a renewal waits for one of Claude Code's own, and takes over what that got", async () => {
  const { file, ...env } = home();
  const lock = join(env.HOME!, ".claude", ".oauth_refresh.lock");
  fs.mkdirSync(lock);
  const child = start("token", join(directory, "store"), "", {
    ...env,
    SHEPHERD_ANTHROPIC_TOKEN_URL: "https://x.invalid",
  });
  await begun([child]);
  const expiresAt = Date.now() + 3_600_000;
  fs.writeFileSync(
    file,
    JSON.stringify({ claudeAiOauth: { ...LOGIN.claudeAiOauth, accessToken: "theirs", expiresAt } }),
  );
  await child.ended;
  expect(child.lines.at(-1)).toBe("token theirs");
  fs.rmdirSync(lock);
});

test("a login that cannot be renewed is used as it is, and not asked for again at once", async () => {
  const server = await startProvider(answered(400, { error: "invalid_grant" }));
  try {
    const { file, ...env } = home({ claudeAiOauth: { ...LOGIN.claudeAiOauth, refreshToken: "rt-dead-planted" } });
    env.SHEPHERD_ANTHROPIC_TOKEN_URL = server.url;
    const exclusive = <T>(_: string, work: () => Promise<T>): Promise<T> => work();
    const before = fs.readFileSync(file, "utf8");
    for (const _ of [1, 2]) expect(await claudeToken({ env, exclusive })).toBe("at-0-planted");
    expect(await claudeToken({ env, exclusive, refused: "at-0-planted" })).toBe(null);
    expect(server.asked.length).toBe(1);
    expect(fs.readFileSync(file, "utf8")).toBe(before);
    fs.writeFileSync(file, "{");
    expect(await claudeToken({ env, exclusive })).toBe(null);
    fs.rmSync(file);
    expect(await claudeToken({ env, exclusive })).toBe(null);
  } finally {
    await server.close();
  }
});
