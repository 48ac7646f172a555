/** A plugin from outside: the program is a small one of our own, all around it is real. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { attach, record } from "../../src/scope/scope.ts";
import { link, sha256 } from "../../src/trace/bytes.ts";
import { openStore } from "../../src/trace/store.ts";
import { type Provider, startProvider, type Wire } from "../support/provider.ts";
import { newUser, type User, until } from "../support/user.ts";

/** The plugin, and its agent beside it, where a scope sees both: a run has a /tmp of its own. */
let file: string;
const says = (...content: Wire[]): Wire[] => content;
const sh = (id: string, command: string): Wire => ({ type: "tool_use", id, name: "sh", input: { command } });
const SCRIPT = [
  says({ type: "text", text: "One." }, sh("c1", "echo 1 >> a.txt"), sh("c2", "cat a.txt")),
  says({ type: "text", text: "Two." }, sh("c3", "echo 2 >> a.txt; exit 3")),
  says({ type: "text", text: "the end" }),
];

let user: User;
let provider: Provider;
beforeEach(async () => {
  user = await newUser({ "a.txt": "0\n" });
  for (const name of ["sample.mjs", "sample-agent.mjs"])
    fs.copyFileSync(join(import.meta.dirname, name), join(user.project, name));
  file = join(user.project, "sample.mjs");
  provider = await startProvider(({ json }, response) => {
    const turn = json.messages.filter(({ role }: Wire) => role === "assistant").length;
    const content = SCRIPT[turn] ?? [];
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify({
        id: `m${turn}`,
        type: "message",
        role: "assistant",
        model: "any",
        content,
        stop_reason: "end_turn",
      }),
    );
  });
  user.env.ANTHROPIC_BASE_URL = provider.url;
  user.env.ANTHROPIC_API_KEY = "sk-ant-planted-0123456789abcdef";
});
afterEach(async () => {
  await provider.close();
  user.end();
});

const tree = async (step: string): Promise<string> => (await user.does(["cat", step, "a.txt"])).out;

test("once added it is run, forked and gone on with as those that are part of Shepherd; removed it is not known", async () => {
  expect((await user.does(["run", "sample", "go"], 2)).err).not.toBe("");
  expect((await user.does(["plugin", "add", file])).out).toContain('`shepherd run sample "TASK"`');
  expect((await user.does(["plugin", "list"])).out).toContain(`sample   sample       1.0.0, tested`);
  expect((await user.does(["doctor", "sample"])).out).toContain("1.0.0");

  await user.does(["run", "sample", "go", "--scope", "it"]);
  const rows = (await user.does(["log", "it", "--json"])).objects<Wire>().sort((a, b) => a.n - b.n);
  const tools = rows.filter(({ kind }) => kind === "tool");
  expect(tools.map(({ status, changes }) => [status, changes?.files])).toEqual([
    ["done", 1],
    ["done", 0],
    ["failed", 1],
  ]);
  const before = provider.asked.map(({ json }) => json);
  expect(before).toHaveLength(3);
  for (const [n, next, then] of [
    [tools[1].n, before[1], "0\n1\n"],
    [tools[2].n, before[2], "0\n1\n2\n"],
    [tools[2].n - 1, before[2], "0\n1\n"],
  ]) {
    const name = `from-${n}`;
    await user.does(["fork", "it", String(n), "--scope", name]);
    expect(await tree(`${name}@`)).toBe(then);
    provider.asked.length = 0;
    await user.does(["resume", name]);
    expect(provider.asked[0]!.json).toEqual(next);
    expect(await tree(`${name}@`)).toBe("0\n1\n2\n");
  }
  provider.asked.length = 0;
  expect((await user.does(["replay", "it", "--drive"])).out).toContain("from the record: all went as it had");
  expect(provider.asked).toEqual([]);

  await user.does(["fork", "it", String(tools[0].n), "--result", "other", "--scope", "other"]);
  await user.does(["resume", "other"]);
  expect(provider.asked[0]!.body.toString()).toContain('"tool_use_id":"c1","content":"other"');

  expect((await user.does(["plugin", "remove", "sample"])).out).toContain("Removed sample");
  expect((await user.does(["resume", "it", "more"], 2)).err).toContain("There is no plugin sample here");
  expect((await user.does(["fsck"])).out).toContain("The store is sound");
});

