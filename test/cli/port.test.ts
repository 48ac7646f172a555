/** `shepherd port`: servers that listen in a run, reached from outside. */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { detect } from "../../src/scope/exec/abilities.ts";
import { findHelper } from "../../src/scope/exec/helper.ts";
import { bash, newUser, type Running, type User, until } from "../support/user.ts";

const ends: Array<() => Promise<void> | void> = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const { samePath } = await detect();
const root = process.getuid?.() === 0;
const ID = 65534;
const nobody = ["setpriv", `--reuid=${ID}`, `--regid=${ID}`, "--clear-groups"];
const ordinary =
  root && spawnSync("setpriv", [...nobody.slice(1), "unshare", "--user", "--net", "true"]).status === 0 ? nobody : null;

type Maker = [name: string, env: { [name: string]: string }, prefix: readonly string[]];
const asWho: ReadonlyArray<readonly [string, readonly string[]]> = [
  ["", []],
  ...(ordinary ? ([[", as an ordinary user", ordinary]] as const) : []),
];
const makers = asWho.flatMap(([who, prefix]): Maker[] => [
  ...(findHelper() ? [[`by the helper${who}`, {}, prefix] as Maker] : []),
  [`by programs of the system${who}`, { SHEPHERD_NO_HELPER: "1" }, prefix],
]);

/** Ports of the servers in the run; in its own network they are free. */
const [ECHO, COUNT, POUR, SIX, LATE, OUT, END, BEGIN] = [4001, 4002, 4003, 4004, 4005, 4006, 4007, 4008];
const SERVERS = `
const net = require("node:net");
const on = (port, host, serve) => net.createServer({ allowHalfOpen: true }, (socket) => {
  socket.on("error", () => {});
  serve(socket);
}).listen(port, host);
on(${ECHO}, "127.0.0.1", (socket) => socket.pipe(socket));
on(${COUNT}, "127.0.0.1", (socket) => {
  let bytes = 0;
  socket.on("data", (chunk) => { bytes += chunk.length; }).on("end", () => socket.end("heard " + bytes));
});
on(${POUR}, "127.0.0.1", (socket) => {
  const chunk = Buffer.alloc(1 << 20, "y");
  let left = 100;
  const more = () => { while (left-- > 0) if (!socket.write(chunk)) return; socket.end(); };
  socket.on("drain", more);
  more();
});
on(${SIX}, "::1", (socket) => socket.end("six"));
on(${OUT}, "127.0.0.1", (socket) => socket.once("data", (port) => {
  const out = net.connect(Number(port), "127.0.0.1", () => { socket.end("reached"); out.destroy(); });
  out.on("error", ({ code }) => socket.end(code));
}));
on(${END}, "127.0.0.1", () => process.exit());
on(${BEGIN}, "127.0.0.1", (socket) => {
  socket.end();
  on(${LATE}, "127.0.0.1", (other) => other.end("late"));
});
`;

/** A run named `web` with those servers, started in the background by its command. */
async function atWork(
  env: { [name: string]: string },
  prefix: readonly string[],
): Promise<{ user: User; run: Running }> {
  const user = await newUser({ "a.txt": "one\n", "servers.cjs": SERVERS }, prefix);
  ends.push(() => user.end());
  if (prefix.length > 0) {
    for (const path of [user.directory, user.project, user.home]) chownSync(path, ID, ID);
    chmodSync(user.directory, 0o755);
  }
  Object.assign(user.env, env);
  const script = `${process.execPath} servers.cjs & wait`;
  const run = user.start(["gateway", "--scope", "web", "--network", "gateway", "--", "bash", "-c", script]);
  await until(
    () => run.out.includes("bash -c"),
    () => run.out + run.err,
  );
  return { user, run };
}

/** The port of this machine that leads to one of the run. */
async function way(user: User, port: number, words: string[] = []): Promise<{ local: number; running: Running }> {
  const running = user.start(["port", "web", String(port), ...words, "--json"]);
  ends.push(async () => {
    running.process.kill("SIGINT");
    await running.ended;
  });
  await until(
    () => running.out.includes("local"),
    () => running.err,
  );
  return { local: (JSON.parse(running.out.split("\n")[0]!) as { local: number }).local, running };
}

/** What comes on a connection, until its end. */
async function heard(socket: Socket): Promise<string> {
  let said = "";
  try {
    for await (const chunk of socket) said += (chunk as Buffer).toString("latin1");
  } catch (error) {
    return (error as NodeJS.ErrnoException).code!;
  }
  return said;
}

const to = (port: number): Socket => connect({ port, host: "127.0.0.1", allowHalfOpen: true });

const asks = (port: number, text: string): Socket => {
  const socket = to(port);
  socket.write(text);
  return socket;
};

/** Until the servers are there. */
async function ready(local: number): Promise<void> {
  await until(async () => {
    const socket = to(local);
    socket.end("1");
    return (await heard(socket)) === "1";
  });
}

/** A server of the machine's, on a port that the run may use as well. */
async function taken(port: number): Promise<Server> {
  const server = createServer((socket) => socket.destroy()).listen(port, "127.0.0.1");
  await once(server, "listening");
  ends.push(() => void server.close());
  return server;
}

