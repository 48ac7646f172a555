/** New runs that are started from another one: beside it, or on its files at a step. They may do no more than it may. */
import { type Actor, asParams, witnessBy } from "../run/actor.ts";
import { checkExpected, type Expected } from "../run/expect.ts";
import { operate } from "../run/operate.ts";
import { createRun, putTask, type Task } from "../run/start.ts";
import { type Beginning, forkScope } from "../scope/fork.ts";
import { attenuate, type Grants, grantsOf, listScopes, workspacePath } from "../scope/registry.ts";
import { record } from "../scope/scope.ts";
import { MAIN, putItem } from "../scope/thread.ts";
import { readScope } from "../scope/view.ts";
import type { Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";

export interface Spawning {
  by: Actor;
  expect?: Expected | undefined;
  /** The same for each attempt: what an earlier one has made is not made again. */
  key?: string | undefined;
  /** The step of the other run on whose files it begins; those of the directory without it. */
  at?: number | undefined;
}

/** The note by which a run names one that was started from it. */
const NOTE = "spawned ";

export const spawnedBy = (notes: ReadonlyMap<string, unknown>): string[] =>
  [...notes.keys()].filter((note) => note.startsWith(NOTE)).map((note) => note.slice(NOTE.length));

/** Makes a run, which is still to be driven. Gives its name. Synced at return. */
export async function spawnRun(
  store: EmbeddedStore,
  beside: string,
  task: Task,
  { by, expect, key, at }: Spawning,
): Promise<string> {
  const view = await readScope(store, beside);
  const known = key === undefined ? null : await madeUnder(store, key);
  if (known !== null) return known;
  checkExpected({ ref: view.ref!, fold: view.fold }, expect);
  const witness = await witnessBy(store, asParams(by));
  const meta: { [key: string]: Json } = {
    spawned: { ...witness, from: beside },
    ...(key !== undefined && { made: key }),
  };
  const name =
    at === undefined ? await fresh(store, beside, view.log, task, meta) : await forked(store, beside, at, task, meta);
  await operate(store, beside, "note", { n: null, facts: { note: NOTE + name }, ...asParams(by) });
  return name;
}

async function madeUnder(store: EmbeddedStore, key: string): Promise<string | null> {
  for (const { name, log } of await listScopes(store))
    if ((await store.logs.header(log))?.meta.made === key) return name;
  return null;
}

/** What a run may do that a task is given to: what the other may, and a coding agent no more than one that is started anew. */
const grantsFor = (parent: Grants, { worker }: Task): Grants =>
  attenuate(parent, worker === "plugin" ? { network: parent.network ?? "proxy" } : {});

async function fresh(
  store: EmbeddedStore,
  beside: string,
  log: string,
  task: Task,
  meta: { [key: string]: Json },
): Promise<string> {
  const { workspace: id } = (await readScope(store, beside)).ref!;
  const workspace = { path: await workspacePath(store, log), id };
  const { name } = await createRun(store, {
    task,
    workspace,
    grants: grantsFor(await grantsOf(store, log), task),
    ...(task.agent && { like: task.agent.name }),
    meta,
  });
  return name;
}

async function forked(
  store: EmbeddedStore,
  beside: string,
  at: number,
  task: Task,
  meta: { [key: string]: Json },
): Promise<string> {
  const { log } = await readScope(store, beside);
  const [ref] = await forkScope(store, beside, at, {
    grants: grantsFor(await grantsOf(store, log), task),
    meta: { ...meta, task: await putTask(store, task) },
    begin: (begun) => beginAnew(begun, task),
    note: async (facts) => {
      await operate(store, beside, "note", { n: null, facts: { ...facts } });
    },
  });
  return ref!.name;
}

/** A scope that was forked for another task begins as behind a handoff: with the files, and with a conversation of its own. */
export async function beginAnew(begun: Beginning, task: Task): Promise<void> {
  // A command has no conversation.
  if (task.worker === "command" || task.worker === "gateway") return;
  const what = await putItem(begun.store, {
    role: "user",
    content: [{ type: "text", text: task.text.toWellFormed() }],
  });
  const { roots } = begun.head().state!;
  await record(
    begun,
    { kind: "handoff", tier: "reversible", thread: MAIN, what },
    {
      status: "done",
      state: { roots, threads: {} },
      ...(task.worker === "agent" && { threads: { [MAIN]: { append: [what] } } }),
    },
  );
}
