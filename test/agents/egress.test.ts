/** What a real coding agent reaches outside. Nothing leaves this machine: what passes leads to a server of the test. */

import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { forward } from "../../src/gateway/egress/classes.ts";
import { findScope } from "../../src/scope/registry.ts";
import { getBytes } from "../../src/scope/thread.ts";
import type { Link } from "../../src/trace/ports.ts";
import { openStore } from "../../src/trace/store.ts";
import { until } from "../support/user.ts";
import { claudeRig, type Rig } from "./claude-rig.ts";

let rig: Rig;
let server: Server;
let port = 0;
const heard: string[] = [];
beforeEach(async () => {
  rig = await claudeRig();
  heard.length = 0;
  server = createServer(({ url }, response) => {
    heard.push(url!);
    response.end("from outside\n");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await rig.end();
});

const bash = (command: string): [string, object] => ["Bash", { command, description: "x" }];
/** The proxy is asked for names of this machine too. */
const curl = (url: string): string => `curl -sS --noproxy '' ${url}`;

test("is refused in a sentence, or recorded with the call that reached it; a revert behind it must be acknowledged", async () => {
  rig.script = [
    { call: [bash("echo $HTTPS_PROXY $https_proxy $NO_PROXY > env.txt")] },
    { call: [bash(`${curl("http://example.com/")}; ${curl("https://example.com/")} 2>&1; true`)] },
    { call: [bash(`${curl(`http://127.0.0.1:${port}/path`)} > got.txt`)] },
    { call: [bash("curl -sS --max-time 5 https://example.org/ 2>&1; echo after >> got.txt")] },
  ];
  const done = await rig.shepherd("run", "claude", "go out", "--scope", "it", "--allow-host", `127.0.0.1:${port}`);
  expect([done.code, done.stdout]).toEqual([0, expect.stringContaining("it is done")]);
  const told = done.stderr.split("\n").filter((line) => line.startsWith("shepherd:"));
  expect(told).toEqual([
    "shepherd: The run may not connect to example.com:80: start it with `shepherd run --allow-host example.com` to allow it.",
    "shepherd: The run may not connect to example.com:443: start it with `shepherd run --allow-host example.com` to allow it.",
    "shepherd: The run may not connect to example.org:443: start it with `shepherd run --allow-host example.org` to allow it.",
  ]);
  expect(heard).toEqual(["/path"]);
  expect(await asked("it")).toEqual([
    "example.com:80 refused",
    "example.com:443 refused",
    `127.0.0.1:${port} open`,
    "example.org:443 refused",
  ]);
  const proxy = "http://127.0.0.1:7601";
  expect((await rig.shepherd("cat", "it@", "env.txt")).stdout).toBe(`${proxy} ${proxy} 127.0.0.1,localhost,::1\n`);
  expect((await rig.shepherd("cat", "it@", "got.txt")).stdout).toBe("from outside\nafter\n");

  const tools = (await rig.log("it")).filter(({ kind }) => kind === "tool");
  expect(tools.map(({ tier }) => tier)).toEqual(["reversible", "reversible", "irreversible", "reversible"]);
  const [, tried, reached] = tools;
  const show = async (n: number) => JSON.parse((await rig.shepherd("show", "it", `${n}`, "--json")).stdout).egress;
  expect(await show(tried.n)).toMatchObject([
    { place: "example.com:80", allowed: false, connections: 0 },
    { place: "example.com:443", allowed: false, connections: 0 },
  ]);
  expect(await show(reached.n)).toMatchObject([
    { place: `127.0.0.1:${port}`, class: "other", tier: "irreversible", allowed: true, connections: 1 },
  ]);
  expect((await rig.shepherd("show", "it", `${reached.n}`)).stdout).toMatch(
    new RegExp(`egress +127.0.0.1:${port} \\(irreversible\\), 1 connection: \\d+ B out, \\d+ B in`),
  );

  const back = await rig.shepherd("revert", "it", `${reached.n - 1}`);
  expect([back.code, back.stderr]).toEqual([3, expect.stringContaining("--acknowledge")]);
  expect((await rig.shepherd("revert", "it", `${reached.n}`)).code).toBe(0);
  expect((await rig.shepherd("revert", "it", `${reached.n - 1}`, "--acknowledge")).code).toBe(0);

  // What goes on from it has no more.
  const more = await rig.shepherd("run", "claude", "x", "--from", "it@3", "--allow-host", "other.example");
  expect([more.code, more.stderr]).toEqual([3, expect.stringContaining("it may not connect to other.example")]);
  const host = await rig.shepherd("run", "claude", "x", "--from", "it@3", "--network", "host");
  expect([host.code, host.stderr]).toEqual([3, expect.stringContaining("it has --network proxy")]);
  // And no less.
  heard.length = 0;
  // Claude Code may put a turn of its own before the new instruction.
  rig.script[3] = rig.script[2]!;
  const child = await rig.shepherd("run", "claude", "once more", "--from", `it@${reached.n - 2}`, "--scope", "child");
  expect([child.code, new Set(heard)]).toEqual([0, new Set(["/path"])]);
  expect((await rig.shepherd("fsck")).code).toBe(0);
});

test("in a call that was killed leaves that in doubt: it may have acted, so it is not performed again", async () => {
  server.removeAllListeners("request").on("request", ({ url }) => void heard.push(url!));
  rig.script = [{ call: [bash(curl(`http://127.0.0.1:${port}/pay`))] }, { say: "paid" }];
  const running = rig.start("run", "claude", "pay", "--scope", "it", "--allow-host", `127.0.0.1:${port}`);
  const ended = once(running, "exit");
  await until(() => heard.length === 1);
  running.kill("SIGKILL");
  await ended;
  const resumed = await rig.shepherd("resume", "it");
  expect([resumed.code, resumed.stderr]).toEqual([3, expect.stringContaining("may or may not have acted")]);
  expect(heard).toEqual(["/pay"]);
  const [call] = (await rig.log("it")).filter(({ kind }) => kind === "tool");
  expect([call.status, call.tier]).toEqual(["in-doubt", "irreversible"]);
  expect((await rig.shepherd("revert", "it", "1")).stderr).toContain("--acknowledge");
  expect((await rig.shepherd("revert", "it", "1", "--acknowledge")).code).toBe(0);
});

/** All connections that a run asked for, in order. */
async function asked(run: string): Promise<string[]> {
  const store = await openStore(rig.store);
  try {
    const { log } = (await findScope(store, run))!;
    const found: string[] = [];
    for await (const { phase, facts } of store.logs.read(log))
      if (phase === "note" && facts.note === "egress" && facts.state !== "closed")
        found.push(`${await getBytes(store, facts.what as Link)} ${facts.state}`);
    return found;
  } finally {
    await store.close();
  }
}

test("is asked for by the tools that people use, which find the proxy; the agent itself asks for nothing", async () => {
  const tools = [
    "npm view left-pad --fetch-retries=0 --cache=/tmp/npm",
    "git ls-remote https://github.com/a/b",
    "curl -sS https://codeload.github.com/",
    "python3 -c 'import urllib.request as u; u.urlopen(\"https://gitlab.com/\")'",
    "pip download --no-cache-dir --retries 0 --disable-pip-version-check --index-url https://codeberg.org/simple/ x",
  ];
  rig.script = [{ call: [bash(`${tools.map((each) => `(${each}) > out.txt 2>&1`).join("; ")}; true`)] }];
  const done = await rig.shepherd("run", "claude", "use tools", "--scope", "it", "--network", "gateway");
  expect(done.code).toBe(0);
  expect(await asked("it")).toEqual([
    `${forward("org.npmjs.registry")}:443 refused`,
    "github.com:443 refused",
    "codeload.github.com:443 refused",
    "gitlab.com:443 refused",
    "codeberg.org:443 refused",
  ]);
});

test("is nothing with only the gateway, and everything, unseen, with the network of the host", async () => {
  rig.script = [{ call: [bash(`${curl("https://gitlab.com/")} 2>&1; true`)] }];
  const none = await rig.shepherd("run", "claude", "stay in", "--scope", "none", "--network", "gateway");
  expect([none.code, none.stderr]).toEqual([0, expect.stringContaining("`shepherd run --network proxy`")]);

  rig.script = [{ call: [bash(`curl -sS http://127.0.0.1:${port}/direct > got.txt`)] }];
  const all = await rig.shepherd("run", "claude", "go out", "--scope", "all", "--network", "host");
  expect([all.code, heard]).toEqual([0, ["/direct"]]);
  const [tool] = (await rig.log("all")).filter(({ kind }) => kind === "tool");
  const shown = JSON.parse((await rig.shepherd("show", "all", `${tool.n}`, "--json")).stdout);
  expect([shown.intent.unobserved, shown.egress]).toEqual([true, []]);
});
