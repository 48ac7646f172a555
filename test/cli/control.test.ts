/** Control of a run from another terminal: observe, inject, gate, pause and resume. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { requestOf } from "../../src/agent/request.ts";
import { type Connection, connect } from "../../src/run/connect.ts";
import type { GateEvent } from "../../src/run/gate.ts";
import { socketPath } from "../../src/run/socket.ts";
import { findScope } from "../../src/scope/registry.ts";
import { readScope } from "../../src/scope/view.ts";
import type { Json } from "../../src/trace/ports.ts";
import { type EmbeddedStore, openStore } from "../../src/trace/store.ts";
import { bash, newUser, put, type Running, type Turn, type User, until } from "../support/user.ts";

interface Row {
  n: number;
  kind: string;
  status: string;
  summary: string;
}

const ends: Array<() => Promise<void> | void> = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface Session {
  user: User;
  store: EmbeddedStore;
  run: Running;
  begun(name: string): Promise<void>;
  go(name: string): void;
  rows(): Promise<Row[]>;
  /** Messages of each request to the model, in order. */
  asked(): Promise<Json[][]>;
}

/** A call that tells that it was begun, and ends once it may. */
const wait = (gate: string, name: string) =>
  bash(`touch ${gate}/${name}.begun; until [ -e ${gate}/${name} ]; do sleep 0.01; done`);

/** A run named fix whose first call is under way. */
async function atWork(turns: (gate: string) => Turn[]): Promise<Session> {
  const user = await newUser();
  const gate = join(user.directory, "gate");
  fs.mkdirSync(gate);
  const script = user.script(turns(gate));
  const run = user.start(["run", "--scope", "fix", "--write", gate, "--model", script, "go"]);
  const store = await openStore(user.store);
  ends.push(
    () => user.end(),
    () => store.close(),
  );
  const session: Session = {
    user,
    store,
    run,
    begun: (name) =>
      until(
        () => fs.existsSync(join(gate, `${name}.begun`)),
        () => run.out + run.err,
      ),
    go: (name) => fs.writeFileSync(join(gate, name), ""),
    rows: async () =>
      (await user.does(["log", "fix", "--json"])).objects<Row & Json>().sort((a: Row, b: Row) => a.n - b.n),
    asked: async () => {
      const { fold } = await readScope(store, "fix");
      const models = [...fold.steps.values()].filter(({ intent }) => intent.kind === "model");
      return Promise.all(
        models.map(async ({ intent }) => JSON.parse((await requestOf(store, intent.what!)).toString()).messages),
      );
    },
  };
  await session.begun("one");
  return session;
}

const said = (text: string): Json => ({ role: "user", content: [{ type: "text", text }] });

test("what is injected is told with the next request and not before, as a step that says who did it", async () => {
  const { user, run, go, rows, asked } = await atWork((gate) => [
    { say: "I begin.", call: [wait(gate, "one")] },
    { say: "I go on.", call: [bash("true")] },
    { say: "the end" },
  ]);
  const dry = await user.does(["inject", "fix", "use zod", "--dry-run", "--json"]);
  expect(dry.objects()).toEqual([{ scope: "fix", dryRun: true }]);
  const [told] = (await user.does(["inject", "use zod", "--json"])).objects();
  expect(told).toEqual({ scope: "fix", id: expect.any(String), live: true });
  expect((await user.does(["inject", "fix", "and tests"])).out).toBe(
    "fix is told that with its next request to the model.\n",
  );
  go("one");
  expect((await run.ended).code).toBe(0);
  expect((await rows()).map(({ kind, summary }) => `${kind} ${summary}`).slice(3)).toEqual([
    "inject use zod",
    "inject and tests",
    "model I go on.",
    "tool true",
    "model the end",
  ]);
  const [first, second, third] = await asked();
  expect(first).toHaveLength(1);
  expect(second!.slice(0, 1)).toEqual(first);
  expect(second!.slice(3)).toEqual([said("use zod"), said("and tests")]);
  expect(third!.slice(0, 5)).toEqual(second);
  expect((await user.does(["show", "fix", "3"])).out).toMatch(/^by {9}\S+$/m);
});