describe("driven again", () => {
  const name = "a-name-that-is-as-long-as-names-of-runs-may-be";
  const drive = ["replay", name, "--drive"];
  beforeEach(async () => {
    await user.does(["plugin", "add", file]);
  });

  test("whoever is killed or stopped leaves nothing that could be taken for a run", async () => {
    SCRIPT[0] = says({ type: "text", text: "One." }, sh("c1", "sleep 1"));
    await user.does(["run", "sample", "go", "--scope", name]);
    for (const signal of ["SIGKILL", "SIGINT"] as const) {
      const driven = user.start(drive);
      const replays = async () => (await user.does(["status", "--all"])).out.split("-replay").length - 1;
      const before = await replays();
      await until(async () => (await replays()) > before);
      driven.process.kill(signal);
      const { out, err } = await driven.ended;
      expect(out).toBe("");
      if (signal === "SIGINT") expect(err.trim().split("\n").at(-1)).toBe("shepherd: stopped.");
    }
    expect((await user.does(["status"])).out).not.toContain("replay");
    const [left] = /\S+-replay/.exec((await user.does(["status", "--all"])).out)!;
    for (const verb of ["resume", "discard"])
      expect((await user.does([verb, left], 2)).err).toBe(
        `shepherd: ${left} only drove a run again, and is thrown away.\n`,
      );
    const both = await Promise.all([user.shepherd(drive), user.shepherd(drive)]);
    expect(both.map(({ code, err }) => [code, err])).toEqual(Array(2).fill([0, ""]));
    expect((await user.does(["fsck"])).out).toContain("The store is sound");
  });

  test("of many files of a step some are told", async () => {
    SCRIPT[0] = says({ type: "text", text: "One." }, sh("c1", "for i in $(seq 25); do date +%N > $i; done"));
    await user.does(["run", "sample", "go", "--scope", name]);
    const told = (await user.does(drive, 1)).out.trim().split("\n");
    expect(told).toHaveLength(22);
    expect(told.at(-1)).toBe("  step 3: 5 more files are otherwise: --json lists all.");
    expect((await user.does([...drive, "--json"], 1)).objects<Wire>()[0].divergences).toHaveLength(25);
  });

  test("a run that failed fails again, and what it was told since is told again, whatever it begins with", async () => {
    SCRIPT[0] = says({ type: "text", text: "One." }, sh("c1", "true"));
    const { answer } = provider;
    provider.answer = (_asked, response) => void response.writeHead(400).end("{}");
    await user.does(["run", "sample", "go", "--scope", name], 1);
    provider.answer = answer;
    provider.asked.length = 0;
    const failed = await user.does(drive, 1);
    expect(failed.out).toContain("It asked the model once more");
    await user.does(["resume", name]);
    await user.does(["resume", name, "<b> is a tag: see it"]);
    expect((await user.does(drive)).out).toContain("all went as it had");
  });
});

test.each([
  ["nothing", null, "cannot be loaded"],
  ["no object", "export default 1;", "its default export is no object"],
  ["half of one", 'export default { name: "x", command: "x" };', "it has no detect that is a function"],
  ["broken", "export default {", "cannot be loaded"],
  ["one that throws no error", "throw undefined;", "cannot be loaded: undefined"],
  ["what throws nothing", "throw null;", "cannot be loaded: null"],
  [
    "what throws when it is looked at",
    "export default { get name() { throw new Error('no'); } };",
    "cannot be loaded: no",
  ],
  ["what ends the process", "process.exit(0);", "it ends the process that loads it"],
  ["what is never loaded", "await new Promise(() => {});", "it is not done after 10 seconds"],
])("%s is refused in a sentence", async (_, text, why) => {
  const path = join(user.home, "mine.mjs");
  if (text !== null) fs.writeFileSync(path, text);
  const refused = await user.does(["plugin", "add", path], 2);
  expect(refused.err).toContain(why);
  expect(refused.err.trim().split("\n")).toHaveLength(1);
  expect((await user.does(["plugin", "list"])).out).not.toContain("mine");
});

