import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { kindsFor, misfits, sectionsOf } from "../docs/reference.ts";
import { claudeRig, type Rig } from "./claude-rig.ts";
import { codexRig } from "./codex-rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await claudeRig();
  fs.writeFileSync(join(rig.project, "a.txt"), "zero\n");
});
afterEach(() => rig.end());

const bash = (command: string): [string, object] => ["Bash", { command, description: "x" }];

test("a run is driven again with the answers on record, asks nobody, and leaves nothing behind", async () => {
  rig.script = [
    { say: "One.", call: [bash("echo one >> a.txt"), bash("cat a.txt")] },
    { say: "Two.", call: [["Write", { file_path: join(rig.project, "b.txt"), content: "two\n" }]] },
    { call: [bash("curl -sS -m 9 http://example.com/; true")] },
    {
      call: [
        ["Agent", { description: "look", prompt: "SUB", subagent_type: "general-purpose", run_in_background: false }],
      ],
    },
    { say: "first end" },
    { say: "Three.", call: [bash("rm b.txt")] },
    { say: "the end" },
  ];
  rig.other = ({ json }) => {
    if (!JSON.stringify(json.messages[0]).includes("SUB")) return null;
    const turns = json.messages.filter(({ role }: { role: string }) => role === "assistant").length;
    return turns === 0 ? { call: [bash("echo sub >> a.txt")] } : { say: "looked" };
  };
  expect((await rig.shepherd("run", "claude", "go", "--scope", "it")).code).toBe(0);
  expect((await rig.shepherd("resume", "it", "and now the rest")).code).toBe(0);
  const steps = (await rig.log("it")).filter(({ kind }) => kind === "model" || kind === "tool").length;
  rig.provider.asked.length = 0;
  // Nobody needs a key for it.
  delete rig.env.ANTHROPIC_BASE_URL;
  delete rig.env.ANTHROPIC_API_KEY;
  const { code, stdout, stderr } = await rig.shepherd("replay", "it", "--drive");
  expect([stderr, stdout, code]).toEqual([
    "",
    `it: driven again over ${steps} steps, ${steps - 7} answers from the record: all went as it had.\n`,
    0,
  ]);
  expect(rig.provider.asked).toEqual([]);
  expect((await rig.shepherd("status")).stdout).not.toContain("replay");
  expect(fs.readFileSync(join(rig.project, "a.txt"), "utf8")).toBe("zero\n");
  expect((await rig.shepherd("undo")).stdout).not.toContain("replay");
  expect((await rig.shepherd("fsck")).code).toBe(0);
});

test("what goes otherwise is told where it begins: files, results, and what follows from them", async () => {
  rig.script = [
    { call: [bash("date +%s%N > copy.txt"), bash("cat copy.txt")] },
    { call: [bash("echo same > c.txt")] },
    { say: "the end" },
  ];
  expect((await rig.shepherd("run", "claude", "go", "--scope", "it")).code).toBe(0);
  rig.provider.asked.length = 0;
  const told = await rig.shepherd("replay", "it", "--drive", "--json");
  const { divergences, ...rest } = JSON.parse(told.stdout);
  expect([told.code, told.stderr]).toEqual([1, ""]);
  const cli = fs.readFileSync(new URL("../../docs/cli.md", import.meta.url), "utf8");
  const documented = kindsFor(sectionsOf(cli), "replay");
  expect(documented.map((kind) => misfits(JSON.parse(told.stdout), kind))).toContainEqual([]);
  expect(rest).toMatchObject({ scope: "it", drive: true, ending: "done", served: 3 });
  const [first] = (await rig.log("it")).filter(({ kind }) => kind === "tool");
  expect(divergences.map(({ n, kind }: { n: number; kind: string }) => [n - first.n, kind])).toEqual([
    [0, "files"],
    [2, "request"],
  ]);
  expect(divergences[0].what).toBe("copy.txt is another one.");
  expect(divergences[1].what).toMatch(/^Message \d, a result, was “\d.* and is “\d/);
  expect(rig.provider.asked).toEqual([]);
});

test("Codex is driven again too", async () => {
  const codex = await codexRig();
  try {
    fs.writeFileSync(join(codex.home, ".codex", "config.toml"), 'model = "gpt-6-sol"\n');
    codex.script = [
      { say: "One.", call: [["exec_command", { cmd: "echo one > a.txt; cat a.txt" }]] },
      { say: "Two.", call: [["exec", 'await tools.exec_command({ cmd: "echo two >> a.txt" });']] },
      { say: "the end" },
    ];
    expect((await codex.shepherd("run", "codex", "go", "--scope", "it")).code).toBe(0);
    codex.provider.asked.length = 0;
    const { code, stdout, stderr } = await codex.shepherd("replay", "it", "--drive");
    expect([stderr, stdout, code]).toEqual([
      "",
      "it: driven again over 6 steps, 3 answers from the record: all went as it had.\n",
      0,
    ]);
    expect(codex.provider.asked.filter(({ json }) => json)).toEqual([]);
  } finally {
    await codex.end();
  }
});

test("only an agent can be driven", async () => {
  expect((await rig.shepherd("run", "--scope", "other", "--", "true")).code).toBe(0);
  const refused = await rig.shepherd("replay", "other", "--drive");
  expect([refused.code, refused.stderr]).toEqual([
    2,
    "shepherd: --drive drives a coding agent once more, and other is no run of one: leave --drive out.\n",
  ]);
});
