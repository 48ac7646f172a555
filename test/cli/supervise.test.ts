/** `shepherd supervise`, typed by a user: workers that are merged, checked, handed back and landed; killed, interrupted and gone on with. */
import * as fs from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readScope } from "../../src/scope/view.ts";
import type { Json } from "../../src/trace/ports.ts";
import { openStore } from "../../src/trace/store.ts";
import { anthropicEvents, type Provider, startProvider, streamed, type Wire } from "../support/provider.ts";
import { runs, seed } from "../support/runs.ts";
import { bash, newUser, put, type Turn, type User, until } from "../support/user.ts";

const FILES = { "a.txt": "one\ntwo\nthree\n", "b.txt": "x\n" };
let user: User;
let server: Provider | null = null;
beforeEach(async () => {
  user = await newUser(FILES);
});
afterEach(async () => {
  stopWorkers(user);
  user.end();
  await server?.close();
  server = null;
});

/** Ends what a supervisor that did not come to its end has left at work. */
function stopWorkers({ store }: User): void {
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (fs.readFileSync(`/proc/${pid}/environ`).includes(`SHEPHERD_DIR=${store}\0`))
        process.kill(Number(pid), "SIGKILL");
    } catch {
      // It has ended, or is somebody else's.
    }
  }
}

interface Said {
  say?: string;
  call?: { tool: string; input: Json };
}

const KEYS: { [name: string]: string } = {};

/**
 * A model that answers by what it was told: the task, all that its user has said, how often it has answered, and what. Past what it knows it says `done`.
 */
async function talks(
  answer: (task: string, told: string[], turn: number, did: string) => Said | undefined,
): Promise<string> {
  server = await startProvider(async (asked, response, request) => {
    const words = (content: Wire): string =>
      typeof content === "string" ? content : content.map(({ text = "" }: Wire) => text).join(" ");
    const messages: Wire[] = asked.json.messages;
    const users = messages.filter(({ role }) => role === "user").map(({ content }) => words(content));
    const told = users.filter((text) => text.trim() !== "");
    const turn = messages.filter(({ role }) => role === "assistant").length;
    // A conversation that begins anew has its task behind what it is told first.
    const task = told[0]!.startsWith("What you may do") ? "decide" : told[0]!.trim().split("\n").at(-1)!;
    const { say, call } =
      answer(task, told, turn, JSON.stringify(messages.filter(({ role }) => role === "assistant"))) ?? {};
    const blocks = call
      ? [{ type: "tool_use", id: `toolu_${turn}`, name: call.tool, input: call.input }]
      : [{ type: "text", text: say ?? "done" }];
    return streamed(anthropicEvents(blocks))(asked, response, request);
  });
  Object.assign(KEYS, { ANTHROPIC_API_KEY: "sk-planted-key-4711", ANTHROPIC_BASE_URL: server.url });
  return "haiku";
}

/** A file of tasks, each done by a script. */
function tasks(workers: { [name: string]: Turn[] }, paths: { [name: string]: string[] } = {}): string {
  const file = join(user.directory, "tasks.jsonl");
  const lines = Object.entries(workers).map(([name, turns]) =>
    JSON.stringify({ name, task: `do ${name}`, model: user.script(turns, name), paths: paths[name] ?? [] }),
  );
  fs.writeFileSync(file, `${lines.join("\n")}\n`);
  return file;
}

const rowsOf = (objects: Array<{ [key: string]: unknown }>, event: string) =>
  objects.filter((each) => each.event === event).map(({ worker, what }) => [worker, what]);

/** What a supervisor's log has done, in short. */
async function effects(run = "supervise"): Promise<string[]> {
  const { out } = await user.does(["log", run, "--json"]);
  return out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { kind: string; status: string; summary: string })
    .filter(({ kind, status }) => kind === "effect" && status === "done")
    .map(({ summary }) => summary.split(" ")[0]!)
    .reverse();
}

