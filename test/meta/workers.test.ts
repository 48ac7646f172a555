/** Workers that the command `shepherd` drives, as values of the library. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { agent, Cancelled, Failed, Invalid, inputs, OverBudget, runOf, worker } from "../../src/index.ts";
import { useCommand } from "../../src/run/child.ts";
import { built } from "../support/built.ts";
import { answerTurns, DONE, FILES, LAST } from "../support/driven.ts";
import { type LibraryRig, libraryRig } from "../support/library-rig.ts";
import { startProvider } from "../support/provider.ts";
import { until } from "../support/user.ts";

beforeAll(async () => useCommand(await built()), 300_000);
let rig: LibraryRig;
beforeEach(() => {
  rig = libraryRig({ "a.txt": "a\n" });
});
afterEach(() => rig.end());

const bash = (command: string) => ({ tool: "bash", input: { command } });
let scripts = 0;
/** The built-in agent with answers that stand in a file. */
const scripted = (...turns: object[]) => {
  const file = join(rig.directory, `script-${scripts++}.jsonl`);
  writeFileSync(file, turns.map((turn) => JSON.stringify(turn)).join("\n"));
  return worker("agent", { model: `script:${file}` });
};
/** A call that tells that it was begun, and ends once it may. */
const gates = () => join(rig.directory, "gate");
const wait = (name: string) =>
  bash(
    `touch ${gates()}/${name}.begun; until [ -e ${gates()}/${name} ]; do sleep 0.02; done; echo ${name} > ${name}.txt`,
  );
const begun = (name: string) =>
  until(
    () => existsSync(join(gates(), `${name}.begun`)),
    () => `${name} has not begun`,
  );
const go = (name: string) => writeFileSync(join(gates(), name), "");
const gated = () => {
  mkdirSync(gates());
  return { ...rig.at, grants: { writable: [gates()] } };
};

test("a task is done by the built-in agent in a process of its own, and a command's words are what it prints", async () => {
  const run = scripted({ say: "I write.", call: [bash("echo b > b.txt")] }, { say: "Done." }).start(
    { task: "--write b" },
    rig.at,
  );
  expect(await run.result).toBe("Done.");
  expect((await run.steps()).map(({ kind, status }) => `${kind} ${status}`)).toEqual([
    "run done",
    "model done",
    "tool done",
    "model done",
  ]);
  await run.merge();
  expect(rig.read("b.txt")).toBe("b\n");
  const command = worker("command").start({ argv: ["sh", "-c", "cat b.txt; echo c > c.txt"] }, rig.at);
  expect(await command.result).toBe("b\n");
  const failing = worker("command").start({ argv: ["sh", "-c", "exit 3"] }, rig.at);
  await expect(failing.result).rejects.toThrow("ended with code 3");
  expect(await failing.result.catch((error) => error)).toBeInstanceOf(Failed);
  const words = worker("command").start({ argv: ["sh", "-c", "echo first; echo why >&2; exit 3"] }, rig.at);
  await expect(words.result).rejects.toThrow("ended with code 3:\nfirst\nwhy");
  // By its name, whatever it is a run of.
  expect(await worker("any").run(await command.scope, { store: rig.at.store }).result).toBe("b\n");
  expect(await worker("any").run(await run.scope, { store: rig.at.store }).result).toBe("Done.");
});

test("what is wrong with a worker is said in a sentence", async () => {
  expect(() => worker("agent")).toThrow("needs a model");
  expect(() => worker("No Such")).toThrow(Invalid);
  await expect(worker("claude").start({ task: " " }, rig.at).result).rejects.toThrow("must be {task}");
  await expect(worker("nobody").start({ task: "x" }, rig.at).result).rejects.toThrow("There is no plugin nobody here");
  await expect(worker("agent", { model: "script:/no/such" }).start({ task: "x" }, rig.at).result).rejects.toThrow(
    "/no/such",
  );
  const run = scripted({ say: "Done." }).start({ task: "x" }, rig.at);
  await run.result;
  await expect(worker("command").resume(await run.scope, { store: rig.at.store }).result).rejects.toThrow(
    "is a run of agent, and not of command",
  );
});

test("a worker is told, paused, gated, reverted and stopped while it works in another process", async () => {
  const at = gated();
  const run = scripted(
    { say: "I begin.", call: [wait("one")] },
    { say: "I go on.", call: [bash("echo bad > two.txt")] },
    { say: "Now wait.", call: [wait("three")] },
    { say: "Done." },
  ).start({ task: "work" }, at);
  await begun("one");
  await run.pause({ why: "to look" });
  go("one");
  await run.inject("use zod", { why: "since it is there" });
  const again = run.resume();
  const asked: string[] = [];
  const gate = run.gate((call) => {
    asked.push(call.name);
    return "allow";
  });
  await again.scope;
  await begun("three");
  gate.close();
  const before = await run.steps();
  expect(before.map(({ kind }) => kind)).toEqual(["run", "model", "tool", "inject", "model", "tool", "model", "tool"]);
  const back = await run.revert(2, { why: "two is bad" });
  expect(back.n).toBe(8);
  go("three");
  expect(await run.result).toBe("Done.");
  const steps = await run.steps();
  expect(steps[8]).toMatchObject({ kind: "revert", status: "done" });
});

