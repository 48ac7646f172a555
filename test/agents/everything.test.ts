/** A run of all kinds of calls: each with its intent before it, its own changes, and the steps from which its agent can go on. */
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Wire } from "../support/provider.ts";
import { workspacesIn } from "../support/work.ts";
import { claudeRig, type Rig, turnsIn } from "./claude-rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await claudeRig();
});
afterEach(() => rig.end());

const bash = (command: string, more: object = {}): [string, Wire] => ["Bash", { command, description: "do", ...more }];
const path = (name: string): string => join(rig.project, name);
const git = (...args: string[]): string =>
  execFileSync("git", args, { cwd: rig.project, env: rig.env as NodeJS.ProcessEnv, encoding: "utf8" });

const SUBTASK = { description: "sub", prompt: "SUBTASK do it", subagent_type: "general-purpose" };

test("Bash by sed, python, git and npm, Edit, Write, Read, parallel, failing, background, a sub-agent: each is a step with its own changes", async () => {
  fs.writeFileSync(path("a.txt"), "one\ntwo\n");
  fs.writeFileSync(
    path("package.json"),
    JSON.stringify({ scripts: { gen: "node -e \"require('fs').writeFileSync('gen.txt','g')\"" } }),
  );
  git("init", "-q");
  git("add", "-A");
  git("commit", "-qm", "start");
  rig.other = (asked) => {
    if (!JSON.stringify(asked.json.messages[0]).includes("SUBTASK")) return null;
    const said = [{ say: "sub", call: [bash("echo sub > sub.txt")] }, { say: "sub done" }];
    return said[turnsIn(asked)] ?? { say: "?" };
  };
  rig.script = [
    { say: "sed", call: [bash("sed -i s/one/ONE/ a.txt")] },
    { say: "python", call: [bash("python3 -c \"open('p.txt','w').write('p')\"")] },
    { say: "read", call: [["Read", { file_path: path("a.txt") }]] },
    { say: "edit", call: [["Edit", { file_path: path("a.txt"), old_string: "two", new_string: "TWO" }]] },
    { say: "npm", call: [bash("npm run -s gen")] },
    { say: "git", call: [bash("git add -A && git commit -qm work && git log --oneline")] },
    {
      say: "at once",
      call: [["Read", { file_path: path("p.txt") }], bash("cat gen.txt"), bash("rm p.txt"), bash("false")],
    },
    { say: "background", call: [bash("(sleep 0.7; echo late > late.txt) & echo started")] },
    { say: "wait", call: [bash("sleep 1.2; ls")] },
    {
      say: "agent",
      call: [["Agent", { ...SUBTASK, run_in_background: false }]],
    },
    { say: "write", call: [["Write", { file_path: path("w.txt"), content: "w\n" }]] },
    { say: "all done" },
  ];
  const done = await rig.shepherd("run", "claude", "do everything", "--scope", "it");
  expect(done.stderr).toBe("");
  expect(done.code).toBe(0);
  const rows = await rig.log("it");
  const calls = rows.filter(({ kind }) => kind === "tool");
  const of = (text: string): Wire => calls.find(({ summary }) => summary.includes(text))!;
  expect(calls.length).toBeGreaterThan(13);
  expect(calls.every(({ status }) => ["done", "failed"].includes(status))).toBe(true);
  const changed = (text: string): number | undefined => of(text).changes?.files;
  expect([changed("sed -i"), changed("python3"), changed("Edit "), changed("npm run"), changed("rm p.txt")]).toEqual([
    1, 1, 1, 1, 1,
  ]);
  expect(changed("git add")).toBe(0);
  expect(of("false").status).toBe("failed");
  expect(changed("sleep 1.2")).toBe(1);
  // What the sub-agent did is in its own conversation, inside the call that started it.
  const agent = of("Agent ");
  expect(of("sub.txt")).toMatchObject({ inside: agent.n, changes: { files: 1 } });
  expect(of("sub.txt").thread).not.toBe("main");

  const at = async (n: number, name: string): Promise<string> => (await rig.shepherd("cat", `it@${n}`, name)).stdout;
  expect(await at(of("sed -i").n, "a.txt")).toBe("ONE\ntwo\n");
  expect(await at(of("Edit ").n, "a.txt")).toBe("ONE\nTWO\n");
  expect(await at(of("sleep 1.2").n, "late.txt")).toBe("late\n");
  expect((await rig.shepherd("cat", `it@${of("sed -i").n}`, "p.txt")).code).not.toBe(0);
  // Git's own files are of the run, too; the user's are as they were.
  expect(git("log", "--oneline").trim().split("\n")).toHaveLength(1);
  expect(git("status", "--porcelain")).toBe("");

  // Its agent can go on from each of them, also between the calls of a turn and inside of a sub-agent.
  for (const { n } of rows) {
    const { code, stderr } = await rig.shepherd("revert", "it", String(n), "--dry-run");
    expect([n, code, stderr]).toEqual([n, 0, ""]);
  }
  // There it is told that the sub-agent was not run, and has the files of that moment.
  const inside = of("sub.txt");
  rig.provider.asked.length = 0;
  expect((await rig.shepherd("revert", "it", String(inside.n))).code).toBe(0);
  rig.script[10] = { say: "no sub-agent, then" };
  const again = await rig.shepherd("resume", "it");
  expect([again.code, again.stderr]).toEqual([0, ""]);
  const [asked] = rig.provider.asked;
  const results = asked!.json.messages.flatMap(({ content }: Wire) => (Array.isArray(content) ? content : []));
  expect(results.findLast(({ type }: Wire) => type === "tool_result").content).toBe("not run: reverted");
  expect((await rig.shepherd("cat", "it@", "sub.txt")).stdout).toBe("sub\n");
  expect((await rig.shepherd("cat", "it@", "w.txt")).code).not.toBe(0);
  expect((await rig.shepherd("fsck")).code).toBe(0);
}, 300_000);

