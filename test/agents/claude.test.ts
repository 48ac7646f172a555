import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { claudeRig, type Rig } from "./claude-rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await claudeRig();
});
afterEach(() => rig.end());

test("a run of several calls", async () => {
  fs.writeFileSync(join(rig.project, "a.txt"), "one\n");
  rig.script = [
    { say: "I look.", call: [["Bash", { command: "cat a.txt", description: "look" }]] },
    { say: "I change.", call: [["Bash", { command: "sed -i s/one/two/ a.txt", description: "change" }]] },
    { say: "I write.", call: [["Write", { file_path: join(rig.project, "b.txt"), content: "new\n" }]] },
    { say: "all done" },
  ];
  const done = await rig.shepherd("run", "claude", "change a to two", "--scope", "it");
  console.log(done.stdout, done.stderr, done.code);
  const rows = await rig.log("it");
  console.log(rows.map(({ n, kind, status, summary, changes }) => `${n} ${kind} ${status} ${summary} ${JSON.stringify(changes)}`).join("\n"));
  expect(done.code).toBe(0);
});
