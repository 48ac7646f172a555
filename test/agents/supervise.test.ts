/** Two real Claude Codes under one supervisor. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Wire } from "../support/provider.ts";
import { claudeRig, type Rig, type Said, turnsIn } from "./claude-rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await claudeRig();
  fs.mkdirSync(join(rig.project, "src"));
  fs.writeFileSync(join(rig.project, "src/kept.txt"), "kept\n");
  fs.writeFileSync(join(rig.project, "a.txt"), "one\ntwo\nthree\n");
});
afterEach(() => rig.end());

const bash = (command: string): [string, Wire] => ["Bash", { command, description: "do it" }];
const text = (json: Wire): string => JSON.stringify(json.messages);

test("a call that destroys something is denied before it acts, a conflict is mended by the session that had it, and all land", async () => {
  const tools = new Set<string>();
  const first: Said[] = [
    { call: [bash("sed -i s/two/TWO/ a.txt")] },
    { call: [bash("echo ran > ran.txt; rm -rf src")] },
  ];
  const second: Said[] = [{ call: [bash("sleep 1; sed -i s/three/drei/ a.txt; echo 2 > second.txt")] }];
  rig.other = (asked) => {
    if (!asked.json.tools?.length) return null;
    for (const { name } of asked.json.tools) tools.add(name);
    const said = text(asked.json);
    // What was handed back to it, with both versions.
    if (said.includes("both have changed the same places"))
      return said.includes("drei-mended") ? { say: "mended" } : { call: [bash("sed -i s/three/drei-mended/ a.txt")] };
    const script = said.includes("do the first thing") ? first : second;
    return script[turnsIn(asked)] ?? { say: "done" };
  };
  const { code, stdout, stderr } = await rig.shepherd(
    ...["supervise", "--agent", "claude", "--check", "grep -q TWO a.txt && grep -q drei a.txt", "--land", "auto"],
    ...["--json", "do the first thing", "do the second thing"],
  );
  expect(code, stdout + stderr).toBe(0);
  const objects: Wire[] = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const events = (name: string): Wire[] => objects.filter(({ event }) => event === name);
  expect(events("verdict")).toMatchObject([{ what: "deny", why: expect.stringContaining("destroy") }]);
  expect(events("handed-back").map(({ what }) => what)).toEqual(["conflict"]);
  expect(fs.readFileSync(join(rig.project, "a.txt"), "utf8")).toBe("one\nTWO\ndrei-mended\n");
  expect(fs.readdirSync(rig.project).sort()).toEqual(["a.txt", "second.txt", "src"]);
  expect(fs.readFileSync(join(rig.project, "src/kept.txt"), "utf8")).toBe("kept\n");
  // The model heard why.
  expect(rig.provider.asked.some(({ body }) => body.includes("It would destroy"))).toBe(true);
  const end = objects.find(({ ok }) => ok !== undefined)!;
  expect(end.workers.every(({ usd }: Wire) => usd > 0)).toBe(true);
  expect(rig.filesWith("sk-ant-planted")).toEqual([]);
  expect((await rig.shepherd("fsck")).code).toBe(0);
}, 300_000);
