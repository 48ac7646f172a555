/** Services of a run: commands that run beside its calls, and again whenever its files were set. */
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, existsSync } from "node:fs";
import { get } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import { detect } from "../../src/scope/exec/abilities.ts";
import { findHelper } from "../../src/scope/exec/helper.ts";
import { bash, newUser, type User, until } from "../support/user.ts";

let user: User;
afterEach(() => user?.end());

const { samePath } = await detect();
const root = process.getuid?.() === 0;
const ID = 65534;
const nobody = ["setpriv", `--reuid=${ID}`, `--regid=${ID}`, "--clear-groups"];
const ordinary =
  root && spawnSync("setpriv", [...nobody.slice(1), "unshare", "--user", "--net", "true"]).status === 0 ? nobody : null;

const PORT = 4011;
/** Counts its starts in a file of the project, which each request tells and adds to. */
const SERVER = `
const fs = require("node:fs");
fs.appendFileSync("starts.txt", "start\\n");
console.log("listening with", fs.readFileSync("starts.txt", "utf8").split("\\n").length - 1);
require("node:http").createServer((request, response) => {
  if (request.url === "/end") process.exit(7);
  fs.appendFileSync("seen.txt", request.url + "\\n");
  response.end(JSON.stringify({ starts: fs.readFileSync("starts.txt", "utf8"), a: fs.readFileSync("a.txt", "utf8"), seen: fs.readFileSync("seen.txt", "utf8") }));
}).listen(${PORT}, "127.0.0.1");
`;
const SERVICE = `web=exec ${process.execPath} server.cjs`;
/** What came of the newest call of a run's agent. */
const lastResult = async (run: string): Promise<string> => {
  const rows = (await user.does(["log", run, "--json"])).objects<{ n: number; kind: string }>();
  return resultOf(run, Math.max(...rows.filter(({ kind }) => kind === "tool").map(({ n }) => n)));
};

const resultOf = async (run: string, n: number): Promise<string> => (await user.does(["show", run, String(n)])).out;

const reach = (port: number, path: string): Promise<string | null> =>
  new Promise((resolve) => {
    get({ port, host: "127.0.0.1", path, agent: false }, async (response) => {
      let text = "";
      for await (const chunk of response) text += chunk;
      resolve(text);
    }).on("error", () => resolve(null));
  });

/** Asks a server of a run from outside, until it answers. */
async function through(run: string, path: string): Promise<{ starts: string; a: string; seen: string }> {
  const way = user.start(["port", run, String(PORT), "--json"]);
  await until(
    () => way.out.includes("local"),
    () => way.err,
  );
  const { local } = JSON.parse(way.out.split("\n")[0]!) as { local: number };
  let told: string | null = null;
  await until(async () => {
    told = await reach(local, path);
    return !!told;
  });
  way.process.kill("SIGINT");
  await way.ended;
  return JSON.parse(told!) as { starts: string; a: string; seen: string };
}

const WAIT = "until [ -e over ]; do sleep 0.02; done";

type Maker = [name: string, env: { [name: string]: string }, prefix: readonly string[]];
const makers: Maker[] = [
  ...(findHelper() ? [["by the helper", {}, []] as Maker] : []),
  [`by programs of the system${ordinary ? ", as an ordinary user" : ""}`, { SHEPHERD_NO_HELPER: "1" }, ordinary ?? []],
];

describe.skipIf(!samePath).each(makers)("a run with a network of its own, made %s", (_name, env, prefix) => {
  test("has its server, and so has a fork of it, on the files of its step, reached by its port", async () => {
    user = await newUser({ "a.txt": "one\n", "server.cjs": SERVER }, prefix);
    if (prefix.length > 0) {
      for (const path of [user.directory, user.project, user.home]) chownSync(path, ID, ID);
      chmodSync(user.directory, 0o755);
    }
    Object.assign(user.env, env);
    const command = ["sh", "-c", `echo two > a.txt; ${WAIT}`];
    const options = ["--scope", "web", "--network", "gateway", "--service", SERVICE];
    const run = user.start(["gateway", ...options, "--", ...command]);
    await until(
      () => run.out.includes("sh -c"),
      () => run.out + run.err,
    );
    await until(async () => (await through("web", "/first")).a === "two\n");
    expect((await user.does(["service", "web"])).out).toMatch(/^web +running +exec /);
    run.process.kill("SIGKILL");
    await run.ended;
    expect((await user.does(["service", "web", "--json"])).objects()).toMatchObject([{ state: "stopped", code: null }]);

    const [made] = (await user.does(["fork", "web", "0", "--json"])).objects<{ services: string[] }>();
    expect(made!.services).toEqual(["web"]);
    const forked = user.start(["resume", "web.1"]);
    await until(
      () => forked.err.includes("is driven"),
      () => forked.out + forked.err,
    );
    const told = await through("web.1", "/forked");
    expect(told).toMatchObject({ starts: "start\n", seen: "/forked\n" });
    // What is set back while it is at work has its files first, and then its server, in the same network.
    const back = await user.does(["revert", "web.1", "0", "--json"]);
    expect(back.objects()).toMatchObject([{ services: ["web"] }]);
    expect(await through("web.1", "/again")).toMatchObject({ starts: "start\n", seen: "/again\n" });
    expect((await user.does(["service", "web.1", "web"])).out).toMatch(
      /^shepherd: started at .*\nlistening with 1\nshepherd: started at .*\nlistening with 1\n$/,
    );
    forked.process.kill("SIGINT");
    const { code, err } = await forked.ended;
    expect(code, err).toBe(1);
    expect(err).not.toContain("has ended");
    await user.does(["fsck"]);
  }, 90_000);
});