test("what is injected into a run at rest is told when it goes on; without text, or into a command, it is refused", async () => {
  const { user, run, go, rows } = await atWork((gate) => [
    { call: [wait(gate, "one")] },
    { say: "the end" },
    { say: "as you say" },
  ]);
  go("one");
  await run.ended;
  const { out } = await user.does(["inject", "fix", "now tests"]);
  expect(out).toBe("fix is told that when `shepherd resume fix` goes on.\n");
  expect(await rows()).toHaveLength(4);
  await user.does(["resume", "fix"]);
  expect((await rows()).slice(4).map(({ kind, summary }) => `${kind} ${summary}`)).toEqual([
    "inject now tests",
    "model as you say",
  ]);
  // It is told once.
  await user.does(["resume", "fix"]);
  expect(await rows()).toHaveLength(6);
  for (const args of [["inject"], ["inject", "fix"], ["inject", "fix", " "]])
    expect((await user.does(args, 2)).err).toContain("What is the agent to be told?");
  await user.does(["run", "--scope", "cmd", "--", "true"]);
  expect((await user.does(["inject", "cmd", "hello"], 3)).err).toContain("cmd runs a command, which is one step");
  expect((await user.does(["pause", "fix"], 3)).err).toContain("fix is not at work");
});

test("what is injected outlives whoever drives the run", async () => {
  const { user, run, go, rows } = await atWork((gate) => [{ call: [wait(gate, "one")] }, { say: "the end" }]);
  await user.does(["inject", "fix", "use zod"]);
  run.process.kill("SIGKILL");
  await run.ended;
  go("one");
  await user.does(["resume", "fix"]);
  expect((await rows()).map(({ kind, status }) => `${kind} ${status}`)).toEqual([
    "run done",
    "model done",
    "tool done",
    "inject done",
    "model done",
  ]);
});

test("a paused run ends what runs and begins nothing; what it is told meanwhile comes first", async () => {
  const { user, run, go, rows, asked } = await atWork((gate) => [
    { call: [wait(gate, "one")] },
    { say: "I go on.", call: [put("b.txt", "b\n")] },
    { say: "the end" },
  ]);
  expect((await user.does(["pause", "--json"])).objects()).toEqual([{ scope: "fix", state: "paused" }]);
  await user.does(["pause", "fix"]);
  await until(() => run.err.includes("shepherd: fix is paused ("));
  go("one");
  await until(async () => (await rows()).at(-1)!.status === "done");
  expect((await user.does(["status", "--json"])).objects()).toMatchObject([{ scope: "fix", state: "paused", n: 2 }]);
  expect((await user.does(["resume", "fix", "--model", "script:x"], 2)).err).toContain("fix is paused");
  expect((await user.does(["resume", "also b", "--json"])).objects()).toEqual([{ scope: "fix", state: "running" }]);
  expect((await run.ended).code).toBe(0);
  expect((await asked())[1]!.at(-1)).toEqual(said("also b"));
  expect((await rows()).map(({ kind }) => kind)).toEqual(["run", "model", "tool", "inject", "model", "tool", "model"]);
  expect((await user.does(["fsck"])).out).toContain("The store is sound");
});

test("Ctrl-C ends a paused run, and it can be gone on with", async () => {
  const { user, run, go, rows } = await atWork((gate) => [{ call: [wait(gate, "one")] }, { say: "the end" }]);
  await user.does(["pause", "fix"]);
  go("one");
  await until(async () => (await rows()).at(-1)!.status === "done");
  run.process.kill("SIGINT");
  expect((await run.ended).code).toBe(1);
  expect((await user.does(["status", "--json"])).objects()).toMatchObject([{ state: "aborted" }]);
  await user.does(["resume", "fix"]);
  expect((await rows()).map(({ kind, status }) => `${kind} ${status}`)).toEqual([
    "run done",
    "model done",
    "tool done",
    "model done",
  ]);
});

test("without a terminal patterns decide: what fits none is denied, the agent is told, and what only reads passes", async () => {
  const { user, run, go, rows, asked } = await atWork((gate) => [
    { call: [wait(gate, "one")] },
    { call: [bash("echo b > b.txt"), put("src/c.txt", "c\n"), put("d.txt", "d\n"), bash("rm a.txt")] },
    { call: [{ tool: "read", input: { path: "a.txt" } }] },
    { say: "the end" },
  ]);
  const gate = user.start([
    "gate",
    "--allow",
    "Bash(echo b > b.txt)",
    "--allow",
    "write(src/**)",
    "--deny",
    "rm",
    "--deny",
    "*(rm *)",
    "--json",
  ]);
  await until(
    () => gate.err.includes("Decides by patterns before calls of fix"),
    () => gate.err,
  );
  go("one");
  expect((await run.ended).code).toBe(0);
  const ended = await gate.ended;
  expect(ended.code).toBe(0);
  expect(ended.objects().map(({ n, decision, by, pattern }) => [n, decision, by, pattern])).toEqual([
    [4, "allow", "pattern", "Bash(echo b > b.txt)"],
    [5, "allow", "pattern", "write(src/**)"],
    [6, "deny", "nobody", null],
    [7, "deny", "pattern", "*(rm *)"],
  ]);
  expect((await rows()).map(({ kind, status }) => `${kind} ${status}`).slice(3)).toEqual([
    "model done",
    "tool done",
    "tool done",
    "tool denied",
    "tool denied",
    "model done",
    "tool done",
    "model done",
  ]);
  expect((await user.does(["cat", "fix@", "a.txt"])).out).toBe("one\n");
  const told = JSON.stringify((await asked())[2]);
  expect(told).toContain("not allowed: the user did not allow it before, and is not there to be asked");
  expect(told).toContain("not allowed: the user does not allow what fits *(rm *)");
  expect((await user.does(["gate", "fix", "--allow", "no pattern"], 2)).err).toContain("is no pattern");
  expect((await user.does(["gate", "fix"], 3)).err).toContain("fix is not at work");
});