test("workers begin with the same files, are merged in the order of the tasks, checked and landed; nothing of the check lands", async () => {
  const file = tasks({
    up: [{ call: [bash("sed -i s/one/ONE/ a.txt")] }, { say: "done" }],
    make: [{ call: [put("c.txt", "made\n")] }, { say: "done" }],
  });
  const check = "echo left > left.txt; grep -q ONE a.txt && test -e c.txt";
  const done = await user.does([
    ...["supervise", "--policy", "none", "--tasks", file, "--check", check, "--land", "auto"],
    ...["--report", "report", "--json"],
  ]);
  const objects = done.objects();
  expect(rowsOf(objects, "merge")).toEqual([
    ["up", "done"],
    ["make", "done"],
  ]);
  expect(rowsOf(objects, "check")).toEqual([[null, "passes"]]);
  expect(objects.find(({ ok }) => ok !== undefined)).toMatchObject({
    ok: true,
    into: "supervise-merged",
    check: "passes",
  });
  expect(objects.at(-1)).toMatchObject({ scope: "supervise-merged", landed: { status: "done" } });
  const { "report/report.html": html, "report/report.md": markdown, ...files } = user.files();
  expect(files).toEqual({ "a.txt": "ONE\ntwo\nthree\n", "b.txt": "x\n", "c.txt": "made\n" });
  expect(markdown).toContain("2 of 2 workers are merged in supervise-merged. The check passes");
  expect(html).toContain("<svg");
  expect(html).not.toMatch(/<script|src=|href=/);
  const store = await openStore(user.store);
  const bases = await Promise.all(
    ["supervise", "up", "make"].map(async (run) => (await readScope(store, run)).fold.steps.get(0)!.outcome!.base),
  );
  await store.close();
  expect(new Set(bases).size).toBe(1);
});

test("a conflict is handed back to the worker that came later, with both versions, and is mended by it", async () => {
  const file = tasks({
    first: [{ call: [bash("sed -i s/two/TWO/ a.txt")] }, { say: "done" }],
    second: [
      { call: [bash("sed -i s/two/zwei/ a.txt; echo y > d.txt")] },
      { say: "done" },
      { call: [bash("cat a.txt; sed -i s/TWO/TWO-zwei/ a.txt")] },
      { say: "mended" },
    ],
  });
  const done = await user.does(["supervise", "--policy", "none", "--tasks", file, "--land", "auto", "--json"]);
  const objects = done.objects();
  expect(rowsOf(objects, "merge")).toEqual([
    ["first", "done"],
    ["second", "conflict"],
    ["second", "done"],
  ]);
  expect(rowsOf(objects, "handed-back")).toEqual([["second", "conflict"]]);
  expect(user.files()).toEqual({ "a.txt": "one\nTWO-zwei\nthree\n", "b.txt": "x\n", "d.txt": "y\n" });
  // What it was told has both versions, and it looked at theirs.
  const log = (await user.does(["log", "second", "--json"])).objects<{ n: number; kind: string }>();
  const told = log.find(({ kind }) => kind === "inject")!;
  const { out } = await user.does(["show", "second", String(told.n)]);
  expect(out).toContain("+zwei");
  expect(out).toContain("+TWO");
  expect(out).toContain("no instruction");
});

test("where the check fails, the worker whose merge made it fail is found and mends it; all others are left alone", async () => {
  const file = tasks({
    good: [{ call: [put("good.txt", "g\n")] }, { say: "done" }],
    bad: [
      { call: [put("bad.txt", "broken\n")] },
      { say: "done" },
      { call: [bash("test -e good.txt && test -e last.txt && echo fine > bad.txt")] },
      { say: "mended" },
    ],
    last: [{ call: [put("last.txt", "l\n")] }, { say: "done" }],
  });
  const check = "! grep broken bad.txt";
  const args = ["supervise", "--policy", "none", "--tasks", file, "--check", check, "--land", "auto", "--json"];
  const objects = (await user.does(args)).objects();
  expect(rowsOf(objects, "check")).toEqual([
    [null, "fails"],
    [null, "passes"],
  ]);
  expect(rowsOf(objects, "culprit")).toEqual([["bad", "found"]]);
  expect(rowsOf(objects, "handed-back")).toEqual([["bad", "check"]]);
  expect(user.read("bad.txt")).toBe("fine\n");
  expect(rowsOf(objects, "merge").map(([worker]) => worker)).toEqual(["good", "bad", "last", "bad"]);
});