test("a worker that is cancelled, or has spent its budget, stands, and goes on when it is resumed", async () => {
  const at = gated();
  const who = scripted({ say: "I begin.", call: [wait("one")] }, { say: "Done." });
  const run = who.start({ task: "work" }, at);
  await begun("one");
  await run.cancel("not now");
  const why = await run.result.catch((error) => error);
  expect(why).toBeInstanceOf(Cancelled);
  expect(why.message).toBe("not now");
  go("one");
  expect(await who.resume(await run.scope, { store: at.store }).result).toBe("Done.");
  const spends = who.start({ task: "work" }, { ...at, budget: { turns: 1 } });
  expect(await spends.result.catch((error) => error)).toBeInstanceOf(OverBudget);
});

test("a worker goes on when the program that started it is killed, and is found again by its name", async () => {
  const at = gated();
  const file = join(rig.directory, "long.jsonl");
  const turns = [{ say: "I begin.", call: [wait("one")] }, { say: "Done." }];
  writeFileSync(file, turns.map((turn) => JSON.stringify(turn)).join("\n"));
  const program = join(rig.directory, "program.mjs");
  const index = join(dirname(await built()), "index.js");
  writeFileSync(
    program,
    `import { worker } from ${JSON.stringify(index)};
const run = worker("agent", { model: ${JSON.stringify(`script:${file}`)} }).start({ task: "work" }, ${JSON.stringify(at)});
console.log(await run.scope);
await run.result;`,
  );
  const child = spawn(process.execPath, [program], { stdio: ["ignore", "pipe", "inherit"] });
  const name = await new Promise<string>((resolve) =>
    child.stdout.once("data", (text) => resolve(String(text).trim())),
  );
  await begun("one");
  child.kill("SIGKILL");
  await once(child, "exit");
  const run = worker("any").run(name, { store: rig.at.store });
  expect(run.scope).toBeInstanceOf(Promise);
  go("one");
  expect(await run.result).toBe("Done.");
  expect((await run.steps()).map(({ kind, status }) => `${kind} ${status}`)).toEqual([
    "run done",
    "model done",
    "tool done",
    "model done",
  ]);
});

test("a body calls a worker, and has its files", async () => {
  const files = scripted({ say: "I write.", call: [bash("echo b > b.txt")] }, { say: "Written." });
  const both = agent("both", {
    body: async (_: undefined, ctx) => {
      const said = await ctx.call(files, { task: "write b" });
      const printed = await ctx.call(worker("command"), { argv: ["sh", "-c", "cat b.txt; echo c > c.txt"] });
      const { output } = await ctx.bash("cat a.txt b.txt c.txt");
      return [said, printed, output];
    },
  });
  const run = both.start(undefined, rig.at);
  expect(await run.result).toEqual(["Written.", "b\n", "a\nb\nc\n"]);
});

test("a command that asks models is a run of `gateway`, with their calls as steps, and is driven when it was set back", async () => {
  const asked: number[] = [];
  const provider = await startProvider(answerTurns((turn) => asked.push(turn) > 0));
  vi.stubEnv("ANTHROPIC_BASE_URL", provider.url);
  vi.stubEnv("ANTHROPIC_API_KEY", "sk-planted-key");
  const place = libraryRig(FILES);
  try {
    const run = worker("gateway").start({ argv: [process.execPath, "agent.mjs"] }, place.at);
    await run.result;
    const models = (await run.steps()).filter(({ kind }) => kind === "model");
    expect([models.length, asked.length]).toEqual([LAST + 1, LAST + 1]);
    await run.revert(models[1]!.n);
    await run.resume().result;
    expect(asked.slice(LAST + 1)).toEqual([2, 3, 4]);
    await run.merge();
    expect(place.read("n")).toBe(DONE.n);
    await expect(run.inject("faster")).rejects.toThrow("told nothing");
    await expect(worker("gateway").start({ argv: [] }, place.at).result).rejects.toThrow("must be {argv}");
    const spends = worker("gateway").start(
      { argv: [process.execPath, "agent.mjs"] },
      { ...place.at, budget: { turns: 1 } },
    );
    expect(await spends.result.catch((error) => error)).toBeInstanceOf(OverBudget);
  } finally {
    vi.unstubAllEnvs();
    await provider.close();
    place.end();
  }
});

test("rights over a worker are what a holder can do with it", async () => {
  const files = scripted({ say: "I write.", call: [bash("echo b > b.txt")] }, { say: "Written." }, { say: "Again." });
  const run = files.start({ task: "write b" }, rig.at);
  const watch = agent("watch", {
    input: inputs({ run: runOf(files, "observe", "revert") }),
    body: async ({ run }) => {
      await run.result;
      const { n } = await run.revert(1, { why: "too early" });
      return [n, Object.keys(run).sort().join()];
    },
  });
  expect(await watch.start({ run }, rig.at).result).toEqual([4, "agent,live,observe,result,revert,scope,steps,toJSON"]);
});
