import { afterEach, beforeEach, expect, test } from "vitest";
import { agentRig, framesOf, type Rig } from "../../test/support/agent-rig.ts";
import { tell } from "../agent/message.ts";
import { findScope } from "../scope/registry.ts";
import { readScope } from "../scope/view.ts";
import { ask } from "./connect.ts";
import { makeControl } from "./control.ts";
import { drive } from "./drive.ts";
import { socketPath } from "./socket.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await agentRig({ "a.txt": "a\n" });
});
afterEach(() => rig.end());

/** A promise and what resolves it. */
function gate(): { open: () => void; opened: Promise<void> } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

test("an operation that waits for the worker to stop is left if whoever asked for it goes away meanwhile", async () => {
  const first = await rig.start();
  await first.close();
  const asked = gate();
  const stops = gate();
  let reverts = 0;
  const driven = drive(rig.store, "fix", {
    signal: new AbortController().signal,
    worker: {
      name: "slow to stop",
      work: async (_scope, signal, restarted) => {
        if (restarted) return "done";
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        asked.open();
        await stops.opened;
        return "aborted";
      },
    },
    ended: async (scope) => {
      const frames = await framesOf(scope);
      reverts = frames.filter(({ phase, facts }) => phase === "intent" && facts.kind === "revert").length;
    },
  });
  const path = socketPath(rig.store, (await findScope(rig.store, "fix"))!.log);
  const leaves = new AbortController();
  const tried = (async (): Promise<unknown> => {
    for (;;) {
      try {
        return await ask(path, "revert", { n: 0 }, undefined, leaves.signal);
      } catch (error) {
        // Nobody listens yet.
        if (leaves.signal.aborted) return error;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
  })();
  await asked.opened;
  const stays = ask(path, "revert", { n: 0 });
  leaves.abort(new Error("Ctrl-C"));
  expect(((await tried) as Error).message).toBe("Ctrl-C");
  // The owner has seen that it is gone once it answers another.
  await expect(ask(path, "no such request")).rejects.toThrow("knows no request");
  stops.open();
  expect(await stays).toMatchObject({ outside: [] });
  expect(await driven).toBe("done");
  expect(reverts).toBe(1);
});

test("a worker that hears is called again for what came when it did not listen any more, and not where it does not take it", async () => {
  const first = await rig.start();
  await first.close();
  const path = socketPath(rig.store, (await findScope(rig.store, "fix"))!.log);
  const inject = (id: string) => ask(path, "inject", { id, text: `say ${id}`, by: "anna" });
  const seen: string[][] = [];
  await drive(rig.store, "fix", {
    signal: new AbortController().signal,
    worker: {
      name: "hears",
      hears: true,
      work: async (scope, _signal, _restarted, { inbox }) => {
        const waiting = await inbox.read();
        seen.push(waiting.map(({ text }) => text));
        if (seen.length === 1) for (const id of ["a", "b", "a"]) await inject(id);
        // The second time it leaves one, the third time all.
        if (seen.length === 2) await tell(scope, "main", waiting.slice(0, 1));
        return "done";
      },
    },
  });
  expect(seen).toEqual([[], ["say a", "say b"], ["say b"]]);
  // It waits for whoever goes on.
  const { fold } = await readScope(rig.store, "fix");
  expect([...fold.notes.keys()].filter((name) => name.startsWith("inject"))).toEqual(["inject a", "inject b"]);
  await drive(rig.store, "fix", {
    signal: new AbortController().signal,
    worker: {
      name: "hears not",
      work: async (_scope, _signal, _restarted, { inbox }) => {
        seen.push(inbox.waiting().map(({ id }) => id));
        return "done";
      },
    },
  });
  expect(seen.slice(3)).toEqual([["b"]]);
});

test("a pause holds back whoever asks until it ends, and lets go where the run is stopped", async () => {
  const scope = await rig.start();
  const { unpaused, methods } = makeControl(scope);
  const pause = (on: boolean) => methods[on ? "pause" : "resume"]!({ by: "anna" }, async () => {}, NEVER);
  await unpaused(NEVER);
  await pause(true);
  const stop = new AbortController();
  const order: string[] = [];
  const held = unpaused(NEVER).then(() => order.push("goes on"));
  const stopped = unpaused(stop.signal).catch((error: Error) => order.push(error.message));
  stop.abort(new Error("stopped"));
  await stopped;
  order.push("resumed");
  expect(await pause(false)).toBe(true);
  await held;
  expect(order).toEqual(["stopped", "resumed", "goes on"]);
  expect(await pause(false)).toBe(false);
  const states = (await framesOf(scope)).flatMap(({ facts }) => (facts.note === "run" ? [facts.state] : []));
  expect(states).toEqual(["paused", "resumed"]);
});

const NEVER = new AbortController().signal;
