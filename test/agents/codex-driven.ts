/** A run of the real Codex that this process drives, so that handlers stand between its calls and the scope. */
import { randomUUID } from "node:crypto";
import { type Coding, openCoding } from "../../src/cli/coding.ts";
import type { Output } from "../../src/cli/output.ts";
import { drive } from "../../src/run/drive.ts";
import { lookAtMain } from "../../src/run/main.ts";
import { beginRun, createRun, placeRun, type Task } from "../../src/run/start.ts";
import type { Handler } from "../../src/scope/effect.ts";
import { type Files, openFilesOf } from "../../src/scope/files.ts";
import { NO_GRANTS } from "../../src/scope/registry.ts";
import type { LiveScope } from "../../src/scope/scope.ts";
import { getBytes } from "../../src/scope/thread.ts";
import type { Link } from "../../src/trace/ports.ts";
import { openStore } from "../../src/trace/store.ts";
import type { Rig } from "./codex-rig.ts";

export interface Driven {
  ending: string;
  /** Why it was ended, if it did not keep to what it was told. */
  broken: string | null;
}

/** Runs a task to its end. @param args more words for its command line; `each`: called with the files before its agent starts */
export async function driven(
  rig: Rig,
  handlers: Handler[],
  args: string[] = [],
  each?: (files: Files) => void,
): Promise<Driven> {
  const before = { ...process.env };
  // The agent is found, configured and led to its provider by the environment of the process that drives it.
  Object.assign(process.env, rig.env);
  const out = { warn: () => {}, line: () => {} } as unknown as Output;
  const store = await openStore(rig.store);
  let coding: Coding | null = null;
  try {
    const main = await lookAtMain(store, rig.project);
    const task: Task = { worker: "plugin", text: "go", plugin: { name: "codex", args, session: randomUUID() } };
    await createRun(store, { task, workspace: main.workspace, name: "it", grants: NO_GRANTS });
    let live: LiveScope | null = null;
    coding = await openCoding(store, out, task);
    const { agent } = coding;
    const ending = await drive(store, "it", {
      signal: new AbortController().signal,
      handlers,
      files: ({ ref, parent, grants }) => openFilesOf(store, ref, { parent, grants, agent }),
      worker: coding.worker(rig.project, task.text),
      prepared: async (scope) => {
        await coding!.prepare(scope);
        await placeRun(scope, await beginRun(scope, task), main, task, await coding!.carry(rig.project));
        const { state, carry } = scope.head();
        await scope.files!.restore(state!.roots.workspace, carry, main.sources);
        live = scope;
        each?.(scope.files!);
      },
    });
    const why = (live as LiveScope | null)?.writer.fold.notes.get("broken")?.facts.why as Link | undefined;
    return { ending, broken: why === undefined ? null : (await getBytes(store, why)).toString() };
  } finally {
    await coding?.close();
    await store.close();
    for (const name of Object.keys(rig.env)) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
}

/** A handler for calls whose input has a text in it. */
export const on = (text: string, answer: Awaited<ReturnType<Handler["handle"]>>): Handler => ({
  name: "test",
  handle: ({ kind, input }) => (kind === "tool" && JSON.stringify(input).includes(text) ? answer : { kind: "forward" }),
});