test("what stays wrong is handed back twice, and then nothing lands", async () => {
  const file = tasks({
    bad: [{ call: [put("bad.txt", "broken\n")] }, ...[1, 2, 3, 4].map((n) => ({ say: `I did ${n}.` }))],
  });
  const check = "! grep -s broken bad.txt";
  const args = ["supervise", "--policy", "none", "--tasks", file, "--check", check, "--land", "auto", "--json"];
  const objects = (await user.does(args, 1)).objects();
  expect(rowsOf(objects, "check").map(([, what]) => what)).toEqual(["fails", "fails", "fails"]);
  expect(rowsOf(objects, "handed-back")).toHaveLength(2);
  expect(Object.keys(user.files())).toEqual(["a.txt", "b.txt"]);
});

test("a worker that fails is left out and named, and the others come together", async () => {
  const file = tasks({
    good: [{ call: [put("good.txt", "g\n")] }, { say: "done" }],
    empty: [{ call: [put("half.txt", "h\n")] }],
  });
  const args = ["supervise", "--policy", "none", "--tasks", file, "--land", "auto", "--json"];
  const objects = (await user.does(args, 1)).objects();
  const end = objects.find(({ ok }) => ok !== undefined) as { ok: boolean; workers: unknown };
  expect(end.ok).toBe(false);
  expect(end.workers).toMatchObject([
    { name: "good", merged: "done" },
    { name: "empty", merged: "left", state: "error" },
  ]);
  expect(Object.keys(user.files())).toEqual(["a.txt", "b.txt"]);
  expect((await user.does(["cat", "supervise-merged@", "good.txt"])).out).toBe("g\n");
});

test("commands are workers, too, with the task in the place of {}", async () => {
  const args = ["supervise", "--policy", "none", "--land", "auto", "x", "y", "--", "sh", "-c", "echo {} > {}.txt"];
  await user.does(args);
  expect(user.files()).toMatchObject({ "x.txt": "x\n", "y.txt": "y\n" });
});

test("runs that are at work already are supervised by name, and left to whoever drives them", async () => {
  const model = user.script([{ call: [bash("sleep 0.7; echo late > late.txt")] }, { say: "done" }], "late");
  const running = user.start(["run", "--scope", "late", "--land", "never", "--model", model, "be late"]);
  await until(() => running.out.includes("model"));
  await user.does(["supervise", "--policy", "none", "--runs", "late", "--land", "auto"]);
  expect((await running.ended).code).toBe(0);
  expect(user.read("late.txt")).toBe("late\n");
});

/** Three workers of some steps each, of which two conflict, with a check that fails at first. */
const work = (): string =>
  tasks({
    one: [
      ...[1, 2, 3].map((n) => ({ call: [bash(`echo ${n} >> one.txt; sleep 0.05`)] })),
      { call: [bash("sed -i s/two/TWO/ a.txt")] },
      { say: "done" },
    ],
    two: [
      { call: [bash("sed -i s/two/zwei/ a.txt; sleep 0.1")] },
      { say: "done" },
      { call: [bash("sed -i s/TWO/TWO-zwei/ a.txt")] },
      { say: "mended" },
    ],
    three: [
      { call: [put("three.txt", "broken\n")] },
      { say: "done" },
      { call: [put("three.txt", "fine\n")] },
      { say: "mended" },
    ],
  });
const CHECK = "! grep -s broken three.txt";
const END = {
  "a.txt": "one\nTWO-zwei\nthree\n",
  "b.txt": "x\n",
  "one.txt": "1\n2\n3\n",
  "three.txt": "fine\n",
};

