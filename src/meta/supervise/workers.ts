/** The runs that a supervisor starts: each a run of its own, all on the commit of main on which the supervisor stands. */
import { beginRun, createRun, placeRun, type Task } from "../../run/start.ts";
import {
  findScope,
  freeName,
  type Grants,
  listScopes,
  nameFor,
  type ScopeRef,
  workspacePath,
} from "../../scope/registry.ts";
import { attach, type LiveScope } from "../../scope/scope.ts";
import { findStep, readScope } from "../../scope/view.ts";
import { target } from "../../trace/bytes.ts";
import type { Carry, Hash, State } from "../../trace/ports.ts";
import type { EmbeddedStore } from "../../trace/store.ts";

/** A task for a worker. */
export interface Wanted {
  /** Name of its run; made of the task's words without it. */
  readonly name?: string;
  readonly task: Task;
  /** Patterns of the files that it is meant to work in; empty: anywhere. */
  readonly paths: readonly string[];
}

/** Where a supervisor stands: what all of its workers begin with. */
export interface Base {
  readonly log: string;
  readonly workspace: { path: string; id: string };
  /** Commit of main. */
  readonly id: Hash;
  readonly state: State;
  readonly carry: Carry;
}

export async function baseOf(store: EmbeddedStore, supervisor: string): Promise<Base> {
  const view = await readScope(store, supervisor);
  const first = (await findStep(store, view, 0))?.step;
  if (!first?.sealed) throw new Error(`${supervisor} does not stand on main yet.`);
  return {
    log: view.log,
    workspace: { path: await workspacePath(store, view.log), id: view.ref!.workspace },
    id: first.outcome!.base as Hash,
    state: first.sealed.state,
    carry: first.sealed.carry,
  };
}

/** A mark in the head of a log: which supervisor has made it, and which of those that it makes it is. */
type Made = { log: string; at: string };

/** The scope that a supervisor has made under a mark; null where it has not. */
export async function madeBy(store: EmbeddedStore, { log }: Pick<Base, "log">, at: string): Promise<ScopeRef | null> {
  for (const scope of await listScopes(store)) {
    const made = (await store.logs.header(scope.log))?.meta.supervised as Made | undefined;
    if (made?.log === log && made.at === at) return scope;
  }
  return null;
}

export const markOf = ({ log }: Pick<Base, "log">, at: string): { supervised: Made } => ({ supervised: { log, at } });

export interface StartOptions {
  grants(task: Task): Promise<Grants>;
  /** What it starts with besides the files: the configuration of a coding agent. */
  carry(task: Task): Promise<Carry>;
}

/** Makes the run of a worker, at its first step, unless it is made already. Gives its name. Synced at return. */
export async function makeWorker(
  store: EmbeddedStore,
  base: Base,
  at: number,
  { name, task }: Wanted,
  options: StartOptions,
): Promise<string> {
  const made = (await madeBy(store, base, `worker ${at}`)) ?? (await create());
  // Made, and killed before it stood anywhere.
  if (!(await readScope(store, made.name)).fold.steps.get(0)?.outcome) await stand(made.name);
  return made.name;

  async function create(): Promise<ScopeRef> {
    const wanted = name ?? nameFor(task.text);
    return createRun(store, {
      task,
      workspace: base.workspace,
      name: await freeName(store, wanted),
      grants: await options.grants(task),
      meta: markOf(base, `worker ${at}`),
    });
  }

  async function stand(run: string): Promise<void> {
    const carry = { ...base.carry, ...(await options.carry(task)) };
    const scope: LiveScope = await attach(store, run);
    try {
      const first = scope.writer.fold.steps.get(0);
      const n = first ? first.n : await beginRun(scope, task);
      await placeRun(scope, n, { head: { id: base.id }, tree: target(base.state.roots.workspace), carry }, task);
      await scope.writer.sync();
    } finally {
      await scope.close();
    }
  }
}

/** Whether a run is one that a supervisor has made, and so may stop and start. */
export const isOwn = async (store: EmbeddedStore, { log }: Pick<Base, "log">, run: string): Promise<boolean> => {
  const ref = await findScope(store, run);
  const made = ref && ((await store.logs.header(ref.log))?.meta.supervised as Made | undefined);
  return made?.log === log;
};
