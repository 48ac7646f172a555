/** Starting a run: a scope whose step 0 is the task, on the files of main as they are now. */

import { detect } from "../scope/exec/abilities.ts";
import { isForeign } from "../scope/foreign.ts";
import { createScope, freeName, type Grants, NameError, nameFor, type ScopeRef } from "../scope/registry.ts";
import { type LiveScope, treeLink } from "../scope/scope.ts";
import { getBytes, MAIN, putItem, putItems } from "../scope/thread.ts";
import { findStep, readScope } from "../scope/view.ts";
import { encodeJson, link } from "../trace/bytes.ts";
import type { Carry, Json, Link, Session } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { writeTree } from "../world/tree.ts";
import type { Main, Workspace } from "./main.ts";

export interface Task {
  /** Which worker: the built-in agent, a command, or programs of the user's whose model calls are recorded. */
  worker: "agent" | "command" | "gateway" | "plugin";
  /** What it is to do: the first user message, or the command's words. */
  text: string;
  argv?: string[];
  /** Where the command, or the agent's shell, starts, relative to the workspace; its root without it. */
  at?: string;
  model?: string;
  /** Of the built-in agent: files that name its servers of tools. */
  mcp?: string[];
  /** For a coding agent of the user's: which plugin drives it, words for its command line, and the name under which it keeps its conversation. */
  plugin?: { name: string; args: string[]; session: string; interactive?: boolean };
  /** For an agent that a program defines: its name, what it was started with, the module it is exported from, where that is known, and whether it is a code body. */
  agent?: { name: string; input: Json; module?: string; body?: boolean };
}

export interface NewRun {
  task: Task;
  workspace: Workspace;
  name?: string;
  /** What its name is made of, where it has none; the task without. */
  like?: string;
  grants: Grants;
  meta?: { [key: string]: Json };
}

/** Makes the scope of a new run. Its step 0 is still to be written. */
export async function createRun(store: EmbeddedStore, run: NewRun): Promise<ScopeRef> {
  // So that it can be started by whoever finds it, if this process ends before step 0 is written.
  const task = await putTask(store, run.task);
  for (;;) {
    const name = run.name ?? (await freeName(store, nameFor(run.like ?? run.task.text)));
    try {
      return await createScope(store, {
        name,
        workspace: run.workspace,
        parent: null,
        origin: null,
        grants: run.grants,
        meta: { ...run.meta, task },
      });
    } catch (error) {
      if (run.name || !(error instanceof NameError)) throw error;
    }
  }
}

/** Writes the intent of step 0: the task. */
export async function beginRun(scope: LiveScope, task: Task): Promise<number> {
  const what = await putTask(scope.store, task);
  return scope.writer.intent({ kind: "run", tier: "reversible", thread: MAIN, what });
}

export const putTask = async (store: EmbeddedStore, task: Task): Promise<Link> =>
  link("json", await store.objects.put(encodeJson({ type: "task", v: 1, ...task })));

const firstMessage = (scope: LiveScope, task: Task): Promise<Link> =>
  putItem(scope.store, { role: "user", content: [{ type: "text", text: task.text }] });

/** The conversation as the outcome of step 0 will make it, for a model that is asked before. */
export async function firstSession(scope: LiveScope, task: Task): Promise<Session> {
  return { items: await putItems(scope.store, [await firstMessage(scope, task)]), shell: null };
}

/** A run starts with nothing in its `/tmp`. */
export const emptyTmp = async ({ objects }: EmbeddedStore): Promise<Link> =>
  link("tree", await writeTree(objects, { mode: 0o1777, entries: [] }));

/**
 * Writes the outcome of step 0: it stands on main's commit, with the task as first message. Where commands see the files at another path, it
 * says so: what is promised of the bytes of requests then holds but for that path.
 */
export async function placeRun(
  scope: LiveScope,
  n: number,
  main: Pick<Main, "tree" | "carry"> & { head: Pick<Main["head"], "id"> },
  task: Task,
  carry: Carry = {},
): Promise<void> {
  const { samePath } = await detect();
  await scope.writer.outcome(
    n,
    {
      status: "done",
      base: main.head.id,
      workspace: treeLink(main.tree),
      ...(task.worker === "agent" && { threads: { main: { append: [await firstMessage(scope, task)] } } }),
    },
    {
      carry: { ...main.carry, tmp: await emptyTmp(scope.store), ...carry },
      witness: { at: Date.now(), ...(!samePath && { paths: "moved" }) },
    },
  );
}

/**
 * The task of a run, from its step 0 or from that of the scope it was forked from; of one that descends from a file of somebody's, without what would
 * decide who is asked and what runs here. Throws `NameError` where it has none.
 */
export async function taskOf(store: EmbeddedStore, name: string): Promise<Task> {
  const view = await readScope(store, name);
  const found = await findStep(store, view, 0);
  const { origin, meta } = view.fold.header;
  const own = origin ? meta.task : undefined;
  const what = own ?? (found?.step.intent.kind === "run" ? found.step.intent.what : meta.task);
  if (typeof what !== "string")
    throw new NameError(`${name} was not started by \`shepherd run\`, so there is nothing to go on with.`);
  const task = JSON.parse((await getBytes(store, what as Link)).toString()) as Task;
  return (await isForeign(store, view.log)) ? foreignTask(task) : task;
}

/** What a stranger may say of a run: no model (it can be a server of theirs, or a file here), no servers of tools, no module, no words for a program
 * but a name of one of its models. */
function foreignTask({ model: _, mcp: __, plugin, agent, ...task }: Task): Task {
  const { module: ___, ...known } = agent ?? {};
  const [option, name, ...more] = Array.isArray(plugin?.args) ? plugin.args : [];
  const named = option === "--model" && more.length === 0 && /^\w[\w.:[\]/-]*$/.test(String(name));
  return {
    ...task,
    ...(plugin && { plugin: { ...plugin, args: named ? plugin.args : [] } }),
    ...(agent && { agent: known as NonNullable<Task["agent"]> }),
  };
}