describe.skipIf(!samePath).each(makers)("a run with a network of its own, made %s", (_name, env, prefix) => {
  test("is reached on many connections, with ends of its own, in both directions, and idle", {
    timeout: 60_000,
  }, async () => {
    const { user } = await atWork(env, prefix);
    const { local } = await way(user, ECHO);
    await ready(local);
    const idle = to(local);
    idle.write("a");
    expect(String((await once(idle, "data"))[0])).toBe("a");
    const since = Date.now();
    const said = await Promise.all(
      Array.from({ length: 150 }, async (_, i) => {
        const socket = to(local);
        socket.end(`number ${i}`);
        return heard(socket);
      }),
    );
    expect(said).toEqual(said.map((_, i) => `number ${i}`));

    const counted = to((await way(user, COUNT)).local);
    const chunk = Buffer.alloc(1 << 20, "x");
    for (let i = 0; i < 100; i++) if (!counted.write(chunk)) await once(counted, "drain");
    counted.end();
    expect(await heard(counted)).toBe(`heard ${100 << 20}`);

    const poured = to((await way(user, POUR)).local);
    let size = 0;
    for await (const each of poured) size += (each as Buffer).length;
    expect(size).toBe(100 << 20);
    poured.end();

    expect(await heard(to((await way(user, SIX)).local))).toBe("six");

    if (Date.now() - since < 3000) await sleep(3000 - (Date.now() - since));
    idle.write("b");
    expect(String((await once(idle, "data"))[0])).toBe("b");
    idle.destroy();
  });

  test("may start its server later; what is inside sees nobody, gets nowhere by it, and ends it", {
    timeout: 60_000,
  }, async () => {
    const { user, run } = await atWork(env, prefix);
    const late = await way(user, LATE);
    expect(await heard(to(late.local))).toMatch(/^(|ECONNRESET)$/);
    await heard(to(late.local));
    expect(late.running.err.match(/Nothing listens on port 4005 of web now/g)).toHaveLength(1);

    const server = await taken(0);
    const machine = (server.address() as AddressInfo).port;
    const { local } = await way(user, OUT);
    await until(async () => (await heard(asks(local, "1"))) === "ECONNREFUSED");
    for (const port of [machine, local === OUT ? machine : local, late.local === LATE ? machine : late.local]) {
      expect(await heard(asks(local, String(port)))).toBe("ECONNREFUSED");
    }
    expect((await user.does(["port", "web", "7601"], 3)).err).toContain("is its way to the model");

    await heard(to((await way(user, BEGIN)).local));
    await until(async () => (await heard(to(late.local))) === "late");

    const end = await way(user, END);
    const again = user.start(["port", "web", String(ECHO)]);
    await until(() => again.out.includes("leads to port 4001 of web, until Ctrl-C or its end."));
    to(end.local).on("error", () => {});
    await run.ended;
    const done = await again.ended;
    expect([done.code, done.out]).toEqual([0, expect.stringContaining("web has ended, and its port 4001 with it.\n")]);
    expect((await late.running.ended).objects().at(-1)).toEqual({ scope: "web", port: LATE, ended: true });
    expect((await user.does(["port", "web", "80"], 3)).err).toContain("web is not at work");
  });
});

test.skipIf(!samePath)("takes the port that is asked for, or another one where somebody has it", async () => {
  const { user, run } = await atWork({}, []);
  const server = await taken(0);
  const { port } = server.address() as AddressInfo;
  expect((await way(user, port)).local).not.toBe(port);
  const told = await user.does(["port", "web", String(ECHO), "--to", String(port)], 3);
  expect(told.err).toContain(`Somebody listens on port ${port} of this machine already`);
  await new Promise((resolve) => server.close(resolve));
  const { local, running } = await way(user, ECHO, ["--to", String(port)]);
  expect(local).toBe(port);
  await ready(port);
  running.process.kill("SIGINT");
  expect((await running.ended).code).toBe(0);
  // The owner killed: nobody says good-bye.
  const left = user.start(["port", "web", String(ECHO)]);
  await until(() => left.out.includes("leads to"));
  run.process.kill("SIGKILL");
  expect((await left.ended).out).toContain("web has ended, and its port 4001 with it.");
});

test("of a run with the machine's network the port is the machine's own", async () => {
  const user = await newUser();
  ends.push(() => user.end());
  const server = await taken(0);
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const program = `require("node:http").createServer((_, response) => response.end("here")).listen(${port}, "127.0.0.1")`;
  const script = user.script([
    { call: [bash(`${process.execPath} -e '${program}' >/dev/null 2>&1 &`)] },
    { say: "It runs.", delay: 60_000 },
  ]);
  user.start(["run", "--scope", "web", "--model", script, "serve"]);
  await until(() =>
    fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    ),
  );
  const sentence = `web has the network of this machine: its port ${port} is 127.0.0.1:${port}, and nothing need be passed on.\n`;
  expect((await user.does(["port", String(port)])).out).toBe(sentence);
  await user.does(["run", "--scope", "by-hand", "--", "true"]);
  const shell = user.start(["exec", "by-hand", "--", "sleep", "60"]);
  await until(async () => (await user.does(["status", "--json"])).out.includes('"by-hand","state":"running"'));
  expect((await user.does(["port", "by-hand", "80"])).out).toContain("by-hand has the network of this machine");
  shell.process.kill("SIGINT");
  await shell.ended;
});

test.each([
  [[], "Which port?"],
  [["fix"], "Which port?"],
  [["fix", "0"], "Which port?"],
  [["70000"], "Which port?"],
  [["80", "--to", "x"], "--to takes a whole number from 1 to 65535"],
])("%j is bad usage", async (words, sentence) => {
  const user = await newUser();
  ends.push(() => user.end());
  expect((await user.does(["port", ...words], 2)).err).toContain(sentence);
});
