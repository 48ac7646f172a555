import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { claudeRig, type Rig } from "./claude-rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await claudeRig();
});
afterEach(() => rig.end());

test("a line is traced to the call, to what the model said and to what the user had asked, not to what the agent told its model", async () => {
  fs.writeFileSync(join(rig.project, "a.txt"), "one\ntwo\n");
  const bash = (command: string): [string, object] => ["Bash", { command, description: "x" }];
  rig.script = [
    { say: "I look.", call: [bash("cat a.txt")] },
    { say: "I change.", call: [bash("sed -i s/one/ONE/ a.txt")] },
    // By now Claude Code has told its model that the file was changed.
    { say: "I add.", call: [bash("echo three >> a.txt")] },
    { say: "all done" },
  ];
  expect((await rig.shepherd("run", "claude", "change the file", "--scope", "it")).code).toBe(0);
  const blamed = (await rig.shepherd("blame", "a.txt", "it", "--json")).stdout.trim().split("\n");
  const told = blamed.map((line) => JSON.parse(line));
  expect(told.map(({ lines, yours }) => [lines, yours])).toEqual([
    [["ONE"], false],
    [["two"], true],
    [["three"], false],
  ]);
  expect(told[0]).toMatchObject({
    step: { kind: "tool" },
    asked: { kind: "model", summary: "I change." },
    for: { summary: "change the file" },
  });
  expect(told[2]).toMatchObject({ asked: { summary: "I add." }, for: { summary: "change the file" } });
});
