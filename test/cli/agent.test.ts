/** What `run` and `resume` go on with: the agent that a run was started with, and the model that is asked for. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newUser, put, type User } from "../support/user.ts";

let user: User;

/** `m` is a run of a Claude Code that only says how it was started, `s` one of a script, `c` one of a command. */
beforeAll(async () => {
  user = await newUser();
  // Where it is seen from a run, whose /tmp is its own.
  const bin = join(user.project, "bin");
  mkdirSync(bin);
  const says = (version: string): string =>
    `#!/bin/sh\nif [ "$1" = --version ]; then echo "${version}"; else echo "$@" >&2; fi\n`;
  writeFileSync(join(bin, "claude"), says("2.1.329 (Claude Code)"));
  writeFileSync(join(bin, "codex"), says("codex-cli 0.169.0"));
  for (const each of ["claude", "codex"]) chmodSync(join(bin, each), 0o755);
  Object.assign(user.env, {
    PATH: `${bin}:${user.env.PATH}`,
    ANTHROPIC_API_KEY: "sk-planted-key",
    OPENAI_API_KEY: "sk-planted-key",
  });
  await user.does(["run", "claude", "do it", "--scope", "m", "--model", "haiku"]);
  user.script([{ call: [put("new.txt", "x\n")] }, { say: "the end" }]);
  await user.does(["run", "do it", "--scope", "s", "--model", `script:${user.directory}/script.jsonl`]);
  await user.does(["run", "--scope", "c", "--", "true"]);
});
afterAll(() => user.end());

test("a run goes on with the model that is asked for, and without one with its own", async () => {
  const started = async (...typed: string[]): Promise<string> => (await user.does(typed)).err;
  const resumed = await started("resume", "m", "--model", "opus", "go on");
  expect(resumed).toContain("--model opus");
  expect(resumed).not.toContain("haiku");
  const forked = await started("run", "claude", "--from", "m@0", "--model", "sonnet", "another way", "--scope", "f");
  expect(forked).toContain("--model sonnet");
  expect(await started("run", "--from", "m@0", "another way", "--scope", "g")).toContain("--model haiku");
});

const REFUSED: Array<[typed: string[], sentence: string | RegExp]> = [
  [["run", "codex", "--from", "m@0", "x"], "m is a run of claude, and goes on with that: leave `codex` out."],
  [["run", "claude", "--from", "s@1", "x"], /^s is a run of script:\S*, and goes on with that: leave `claude` out\.$/],
  [["run", "--from", "m@0", "--model", "script:f", "x"], "m is a run of claude, which has no model script:f:"],
  [["resume", "m", "--model", "script:f"], "m is a run of claude, which has no model script:f:"],
  [["resume", "c", "--model", "script:f"], "c is a run of a command, which asks no model"],
  [["resume", "c", "do it"], "c is a run of a command, which is told nothing"],
  [["run", "--from", "c@0", "x"], "c is a run of a command, which takes no task"],
  [["run", "--from", "s@1", "--model", "gpt", "x"], 'There is no model "gpt"'],
  [["resume", "t"], 'There is no run "t": `shepherd status` lists them; to tell that to the agent, name the run too:'],
  [["resume", "t", "go on"], /^There is no run "t": `shepherd status` lists them\.$/],
  [["resume", "s", " "], "What is the agent to be told?"],
  [["resume", ""], "What is the agent to be told?"],
  [["run", "claude", ""], "What is claude to do?"],
  [["run", "--from", "s@1", ""], "What is to be done?"],
  [["run", "claud", "do it"], 'There is no agent "claud": there are claude and codex.'],
];

test("what cannot go on is refused in a sentence, before anything is made", async () => {
  const runs = (await user.does(["status", "--json"])).out;
  for (const [typed, sentence] of REFUSED) {
    const { err } = await user.does(typed, 2);
    expect(err, typed.join(" ")).toMatch(/^shepherd: [^\n]+\n$/);
    const told = err.slice("shepherd: ".length).trimEnd();
    if (typeof sentence === "string") expect(told, typed.join(" ")).toContain(sentence);
    else expect(told, typed.join(" ")).toMatch(sentence);
  }
  expect((await user.does(["status", "--json"])).out).toBe(runs);
});

test("a command behind the gateway takes no task, and nothing is forked from its run to find that out", async () => {
  await user.does(["gateway", "--scope", "gg", "--", "true"]);
  const runs = (await user.does(["status", "--json"])).out;
  expect((await user.does(["run", "--from", "gg@0", "x"], 2)).err).toContain(
    "gg is a run of a command, which takes no task: `shepherd fork` the step, then `shepherd resume` that.",
  );
  expect((await user.does(["status", "--json"])).out).toBe(runs);
});

test("what goes on from a run of an agent that is not there makes no fork", async () => {
  const runs = (await user.does(["status", "--json"])).out;
  const env = { PATH: "/usr/bin:/bin", SHEPHERD_NO_NAMESPACES: "1" };
  expect((await user.does(["run", "--from", "m@0", "x"], 4, { env })).err).toContain("There is no program claude");
  expect((await user.does(["status", "--json"])).out).toBe(runs);
});
