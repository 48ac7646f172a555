/** A command behind the gateway that goes on: started anew, on the answers on record as far as it asks the same. */
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { againOf, beginAgain } from "../../src/gateway/again.ts";
import { attach } from "../../src/scope/scope.ts";
import { getBytes } from "../../src/scope/thread.ts";
import { readScope } from "../../src/scope/view.ts";
import type { Frame } from "../../src/trace/frame.ts";
import type { Link } from "../../src/trace/ports.ts";
import { openStore } from "../../src/trace/store.ts";
import type { Row } from "../support/crash.ts";
import { answerTurns, DONE, FILES, filesAt, GATEWAY, LAST, samePath } from "../support/driven.ts";
import { answered, type Provider, startProvider } from "../support/provider.ts";
import { long, seed } from "../support/runs.ts";
import { newUser, type Typed, type User, until } from "../support/user.ts";

let user: User;
let provider: Provider;
/** Turns that the provider was asked for. */
let asked: number[];
/** The turn that it does not answer. */
let holds: number | null;
beforeEach(async () => {
  user = await newUser(FILES);
  asked = [];
  holds = null;
  provider = await startProvider(
    answerTurns((turn) => {
      asked.push(turn);
      return turn !== holds;
    }),
  );
});
afterEach(async () => {
  user.end();
  await provider.close();
});

const typed = (env: { [name: string]: string } = {}): Typed => ({
  env: { ANTHROPIC_API_KEY: "sk-planted-key", ANTHROPIC_BASE_URL: provider.url, ...env },
});
const upTo = (first: number, last = LAST): number[] => Array.from({ length: last - first + 1 }, (_, k) => first + k);

const rowsOf = async (run: string): Promise<Array<Row & { inside: number | null; summary: string }>> =>
  (await user.does(["log", run, "--json"]))
    .objects<Row & { inside: number | null; summary: string }>()
    .sort((a, b) => a.n - b.n);

async function drivenIn(run: string): Promise<Frame["facts"][]> {
  const store = await openStore(user.store);
  try {
    const log = (JSON.parse((await store.refs.get(`scope/${run}`))!.value) as { log: string }).log;
    const notes: Frame["facts"][] = [];
    for await (const { phase, facts } of store.logs.read(log))
      if (phase === "note" && facts.note === "driven") notes.push(facts);
    return notes;
  } finally {
    await store.close();
  }
}

/** Goes on with a run, and checks that it comes to the end that it would have come to, with these turns asked for. */
async function goesOn(run: string, turns: number[], files: object = DONE, env = {}): Promise<string> {
  asked = [];
  holds = null;
  const { err } = await user.does(["resume", run], 0, typed(env));
  expect(asked).toEqual(turns);
  expect(await filesAt(user, run)).toEqual(files);
  return err;
}

const held = async (turn: number, args = GATEWAY, env = {}) => {
  holds = turn;
  const running = user.start(args, typed(env));
  await until(
    () => asked.includes(turn),
    () => running.out + running.err,
  );
  return running;
};

/** The agent's process in the sandbox. */
const agentOf = (): number => {
  const found = execFileSync("pgrep", ["-f", `^${process.execPath} agent.mjs$`], { encoding: "utf8" });
  return Number(
    found
      .trim()
      .split("\n")
      .find((pid) => fs.readFileSync(`/proc/${pid}/environ`, "utf8").includes(`HOME=${user.home}`)),
  );
};

test.each(upTo(0))(
  "its owner killed while turn %i is asked for: that turn and those behind it are asked for",
  async (turn) => {
    const running = await held(turn);
    running.process.kill("SIGKILL");
    await running.ended;
    const err = await goesOn("g", upTo(turn));
    expect(err).toContain(`g is driven from step 0, with ${turn} answer${turn === 1 ? "" : "s"} on record`);
    expect(await drivenIn("g")).toEqual([expect.objectContaining({ to: 0, answers: turn })]);
    await user.does(["fsck", "--full"]);
    await user.does(["replay", "g"]);
  },
);

