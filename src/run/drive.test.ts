import { afterEach, beforeEach, expect, test } from "vitest";
import { agentRig, framesOf, type Rig } from "../../test/support/agent-rig.ts";
import { findScope } from "../scope/registry.ts";
import { drive } from "./drive.ts";
import { ask, socketPath } from "./socket.ts";

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
