/** `shepherd serve` as a program meets it: what it does is what the verbs do, and what is no request does nothing. */
import * as fs from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { detect } from "../../src/scope/exec/abilities.ts";
import type { Json } from "../../src/trace/ports.ts";
import { outside } from "../support/outside.ts";
import { type Server, send, startServer } from "../support/serve.ts";
import { newUser, type User, until } from "../support/user.ts";

const FILES = { "a.txt": "one\n", "dir/b.txt": "two\n" };
let user: User;
const ends: Array<() => void> = [];
beforeEach(async () => {
  user = await newUser(FILES);
  ends.push(() => user.end());
});
afterEach(() => {
  for (const end of ends.splice(0).reverse()) end();
});

const text = (done: { output: string }): string => Buffer.from(done.output, "base64").toString();
interface Done {
  n: number;
  id: string;
  code: number;
  status: string;
  timedOut: boolean;
  output: string;
}

/** A run of one command, at its end. */
async function begun(server: Server, name = "r"): Promise<void> {
  await server.does("run", { command: ["true"], options: { scope: name } });
  await server.does("wait", { run: name });
}

/** Waits until a step of r has begun. */
const underWay = (server: Server, n: number): Promise<void> =>
  until(async () => {
    const [line] = await server.ask("show", { args: ["r", String(n)] });
    return (line?.object as { status?: string } | undefined)?.status === "intent";
  });

const rowsOf = async (owner: User, run: string) =>
  (await owner.does(["log", run, "--json"])).objects<{ n: number; id: string; kind: string; status: string }>();

test("steps, forks and reverts over HTTP have the commits of the same ones typed", async () => {
  const server = await startServer(user);
  await begun(server);
  const write = ["sh", "-c", "echo two >> a.txt; rm dir/b.txt"];
  const done = await server.does<Done>("step", { run: "r", command: write });
  expect([done.n, done.code, done.status]).toEqual([2, 0, "done"]);
  await server.does("fork", { args: ["r", "2"], options: { count: 2 } });
  await server.does("step", { run: "r.1", command: ["sh", "-c", "echo three > c; exit 3"] }, 1);
  await server.does("revert", { args: ["r", "1"] });
  await server.does("step", { run: "r", command: ["touch", "after"] });
  await server.does("merge", { args: ["r.1"], options: { into: "r" } });
  await server.does("grade", { run: "r", command: ["test", "-e", "c"] });

  const other = await newUser(FILES);
  ends.push(() => other.end());
  await other.does(["run", "--scope", "r", "--", "true"]);
  await other.does(["exec", "r", "--", ...write]);
  await other.does(["fork", "r", "2", "-k", "2"]);
  await other.does(["exec", "r.1", "--", "sh", "-c", "echo three > c; exit 3"], 1);
  await other.does(["revert", "r", "1"]);
  await other.does(["exec", "r", "--", "touch", "after"]);
  await other.does(["merge", "r.1", "--into", "r"]);
  for (const run of ["r", "r.1", "r.2"]) {
    const ids = async (of: User) => (await rowsOf(of, run)).map(({ n, id, kind, status }) => [n, kind, status, id]);
    expect(await ids(user)).toEqual(await ids(other));
  }
  expect((await rowsOf(user, "r"))[0]!.n).toBe(5);
  expect(user.files()).toEqual(FILES);
});

test("what a step left running is there for the next, and ends with a revert; a shell keeps its directory, also in a fork", async () => {
  const server = await startServer(user);
  await begun(server);
  await server.does("act", { run: "r", text: "mkfifo /tmp/p; (cat /tmp/p > heard) & cd dir; export X=1" });
  expect(text(await server.does<Done>("act", { run: "r", text: 'echo "$X $(basename $PWD)"' }))).toBe("1 dir\n");
  await server.does("step", { run: "r", command: ["sh", "-c", "echo hello > /tmp/p"] });
  const heard = { run: "r", command: ["sh", "-c", "until grep hello heard; do sleep 0.01; done"] };
  expect(text(await server.does<Done>("step", heard))).toBe("hello\n");
  await server.does("act", { run: "r", text: "sleep 1000 &" });
  const reverted = await server.does<{ ended: string[] }>("revert", { args: ["r", "3"] });
  expect(reverted.ended).toEqual(["sleep 1000"]);
  await server.does("fork", { args: ["r", "3"] });
  expect(text(await server.does<Done>("act", { run: "r.1", text: "basename $PWD" }))).toBe("dir\n");
});

