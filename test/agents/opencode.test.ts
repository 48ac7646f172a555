/** The real opencode, a program without hooks and without a plugin, behind the gateway. */
import * as fs from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
// @ts-expect-error a script
import { opencode } from "../../scripts/agents.mjs";
import { readScope } from "../../src/scope/view.ts";
import { openStore } from "../../src/trace/store.ts";
import { anthropicEvents, streamed, type Wire } from "../support/provider.ts";
import { filesOf, until } from "../support/user.ts";
import { type AgentRig, agentRig } from "./rig.ts";

const KEY = "sk-planted-key";
const COMMAND = ["--", "opencode", "run", "fix it"];
const BEFORE = { "a.txt": "one\n", n: "0\n" };
const COUNT = "echo $(($(cat n) + 1)) > n; cat n";
/** Calls of its model by turns; what they change; the files behind them. */
const TURNS: Array<{ call: Array<[string, object]>; changes: [number, number, number] | null; files: object }> = [
  { call: [["bash", { command: COUNT, description: "Counts" }]], changes: [1, 1, 1], files: { ...BEFORE, n: "1\n" } },
  { call: [["read", { filePath: "a.txt" }]], changes: null, files: { ...BEFORE, n: "1\n" } },
  {
    call: [
      ["edit", { filePath: "a.txt", oldString: "one", newString: "two" }],
      ["write", { filePath: "src/c.txt", content: "three\nfour\n" }],
    ],
    changes: [2, 3, 1],
    files: { "a.txt": "two\n", "src/c.txt": "three\nfour\n", n: "1\n" },
  },
  {
    call: [["bash", { command: `rm a.txt; ${COUNT}`, description: "Removes" }]],
    changes: [2, 1, 2],
    files: { "src/c.txt": "three\nfour\n", n: "2\n" },
  },
];
const DONE = TURNS.at(-1)!.files;

let rig: AgentRig;
/** What was asked: turns, and titles. */
let asked: Array<number | "title">;
/** The turn that is not answered. */
let holds: number | null;
beforeEach(async () => {
  // Not below /tmp, which is a scope's own: a home that commands cannot write.
  rig = await agentRig(".config", homedir());
  const config = join(rig.home, ".config", "opencode.json");
  fs.writeFileSync(config, JSON.stringify({ model: "anthropic/claude-haiku-4-5" }));
  for (const [path, text] of Object.entries(BEFORE)) fs.writeFileSync(join(rig.project, path), text);
  Object.assign(rig.env, {
    PATH: `${opencode() as string}:${process.env.PATH}`,
    XDG_DATA_HOME: "/tmp/opencode",
    XDG_STATE_HOME: "/tmp/opencode",
    XDG_CONFIG_HOME: "/tmp/opencode",
    OPENCODE_CONFIG: config,
    ANTHROPIC_API_KEY: KEY,
    ANTHROPIC_BASE_URL: rig.provider.url,
  });
  asked = [];
  holds = null;
  rig.provider.answer = (request, ...rest) => {
    const { messages, tools }: Wire = request.json;
    const turn = tools?.length ? messages.filter(({ role }: Wire) => role === "assistant").length : "title";
    asked.push(turn);
    if (turn === holds) return;
    const calls = (TURNS[turn]?.call ?? []).map(([name, { filePath, ...input }]: Wire, k: number) => ({
      type: "tool_use",
      id: `toolu_${turn}${k}`,
      name,
      input: { ...input, ...(filePath && { filePath: join(rig.project, filePath) }) },
    }));
    const blocks = [{ type: "text", text: turn === "title" ? "A title" : `turn ${turn}` }, ...calls];
    return streamed(anthropicEvents(blocks, { id: `msg_${turn}` }))(request, ...rest);
  };
});
afterEach(() => rig.end());

const does = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await rig.shepherd(...args);
  if (code !== 0) throw new Error(`${args.join(" ")}: ${code}\n${stdout}${stderr}`);
  return stdout + stderr;
};
async function filesAt(step: string): Promise<object> {
  const to = join(rig.home, `out-${step}`);
  await does("checkout", step, to);
  return filesOf(to);
}
/** The steps in which its model answers a turn with tools, oldest first. */
async function turnsOf(run: string, from = 0): Promise<Wire[]> {
  const rows = await rig.log(run);
  return rows.filter(({ n, kind, summary }) => n >= from && kind === "model" && /^turn /.test(summary));
}