/** Writes without end: what it was started on, and a line. */
const TICKER = "tick=echo begun >> starts.txt; while :; do echo . >> ticks.txt; sleep 0.02; done";
const SEES = bash("until [ -s ticks.txt ]; do sleep 0.02; done; wc -l < starts.txt");

describe.each([
  ["with what this machine has", {}],
  ["without namespaces", { SHEPHERD_NO_NAMESPACES: "1" }],
] as Array<[string, { [name: string]: string }]>)("sandboxes made %s", (_name, env) => {
  test("a service begins before the first call, after the files are set back, and in who goes on", async () => {
    user = await newUser({ "a.txt": "one\n" });
    Object.assign(user.env, env);
    const model = user.script([{ call: [SEES] }, { call: [SEES] }, { say: "Well." }, { call: [SEES] }, { say: "On." }]);
    // What a command may take is no matter of a service.
    const options = ["--scope", "t", "--write", user.directory, "--service", TICKER, "--time", "20s", "--model", model];
    expect((await user.does(["run", ...options, "go"])).err).toBe("");
    expect(await resultOf("t", 4)).toMatch(/^ +1$/m);
    const shown = (await user.does(["show", "t", "4"])).out;
    expect(shown).not.toContain("ran in the background");
    // It began on the files of step 0, whatever there was when it was ended.
    expect((await user.does(["revert", "t", "0"])).out).toContain("its services are started when it goes on: tick");
    expect(
      (await user.does(["exec", "t", "--", "sh", "-c", "until [ -s ticks.txt ]; do sleep 0.02; done; cat starts.txt"]))
        .out,
    ).toBe("begun\n");
    await user.does(["resume", "t", "on"]);
    // That of `exec` was the first on these files.
    expect(await lastResult("t")).toMatch(/^ +2$/m);
    expect((await user.does(["fork", "t", "0", "--service", "tick=", "--service", "say=echo hello $$"])).out).toContain(
      "its services are started when something runs there: say",
    );
    expect((await user.does(["service", "t.1"])).out).toBe("say              stopped  echo hello $$\n");
    const over = `${user.directory}/over`;
    const running = user.start(["exec", "t.1", "--", "sh", "-c", `until [ -e ${over} ]; do sleep 0.02; done`]);
    await until(
      () => running.err.includes("has ended"),
      () => running.out + running.err,
    );
    user.write({ "../over": "" });
    expect((await running.ended).err).toBe(
      "shepherd: The service say of t.1 has ended (exit code 0): `shepherd service t.1 say` shows what it wrote.\n",
    );
    expect((await user.does(["service", "t.1", "say"])).out).toMatch(/^shepherd: started at .*\nhello \d+\n$/);
    expect((await user.does(["service", "t.1", "--json"])).objects()).toMatchObject([
      { scope: "t.1", service: "say", state: "stopped", code: 0, signal: null },
    ]);
    await user.does(["fsck"]);
  }, 60_000);

  test("of who was killed it begins anew, on the files as they were written down", async () => {
    user = await newUser({ "a.txt": "one\n" });
    Object.assign(user.env, env);
    const model = user.script([{ call: [SEES] }, { say: "Wait.", delay: 60_000 }]);
    const run = user.start(["run", "--scope", "k", "--service", TICKER, "--model", model, "go"]);
    await until(
      () => run.out.includes("until"),
      () => run.out + run.err,
    );
    run.process.kill("SIGKILL");
    await run.ended;
    const on = user.script([{ say: "(told)" }, { call: [SEES] }, { say: "Well." }], "on");
    await user.does(["resume", "k", "--model", on]);
    expect(await lastResult("k")).toMatch(/^ +2$/m);
  }, 60_000);

  test("what is no service is named by who goes back or forks, and ended", async () => {
    user = await newUser({ "a.txt": "one\n" });
    Object.assign(user.env, env);
    const open = user.directory;
    // A process has the name of its shell until it has become what it was started for.
    const started = 'until [ "$(cat /proc/$a/comm /proc/$!/comm | sort -u)" = sleep ]; do sleep 0.02; done';
    const model = user.script([
      { call: [bash(`sleep 1234 & a=$!; sleep 2345 & ${started}; echo on`)] },
      { call: [bash(`touch ${open}/there; until [ -e ${open}/over ]; do sleep 0.02; done`)] },
      { say: "Well." },
    ]);
    const options = ["--scope", "b", "--write", open, "--service", "web=sleep 3456", "--model", model];
    const run = user.start(["run", ...options, "go"]);
    await until(
      () => existsSync(`${open}/there`),
      () => run.out + run.err,
    );
    const forked = await user.does(["fork", "b", "2"]);
    expect(forked.out).toContain("  ran in the background then, and does not there: ");
    expect(forked.out).toMatch(/sleep 1234/);
    expect(forked.out).toMatch(/sleep 2345/);
    expect(forked.out).not.toContain("3456");
    expect((await user.does(["fork", "b", "0", "--json"])).objects()).toMatchObject([{ left: [], services: ["web"] }]);
    const [back] = (await user.does(["revert", "b", "2", "--json"])).objects<{ [name: string]: string[] }>();
    expect(back!.ended!.sort()).toEqual(["sleep 1234", "sleep 2345"]);
    expect(back!.left!.sort()).toEqual(["sleep 1234", "sleep 2345"]);
    expect(back!.services).toEqual(["web"]);
    user.write({ "../over": "" });
    await run.ended;
    const told = await user.does(["revert", "b", "2"]);
    expect(told.out).toMatch(/ran in the background at step 2, and is not started again: .*sleep 2345/);
    expect(told.out).not.toContain("was ended");
  }, 60_000);
});