test("a command that takes too long is ended; one that fails is a step; what is graded leaves no mark", async () => {
  const server = await startServer(user);
  await begun(server);
  const slow = await server.does<Done>(
    "step",
    { run: "r", command: ["sh", "-c", "echo x; sleep 100"], timeout: 0.3 },
    1,
  );
  expect([slow.status, slow.timedOut, text(slow)]).toEqual(["aborted", true, "x\n"]);
  const failed = await server.does<Done>("step", { run: "r", command: ["sh", "-c", "exit 7"] }, 1);
  expect([failed.n, failed.code, failed.status]).toEqual([3, 7, "failed"]);
  const log = async () => (await user.does(["observe", "r", "--json"])).out;
  const before = [await log(), (await user.does(["status", "--all"])).out];
  const graded = await server.does<Done>(
    "grade",
    { run: "r", step: "1", command: ["sh", "-c", "rm a.txt; ls; exit 5"] },
    1,
  );
  expect([graded.n, graded.code, text(graded)]).toEqual([1, 5, "dir\n"]);
  expect([await log(), (await user.does(["status", "--all"])).out]).toEqual(before);
  expect((await server.does<Done>("head", { run: "r" })).n).toBe(3);
  await server.does("fork", { args: ["r", "1"] });
  expect((await user.does(["log", "r.1", "--json"])).objects()).toHaveLength(2);
  // A server that holds no run holds no collection up.
  await server.does("stop", { run: "r" });
  expect((await user.does(["gc", "--json"])).objects()[0]).toMatchObject({ stopped: null });
  expect((await user.does(["fsck"])).out).toContain("The store is sound");
});

test("an observer goes on from its cursor and misses nothing, also of what is sealed out of order", async () => {
  const server = await startServer(user);
  await begun(server);
  const seen = async (cursor?: number) =>
    (await server.ask("observe", { run: "r", ...(cursor !== undefined && { cursor }) })).slice(0, -1) as Array<{
      object: { n: number };
      cursor: number;
    }>;
  await server.does("step", { run: "r", command: ["true"] });
  const all = await seen();
  expect(all.map(({ object }) => object.n)).toEqual([0, 1, 2]);
  for (const [at, { cursor }] of all.entries()) expect(await seen(cursor)).toEqual(all.slice(at + 1));
  const followed = server.ask("observe", { run: "r", follow: true, cursor: all.at(-1)!.cursor });
  await server.does("step", { run: "r", command: ["true"] });
  await server.does("stop", { run: "r" });
  expect((await followed).map(({ object }) => (object as { n: number } | undefined)?.n)).toEqual([3, undefined]);
});

test("others take a held run that nobody works in, and are refused while somebody does", async () => {
  const server = await startServer(user);
  await begun(server);
  await server.does("step", { run: "r", command: ["touch", "x"] });
  expect((await user.does(["status"])).out).toMatch(/^r +running/);
  await user.does(["exec", "r", "--", "test", "-e", "x"]);
  const long = server.ask("step", { run: "r", command: ["sleep", "1000"] });
  await underWay(server, 4);
  expect((await user.does(["exec", "r", "--", "true"], 3)).err).toContain("is driving r");
  // An operation stops it, as that of any run.
  await user.does(["revert", "r", "1"]);
  expect(await long).toEqual([
    { object: expect.objectContaining({ status: "aborted", signal: "SIGTERM" }) },
    { exit: 1 },
  ]);
  await user.does(["discard", "r"]);
  expect((await server.ask("step", { run: "r", command: ["true"] })).at(-1)).toMatchObject({
    exit: 2,
    error: expect.stringContaining("r is discarded"),
  });
});