test("itself killed, and then stopped with Ctrl-C: each time it goes on where it was", async () => {
  let running = await held(2);
  process.kill(agentOf(), "SIGKILL");
  expect((await running.ended).code).toBe(1);
  asked = [];
  running = await held(3, ["resume", "g"]);
  expect(asked).toEqual([2, 3]);
  running.process.kill("SIGINT");
  const stopped = await running.ended;
  expect([stopped.code, stopped.out]).toEqual([1, expect.stringContaining("`shepherd resume g`")]);
  await goesOn("g", [3, 4]);
  // All of it is on record.
  await goesOn("g", []);
  expect((await user.does(["gateway", "--scope", "g", "--json", "--", "true"], 0, typed())).objects()).toContainEqual(
    expect.objectContaining({ scope: "g", calls: 7 }),
  );
});

test("killed on its way through the record, it has all of that again", async () => {
  let running = await held(4);
  running.process.kill("SIGKILL");
  await running.ended;
  asked = [];
  running = user.start(["resume", "g"], typed({ SLOW: "60" }));
  await until(
    () => /model.*turn 2/.test(running.out),
    () => running.out + running.err,
  );
  running.process.kill("SIGKILL");
  await running.ended;
  expect(asked).toEqual([]);
  await goesOn("g", [4]);
  expect((await drivenIn("g")).map(({ answers }) => answers)).toEqual([4, 4]);
});

test("set back and killed before it began, it begins there", async () => {
  const running = await held(2);
  running.process.kill("SIGKILL");
  await running.ended;
  await user.does(["exec", "g", "--", "true"]);
  await user.does(["revert", "g", "@-"]);
  const store = await openStore(user.store);
  const scope = await attach(store, "g");
  await beginAgain(scope, await againOf(scope));
  await scope.close();
  await store.close();
  await goesOn("g", upTo(2));
  expect((await drivenIn("g")).map(({ answers }) => answers)).toEqual([2, 2]);
});

test("a fork of any step, and the run set back to it, have the answers up to there and ask for all behind it", async () => {
  await user.does(GATEWAY, 0, typed());
  const rows = await rowsOf("g");
  expect(rows.filter(({ kind }) => kind === "work").length).toBe(4);
  for (const { n, kind } of rows) {
    if (kind === "command" || (!long && n % 3 !== seed % 3)) continue;
    const answers = rows.filter((row) => row.kind === "model" && row.n <= n).length;
    await user.does(["fork", "g", String(n), "--scope", `f${n}`]);
    await goesOn(`f${n}`, upTo(answers));
  }
  const models = rows.filter(({ kind }) => kind === "model");
  await user.does(["revert", "g", String(models[1]!.n)]);
  await goesOn("g", upTo(2));
  // Back in what was driven, too: what stood on record behind that is asked for.
  const driven = (await rowsOf("g")).filter(({ kind, n }) => kind === "model" && n > rows.length);
  await user.does(["revert", "g", String(driven[0]!.n)]);
  await goesOn("g", upTo(1));
  await user.does(["fsck", "--full"]);
  expect(Object.keys(user.files())).toEqual(["a.txt", "agent.mjs", "dir/b.txt", "n"]);
});

test("from the first request that differs on its provider is asked", async () => {
  const running = await held(4);
  running.process.kill("SIGKILL");
  await running.ended;
  await goesOn("g", [3, 4], DONE, { ODD: "odd" });
});

test("set back while it runs, it is driven to there and goes on", async () => {
  const running = await held(3);
  const second = (await rowsOf("g")).filter(({ kind }) => kind === "model")[1]!;
  asked = [];
  holds = null;
  await user.does(["revert", "g", String(second.n)]);
  expect((await running.ended).code).toBe(0);
  expect(asked).toEqual(upTo(2));
  expect(await filesAt(user, "g")).toEqual(DONE);
  expect((await drivenIn("g")).map(({ answers }) => answers)).toEqual([2]);
});