test("its model calls and tool calls are steps, each turn has exactly its own changes, and the user's files are untouched", async () => {
  await does("gateway", "--scope", "g", ...COMMAND);
  expect(asked.filter((turn) => turn !== "title")).toEqual([0, 1, 2, 3, 4]);
  const rows = await rig.log("g");
  const { thread } = (await turnsOf("g"))[0]!;
  const calls = rows.filter(({ kind }) => kind === "tool");
  expect(calls.map(({ summary, status }) => [summary.split(" ")[0], status])).toEqual([
    ["echo", "done"],
    ["read", "done"],
    ["edit", "done"],
    ["write", "done"],
    ["rm", "done"],
  ]);
  expect(rows.filter((row) => row.inside !== 1).map(({ kind }) => kind)).toEqual(["run", "command"]);
  const models = await turnsOf("g");
  for (const [at, { changes, files }] of TURNS.entries()) {
    const [here, next] = [models[at]!, models[at + 1]!];
    const between = rows.filter(({ n }) => n > here.n && n < next.n);
    const work = between
      .filter(({ kind }) => kind === "work")
      .map(({ changes: of }) => [of.files, of.added, of.removed]);
    expect(work).toEqual(changes ? [changes] : []);
    expect(between.filter(({ kind }) => kind === "tool").every((row) => row.thread === thread)).toBe(true);
    expect(await filesAt(`g@${next.n}`)).toEqual(files);
  }
  expect(filesOf(rig.project)).toEqual(BEFORE);
  expect(await rig.placesWith(KEY)).toEqual([]);
  await does("replay", "g");
  await does("merge", "g");
  expect(filesOf(rig.project)).toEqual(DONE);
});

const hold = async (turn: number) => {
  holds = turn;
  const child = rig.start("gateway", "--scope", "g", ...COMMAND);
  // It reads all that is piped into it.
  child.stdin!.end();
  let said = "";
  child.stderr!.on("data", (text: string) => {
    said += text;
  });
  const ended = new Promise((resolve) => child.on("close", resolve));
  await until(
    () => asked.includes(turn),
    () => said,
  );
  return { child, ended };
};

/** The process of opencode itself. */
const itself = (): number =>
  fs
    .readdirSync("/proc")
    .map(Number)
    .find((pid) => {
      try {
        const [words, env] = ["cmdline", "environ"].map((name) => fs.readFileSync(`/proc/${pid}/${name}`, "utf8"));
        return words!.startsWith("opencode\0run") && env!.includes(`HOME=${rig.home}`);
      } catch {
        return false;
      }
    })!;

test.each([
  ["its owner is", (owner: number) => owner],
  ["it is itself", () => itself()],
])(
  "%s killed while its model is asked: it is driven, and nothing is asked again that stands on record",
  async (_, whom) => {
    const { child, ended } = await hold(3);
    process.kill(whom(child.pid!), "SIGKILL");
    await ended;
    asked = [];
    holds = null;
    // Three turns and the title.
    expect(await does("resume", "g")).toContain("g is driven from step 0, with 4 answers on record");
    expect(asked).toEqual([3, 4]);
    expect(await filesAt("g@")).toEqual(DONE);
    const store = await openStore(rig.store);
    const { fold } = await readScope(store, "g");
    await store.close();
    expect(fold.notes.get("driven")?.facts).toMatchObject({ to: 0 });
    expect(fold.sealed.filter(({ outcomeWitness }) => outcomeWitness.recorded).length).toBeGreaterThanOrEqual(3);
    await does("fsck", "--full");
  },
);

test("a fork of a step, and the run set back to it, go on from there", async () => {
  await does("gateway", "--scope", "g", ...COMMAND);
  const rows = await rig.log("g");
  const models = await turnsOf("g");
  asked = [];
  await does("fork", "g", String(models[1]!.n), "--scope", "f");
  await does("resume", "f");
  expect(asked.filter((turn) => turn !== "title")).toEqual([2, 3, 4]);
  expect(await filesAt("f@")).toEqual(DONE);
  asked = [];
  await does("revert", "g", String(models[2]!.n));
  await does("resume", "g");
  expect(asked.filter((turn) => turn !== "title")).toEqual([3, 4]);
  // What was served and what was asked anew are the same requests.
  const again = await turnsOf("g", rows.length);
  expect(again.map(({ summary }) => summary)).toEqual(models.map(({ summary }) => summary));
  expect(filesOf(rig.project)).toEqual(BEFORE);
});
