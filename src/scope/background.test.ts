import { existsSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { agentRig, type Rig } from "../../test/support/agent-rig.ts";
import { until } from "../../test/support/user.ts";
import type { Effect } from "./effect.ts";
import type { LiveScope } from "./scope.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await agentRig({ "a.txt": "a\n" });
});
afterEach(() => rig.end());

/** A call of bash; gives what stands beside its outcome. */
async function bash(scope: LiveScope, command: string) {
  const effect: Effect = {
    intent: { kind: "tool", tier: "reversible" },
    name: "bash",
    input: null,
    lock: "exclusive",
    run: async () => {
      const sandbox = await scope.files!.sandbox();
      await sandbox.exec({ argv: ["bash", "-c", command] });
      return { status: "done" };
    },
    refused: async () => ({ status: "denied" }),
  };
  const { n, settled } = await scope.begin(effect, new AbortController().signal);
  await settled;
  return scope.writer.fold.steps.get(n)!;
}

test("what no state can hold is told, also where a process of an earlier call has made it", async () => {
  const scope = await rig.start();
  await bash(scope, "(until [ -e go ]; do sleep 0.01; done; mkfifo pipe; echo b > b.txt) >/dev/null 2>&1 &");
  // Between the calls.
  const sandbox = await scope.files!.sandbox();
  await sandbox.exec({ argv: ["touch", "go"] });
  await until(() => existsSync(`${scope.files!.host}/b.txt`));
  const next = await bash(scope, "mkfifo other");
  expect(next.outcome).toMatchObject({ background: true });
  expect(next.outcomeWitness).toMatchObject({ leftOut: { fifo: 2 } });
});
