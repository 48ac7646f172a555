/** A disk that gets full while the real Claude Code works: it is said, nothing is lost, and the run goes on once there is room. */
import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { filesOf, until } from "../support/user.ts";
import { claudeRig, type Rig } from "./claude-rig.ts";

let rig: Rig;
let gate = "";
/** Why the store has no disk of its own here; null if it has. */
let why: string | null = null;

beforeEach(async () => {
  rig = await claudeRig();
  gate = join(rig.home, "gate");
  for (const path of [gate, rig.store]) fs.mkdirSync(path, { mode: 0o700 });
  const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1g,mode=700", "shepherd-test", rig.store], {
    encoding: "utf8",
  });
  why = mount.status === 0 ? null : (mount.error?.message ?? mount.stderr.trim());
  rig.env.SHEPHERD_QUOTA = "none";
  fs.writeFileSync(join(rig.project, "a.txt"), "one\n");
  rig.script = [
    { say: "One.", call: [bash("echo one > one.txt")] },
    {
      say: "A big one.",
      call: [
        bash(
          `touch ${gate}/begun; until [ -e ${gate}/go ]; do sleep 0.02; done; head -c ${BIG} /dev/urandom > big && wc -c < big > size.txt`,
        ),
      ],
    },
    { say: "the end" },
  ];
});
afterEach(async () => {
  if (why === null) execFileSync("umount", ["-l", rig.store]);
  await rig.end();
});

const BIG = 40 << 20;
const bash = (command: string): [string, object] => ["Bash", { command, description: "x" }];
const resize = (bytes: number): void => void execFileSync("mount", ["-o", `remount,size=${bytes}`, rig.store]);
const used = (): number => {
  const { blocks, bfree, bsize } = fs.statfsSync(rig.store);
  return (blocks - bfree) * bsize;
};
const told = (stderr: string): string[] => stderr.split("\n").filter((line) => line.startsWith("shepherd:"));
const FULL =
  /^shepherd: The disk is full, so \S+ could not be written: free some space and try again\. What was recorded before is safe\.$/;

/** A landing may be the first that finds it full. */
const NO_MORE = /^shepherd: nothing lands by itself any more: The disk is full, .* was recorded before is safe\.$/;

/** Runs it with so much of the disk from its second call on, until it is told that the disk is full. Gives what it printed. */
async function runUntilFull(size: () => number, ...more: string[]): Promise<string> {
  const child = rig.start("run", "claude", "make a big file", "--scope", "it", "--write", gate, ...more);
  let stdout = "";
  let stderr = "";
  child.stdout!.on("data", (text: string) => {
    stdout += text;
  });
  child.stderr!.on("data", (text: string) => {
    stderr += text;
  });
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  await until(
    () => fs.existsSync(join(gate, "begun")),
    () => stdout + stderr,
  );
  resize(size());
  fs.writeFileSync(join(gate, "go"), "");
  expect([await ended, told(stderr).filter((line) => !NO_MORE.test(line))]).toEqual([4, [expect.stringMatching(FULL)]]);
  expect(stdout + stderr).not.toMatch(/^\s+at /m);
  // Claude Code would say so of an error of the server's.
  expect(stdout).not.toContain("try again in a moment");
  expect(stdout).toContain("`shepherd resume it`");
  return stdout;
}

test.each<[string, () => number]>([
  ["what a call wrote is to be recorded", () => used() + BIG + (BIG >> 1)],
  ["a call writes", () => used() + (BIG >> 1)],
  ["nothing more can be written", () => used()],
])("a disk that is full when %s ends the run in a sentence, and it goes on once there is room", async (_, size) => {
  if (why !== null) return console.log(`skipped: no file system can be mounted here (${why})`);
  const before = filesOf(rig.project);
  expect(await runUntilFull(size)).toContain(
    `it stopped on an error and changed 1 file (+1 -0); your own files in ${rig.project} are untouched.\n`,
  );
  expect(filesOf(rig.project)).toEqual(before);
  expect((await rig.shepherd("cat", "it@", "one.txt")).stdout).toBe("one\n");
  expect((await rig.shepherd("fsck")).code).toBe(0);

  resize(1 << 30);
  const resumed = await rig.shepherd("resume", "it");
  expect([resumed.code, resumed.stderr]).toEqual([0, ""]);
  expect((await rig.shepherd("cat", "it@", "")).stdout).toBe("a.txt\nbig\none.txt\nsize.txt\n");
  expect((await rig.shepherd("cat", "it@", "size.txt")).stdout).toBe(`${BIG}\n`);
  expect((await rig.log("it")).at(-1)).toMatchObject({ kind: "model", status: "done", summary: "the end" });
  expect(filesOf(rig.project)).toEqual(before);
  expect((await rig.shepherd("fsck", "--full")).code).toBe(0);
});

test("a run that lands live keeps what has landed, and lands the rest when it goes on", async () => {
  if (why !== null) return console.log(`skipped: no file system can be mounted here (${why})`);
  const out = await runUntilFull(used, "--land", "live");
  expect(out).toContain("it stopped on an error and changed ");
  // The second, where a landing was the first that found it full.
  const stands = [
    `, landed in ${rig.project} as it went.\n`,
    `; ${rig.project} has what landed before, and not what came since.\n`,
  ];
  expect(stands.filter((each) => out.includes(each))).toHaveLength(1);
  expect(fs.readdirSync(rig.project)).toEqual(["a.txt", "one.txt"]);
  resize(1 << 30);
  const resumed = await rig.shepherd("resume", "it", "--land", "live");
  expect([resumed.code, resumed.stderr]).toEqual([0, ""]);
  expect(fs.readdirSync(rig.project)).toEqual(["a.txt", "big", "one.txt", "size.txt"]);
  expect((await rig.shepherd("fsck")).code).toBe(0);
});

test("a run that takes the store over its quota comes to its end; then nothing new is begun until there is room", async () => {
  if (why !== null) return console.log(`skipped: no file system can be mounted here (${why})`);
  fs.writeFileSync(join(gate, "go"), "");
  rig.env.SHEPHERD_QUOTA = "50MB";
  const first = await rig.shepherd("run", "claude", "make a big file", "--scope", "it", "--write", gate);
  expect([first.code, first.stderr]).toEqual([0, ""]);
  const next = await rig.shepherd("run", "claude", "another", "--scope", "more");
  expect([next.code, next.stdout, next.stderr]).toEqual([
    4,
    "",
    expect.stringMatching(
      /^shepherd: The store takes \d+ MB of the 50 MB that it may: .*SHEPHERD_QUOTA=\d+MB allows more\.\n$/,
    ),
  ]);
  // What is there can be gone on with, and landed.
  rig.script.push({ say: "You are welcome." });
  expect((await rig.shepherd("resume", "it", "thank you")).code).toBe(0);
  expect((await rig.shepherd("merge", "it")).code).toBe(0);
  expect(fs.statSync(join(rig.project, "big")).size).toBe(BIG);
  rig.env.SHEPHERD_QUOTA = "1GB";
  expect((await rig.shepherd("run", "claude", "another", "--scope", "more", "--write", gate)).code).toBe(0);
  expect((await rig.shepherd("fsck")).code).toBe(0);
});
