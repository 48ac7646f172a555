/** Handoffs as steps: what they keep, what they take, and what follows from them. */
import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { agentRig, type Rig } from "../../test/support/agent-rig.ts";
import { runAgent } from "../agent/loop.ts";
import { resumeAgent } from "../agent/resume.ts";
import { followers } from "../scope/followers.ts";
import { listOperations } from "../scope/operations.ts";
import { replayLog } from "../scope/replay.ts";
import { itemsOf, textOf } from "../scope/thread.ts";
import { readScope } from "../scope/view.ts";
import { fsck } from "../trace/fsck.ts";
import { landRun } from "./land.ts";
import { operate } from "./operate.ts";
import { undoOperation } from "./undo.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await agentRig({ "a.txt": "a\n" });
});
afterEach(() => rig.end());

const call = (command: string) => ({ call: [{ tool: "bash", input: { command } }] });
const signal = new AbortController().signal;

/** A run that has made a call, and is at rest. */
async function worked(name: string, command: string): Promise<void> {
  const scope = await rig.start(`The task of ${name}.`, { name });
  await runAgent(scope, { model: rig.script(call(command), { say: "Done." }), signal });
  await scope.close();
}

const said = async (name: string): Promise<string[]> => {
  const { fold } = await readScope(rig.store, name);
  return (await itemsOf(rig.store, fold.head().state!.threads.main)).map((item) => textOf(item));
};

test("the conversation begins anew, files and numbers stay, and what was before can be reached and brought back", async () => {
  await worked("one", "echo b > b.txt");
  const was = (await readScope(rig.store, "one")).fold.head();
  const done = await operate(rig.store, "one", "handoff", {
    guidance: "Mind the gap.",
    by: "anna",
    why: "It went round in circles.",
  });
  expect(done).toMatchObject({ n: 4, live: false });
  const { fold } = await readScope(rig.store, "one");
  const { state, n } = fold.head();
  expect(n).toBe(4);
  expect(state!.roots).toEqual(was.state!.roots);
  expect(await said("one")).toEqual(["Mind the gap.\n\nThe task of one."]);
  expect(fold.steps.get(4)!.sealed!.parents).toEqual([was.id]);
  // It goes on from there.
  const scope = await rig.drive("one");
  await resumeAgent(scope, { model: rig.script(call("cat b.txt"), { say: "Anew." }), signal });
  await scope.close();
  expect((await said("one")).at(-1)).toBe("Anew.");
  const [operation] = (await listOperations(rig.store, (await readScope(rig.store, "one")).ref!.workspace)).filter(
    ({ kind }) => kind === "handoff",
  );
  // It was gone on with since: that is a conflict, and nothing changes.
  const ws = { path: rig.workspace, id: operation!.workspace };
  expect((await undoOperation(rig.store, ws, operation!)).status).toBe("conflict");
  await operate(rig.store, "one", "revert", { n: 4 });
  expect((await undoOperation(rig.store, ws, operation!)).status).toBe("done");
  expect((await readScope(rig.store, "one")).fold.head().state).toEqual(was.state);
  expect((await replayLog(rig.store, fold.header.id)).wrong).toEqual([]);
  const found = [];
  for await (const finding of fsck(rig.store, { followers })) found.push(finding);
  expect(found).toEqual([]);
});

test("with the files of another run it has that run's, and landing it takes back nothing that the user did meanwhile", async () => {
  await worked("leader", "echo led > led.txt");
  writeFileSync(`${rig.workspace}/user.txt`, "of the user\n");
  await worked("follower", "echo mine > mine.txt");
  const leader = (await readScope(rig.store, "leader")).fold.head();
  const done = (await operate(rig.store, "follower", "handoff", { guidance: "", from: "leader" })) as { n: number };
  const { fold } = await readScope(rig.store, "follower");
  const step = fold.steps.get(done.n)!;
  expect(step.sealed!.state.roots).toEqual(leader.state!.roots);
  expect(step.sealed!.parents[1]).toBe(leader.id);
  expect(step.witness).toMatchObject({ from: "leader", step: 3 });
  expect(await said("follower")).toEqual(["The task of follower."]);
  const landed = await landRun(rig.store, "follower");
  expect([landed.status, landed.changes.map(({ path }) => path.toString())]).toEqual(["done", ["led.txt"]]);
  expect((await replayLog(rig.store, fold.header.id)).wrong).toEqual([]);
});

test("it is refused for who has no conversation, and of what is not there; nothing changes then", async () => {
  await worked("one", "true");
  const before = (await readScope(rig.store, "one")).fold.steps.size;
  await expect(operate(rig.store, "one", "handoff", { guidance: "x", from: "nobody" })).rejects.toThrow(
    "There is no scope nobody",
  );
  await expect(operate(rig.store, "one", "handoff", { guidance: "x", from: "one", at: 99 })).rejects.toThrow(
    "has no step 99",
  );
  await expect(operate(rig.store, "one", "handoff", { guidance: "x", expect: 1 })).rejects.toThrow(
    "stands at step 3, and not at step 1 any more",
  );
  expect((await readScope(rig.store, "one")).fold.steps.size).toBe(before);
});