test("killed at any moment and gone on with, it comes to the same end, and does nothing twice", async () => {
  let random = seed;
  const next = (): number => {
    random = (random * 1103515245 + 12345) % 2 ** 31;
    return random / 2 ** 31;
  };
  for (let k = 0; k < runs(60, 4); k++) {
    const other = await newUser(FILES);
    const before = user;
    user = other;
    try {
      const file = work();
      const told: string[] = [];
      let args = ["supervise", "--policy", "none", "--tasks", file, "--check", CHECK, "--land", "auto"];
      for (let kills = 0; kills < 3; kills++) {
        const running = other.start(args);
        const over = running.ended.then(() => true);
        const dead = await Promise.race([over, sleep(300 + next() * 2500).then(() => false)]);
        running.process.kill("SIGKILL");
        const { code, out, err } = await running.ended;
        told.push(`${code}\n${out}${err}`);
        if (dead) break;
        const begun = (await other.shepherd(["log", "supervise"])).code === 0;
        args = begun ? ["resume", "supervise", "--land", "auto"] : args;
      }
      const last = await other.shepherd(args[0] === "resume" ? args : ["resume", "supervise", "--land", "auto"]);
      expect([last.code, last.err], `${told.join("\n--\n")}\n==\n${last.out}${last.err}`).toEqual([0, ""]);
      expect(other.files()).toEqual(END);
      // Each was told once what was handed back to it, and merged once for each state that it had.
      for (const [worker, times] of [
        ["one", 0],
        ["two", 1],
        ["three", 1],
      ] as const) {
        const steps = (await other.does(["log", worker, "--json"])).objects<{ kind: string; status: string }>();
        expect(steps.filter(({ kind }) => kind === "inject")).toHaveLength(times);
        expect(steps.filter(({ kind, status }) => kind === "sync" && status === "done")).toHaveLength(times);
      }
      const merged = (await other.does(["log", "supervise-merged", "--json"])).objects<{
        kind: string;
        status: string;
        summary: string;
      }>();
      const merges = merged.filter(({ kind, status }) => kind === "merge" && status === "done");
      expect(merges.map(({ summary }) => summary).sort()).toEqual(["one", "three", "three", "two"]);
      expect((await other.does(["fsck"])).out).toContain("The store is sound");
    } finally {
      stopWorkers(other);
      other.end();
      user = before;
    }
  }
}, 600_000);

/** All notes by which the gate of a supervisor let a call pass or not, and all steps that it has made, of a worker. */
async function saidOf(worker: string): Promise<{ verdicts: string[]; made: string[] }> {
  const store = await openStore(user.store);
  const { log, fold } = await readScope(store, worker);
  const verdicts: string[] = [];
  for await (const { phase, n, facts } of store.logs.read(log))
    if (phase === "note" && facts.note === "gate" && facts.gate === "supervise" && facts.decision !== undefined)
      verdicts.push(`${n} ${facts.decision}`);
  const made = [...fold.steps.values()].flatMap(({ intent, witness }) =>
    witness.by === "supervise" ? [`${intent.kind}`] : [],
  );
  await store.close();
  return { verdicts, made };
}

test("killed while it supervises by rules, it does nothing twice; meanwhile calls wait for it, and nothing is destroyed", async () => {
  const kept = { ...FILES, "src/kept.txt": "kept\n" };
  user.write(kept);
  let random = seed + 1;
  const next = (): number => {
    random = (random * 1103515245 + 12345) % 2 ** 31;
    return random / 2 ** 31;
  };
  const model = await talks((task, told, turn) => {
    if (task === "wild")
      return turn < 8
        ? { call: bash(turn % 2 ? "echo ran > witness.txt; rm -rf src" : `echo ${turn} >> wild.txt`) }
        : { say: "done" };
    if (/Do not make them again/.test(told[0]!)) return [{ call: put("fine.txt", "fine\n") }][turn];
    return { call: bash("cat a.txt; sleep 0.1") };
  });
  for (let k = 0; k < runs(30, 2); k++) {
    let args = ["supervise", "--worker-model", model, "--every", "1s", "--land", "auto", "wild", "loop"];
    for (let kills = 0; kills < 3; kills++) {
      const running = user.start(args, { env: KEYS });
      const over = running.ended.then(() => true);
      const dead = await Promise.race([over, sleep(700 + next() * 2500).then(() => false)]);
      running.process.kill("SIGKILL");
      await running.ended;
      if (dead) break;
      if ((await user.shepherd(["log", "supervise"])).code === 0) args = ["resume", "supervise", "--land", "auto"];
    }
    await user.does(["resume", "supervise", "--land", "auto"], 0, { env: KEYS });
    expect(user.files()).toEqual({ ...kept, "fine.txt": "fine\n", "wild.txt": "0\n2\n4\n6\n" });
    const wild = await saidOf("wild");
    expect(wild.verdicts.filter((each) => each.endsWith("deny"))).toHaveLength(4);
    expect(new Set(wild.verdicts).size).toBe(wild.verdicts.length);
    const loop = await saidOf("loop");
    expect(loop.made.filter((kind) => kind === "handoff")).toHaveLength(1);
    expect(loop.made.filter((kind) => kind === "inject")).toHaveLength(1);
    expect((await user.does(["fsck"])).out).toContain("The store is sound");
    fs.rmSync(user.store, { recursive: true });
    for (const name of ["fine.txt", "wild.txt"]) fs.rmSync(join(user.project, name));
  }
}, 600_000);