test("who goes away stops the command that it waits for, and loses nothing; a run goes on without who started it", async () => {
  const server = await startServer(user);
  await begun(server);
  const socket = connect(server.socket);
  const body = JSON.stringify({ run: "r", command: ["sh", "-c", "echo made > made; sleep 1000"], cwd: user.project });
  socket.write(
    `POST /v1/step HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  await underWay(server, 2);
  socket.destroy();
  await until(async () => (await server.does<Done>("head", { run: "r" })).status === "aborted");
  const made = await user.shepherd(["cat", "r@", "made"]);
  expect(["made\n", ""]).toContain(made.out);
  await server.does("run", { command: ["sh", "-c", "sleep 0.3; echo late > late"], options: { scope: "long" } });
  const waits = connect(server.socket);
  const wait = JSON.stringify({ run: "long" });
  waits.write(
    `POST /v1/wait HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${wait.length}\r\n\r\n${wait}`,
  );
  waits.destroy();
  expect(await server.does("wait", { run: "long" })).toMatchObject({ ending: "done", n: 1 });
  expect((await user.does(["cat", "long@", "late"])).out).toBe("late\n");
});

describe("its end", () => {
  test("Ctrl-C stops what runs and leaves each run so that it can go on; its socket goes", async () => {
    const server = await startServer(user);
    await begun(server);
    await server.does("run", { command: ["sleep", "1000"], options: { scope: "job" } });
    const step = server.ask("step", { run: "r", command: ["sleep", "1000"] });
    await underWay(server, 2);
    server.running.process.kill("SIGINT");
    const { code, err } = await server.running.ended;
    expect([code, err]).toEqual([0, "\nshepherd: stopping; once more to end at once.\n"]);
    expect((await step).at(-1)).toMatchObject({ exit: 1 });
    expect(fs.existsSync(server.socket)).toBe(false);
    expect((await user.does(["status"])).out).toMatch(/^job +aborted/m);
    await user.does(["exec", "r", "--", "true"]);
    expect((await user.does(["fsck"])).out).toContain("The store is sound");
  });

  test("killed, it leaves no process and no mount, and each run goes on; the next takes its socket", async () => {
    const server = await startServer(user);
    await begun(server);
    const word = `shepherd-test-${process.pid}-${Date.now()}`;
    const step = server.ask("step", { run: "r", command: ["sh", "-c", "echo x > x; sleep 1000; true", word] });
    step.catch(() => {});
    const grade = server.ask("grade", { run: "r", command: ["sleep", "1000"] });
    grade.catch(() => {});
    await underWay(server, 2);
    await until(async () => JSON.stringify(await server.ask("status", { options: { all: true } })).includes("-grade"));
    server.running.process.kill("SIGKILL");
    await server.running.ended;
    await expect(step).rejects.toThrow();
    await expect(grade).rejects.toThrow();
    expect((await user.does(["status", "--json"])).objects().map(({ scope }) => scope)).toEqual(["r"]);
    // Of a process: its words, and what is mounted for it.
    const left = (file: string, what: string): boolean =>
      fs.readdirSync("/proc").some((pid) => {
        try {
          return /^\d+$/.test(pid) && fs.readFileSync(`/proc/${pid}/${file}`, "latin1").includes(what);
        } catch {
          return false;
        }
      });
    if ((await detect()).samePath) await until(() => !left("cmdline", word) && !left("mountinfo", user.store));
    await user.does(["exec", "r", "--", "touch", "y"]);
    const next = await startServer(user);
    expect(next.socket).toBe(server.socket);
    expect(await next.does("step", { run: "r", command: ["test", "-e", "y"] })).toMatchObject({ code: 0 });
    expect((await user.does(["fsck"])).out).toContain("The store is sound");
  });

  test("with --attached it ends with who started it", async () => {
    const running = user.start(["serve", "--attached", "--json"], { input: "" });
    expect(await running.ended).toMatchObject({ code: 0, err: "" });
  });
});

describe("who it does not answer", () => {
  const json = { "content-type": "application/json" };
  let server: Server;
  let port: number;
  let authorization: string;
  let owner: User;
  beforeAll(async () => {
    owner = await newUser(FILES);
    server = await startServer(owner, ["--port", "0"]);
    port = Number(new URL(server.url!).port);
    authorization = `Bearer ${fs.readFileSync(server.token!, "utf8").trim()}`;
  });
  // It is as well as before.
  afterEach(async () => {
    const lines = (await send({ port }, "/v1/status", { headers: { ...json, authorization } })).lines;
    expect(lines.at(-1)).toEqual({ exit: 0 });
  });
  afterAll(async () => {
    server.running.process.kill("SIGINT");
    expect(await server.running.ended).toMatchObject({ code: 0 });
    owner.end();
  });

  test("only its owner can open the socket and read the token", () => {
    for (const path of [server.socket, server.token!]) expect(fs.statSync(path).mode & 0o777).toBe(0o600);
  });

  test("without the token, with another one, from a page of a browser, by another name, for what there is not", async () => {
    const sent: Array<[number, string, Parameters<typeof send>[2], string?]> = [
      [401, "Authorization must be", { headers: json }],
      [401, "Authorization must be", { headers: { ...json, authorization: `${authorization}x` } }],
      [401, "Authorization must be", { headers: { ...json, authorization: "Bearer " } }],
      [403, "Pages of a browser", { headers: { ...json, authorization, origin: "http://127.0.0.1" } }],
      [403, "Pages of a browser", { headers: { ...json, authorization, "sec-fetch-site": "same-origin" } }],
      [403, "another host", { headers: { ...json, authorization, host: "evil.invalid" } }],
      [403, "another host", { headers: { ...json, authorization, host: "127.0.0.1.evil.invalid" } }],
      [405, "by POST", { headers: { ...json, authorization }, method: "GET", body: "" }],
      [415, "application/json", { headers: { authorization, "content-type": "text/plain" } }],
      [400, "no JSON", { headers: { ...json, authorization }, body: "{" }],
      [400, "no JSON", { headers: { ...json, authorization }, body: Buffer.from('{"a":"\xff"}', "latin1") }],
      [400, "not a JSON object", { headers: { ...json, authorization }, body: "[]" }],
      [413, "too large", { headers: { ...json, authorization }, body: Buffer.alloc((8 << 20) + 1, " ") }],
      [404, "no such address", { headers: { ...json, authorization } }, "/v1/uninstall"],
      [404, "no such address", { headers: { ...json, authorization } }, "/v1/../status"],
      [404, "no such address", { headers: { ...json, authorization } }, "/v1/__proto__"],
      [404, "no such address", { headers: { ...json, authorization } }, "/v1/constructor"],
    ];
    for (const [status, why, how, path = "/v1/status"] of sent) {
      const answer = await send({ port }, path, how);
      expect([answer.status, answer.lines]).toEqual([status, [{ error: expect.stringContaining(why) }]]);
    }
    // A page gets nothing over the socket either.
    const answer = await send({ socketPath: server.socket }, "/v1/status", { headers: { ...json, origin: "null" } });
    expect(answer.status).toBe(403);
  });

  test("what is no HTTP, or never comes to its end, holds nobody up", async () => {
    const told = (words: string): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect(port, "127.0.0.1");
        let all = "";
        socket.setEncoding("utf8").on("data", (part: string) => {
          all += part;
        });
        socket.on("close", () => resolve(all)).on("error", () => resolve(all));
        socket.write(words);
      });
    expect(await told("hello\r\n\r\n")).toContain("That is no HTTP request.");
    expect(await told(`POST /v1/status HTTP/1.1\r\nx: ${"x".repeat(100_000)}\r\n\r\n`)).toMatch(/^HTTP\/1.1 431 /);
    const slow = Array.from({ length: 50 }, () => {
      const socket = connect(port, "127.0.0.1").on("error", () => {});
      socket.write(`POST /v1/status HTTP/1.1\r\nhost: localhost\r\nauthorization: ${authorization}\r\ncontent-le`);
      return socket;
    });
    expect((await server.ask("status", {})).at(-1)).toEqual({ exit: 0 });
    if (process.env.SHEPHERD_LONG)
      expect(await told("POST /v1/status HTTP/1.1\r\nhost: localhost\r\n")).toMatch(/did not come in time/);
    for (const socket of slow) socket.destroy();
  });

  test("a request that says something odd gets a sentence with exit code 2", async () => {
    await begun(server);
    const odd: Array<[string, { [key: string]: Json }, string]> = [
      ["step", {}, "Which run?"],
      ["step", { run: "r" }, "Which command?"],
      ["step", { run: "r", command: "ls" }, "list of texts"],
      ["step", { run: "r", command: ["a\0b"] }, "list of texts"],
      ["step", { run: "../r", command: ["ls"] }, "There is no run"],
      ["step", { run: "r", command: ["ls"], timeout: -1 }, "a number from"],
      ["step", { run: "r", command: ["ls"], what: 1 }, '"what", which means nothing here'],
      ["act", { run: "r", text: " " }, "Which command?"],
      ["grade", { run: "r", step: "99", command: ["ls"] }, "r has no step 99"],
      ["fork", { args: ["r", "1"], options: { count: "many" } }, "whole number"],
      ["fork", { args: ["r", "1"], options: { "no-such": true } }, "There is no option --no-such"],
      ["fork", { args: ["r", "1"], options: { "count=3 --intent": true } }, "name of an option"],
      ["fork", { args: ["r", "--intent"] }, "--intent"],
      ["fork", { args: ["r", "1"], options: [] }, "an object"],
      ["cat", { args: ["r", "1", "../../../etc/passwd"] }, "There was no"],
      ["cat", { args: ["r", "1", "/etc/passwd"] }, "There was no"],
      ["status", { cwd: "relative" }, "begins with /"],
      ["status", { cwd: "/no/such" }, "There is no directory"],
      ["run", { command: ["true"], options: { scope: "r" } }, "There is a run r already"],
      ["run", { command: ["true"], options: { count: 2 } }, "One run at a time"],
      ["log", { args: ["r"], command: ["x"] }, 'takes no "command"'],
    ];
    for (const [route, body, why] of odd) {
      const lines = await server.ask(route, body);
      expect([route, lines]).toEqual([route, [{ exit: 2, error: expect.stringContaining(why) }]]);
    }
    // What would be read from standard input is taken as it is.
    expect(await server.does("fork", { args: ["r", "1"], options: { result: "-" } }, 2)).toBeUndefined();
  });
});

test("it listens where it is told, and on no address that others can reach unless it is told so twice", async () => {
  expect((await user.does(["serve", "--port", "0", "--host", "0.0.0.0"], 2)).err).toContain("add --expose");
  expect((await user.does(["serve", "--host", "127.0.0.1"], 2)).err).toContain("add --port");
  const server = await startServer(user, ["--port", "0", "--host", "0.0.0.0", "--expose"]);
  expect(server.running.err).toContain("can be reached from elsewhere");
  expect((await user.does(["serve"], 3)).err).toContain("listens on");
  fs.chmodSync(server.token!, 0o644);
  expect((await user.does(["serve", "--attached", "--port", "0"], 4)).err).toContain("can be read by others");
  server.running.process.kill("SIGINT");
  await server.running.ended;
  fs.writeFileSync(server.socket, "mine");
  expect((await user.does(["serve"], 4)).err).toContain("is no socket");
  expect(fs.readFileSync(server.socket, "utf8")).toBe("mine");
});

test("no run sees its socket, wherever that lies", async () => {
  if (!(await detect()).samePath) return;
  const far = fs.mkdtempSync(join(outside, "shepherd-far-"));
  ends.push(() => fs.rmSync(far, { recursive: true, force: true }));
  // So long that no socket has room in the store.
  const env = { TMPDIR: far, XDG_RUNTIME_DIR: undefined, SHEPHERD_DIR: join(user.directory, "x".repeat(100)) };
  const server = await startServer(user, [], { env });
  expect(dirname(dirname(server.socket))).toBe(far);
  await begun(server);
  const look = ["sh", "-c", `ls -d ${far}; ls -A ${dirname(server.socket)}`];
  expect(text(await server.does<Done>("step", { run: "r", command: look }))).toBe(`${far}\n`);
});