test.skipIf(!samePath)("whose death is told while the run goes on, and its agent reads what it wrote", async () => {
  user = await newUser({ "a.txt": "one\n" });
  const model = user.script([
    { call: [bash("echo go > go; until grep -q bye /tmp/.shepherd-cache/services/web.log; do sleep 0.02; done")] },
    { call: [bash(`until [ -e ${user.directory}/over ]; do sleep 0.02; done`)] },
    { say: "Well." },
  ]);
  const web = "web=until [ -e go ]; do sleep 0.02; done; echo bye password=correct-horse >&2; exit 3";
  const options = ["--scope", "d", "--write", user.directory, "--service", web, "--model", model];
  const run = user.start(["run", ...options, "go"]);
  await until(
    () => run.err.includes("has ended"),
    () => run.out + run.err,
  );
  user.write({ "../over": "" });
  expect((await run.ended).err).toBe(
    "shepherd: The service web of d has ended (exit code 3): `shepherd service d web` shows what it wrote.\n",
  );
  const wrote = (await user.does(["service", "d", "web"])).out;
  expect(wrote).toContain("bye password=");
  expect(wrote).not.toContain("correct-horse");
  await user.does(["discard", "d"]);
  expect((await user.does(["service", "d"])).out).toMatch(/^web +stopped .*\(exit code 3\)$/m);
});

test("what is forgotten of it is started no more, and what it wrote is gone", async () => {
  user = await newUser();
  await user.does(["run", "--scope", "f", "--service", "web=echo hunter2", "--", "sh", "-c", "sleep 0.1"]);
  await user.does(["forget", "--containing", "hunter2", "--yes"]);
  expect((await user.does(["service", "f"])).out).toContain("f has no services");
  await user.does(["exec", "f", "--", "true"]);
  expect(spawnSync("grep", ["-ra", "hunter2", user.store]).stdout.toString()).toBe("");
});

test.each([
  [["--service", "web"], "--service takes NAME=COMMAND"],
  [["--service", "Web=true"], "--service takes NAME=COMMAND"],
  [["--service", "web="], "Which command is the service web?"],
  [["--service", "a=true", "--service", "a=false"], "--service names a twice"],
])("%j is bad usage", async (words, sentence) => {
  user = await newUser();
  expect((await user.does(["run", ...words, "--", "true"], 2)).err).toContain(sentence);
  expect((await user.does(["status", "--json"])).objects()).toEqual([]);
});
