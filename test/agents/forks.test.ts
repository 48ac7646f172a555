/** Forks of a run with the real Claude Code: several at once, and before a step instead of behind it. */
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Wire } from "../support/provider.ts";
import { claudeRig, type Rig } from "./claude-rig.ts";

let rig: Rig;
let before: string[];
let rows: Wire[];
const asked = (): string[] => rig.provider.asked.map(({ body }) => body.toString());
/** Which requests of the run these are, by their numbers; -1 for none of them. */
const known = (): number[] => asked().map((each) => before.indexOf(each));

beforeEach(async () => {
  rig = await claudeRig();
  rig.script = [1, 2, 3].map((n) => ({
    say: `Call ${n}.`,
    call: [["Bash", { command: `echo ${n} >> a.txt; cat a.txt > b.txt`, description: "add" }] as [string, object]],
  }));
  expect((await rig.shepherd("run", "claude", "go", "--scope", "it")).code).toBe(0);
  before = asked();
  rows = (await rig.log("it")).filter(({ kind }) => kind === "tool" || kind === "model");
  rig.provider.asked.length = 0;
});
afterEach(() => rig.end());

test("four at once, at the same paths, each ask what was asked then, and no one sees what another does", async () => {
  const [, , , first] = rows;
  const made = await rig.shepherd("fork", `it@${rows[1].n}`, "-k", "4");
  expect(made.stdout.trim().split("\n")).toHaveLength(4);
  const names = [1, 2, 3, 4].map((k) => `it.${k}`);
  const ended = await Promise.all(names.map((name) => rig.shepherd("resume", name)));
  expect(ended.map(({ code, stderr }) => [code, stderr])).toEqual(Array(4).fill([0, ""]));
  expect(known().sort()).toEqual([1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
  for (const name of names) {
    expect((await rig.shepherd("cat", `${name}@${first.n}`, "b.txt")).stdout).toBe("1\n2\n");
    expect((await rig.shepherd("cat", `${name}@`, "b.txt")).stdout).toBe("1\n2\n3\n");
  }
});

test("before a step: a call is performed and its answer comes from the record, a request is made as it was", async () => {
  for (const [at, { n, kind }] of rows.entries()) {
    const name = `before-${n}`;
    await rig.shepherd("fork", `it@${n}`, "--intent", "--scope", name);
    rig.provider.asked.length = 0;
    const { code, stderr } = await rig.shepherd("resume", name);
    expect([n, code, stderr]).toEqual([n, 0, ""]);
    // Model calls and tools take turns, and the last one is a model call.
    const next = kind === "model" ? at / 2 : (at + 1) / 2;
    expect([n, ...known()]).toEqual([n, ...[0, 1, 2, 3].slice(next)]);
    expect((await rig.shepherd("cat", `${name}@`, "b.txt")).stdout).toBe("1\n2\n3\n");
  }
  expect((await rig.shepherd("fsck")).code).toBe(0);
});