test("it keeps its limits and its upstream; what is on record counts for nothing", async () => {
  const options = ["--max-calls", "2", "--upstream", `anthropic=${provider.url}`];
  const env = { env: { ANTHROPIC_API_KEY: "sk-planted-key" } };
  await user.does(["gateway", "--scope", "g", ...options, ...GATEWAY.slice(3)], 1, env);
  expect(asked).toEqual([0, 1]);
  expect((await user.does(["resume", "g"], 1, env)).out).toContain("The limit of 2 model calls is reached");
  expect(asked).toEqual([0, 1]);
  await user.does(["resume", "g", "--max-calls", "9"], 0, env);
  expect(asked).toEqual(upTo(0));
  expect(await filesAt(user, "g")).toEqual(DONE);
});

test("an address with a password is not kept, and asked for", async () => {
  const secret = provider.url.replace("//", "//me:secret@");
  const env = { env: { ANTHROPIC_API_KEY: "sk-planted-key" } };
  await user.does(["gateway", "--scope", "g", "--upstream", `anthropic=${secret}`, ...GATEWAY.slice(3)], 0, env);
  expect((await user.does(["resume", "g"], 2, env)).err).toContain("name it by ANTHROPIC_BASE_URL");
  const store = await openStore(user.store);
  const { how } = (await readScope(store, "g")).fold.notes.get("gateway")!.facts;
  expect((await getBytes(store, how as Link)).toString()).not.toContain("secret");
  await store.close();
});

test("it reaches no more than it did", async () => {
  provider.answer = answered(200, {});
  const { port } = new URL(provider.url);
  const script = `fetch("http://127.0.0.1:${port}/").then(() => console.log("reached"), () => console.log("not reached"))`;
  const reaches = async (run: string): Promise<string> => (await user.does(["resume", run], 0, typed())).out;
  for (const network of ["gateway", "host"].slice(samePath ? 0 : 1)) {
    const own = ["--scope", network, "--network", network, "--", process.execPath, "-e", script];
    await user.does(["gateway", ...own], 0, typed());
    await user.does(["fork", network, "0", "--scope", `${network}-fork`]);
    for (const run of [network, `${network}-fork`])
      expect(await reaches(run)).toMatch(network === "host" ? /^reached$/m : /^not reached$/m);
  }
  const bare = typed({ SHEPHERD_NO_NAMESPACES: "1" });
  if (samePath) expect((await user.does(["resume", "gateway"], 4, bare)).err).toContain("cannot be held here");
});

test("what others brought since it began is told to be missing, and stays in the log", async () => {
  const running = await held(2);
  running.process.kill("SIGKILL");
  await running.ended;
  await user.does(["exec", "g", "--", "touch", "more"]);
  const err = await goesOn("g", upTo(2));
  expect(err).toMatch(/What step \d+ \(command\) brought is not there/);
});

test("what a driven run does not take is bad usage", async () => {
  await user.does(["gateway", "--scope", "g", "--", "true"], 0, typed());
  await user.does(["run", "--scope", "w", "--", "true"]);
  for (const [args, sentence] of [
    [["resume", "g", "do it"], "which is told nothing"],
    [["resume", "g", "--model", "m"], "leave --model out"],
    [["resume", "g", "--open", "drop"], "leave --open out"],
    [["resume", "g", "--land", "live"], "--land takes ask, auto or never"],
    [["run", "--from", "g@0", "do it"], "`shepherd fork` the step, then `shepherd resume` that"],
    [["resume", "w", "--budget", "2"], "--budget is for a run of `shepherd gateway`"],
  ] as Array<[string[], string]>)
    expect((await user.does(args, 2)).err, args.join(" ")).toContain(sentence);
});
