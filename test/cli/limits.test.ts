/** Limits of what the processes of a run may use: `--memory`, `--processes`, `--time`. */
import { spawnSync } from "node:child_process";
import { chownSync, readdirSync, readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { placesOf } from "../../src/scope/exec/cgroup.ts";
import { holdingHere } from "../../src/scope/exec/limit.ts";
import { findScope } from "../../src/scope/registry.ts";
import { openStore } from "../../src/trace/store.ts";
import { bash, newUser, type User, until } from "../support/user.ts";

let user: User;
afterEach(() => user?.end());

const holding = await holdingHere();
const here = { memory: holding.memory === "held", processes: holding.processes === "held" };

/** Groups of Shepherd's that there are, beside those of other tests. */
function groupsOf(pid: number | undefined): string[] {
  const read = (file: string): string => readFileSync(file, "latin1");
  const places = placesOf(read("/proc/self/mountinfo"), read("/proc/self/cgroup"), ["memory", "processes"]);
  return places
    .flatMap(({ folders }) => folders)
    .flatMap((folder) => readdirSync(folder).filter((name) => new RegExp(`^shepherd-\\d+-${pid}-`).test(name)));
}

const resultOf = async (run: string, n: number): Promise<string> => (await user.does(["show", run, String(n)])).out;

const BOMB = "for i in $(seq 1000); do sleep 20 & done";
const GREEDY = `${process.execPath} -e 'const x = []; for (let i = 0; i < 300; i++) x.push(Buffer.alloc(1 << 20, 1)); console.log("had it")'`;

describe.each([
  ["by the helper", {}],
  ["by programs of the system", { SHEPHERD_NO_HELPER: "1" }],
  ["without namespaces", { SHEPHERD_NO_NAMESPACES: "1" }],
] as Array<[string, { [name: string]: string }]>)("sandboxes made %s", (_name, env) => {
  test.skipIf(!here.processes)(
    "a fork bomb is held, and all of it is gone at the end",
    async () => {
      user = await newUser();
      const turns = [
        { call: [{ tool: "bash", input: { command: BOMB, timeout_ms: 2500 } }] },
        { call: [bash("echo on")] },
        { say: "Well." },
      ];
      const running = user.start(
        ["run", "--scope", "bomb", "--processes", "100", "--model", user.script(turns), "go"],
        { env },
      );
      await until(
        () => running.out.includes("2 "),
        () => running.err,
      );
      const done = await running.ended;
      expect([done.code, done.err]).toEqual([0, ""]);
      expect(await resultOf("bomb", 2)).toContain(
        "[no more processes were started: this run may have 100 at once (--processes)]",
      );
      expect(groupsOf(running.process.pid)).toEqual([]);
      await user.does(["fsck"]);
    },
    60_000,
  );

  test.skipIf(!here.memory)(
    "what takes more memory is killed, and told why",
    async () => {
      user = await newUser();
      const turns = [{ call: [bash(GREEDY)] }, { call: [bash("echo on")] }, { say: "Well." }];
      await user.does(["run", "--scope", "m", "--memory", "150MB", "--model", user.script(turns), "go"], 0, { env });
      const told = await resultOf("m", 2);
      expect(told).not.toMatch(/^\s*had it/m);
      expect(told).toContain("[killed because the processes of this run used more than 150 MB together (--memory)]");
      expect(await resultOf("m", 4)).toMatch(/^ +on$/m);
      const command = ["--memory", "150MB", "--", "sh", "-c", `${GREEDY}; echo on`];
      const done = await user.does(["run", "--scope", "c", ...command], 0, { env });
      expect(done.out).toMatch(/^on$/m);
      expect(done.out + done.err).toContain("shepherd: killed because the processes of this run");
    },
    60_000,
  );
});

test("a command ends after --time, and the sentence says so", async () => {
  user = await newUser();
  const turns = [{ call: [bash("echo begun; sleep 50")] }, { say: "Well." }];
  await user.does(["run", "--scope", "t", "--time", "1s", "--model", user.script(turns), "go"]);
  const told = await resultOf("t", 2);
  expect(told).toContain("begun");
  expect(told).toContain("[ended after 1 s, which is what a command of this run may take (--time)]");
  await user.does(["exec", "t", "--", "sleep", "50"], 1);
  await user.does(["run", "--time", "500ms", "--", "sleep", "50"], 1);
});

test("a fork has no more than its run, whatever is asked, and what goes on keeps its limits", async () => {
  user = await newUser();
  const model = user.script([
    { call: [bash("sleep 50")] },
    { say: "Well." },
    { call: [bash("sleep 50")] },
    { say: "." },
  ]);
  await user.does(["run", "--scope", "f", "--time", "1s", "--processes", "200", "--model", model, "go"]);
  const told = await user.does(["fork", "f", "2", "--time", "2s"], 3);
  expect(told.err).toContain("f has a lower --time, so what goes on from it has no more.");
  expect((await user.does(["run", "--from", "f@2", "--processes", "300", "on"], 3)).err).toContain(
    "a lower --processes",
  );
  await user.does(["fork", "f", "3", "--time", "500ms", "--scope", "less"]);
  await user.does(["exec", "less", "--", "sleep", "50"], 1);
  await user.does(["resume", "less", "on"]);
  const rows = (await user.does(["log", "less", "--json"])).objects<{ n: number; kind: string }>();
  const last = rows.filter(({ kind }) => kind === "tool").sort((a, b) => b.n - a.n)[0]!;
  expect(await resultOf("less", last.n)).toContain("ended after 0.5 s");
}, 60_000);

test.skipIf(!here.processes)("groups of a killed owner go with the next that makes one", async () => {
  user = await newUser();
  const running = user.start(["run", "--processes", "50", "--", "sleep", "60"]);
  const { pid } = running.process;
  await until(
    () => groupsOf(pid).length > 0 && running.out.includes("run "),
    () => running.err,
  );
  running.process.kill("SIGKILL");
  await running.ended;
  await until(async () => {
    expect((await user.does(["doctor"])).out).toContain("limits");
    return groupsOf(pid).length === 0;
  });
});

/** Files of 1 MiB, so many. */
const write = (name: string, count: number): string =>
  `for i in $(seq ${count}); do head -c 1048576 /dev/zero > ${name}$i || break; done`;
const TOLD =
  "[killed because the files of this run have grown by more than 20 MB (--disk): remove some before you write more]";

test.each([
  ["with what this machine has", {}],
  ["without namespaces", { SHEPHERD_NO_NAMESPACES: "1" }],
] as Array<[string, { [name: string]: string }]>)(
  "what goes on writing beyond --disk is killed, %s",
  async (_name, env) => {
    user = await newUser({ "a.txt": "one\n" });
    const turns = [
      { call: [bash(`${write("big", 20)}; while :; do ${write("more", 30)}; done`)] },
      { call: [bash("rm -f big* more*; echo removed")] },
      { call: [bash(`${write("little", 5)}; echo written`)] },
      // What has no name takes its room all the same.
      { call: [bash("exec 5> gone; rm gone; while :; do head -c 1048576 /dev/zero >&5; done")] },
      { call: [bash("echo on")] },
      { say: "Well." },
    ];
    const model = user.script(turns);
    await user.does(["run", "--scope", "d", "--disk", "20MB", "--model", model, "go"], 0, { env });
    expect(await resultOf("d", 2)).toContain(TOLD);
    expect(await resultOf("d", 4)).toMatch(/^ +removed$/m);
    expect(await resultOf("d", 6)).toMatch(/^ +written$/m);
    expect(await resultOf("d", 6)).not.toContain("--disk");
    expect(await resultOf("d", 8)).toContain(TOLD);
    expect(await resultOf("d", 10)).toMatch(/^ +on$/m);
  },
  60_000,
);

test("exec, shell and gateway take limits too, never above those of the run, which status tells", async () => {
  user = await newUser();
  const limits = ["--time", "2s", "--disk", "30MB"];
  await user.does(["run", "--scope", "r", ...limits, "--", "true"]);
  expect((await user.does(["status"])).out).toMatch(/ {2}--time 2s --disk 30.0MB$/m);
  expect((await user.does(["status", "--json"])).objects()).toMatchObject([{ limits: { time: 2000, disk: 30e6 } }]);
  const none = await user.does(["exec", "r", "--time", "3s", "--", "true"], 3);
  expect(none.err).toContain("r has a lower --time, so what goes on from it has no more.");
  expect((await user.does(["shell", "r", "--disk", "40MB"], 3)).err).toContain("a lower --disk");
  const done = await user.does(["exec", "r", "--time", "500ms", "--", "sleep", "50"], 1);
  expect(done.err).toContain("shepherd: ended after 0.5 s");
  // The limit was that of the one command.
  await user.does(["exec", "r", "--", "sleep", "1"]);
  const shell = await user.does(["shell", "r", "--time", "500ms"], 1, { input: "sleep 50\n" });
  expect(shell.out).toContain("ended after 0.5 s");
  await user.does(["gateway", "--scope", "g", "--time", "500ms", "--", "sleep", "50"], 1);
  expect((await user.does(["gateway", "--scope", "g", "--time", "1s", "--", "true"], 3)).err).toContain(
    "a lower --time",
  );
  await user.does(["gateway", "--scope", "g", "--time", "400ms", "--", "true"]);
  expect((await user.does(["gateway", "--time", "1s"], 2)).err).toContain("--time is for a command");
  const told = (await user.does(["status", "--json"])).objects<{ scope: string; limits: object }>();
  expect(told.find(({ scope }) => scope === "g")!.limits).toEqual({ time: 500 });
}, 60_000);

const ID = 65534;
const nobody = ["setpriv", `--reuid=${ID}`, `--regid=${ID}`, "--clear-groups"];
const asNobody =
  process.getuid?.() === 0 && spawnSync(nobody[0]!, [...nobody.slice(1), "true"]).status === 0 ? nobody : null;

test.skipIf(!asNobody)("who may make no groups is told what is not held, and the log says so", async () => {
  user = await newUser(undefined, asNobody!);
  for (const path of [user.directory, user.project, user.home]) chownSync(path, ID, ID);
  expect((await user.does(["doctor"])).out).toMatch(/^limited limits +--memory is held for each process by itself, /m);
  const done = await user.does(["run", "--scope", "n", "--memory", "1GB", "--processes", "50", "--", "true"]);
  expect(done.err).toBe(
    "shepherd: --memory is held for each process by itself, since no control group can be made here.\n" +
      "shepherd: --processes is not held here, since no control group can be made.\n",
  );
  const limited = ["exec", "n", "--", "bash", "-c", "ulimit -v"];
  expect((await user.does(limited)).out).toBe(`${Math.floor(1e9 / 1024)}\n`);
  const store = await openStore(user.store);
  try {
    const { log } = (await findScope(store, "n"))!;
    const notes: object[] = [];
    for await (const { facts } of store.logs.read(log)) if (facts.note === "limits") notes.push(facts);
    const note = { note: "limits", memory: "each", processes: "no", enforced: false };
    // Of `run`, and of `exec`.
    expect(notes).toEqual([note, note]);
  } finally {
    await store.close();
  }
});

test.each([
  [["--memory", "1MB"], "--memory takes a size from 10MB on"],
  [["--memory", "much"], '--memory "much" is no size'],
  [["--disk", "1MB"], "--disk takes a size from 10MB on"],
  [["--processes", "3"], "--processes takes a whole number from 10 on"],
  [["--time", "5"], "--time takes a duration as 90s, 5m or 2h"],
])("%j is bad usage", async (words, sentence) => {
  user = await newUser();
  expect((await user.does(["run", ...words, "--", "true"], 2)).err).toContain(sentence);
  expect((await user.does(["status", "--json"])).objects()).toEqual([]);
});
