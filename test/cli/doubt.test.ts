/** Calls that may have acted when a run was killed: nobody performs, repeats or forgets them unasked. Only coding agents have such, so they are written here. */
import * as fs from "node:fs";
import { afterEach, expect, test } from "vitest";
import { createRun, type Task } from "../../src/run/start.ts";
import { NO_GRANTS, workspaceOf } from "../../src/scope/registry.ts";
import { attach } from "../../src/scope/scope.ts";
import { putBytes } from "../../src/scope/thread.ts";
import { openStore } from "../../src/trace/store.ts";
import { bash, newUser, put, type User, until } from "../support/user.ts";

const users: User[] = [];
afterEach(() => {
  for (const user of users.splice(0)) user.end();
});

/** A run `fix` of steps 0 to 3, and step 4: an effect that was allowed and has no outcome. */
async function inDoubt(tier: "irreversible" | "compensable" | "observed"): Promise<User> {
  const user = await newUser();
  users.push(user);
  await user.does([
    "run",
    "--scope",
    "fix",
    "--model",
    user.script([{ call: [put("b.txt", "b\n")] }, { say: "done" }]),
    "x",
  ]);
  const store = await openStore(user.store);
  const scope = await attach(store, "fix");
  const n =
    tier === "observed"
      ? await scope.writer.intent({ kind: "tool", tier: "reversible" })
      : await scope.writer.intent({ kind: "effect", tier });
  expect(n).toBe(4);
  if (tier === "observed") {
    const what = await putBytes(store, Buffer.from("example.com:443"));
    const facts = { what, class: "other", tier: "irreversible", allowed: true, state: "open", connection: "1.1" };
    await scope.writer.note(n, { note: "egress", ...facts });
  } else await scope.writer.note(n, { note: "allowed" });
  await scope.close();
  await store.close();
  return user;
}

const statusOf = async (user: User, run = "fix"): Promise<unknown> =>
  (await user.does(["log", run, "--json"])).objects<{ n: number; status: string }>().find(({ n }) => n === 4)?.status;

const SENTENCE = "Step 4 of fix may or may not have acted before the crash";

test("resume, exec and shell say which step, and leave it in doubt", async () => {
  for (const tier of ["irreversible", "compensable", "observed"] as const) {
    const user = await inDoubt(tier);
    for (const words of [
      ["resume", "fix"],
      ["exec", "fix", "--", "true"],
      ["shell", "fix"],
      ["resume", "fix", "on"],
    ]) {
      expect((await user.does(words, 3)).err).toContain(SENTENCE);
      expect(await statusOf(user)).toBe("in-doubt");
    }
    expect((await user.does(["show", "fix", "4"])).out).toMatch(/commit +none yet[\s\S]*in doubt/);
  }
});

test.each(["irreversible", "observed"] as const)(
  "a revert (%s) needs --acknowledge, as for an effect that stands, and says that it may have acted",
  async (tier) => {
    const user = await inDoubt(tier);
    expect((await user.does(["revert", "fix", "3"], 3)).err).toContain("--acknowledge");
    expect(await statusOf(user)).toBe("in-doubt");
    const reverted = await user.does(["revert", "fix", "3", "--acknowledge"]);
    expect(reverted.out).toContain("step 4 (irreversible) may have acted; if so it stands");
    expect((await user.does(["log", "fix"])).out).toMatch(/ 4 .*may have acted.*aborted/);
    expect((await user.does(["revert", "fix", "0"], 3)).err).toContain("step 4");
    await user.does(["resume", "fix"]);
  },
);

test("a revert or a discard that would have to take it back, and cannot, leaves it in doubt", async () => {
  const user = await inDoubt("compensable");
  for (const words of [
    ["revert", "fix", "3"],
    ["discard", "fix"],
  ]) {
    expect((await user.does(words, 3)).err).toContain("Step 4 has an effect that must be compensated");
    expect(await statusOf(user)).toBe("in-doubt");
  }
});

test("a merge, an undo and a discard that leave it behind say so", async () => {
  const user = await inDoubt("irreversible");
  await user.does(["fork", "fix", "3", "--scope", "child"]);
  await user.does(["exec", "child", "--", "touch", "c.txt"]);
  expect((await user.does(["merge", "child", "--into", "fix"])).err).toContain("step 4 (irreversible) may have acted");
  const other = await inDoubt("irreversible");
  expect((await other.does(["discard", "fix"])).out).toContain("step 4 (irreversible) may have acted");
});

test("a step without a commit has none to fork from: who is at work on it is waited for, and a run whose process is gone is to go on", async () => {
  const user = await newUser();
  users.push(user);
  const calls = [bash("sleep 60"), put("b.txt", "b\n")];
  const run = user.start(["run", "--scope", "fix", "--model", user.script([{ call: calls }]), "x"]);
  await until(async () => (await user.shepherd(["log", "fix"])).out.includes("write b.txt"));
  const told = async (help: string): Promise<void> => {
    expect((await user.does(["fork", "fix", "2"], 2)).err).toContain(`no state yet: ${help}, or fork at its intent.`);
    expect((await user.does(["fork", "fix", "3", "--intent"], 2)).err).toContain(
      `step 2, which is not finished: ${help}.`,
    );
  };
  await told("wait for it");
  run.process.kill("SIGKILL");
  await run.ended;
  await told("`shepherd resume fix` goes on with it");
});

test("show tells what a running step was asked", async () => {
  const user = await newUser();
  users.push(user);
  const run = user.start(["run", "--scope", "fix", "--model", user.script([{ call: [bash("sleep 60")] }]), "x"]);
  await until(async () => (await user.shepherd(["log", "fix"])).out.includes("sleep 60"));
  const shown = await user.does(["show", "fix", "2"]);
  expect(shown.out).toMatch(/status +running/);
  expect(shown.out).toContain("call\n  $ sleep 60");
  const [object] = (await user.does(["show", "fix", "2", "--json"])).objects();
  expect(object).toMatchObject({ n: 2, id: null, status: "intent", outcome: null, state: null, items: [] });
  run.process.kill("SIGINT");
  await run.ended;
});

test("what a run lacks that was killed before its first step is one sentence, also where its directory is gone", async () => {
  const user = await newUser();
  users.push(user);
  await user.does(["run", "--scope", "first", "--", "true"]);
  const store = await openStore(user.store);
  const workspace = workspaceOf(user.project);
  const task: Task = { worker: "plugin", text: "x", plugin: { name: "none", args: [], session: "x" } };
  await createRun(store, { task, workspace, name: "fix", grants: NO_GRANTS });
  await store.close();
  fs.renameSync(user.project, `${user.project}.aside`);
  const { err } = await user.does(["resume", "fix"], 2, { cwd: user.directory });
  expect(err).toMatch(/^shepherd: There is no plugin none here: [^\n]*\n$/);
});
