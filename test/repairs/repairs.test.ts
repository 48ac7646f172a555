/** The built-in agent repairs small repositories, through all of its tools; what goes on from any of its steps comes to the very same. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runAgent } from "../../src/agent/loop.ts";
import { resumeAgent } from "../../src/agent/resume.ts";
import { forkScope } from "../../src/scope/fork.ts";
import { revertScope } from "../../src/scope/revert.ts";
import type { LiveScope } from "../../src/scope/scope.ts";
import { openCalls } from "../../src/scope/thread.ts";
import type { Frame } from "../../src/trace/frame.ts";
import { agentRig, dyingStore, framesOf, items, type Rig, recording } from "../support/agent-rig.ts";
import { random } from "../support/crash.ts";
import { long, seed } from "../support/runs.ts";
import { REPAIRS, type Repair } from "./repairs.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await agentRig();
});
afterEach(() => rig.end());

const signal = new AbortController().signal;
const NOT_OURS = { GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_SYSTEM: "/dev/null" };
const WHEN = "2026-01-01T00:00:00Z";

/** The user's directory: a repository with one commit. */
function commit({ files }: Repair): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(rig.workspace, path)), { recursive: true });
    writeFileSync(join(rig.workspace, path), text);
  }
  const who = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
  const env = { ...process.env, ...NOT_OURS, GIT_AUTHOR_DATE: WHEN, GIT_COMMITTER_DATE: WHEN };
  const git = (...words: string[]) => execFileSync("git", [...who, ...words], { cwd: rig.workspace, env });
  git("init", "-q");
  git("add", ".");
  git("commit", "-qm", "Broken");
}

/** Looks, sees the test fail, repairs, sees it pass. */
const turnsOf = ({ looks, check, fix }: Repair): object[] => {
  const bash = (command: string) => ({ tool: "bash", input: { command } });
  return [
    {
      say: "I look around.",
      call: [
        { tool: "glob", input: { pattern: looks.glob } },
        { tool: "grep", input: { pattern: looks.grep } },
      ],
    },
    { call: [{ tool: "read", input: { path: looks.read } }, bash(check)] },
    { say: "That is it.", call: fix },
    { call: [bash(check), bash("git status --short; git diff --stat")] },
    { say: "It is repaired." },
  ];
};

const stateOf = (scope: LiveScope) => {
  const { id, state } = scope.head();
  return { id, files: state!.roots.workspace, thread: state!.threads.main };
};

/**
 * Frames before which a run may be killed and come to the same: not those in the midst of an answer that has asked for something. Such an answer
 * counts as it is, without what was still to come.
 */
function betweenAnswers(frames: readonly Frame[]): number[] {
  const seqs: number[] = [];
  let asking: number | null = null;
  for (const { seq, n, phase, facts } of frames.slice(2)) {
    if (asking === null) seqs.push(seq);
    if (phase === "part" && facts.part === "block" && facts.call === true) asking = n;
    if (phase === "outcome" && n === asking) asking = null;
  }
  return seqs;
}

// A sample of them takes turns with the seed.
const chosen = REPAIRS.filter((_, k) => long || (k + seed) % 10 === 0);

test.each(chosen)("$name is repaired, and each way to get there comes to the same bytes", async (repair) => {
  commit(repair);
  // One script for all: its name stands in each request.
  const port = rig.script(...turnsOf(repair));
  const model = () => recording(port);
  const whole = await rig.start("The test fails: repair it.", { name: "whole" });
  const sent = model();
  expect(await runAgent(whole, { model: sent, signal })).toEqual({ stopped: "done", text: "It is repaired." });
  const results = (await items(whole)).flatMap((item) => (item.role === "result" ? [item.status] : []));
  // Nothing fails but the test before the repair.
  expect(results.filter((status) => status !== "done")).toEqual(["failed"]);
  expect(results[3]).toBe("failed");
  const end = stateOf(whole);
  const frames = await framesOf(whole);
  const steps = whole.writer.fold.sealed.map(({ n }) => n);
  const pick = random(seed + repair.name.length);
  const some = (list: readonly number[], most: number): number[] =>
    Array.from({ length: long ? 3 * most : most }, () => list[Math.floor(pick() * list.length)]!);

  // What is sent behind a step is what was sent there before, to the byte.
  const same = (requests: Buffer[]): void =>
    expect(requests).toEqual(sent.sent.slice(sent.sent.length - requests.length));

  for (const n of some(steps, 1)) {
    const [ref] = await forkScope(rig.store, "whole", n);
    const fork = await rig.drive(ref!.name);
    const asked = model();
    expect(await resumeAgent(fork, { model: asked, signal })).toMatchObject({ stopped: "done" });
    // Who does the same has the same commits, and so the same id.
    expect(stateOf(fork)).toEqual(end);
    same(asked.sent);
    await fork.close();
  }

  for (const n of some(steps.slice(0, -1), 1)) {
    await revertScope(whole, n);
    const open = openCalls(await items(whole)).length > 0;
    const asked = model();
    expect(await resumeAgent(whole, { model: asked, signal, open: "perform" })).toMatchObject({ stopped: "done" });
    const { files, thread } = stateOf(whole);
    expect(files).toBe(end.files);
    if (!open) expect(thread).toEqual(end.thread);
    same(asked.sent);
  }
  await whole.close();

  for (const seq of some(betweenAnswers(frames), 1)) {
    const name = `killed-${seq}`;
    const first = await rig.start("The test fails: repair it.", { name, store: dyingStore(rig.store, seq) });
    await runAgent(first, { model: model(), signal, retry: { attempts: 1, delay: () => 0 } });
    const again = await rig.drive(name, { store: await rig.successor() });
    expect(await resumeAgent(again, { model: model(), signal })).toMatchObject({ stopped: "done" });
    const { files, thread } = stateOf(again);
    expect({ files, thread }).toEqual({ files: end.files, thread: end.thread });
    await again.close();
  }
});

test("all tools are among what is done", () => {
  const used = REPAIRS.flatMap((repair) => turnsOf(repair) as Array<{ call?: Array<{ tool: string }> }>);
  const tools = new Set(used.flatMap(({ call = [] }) => call.map(({ tool }) => tool)));
  expect([...tools].sort()).toEqual(["bash", "edit", "glob", "grep", "read", "write"]);
  expect(REPAIRS).toHaveLength(20);
});
