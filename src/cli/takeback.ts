/** Effects of a run that only its program knows how to take back: the module that `resume` loads does it. */
import { taskOf } from "../run/start.ts";
import { listOperations } from "../scope/operations.ts";
import { listScopes, type ScopeRef } from "../scope/registry.ts";
import { Refused } from "../scope/revert.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { Exit } from "./errors.ts";
import type { Known } from "./program.ts";
import type { Context } from "./verb.ts";

/**
 * Does `work`. Where that needs an undo that is not known here it has changed nothing, and the module that the run was started from does `instead`.
 * Throws as `work` does where the run names no module, as one that came out of a file never does.
 */
export async function orByItsProgram<T>(
  context: Context,
  run: ScopeRef,
  work: () => Promise<T>,
  instead: (known: Known) => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const store = await context.store();
    const module = error instanceof Refused ? await moduleOf(store, run) : undefined;
    if (module === undefined) throw error;
    const { agentIn, refusalOf } = await import("./program.ts");
    const agent = await agentIn(context.cwd, module).catch((why: unknown) => {
      throw new Exit(3, `${(error as Error).message} ${why instanceof Error ? why.message : String(why)}`);
    });
    return instead(agent.run(run.name, { store: store.directory })).catch((why: unknown) => {
      throw why instanceof Error ? refusalOf(why) : why;
    });
  }
}

/** The module of a run, or of the one that called it. */
async function moduleOf(store: EmbeddedStore, { name, log }: ScopeRef): Promise<string | undefined> {
  const task = await taskOf(store, name).catch(() => null);
  const call = (await store.logs.header(log))?.meta.call as { log?: string } | undefined;
  if (!call || task?.agent?.module !== undefined) return task?.agent?.module;
  const caller = (await listScopes(store)).find((each) => each.log === call.log);
  return caller && moduleOf(store, caller);
}

/** The number of the newest operation of a kind on a run. */
export async function newestOperation(
  store: EmbeddedStore,
  { workspace, log }: ScopeRef,
  kind: "revert" | "discard",
): Promise<number> {
  const operations = await listOperations(store, workspace);
  return operations.findLast((each) => each.log === log && each.kind === kind)!.op;
}