test("a directory is told to be none", async () => {
  expect((await user.does(["plugin", "add", user.home], 2)).err).toBe(
    `shepherd: ${user.home} cannot be loaded: it is no file.\n`,
  );
});

test("one that is gone is told, and the others go on", async () => {
  const path = join(user.home, "mine.mjs");
  fs.copyFileSync(file, path);
  fs.copyFileSync(join(import.meta.dirname, "sample-agent.mjs"), join(user.home, "sample-agent.mjs"));
  await user.does(["plugin", "add", path]);
  fs.rmSync(path);
  const listed = await user.does(["plugin", "list"]);
  expect(listed.out).toContain("claude");
  expect(listed.err).toContain("`shepherd plugin remove sample` forgets it");
  await user.does(["plugin", "remove", "sample"]);
  expect((await user.does(["plugin", "list"])).err).toBe("");
});

test("a conversation that cannot be read ends the run with a sentence, and not its process", async () => {
  await user.does(["plugin", "add", file]);
  await user.does(["run", "sample", "go", "--scope", "it"]);
  const store = await openStore(user.store);
  const scope = await attach(store, "it");
  const lost = link("blob", sha256(Buffer.from("of a sub-agent")));
  await record(
    scope,
    { kind: "message", tier: "reversible", thread: "thread-2", what: lost },
    { status: "done", threads: { "thread-2": { append: [lost] } } },
  );
  await scope.close();
  await store.close();
  provider.asked.length = 0;
  const { err } = await user.does(["resume", "it", "more words"], 1);
  expect(err).toMatch(/^shepherd: The object \w+ is missing from the store: run `shepherd fsck`\.$/m);
  expect(err).not.toContain("    at ");
  expect(provider.asked).toEqual([]);
});

test("one that leaves something open keeps no command", async () => {
  const path = join(user.home, "mine.mjs");
  fs.writeFileSync(path, `setInterval(() => {}, 1000);\n${fs.readFileSync(file, "utf8")}`);
  await user.does(["plugin", "add", path]);
  expect((await user.does(["plugin", "list"])).out).toContain("sample");
  expect((await user.does(["run", "sample"], 2)).err).not.toBe("");
});

test("several that are added at once are all known", async () => {
  const names = ["one", "two", "three", "four"];
  const text = fs.readFileSync(file, "utf8");
  for (const name of names)
    fs.writeFileSync(join(user.home, `${name}.mjs`), text.replaceAll('"sample"', JSON.stringify(name)));
  await user.does(["plugin", "list"]);
  await Promise.all(names.map((name) => user.does(["plugin", "add", join(user.home, `${name}.mjs`)])));
  const known = (await user.does(["plugin", "list", "--json"])).objects<Wire>().map(({ name }) => name);
  expect(known.sort()).toEqual(["claude-code", "codex", ...names].sort());
});

test("a file that has become another plugin is told, and left out", async () => {
  const path = join(user.home, "mine.mjs");
  const text = fs.readFileSync(file, "utf8");
  fs.writeFileSync(path, text);
  await user.does(["plugin", "add", path]);
  fs.writeFileSync(path, text.replace('name: "sample"', 'name: "other"'));
  expect((await user.does(["plugin", "list"])).err).toBe(
    `shepherd: ${path} is other now, and was added as sample; \`shepherd plugin remove sample\` forgets it.\n`,
  );
  fs.writeFileSync(path, text.replace('command: "sample"', 'command: "claude"'));
  expect((await user.does(["plugin", "list"])).err).toContain("is for claude now, as claude-code is;");
});