interface Person {
  owner: Connection;
  asks: Array<Extract<GateEvent, { type: "ask" }>>;
  decided: string[];
  answer(answer: Json): Promise<void>;
}

/** Somebody at a gate, as the owner of the run hears them. */
async function person({ store, run }: Session, more: { [key: string]: Json } = {}): Promise<Person> {
  const owner = await connect(socketPath(store, (await findScope(store, "fix"))!.log));
  const who: Person = {
    owner,
    asks: [],
    decided: [],
    answer: async (answer) => {
      await until(
        () => who.asks.length > 0,
        () => run.out + run.err,
      );
      await owner.request("answer", { id: who.asks.shift()!.id, answer });
    },
  };
  let attached = false;
  void owner
    .request("gate", { by: "anna", asks: true, ...more }, (event) => {
      const heard = event as unknown as GateEvent;
      if (heard.type === "ask") who.asks.push(heard);
      if (heard.type === "decided") who.decided.push(`${heard.decision} ${heard.by}`);
      attached ||= heard.type === "attached";
    })
    .catch(() => {});
  await until(() => attached);
  ends.push(() => owner.close());
  return who;
}

const CALLS: Turn[] = [
  { call: [put("b.txt", "b\n")] },
  { call: [put("c.txt", "c\n")] },
  { call: [bash("echo d > d.txt")] },
  { call: [bash("echo e > e.txt")] },
  { say: "the end" },
];

test("a person allows, denies with a reason, edits, and allows from then on; the run says that it waits", async () => {
  const session = await atWork((gate) => [{ call: [wait(gate, "one")] }, ...CALLS]);
  const { user, run, go, rows, asked } = session;
  const anna = await person(session);
  go("one");
  await until(() => anna.asks.length > 0);
  expect(anna.asks[0]).toMatchObject({ n: 4, tool: "write", tier: "reversible", always: "write(b.txt)" });
  expect((await user.does(["status", "--json"])).objects()).toMatchObject([{ state: "waiting" }]);
  await anna.answer({ kind: "deny", reason: "not there" });
  await anna.answer({ kind: "rewrite", input: { path: "c.txt", content: "mine\n" } });
  await anna.answer({ kind: "allow", always: "bash(echo * > *)" });
  expect((await run.ended).code).toBe(0);
  expect(anna.decided).toEqual(["deny person", "rewrite person", "allow person", "allow pattern"]);
  expect((await rows()).filter(({ kind }) => kind === "tool").map(({ status }) => status)).toEqual([
    "done",
    "denied",
    "done",
    "done",
    "done",
  ]);
  expect((await user.does(["cat", "fix@", "c.txt"])).out).toBe("mine\n");
  await user.does(["cat", "fix@", "b.txt"], 2);
  const last = (await asked()).at(-1)!;
  expect(JSON.stringify(last[4])).toContain("not allowed: the user does not allow it: not there");
  // The model still sees what it asked for.
  expect(JSON.stringify(last[5])).toContain(JSON.stringify("c\n"));
  expect(run.err).toContain("shepherd: fix waits for a person at its gate, before step 4.");
  expect((await user.does(["replay", "fix"])).out).toContain("commits computed anew");
});

test("of two gates both must let a call pass; the first to come has the last word, on what the other made of it", async () => {
  const session = await atWork((gate) => [{ call: [wait(gate, "one")] }, ...CALLS.slice(0, 2), { say: "the end" }]);
  const { user, run, go, rows } = session;
  const first = await person(session);
  const second = await person(session, { by: "bob" });
  go("one");
  await second.answer({ kind: "rewrite", input: { path: "b.txt", content: "bob\n" } });
  await until(() => first.asks.length > 0);
  expect(first.asks[0]!.input).toEqual({ path: "b.txt", content: "bob\n" });
  await first.answer({ kind: "allow" });
  await second.answer({ kind: "allow" });
  await first.answer({ kind: "deny" });
  expect((await run.ended).code).toBe(0);
  expect((await user.does(["cat", "fix@", "b.txt"])).out).toBe("bob\n");
  expect((await rows()).filter(({ kind }) => kind === "tool").map(({ status }) => status)).toEqual([
    "done",
    "done",
    "denied",
  ]);
});