test("Ctrl-C stops the workers soundly, and all goes on with resume", async () => {
  const file = tasks({
    slow: [{ call: [bash("echo 1 > slow.txt; sleep 30; echo 2 >> slow.txt")] }, { say: "done" }],
    quick: [{ call: [put("quick.txt", "q\n")] }, { say: "done" }],
  });
  const running = user.start(["supervise", "--policy", "none", "--tasks", file, "--land", "auto"]);
  await until(() => /slow +running/.test(running.out) && /quick +done/.test(running.out));
  running.process.kill("SIGINT");
  const { code, err } = await running.ended;
  expect(code).toBe(1);
  expect(err).toContain("supervise was stopped, and its workers with it.");
  expect(err).toContain("`shepherd resume supervise` goes on with it.");
  const states = (await user.does(["status", "--json"])).objects<{ scope: string; state: string }>();
  expect(states.find(({ scope }) => scope === "slow")).toMatchObject({ state: "aborted" });
  user.script([{ call: [bash("echo 1 > slow.txt; echo 2 >> slow.txt")] }, { say: "done" }], "slow");
  // Its call is performed anew, as it was asked for: only what it waits for is shorter now.
  await user.does(["revert", "slow", "0"]);
  await user.does(["supervise", "--resume", "--land", "auto"]);
  expect(user.files()).toMatchObject({ "quick.txt": "q\n", "slow.txt": "1\n2\n" });
  expect(await effects()).toContain("return");
});

test("a call that destroys something does not act, and the worker hears why; what it made itself it may remove", async () => {
  user.write({ "src/kept.txt": "kept\n" });
  const model = user.script([
    { call: [bash("echo ran > witness.txt; rm -rf src")] },
    { call: [bash("echo mine > mine.txt")] },
    { call: [bash("rm mine.txt; echo fine > fine.txt")] },
    { say: "done" },
  ]);
  const args = ["supervise", "--worker-model", model, "--scope", "boss", "--land", "auto", "--json", "wild"];
  const objects = (await user.does(args)).objects();
  const verdicts = objects.filter(({ event }) => event === "verdict");
  expect(verdicts).toMatchObject([{ worker: "wild", what: "deny", why: expect.stringContaining("destroy") }]);
  expect(user.files()).toEqual({ ...FILES, "src/kept.txt": "kept\n", "fine.txt": "fine\n" });
  const log = (await user.does(["log", "wild", "--json"])).objects<{ n: number; kind: string; status: string }>();
  const denied = log.find(({ status }) => status === "denied")!;
  expect(denied.kind).toBe("tool");
  expect((await user.does(["show", "wild", String(denied.n)])).out).toContain("destroy");
});

test("a worker that goes round in a circle is told so, and where it does not hear it begins anew", async () => {
  const model = await talks((_task, told, turn) =>
    // It hears what a new conversation begins with, and nothing else.
    /Do not make them again/.test(told[0]!) ? [{ call: put("fine.txt", "fine\n") }][turn] : { call: bash("cat a.txt") },
  );
  const args = ["supervise", "--worker-model", model, "--every", "1s", "--land", "auto", "--json", "look"];
  const objects = (await user.does(args, 0, { env: KEYS })).objects();
  const decided = objects.filter(({ event }) => event === "decision");
  expect(decided.map(({ what }) => what)).toEqual(["inject", "handoff"]);
  const log = (await user.does(["log", "look", "--json"])).objects<{ n: number; kind: string; status: string }>();
  for (const kind of ["inject", "handoff"]) expect(log.filter((each) => each.kind === kind)).toHaveLength(1);
  // Who has done it, by which right and why, stands in the log of the worker.
  const { witness } = (
    await user.does(["show", "look", String(log.find(({ kind }) => kind === "handoff")!.n), "--json"])
  ).objects<{ witness: object }>()[0]!;
  expect(witness).toMatchObject({ by: "supervise", right: "handoff" });
  expect(user.files()).toMatchObject({ "fine.txt": "fine\n" });
  const end = objects.find(({ ok }) => ok !== undefined) as { workers: Array<{ usd: number; tokens: number }> };
  expect(end.workers[0]!.usd).toBeGreaterThan(0);
});

