import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { agentRig, type Rig } from "../../test/support/agent-rig.ts";
import type { EffectView } from "../scope/effect.ts";
import { landLive } from "./live.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await agentRig({ "a.txt": "a\n" });
});
afterEach(() => rig.end());

const view = { kind: "tool", tier: "reversible" } as EffectView;
const never = new AbortController().signal;

test("a call does not wait for the user's changes where the commit before them waits for that call", async () => {
  const scope = await rig.start();
  const before = scope.head().n;
  const stops: string[] = [];
  const live = landLive(scope, rig.workspace, { onStop: (why) => stops.push(why) });
  const begin = () => Promise.resolve(live.handler.handle(view, never));
  const n = await scope.writer.intent({ kind: "tool", tier: "reversible" });
  const first = scope.lock.request("exclusive");
  writeFileSync(`${rig.workspace}/mine.txt`, "mine\n");
  const waits = new Promise<void>((resolve) => {
    const { request } = scope.lock;
    scope.lock.request = (mode, ahead) => {
      resolve();
      return request(mode, ahead);
    };
  });
  const second = begin();
  await waits;
  // The first has ended, and is told only once both have.
  const { workspace } = scope.head().state!.roots;
  await scope.writer.part(n, { part: "files", workspace });
  first.release();
  expect(await second).toEqual({ kind: "forward" });
  expect(scope.head().n).toBe(before);
  await scope.writer.outcome(n, { status: "done", workspace });
  await begin();
  const { steps } = scope.writer.fold;
  expect(steps.get(scope.head().n)).toMatchObject({ intent: { kind: "sync" }, outcome: { status: "done" } });
  expect(await live.end()).toBe(true);
  expect(stops).toEqual([]);
});