test("a gate that goes away, or does not answer in time, is as if it were not there", async () => {
  const session = await atWork((gate) => [{ call: [wait(gate, "one")] }, ...CALLS]);
  const { user, run, go } = session;
  const slow = await person(session, { timeoutMs: 1 });
  const anna = await person(session);
  go("one");
  await until(() => anna.asks.length > 0);
  anna.owner.close();
  expect((await run.ended).code).toBe(0);
  expect(slow.decided).toEqual(CALLS.slice(0, -1).map(() => "default nobody"));
  for (const name of ["b.txt", "c.txt", "d.txt", "e.txt"]) await user.does(["cat", "fix@", name]);
});

test("a call that waits at a gate is withdrawn by a revert, and by Ctrl-C", async () => {
  const session = await atWork((gate) => [
    { call: [wait(gate, "one")] },
    { call: [put("b.txt", "b\n")] },
    { say: "the end" },
  ]);
  const { user, run, go, rows } = session;
  const anna = await person(session);
  go("one");
  await until(() => anna.asks.length === 1);
  const { id } = anna.asks.shift()!;
  await user.does(["revert", "fix", "2"]);
  await until(() => anna.asks.length === 1);
  await expect(anna.owner.request("answer", { id, answer: { kind: "allow" } })).rejects.toThrow(
    "Nobody waits for that answer any more.",
  );
  await expect(anna.owner.request("answer", { id: anna.asks[0]!.id, answer: 1 })).rejects.toThrow("An answer is");
  run.process.kill("SIGINT");
  expect((await run.ended).code).toBe(1);
  expect((await rows()).at(-1)).toMatchObject({ kind: "tool", status: "in-doubt" });
  await user.does(["resume", "fix"]);
  expect((await user.does(["cat", "fix@", "b.txt"])).out).toBe("b\n");
});

test("observe tells what is under way before its outcome, for a run that goes on and for one that has ended", async () => {
  const { user, run, go, rows } = await atWork((gate) => [{ call: [wait(gate, "one")] }, { say: "the end" }]);
  const now = (await user.does(["observe", "--json"])).objects<Row & Json>();
  expect(now.map(({ n, status }: Row) => `${n} ${status}`)).toEqual(["0 done", "1 done", "2 intent"]);
  const later = user.start(["observe", "fix", "--follow", "--from", "2", "--json"]);
  await until(() => later.out.includes('"intent"'));
  go("one");
  await run.ended;
  const seen = (await later.ended).objects<Row & Json>();
  expect(seen.map(({ n, status }: Row) => `${n} ${status}`)).toEqual(["2 intent", "2 done", "3 intent", "3 done"]);
  expect(seen.filter(({ status }: Row) => status === "done")).toEqual((await rows()).slice(2));
  const { out } = await user.does(["observe", "fix"]);
  expect(out).toBe((await user.does(["log", "fix"])).out.trimEnd().split("\n").reverse().join("\n").concat("\n"));
  expect((await user.does(["observe", "fix", "--follow", "--from", "3"])).out).toContain("the end");
});

test("where several runs are at work one must be named; a command can be neither paused nor gated", async () => {
  const { user, run, go } = await atWork((gate) => [{ call: [wait(gate, "one")] }, { say: "the end" }]);
  const gate = join(user.directory, "gate");
  const waits = `touch ${gate}/cmd.begun; until [ -e ${gate}/cmd ]; do sleep 0.01; done`;
  const command = user.start(["run", "--scope", "cmd", "--write", gate, "--", "sh", "-c", waits]);
  await until(() => fs.existsSync(`${gate}/cmd.begun`));
  for (const args of [["pause"], ["gate"], ["inject", "hello"]])
    expect((await user.does(args, 2)).err).toMatch(
      /^shepherd: Which run\? At work are (fix, cmd|cmd, fix): name one\.\n$/,
    );
  for (const verb of ["pause", "gate"])
    expect((await user.does([verb, "cmd"], 3)).err).toContain("cmd runs a command, which is one step");
  for (const name of ["one", "cmd"]) go(name);
  expect((await command.ended).code).toBe(0);
  expect((await run.ended).code).toBe(0);
});

test("who follows a run whose process is killed is told all there is, and stops", async () => {
  const { user, run } = await atWork((gate) => [{ call: [wait(gate, "one")] }]);
  const follow = user.start(["observe", "fix", "--follow"]);
  await until(() => follow.out.includes("… running"));
  run.process.kill("SIGKILL");
  expect((await follow.ended).code).toBe(0);
  expect((await user.does(["observe", "fix"])).out).toContain("? in doubt");
});