test("of two that change the same lines the later one begins anew and takes its change back, so that both are merged", async () => {
  const model = await talks((task, told, turn) => {
    if (task === "first")
      return [{ call: bash("sed -i s/two/TWO/ a.txt") }, { call: bash("sleep 5; echo 1 > first.txt") }][turn]!;
    if (/has changed the same part/.test(told[0]!))
      return turn > 0 ? undefined : { call: bash("sed -i s/zwei/two/ a.txt; echo 2 > second.txt") };
    return [{ call: bash("sleep 1; sed -i s/two/zwei/ a.txt") }, { call: bash("sleep 4") }][turn];
  });
  const args = ["supervise", "--worker-model", model, "--every", "1s", "--land", "auto", "--json", "first", "second"];
  const objects = (await user.does(args, 0, { env: KEYS })).objects();
  const decided = objects.filter(({ event }) => event === "decision");
  expect(decided).toMatchObject([{ worker: "second", what: "handoff", why: expect.stringContaining("a.txt") }]);
  expect(rowsOf(objects, "merge").map(([, what]) => what)).toEqual(["done", "done"]);
  expect(user.files()).toMatchObject({ "a.txt": "one\nTWO\nthree\n", "first.txt": "1\n", "second.txt": "2\n" });
});

test("a budget holds for all together: it stops them, and with more they go on", async () => {
  const model = await talks((task, _told, turn) =>
    turn < 12 ? { call: bash(`echo ${turn} >> ${task}.txt; sleep 0.3`) } : { say: "done" },
  );
  const args = ["supervise", "--worker-model", model, "--budget", "0.001", "--every", "100ms", "--json", "x", "y"];
  const stopped = await user.does(args, 1, { env: KEYS });
  expect(stopped.err).toContain("The budget of $0.001 is spent");
  const states = (await user.does(["status", "--json"])).objects<{ scope: string; state: string }>();
  for (const name of ["x", "y"]) expect(states.find(({ scope }) => scope === name)!.state).not.toBe("running");
  const more = await user.does(["supervise", "--resume", "--budget", "100", "--json"], 0, { env: KEYS });
  const end = more.objects().find(({ ok }) => ok !== undefined) as { workers: Array<{ state: string }> };
  expect(end.workers.map(({ state }) => state)).toEqual(["done", "done"]);
});

test("a model decides: it is asked once for all, and what it says that is no decision is none", async () => {
  const asked: string[] = [];
  let telling = false;
  const model = await talks((task, told, turn, did) => {
    if (task === "decide") {
      asked.push(told.at(-1)!);
      // Once, when both are there to be seen.
      const both = asked.filter((look) => /"worker":"x".*\n.*"worker":"y"/.test(look)).length;
      const tells = both === 1 && asked.at(-1)!.includes('"worker":"y"') && !telling;
      telling ||= tells;
      const decisions = tells
        ? [
            { worker: "x", action: "inject", reason: "To see.", guidance: "Write heard.txt." },
            { worker: "nobody", action: "discard", reason: "To see." },
            { worker: "y", action: "land", reason: "To see." },
          ]
        : [];
      return { say: JSON.stringify({ decisions }) };
    }
    if (told.at(-1)!.includes("Write heard.txt.") && !did.includes("heard.txt"))
      return { call: put("heard.txt", "h\n") };
    return turn < 5 ? { call: bash("sleep 0.4") } : { say: "done" };
  });
  const args = ["supervise", "--worker-model", model, "--model", model, "--every", "500ms", "--land", "auto", "--json"];
  const objects = (await user.does([...args, "x", "y"], 0, { env: KEYS })).objects();
  expect(rowsOf(objects, "decision")).toEqual([["x", "inject"]]);
  const end = objects.find(({ ok }) => ok !== undefined) as { policy: { calls: number; usd: number } };
  expect(end.policy.calls).toBe(asked.length);
  expect(end.policy.usd).toBeGreaterThan(0);
  for (const look of asked) expect(look).toMatch(/"worker":"(x|y)"/);
  expect(user.files()).toMatchObject({ "heard.txt": "h\n" });
});

