import { afterEach, beforeEach, expect, test } from "vitest";
import { tempStore } from "../../test/support/temp-store.ts";
import { claudeCode } from "../plugins/claude-code/index.ts";
import type { Task } from "../run/start.ts";
import { createScope, NO_GRANTS } from "../scope/registry.ts";
import { resolveRevision } from "../scope/revision.ts";
import { attach, record, treeLink } from "../scope/scope.ts";
import { MAIN, putBytes, putItem } from "../scope/thread.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { writeTree } from "../world/tree.ts";
import { exactStep } from "./exact.ts";

let temp: Awaited<ReturnType<typeof tempStore>>;
let store: EmbeddedStore;
beforeEach(async () => {
  temp = await tempStore();
  store = temp.store;
});
afterEach(() => temp.end());

/** A run of an agent that asked for so many calls at once: step 0, the message, and a step for each call. */
async function runOf(name: string, calls: number): Promise<void> {
  const workspace = { path: temp.directory, id: "w" };
  await createScope(store, { name, workspace, parent: null, origin: null, grants: NO_GRANTS });
  const scope = await attach(store, name);
  const task: Task = { worker: "plugin", text: "x", plugin: { name: claudeCode.name, args: [], session: "s" } };
  const files = treeLink(await writeTree(store.objects, { mode: 0o755, entries: [] }));
  const what = await putBytes(store, Buffer.from(JSON.stringify(task)));
  await record(scope, { kind: "run", tier: "reversible", what }, { status: "done", workspace: files });
  const ids = Array.from({ length: calls }, (_, i) => `${name}-${i}`);
  const content = ids.map((id) => ({ type: "call" as const, id, name: "Bash", input: {} }));
  const asked = await putItem(store, { role: "assistant", content });
  const threads = (item: typeof asked) => ({ status: "done" as const, threads: { [MAIN]: { append: [item] } } });
  await record(scope, { kind: "model", tier: "repeatable", thread: MAIN }, threads(asked));
  for (const call of ids) {
    const result = await putItem(store, { role: "result", call, status: "done", content: [] });
    await record(scope, { kind: "tool", tier: "reversible", thread: MAIN }, threads(result));
  }
  await scope.close();
}

test("the nearest step with a record is found in one reading of the run, however far it is", async () => {
  const reads: number[] = [];
  for (const calls of [20, 80]) {
    const name = `of-${calls}`;
    await runOf(name, calls);
    const found = await resolveRevision(store, `${name}@${calls}`, null);
    let count = 0;
    const counting = <T extends object>(objects: T): T =>
      new Proxy(objects, {
        get: (of, key) => {
          if (key === "get") count++;
          return Reflect.get(of, key);
        },
      });
    const counted = { ...store, objects: counting(store.objects), derived: counting(store.derived) };
    await expect(exactStep(counted, found.view.ref!, found, {})).rejects.toThrow(
      `Step 0 is the nearest where it has one: --nearest goes there.`,
    );
    reads.push(count);
  }
  // Not sixteen times as many.
  expect(reads[1]! / reads[0]!).toBeLessThan(5);
});