test("the intent of a call is written before it acts, whoever looks", async () => {
  rig.script = [{ say: "block", call: [bash("touch began; while [ ! -e go ]; do sleep 0.05; done")] }, { say: "done" }];
  const child = rig.start("run", "claude", "block", "--scope", "it");
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const files = (): string | undefined => workspacesIn(rig.store).find((path) => fs.existsSync(join(path, "began")));
  while (!files()) await sleep(20);
  const rows = await rig.log("it");
  expect(rows.at(-1)).toMatchObject({ kind: "tool", status: "intent", id: null });
  fs.writeFileSync(join(files()!, "go"), "");
  expect(await ended).toBe(0);
});

test("what a sub-agent in the background does is inside of the call that started it, also once that has ended", async () => {
  rig.other = (asked) => {
    if (!JSON.stringify(asked.json.messages[0]).includes("SUBTASK")) return null;
    const said = [{ say: "sub", call: [bash("sleep 0.5; echo sub > sub.txt")] }, { say: "sub done" }];
    return said[turnsIn(asked)] ?? { say: "?" };
  };
  rig.script = [
    { say: "agent", call: [["Agent", { ...SUBTASK, run_in_background: true }]] },
    { say: "meanwhile", call: [bash("echo w > w.txt")] },
    { say: "all done" },
    { say: "all done, and told of it" },
  ];
  expect((await rig.shepherd("run", "claude", "do it", "--scope", "it")).code).toBe(0);
  const rows = await rig.log("it");
  const of = (text: string): Wire => rows.find(({ summary }) => summary.includes(text))!;
  expect(of("Agent ").status).toBe("done");
  for (const row of rows.filter(({ thread }) => thread === "thread-2"))
    expect(row.inside, row.summary).toBe(of("Agent ").n);
  expect(of("sub.txt")).toMatchObject({ thread: "thread-2", status: "done", changes: { files: 1 } });
  expect((await rig.shepherd("fsck")).code).toBe(0);
}, 300_000);