test("each thing that can be decided is done to the worker that it is about, and stands in its log", async () => {
  const names = ["told", "anew", "over", "back", "held"];
  let looks = 0;
  let decided = false;
  const model = await talks((task, told, turn) => {
    if (task === "decide") {
      const look = told.at(-1)!;
      if (decided)
        return {
          say: JSON.stringify({
            decisions: ++looks === 4 ? [{ worker: "held", action: "resume", reason: "Enough." }] : [],
          }),
        };
      // All have done something that can be taken back.
      decided = names.every((name) => new RegExp(`"worker":"${name}".*"paths":`).test(look));
      const guidance = "Now be done.";
      const decisions = [
        { worker: "told", action: "inject", reason: "To tell.", guidance },
        { worker: "anew", action: "handoff", reason: "To begin anew.", guidance },
        { worker: "over", action: "discard", reason: "To begin all anew.", guidance },
        { worker: "back", action: "revert", n: 0, reason: "To go back.", guidance },
        { worker: "held", action: "pause", reason: "To wait." },
      ];
      return { say: JSON.stringify({ decisions: decided ? decisions : [] }) };
    }
    if (told.some((each) => each.includes("Now be done."))) return { say: "done" };
    if (turn === 0) return { call: put(`${task}.txt`, "first\n") };
    return turn < 300 && !(task === "held" && looks >= 4) ? { call: bash("sleep 0.1") } : { say: "done" };
  });
  const args = ["supervise", "--worker-model", model, "--model", model, "--every", "500ms", "--land", "auto", "--json"];
  const objects = (await user.does([...args, ...names], 0, { env: KEYS })).objects();
  const acted = objects.filter(({ event }) => event === "decision");
  expect(acted.filter(({ why }) => String(why).includes("refused"))).toEqual([]);
  expect(acted.map(({ what }) => what)).toEqual(["inject", "handoff", "discard", "revert", "pause", "resume"]);
  const made = await Promise.all(names.slice(0, 4).map(async (name) => (await saidOf(name)).made));
  expect(made).toEqual([["inject"], ["handoff"], ["handoff"], ["revert", "inject"]]);
  expect(rowsOf(objects, "worker").filter(([name]) => name === "held")).toContainEqual(["held", "paused"]);
  // Files stay with whoever begins a conversation anew, and are those of the beginning where all is.
  expect(Object.keys(user.files()).sort()).toEqual(["a.txt", "anew.txt", "b.txt", "held.txt", "told.txt"]);
});

test("a worker stays in its region: a call that would leave it is denied", async () => {
  const file = tasks(
    { inside: [{ call: [put("src/x.txt", "x\n"), put("b.txt", "no\n")] }, { say: "done" }] },
    { inside: ["src/**"] },
  );
  const objects = (await user.does(["supervise", "--tasks", file, "--land", "auto", "--json"])).objects();
  expect(objects.filter(({ event }) => event === "verdict")).toMatchObject([
    { what: "deny", why: expect.stringContaining("b.txt") },
  ]);
  expect(user.files()).toMatchObject({ "b.txt": "x\n", "src/x.txt": "x\n" });
});

test("what it is asked that cannot be is told in a sentence, and starts nothing", async () => {
  for (const [args, says] of [
    [["supervise"], "What is to be done?"],
    [["supervise", "x"], "Who is to do that?"],
    [["supervise", "--agent", "nobody", "x"], 'There is no agent "nobody"'],
    [["supervise", "--policy", "model", "--worker-model", "haiku", "x"], "Which model decides?"],
    [["supervise", "--policy", "rules", "--model", "haiku", "x"], "--model is the one that decides"],
    [["supervise", "--policy", "none", "--guard", "wait", "x", "--", "true"], "leave --guard out"],
    [["supervise", "--every", "1ms", "x", "--", "true"], "--every takes a time"],
    [["supervise", "--budget", "much", "x", "--", "true"], "--budget takes US dollars"],
    [["supervise", "--runs", "nobody"], 'There is no run "nobody"'],
    [["supervise", "--resume"], "No supervisor was started in this directory"],
    [["supervise", "--tasks", "none.jsonl"], "none.jsonl cannot be read (ENOENT)"],
  ] as const)
    expect((await user.does([...args], 2)).err, args.join(" ")).toContain(says);
  expect((await user.does(["status"])).out).toContain("No runs");
});
