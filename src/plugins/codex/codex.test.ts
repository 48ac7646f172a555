/** What the plugin makes of texts alone; with the real program see test/agents. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Place } from "../place.ts";

const NOTHING = { answered: [], made: [], open: [], before: [], said: false, first: "", last: null };
type Short = Pick<Place, "turns" | "answered" | "open"> & { made?: string[] };

import { codex } from "./index.ts";
import { WORD } from "./resume.ts";

const lines = (...each: object[]): Buffer => Buffer.from(each.map((line) => `${JSON.stringify(line)}\n`).join(""));
const item = (payload: object): object => ({ timestamp: "t", type: "response_item", payload });
const said = (text: string): object =>
  item({ type: "message", role: "assistant", content: [{ type: "output_text", text }] });
const user = (text: string): object => item({ type: "message", role: "user", content: [{ type: "input_text", text }] });
const note = (text: string): object =>
  item({ type: "message", role: "developer", content: [{ type: "input_text", text }] });
const call = (call_id: string): object =>
  item({ type: "function_call", call_id, name: "exec_command", arguments: "{}" });
const result = (call_id: string): object => item({ type: "function_call_output", call_id, output: "" });
const event = (type: string): object => ({ type: "event_msg", payload: { type } });

describe("a record is cut", () => {
  const all = [
    { type: "session_meta", payload: { id: "x" } },
    event("task_started"),
    note("rules"),
    { type: "turn_context", payload: {} },
    user("go"),
    event("agent_message"),
    said("one"),
    call("a"),
    call("b"),
    event("token_count"),
    result("a"),
    event("token_count"),
    result("b"),
    note("it is late"),
    event("agent_message"),
    said("two"),
    call("c"),
    user(WORD),
    result("c"),
    said("three"),
    event("task_complete"),
    user("more"),
    said("four"),
  ];
  const record = lines(...all);
  const last = (at: Short): object | null => {
    const kept = codex.session
      .cut(record, { ...NOTHING, ...at })
      ?.toString()
      .trimEnd()
      .split("\n");
    if (!kept) return null;
    expect(kept).toEqual(all.slice(0, kept.length).map((line) => JSON.stringify(line)));
    return all[kept.length - 1]!;
  };
  test.each<[string, Short, object | null]>([
    ["where nothing was said", { turns: 0, answered: [], open: [] }, user("go")],
    ["before the first answer is acted on", { turns: 1, answered: [], open: ["a", "b"] }, user("go")],
    ["between the calls of a turn there is none", { turns: 1, answered: ["a"], open: ["b"] }, null],
    [
      "where those that have none are told of by us",
      { turns: 1, answered: ["a"], made: ["b"], open: [] },
      note("it is late"),
    ],
    ["behind results, with what it found out itself", { turns: 1, answered: ["a", "b"], open: [] }, note("it is late")],
    ["before a later answer is acted on", { turns: 2, answered: [], open: ["c"] }, note("it is late")],
    ["behind a result that came after the word", { turns: 2, answered: ["c"], open: [] }, result("c")],
    ["behind the last word", { turns: 3, answered: [], open: [] }, said("three")],
    ["further than it goes there is none", { turns: 5, answered: [], open: [] }, null],
    ["with a result that it does not have there is none", { turns: 2, answered: ["d"], open: [] }, null],
  ])("%s", (_, place, expected) => {
    expect(last(place)).toEqual(expected);
  });

  test("before results that are ours, which are added", () => {
    const until = lines(...all.slice(0, 12));
    const place = { ...NOTHING, turns: 1, answered: ["a"], made: ["b"] };
    expect(codex.session.cut(until, place)).toEqual(until);
    expect(codex.session.cut(lines(...all.slice(0, 8)), place)).toBeNull();
    const told = codex.session.rewrite(until, "b", "not run").toString().trimEnd().split("\n");
    expect(JSON.parse(told.at(-1)!).payload).toEqual({ type: "function_call_output", call_id: "b", output: "not run" });
    expect(told).toHaveLength(13);
    // One that is there is told otherwise, and what has no call stays as it is.
    expect(
      codex.session
        .rewrite(lines(...all), "b", "not run")
        .toString()
        .split("\n"),
    ).toHaveLength(all.length + 1);
    expect(codex.session.rewrite(until, "z", "not run")).toEqual(until);
  });

  test("also where its last line was still being written, and not where a result lacks", () => {
    const torn = Buffer.concat([lines(...all.slice(0, 13)), Buffer.from('{"type":"respon')]);
    expect(codex.session.cut(torn, { ...NOTHING, turns: 1, answered: ["a", "b"] })).toEqual(lines(...all.slice(0, 13)));
    expect(codex.session.cut(lines(...all.slice(0, 12)), { ...NOTHING, turns: 2, open: ["c"] })).toBeNull();
    expect(codex.session.results!(torn)).toEqual(new Set(["a", "b"]));
  });
});

test("the word by which it goes on is taken out of a request, and nothing else is touched", () => {
  const message = (text: string) => ({ role: "user", content: [{ type: "input_text", text }] });
  const body = (...input: object[]) => Buffer.from(JSON.stringify({ model: "m", input, tools: [] }));
  const plain = body(message("go"), message(`what is ${WORD.slice(3)}?`));
  expect(codex.outgoing(plain)).toBe(plain);
  const kept = [message("go"), { role: "assistant", content: [] }, message(`${WORD} it says`)];
  expect(codex.outgoing(body(kept[0]!, message(WORD), kept[1]!, message(`${WORD}\n`), kept[2]!))).toEqual(
    body(...kept),
  );
});

test("hooks tell of calls that models know by other names, and of calls of scripts", () => {
  const { decode } = codex.hook;
  const event = {
    hook_event_name: "PreToolUse",
    tool_name: "Bash",
    tool_input: { command: "ls" },
    tool_use_id: "call_1",
  };
  const before = {
    kind: "before",
    call: "call_1",
    name: "exec_command",
    input: { command: "ls" },
    own: false,
    by: undefined,
  };
  expect(decode(event)).toEqual(before);
  const own = "exec-da170b72-caf8-490a-8e32-afcf2634be16";
  expect(decode({ ...event, tool_use_id: own })).toEqual({ ...before, call: own, own: true });
  expect(decode({ ...event, tool_use_id: own, agent_id: "sub" })).toEqual({
    ...before,
    call: own,
    own: true,
    by: "sub",
  });
  expect(decode({ ...event, hook_event_name: "PostToolUse", tool_response: "a\n" })).toMatchObject({
    kind: "after",
    call: "call_1",
    input: { command: "ls" },
    output: "a\n",
  });
  expect(decode({ hook_event_name: "SessionStart" })).toEqual({ kind: "other" });
});

test.each([
  ["Chunk ID: a1\nWall time: 0.1 seconds\nProcess exited with code 3\nOutput:\n", "failed"],
  ["Chunk ID: a1\nWall time: 0.1 seconds\nProcess exited with code 0\nOutput:\nProcess exited with code 3\n", "done"],
  ["Exit code: 1\nOutput:\n", "failed"],
  ["Exit code: 0\nOutput:\nExit code: 1\n", "done"],
  ["apply_patch verification failed: no such file", "failed"],
  ["Script failed\nWall time 0.0 seconds\n", "failed"],
  ["Script running with cell ID 1\nWall time 0.2 seconds\n", "goes on"],
  ["fine", "done"],
])("a result that begins %j: %s", (text, outcome) => {
  expect(codex.outcome!({ role: "result", call: "a", status: "done", content: [{ type: "text", text }] })).toBe(
    outcome,
  );
});

describe("of the user's configuration", () => {
  let home: string;
  beforeEach(() => {
    home = fs.mkdtempSync(join(tmpdir(), "shepherd-codex-config-"));
  });
  afterEach(() => fs.rmSync(home, { recursive: true, force: true }));

  const gathered = (files: { [path: string]: string }): string[] => {
    for (const [path, text] of Object.entries(files)) {
      fs.mkdirSync(join(home, "from", path, ".."), { recursive: true });
      fs.writeFileSync(join(home, "from", path), text);
    }
    const into = join(home, "into");
    fs.mkdirSync(into);
    codex.gather({ path: join(home, "from"), hide: [] }, "/ws", into);
    return (fs.readdirSync(into, { recursive: true }) as string[])
      .filter((path) => fs.statSync(join(into, path)).isFile())
      .sort();
  };

  test("a run gets what they set up, and no credentials, conversations and caches", () => {
    const kept = [
      "AGENTS.md",
      "config.toml",
      "hooks.json",
      "installation_id",
      "rules/default.rules",
      "work.config.toml",
    ];
    const left = [
      "auth.json",
      "history.jsonl",
      "sessions/2026/01/01/rollout-x.jsonl",
      "state_5.sqlite",
      "log/a.log",
      "models_cache.json",
    ];
    expect(gathered(Object.fromEntries([...kept, ...left].map((path) => [path, path])))).toEqual(kept);
    expect(fs.readFileSync(join(home, "into", "installation_id"), "utf8")).toBe("installation_id");
  });

  test("it has a name of its own where they have none", () => {
    expect(gathered({})).toEqual(["installation_id"]);
    expect(fs.readFileSync(join(home, "into", "installation_id"), "utf8")).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("what would fail, or be otherwise than they expect, is said before", () => {
    const detected = { program: "/codex", version: "0.169.0", support: "exact" as const };
    const problems = (env: NodeJS.ProcessEnv, toml?: string) => {
      if (toml !== undefined) fs.writeFileSync(join(home, "config.toml"), toml);
      return codex.problems({ CODEX_HOME: home, ...env }, detected).map(({ severity, what }) => `${severity}: ${what}`);
    };
    expect(problems({})).toEqual([expect.stringMatching(/^error: .*OPENAI_API_KEY/)]);
    expect(problems({ OPENAI_API_KEY: "k" })).toEqual([]);
    fs.writeFileSync(join(home, "auth.json"), "{}");
    expect(problems({})).toEqual([]);
    const other = 'model = "m"\nmodel_provider = "azure" # ours\n[model_providers.azure]\nname = "x"\n';
    expect(problems({ OPENAI_API_KEY: "k" }, other)).toEqual([expect.stringMatching(/^warning: .*provider azure/)]);
    const inTable = '[profiles.a]\nmodel_provider = "azure"\n';
    expect(problems({ OPENAI_API_KEY: "k" }, inTable)).toEqual([]);
    const [untested] = codex.problems({ OPENAI_API_KEY: "k", CODEX_HOME: home }, { ...detected, support: "untested" });
    expect(untested!.what).toContain("was not tested");
  });
});
