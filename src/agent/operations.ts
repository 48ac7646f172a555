/** What is done to a run from outside, by the operations that the command line has. */
import { randomUUID } from "node:crypto";
import { ask, connect, NoOwner } from "../run/connect.ts";
import { discardRun } from "../run/discard.ts";
import { hasLanded, landRun } from "../run/land.ts";
import { landsLive } from "../run/lifecycle.ts";
import { type Left, operate as operateOn, type Params } from "../run/operate.ts";
import { socketPath } from "../run/socket.ts";
import { workspacePath } from "../scope/registry.ts";
import type { Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { quotePath } from "../world/paths.ts";
import { Conflict, Invalid, publicError } from "./errors.ts";
import { askingGate, type Decide, type Handle } from "./handle.ts";
import type { Gate, Merged, Reverted } from "./run.ts";
import { settleModels } from "./settle.ts";
import { withStore } from "./stores.ts";
import { undoing } from "./undoing.ts";
import { refOf, viewIn } from "./watching.ts";

/** Works on the store of a run. Its errors are those of the family. */
async function on<T>(handle: Handle, work: (store: EmbeddedStore, name: string) => Promise<T>): Promise<T> {
  const name = await handle.named;
  try {
    return await withStore(handle.directory, (store) => work(store, name));
  } catch (error) {
    throw publicError(error, name);
  }
}

const operate = (store: EmbeddedStore, name: string, operation: string, params: Params): Promise<Json> =>
  operateOn(store, name, operation, params, { settle: settleModels, compensate: undoing(store) });

export const injectInto = (handle: Handle, text: string, id: string = randomUUID()): Promise<void> =>
  on(handle, async (store, name) => {
    if (handle.definition.body)
      throw new Invalid(`${handle.definition.name} is a code body, which is told nothing.`, { run: name });
    await operate(store, name, "inject", { id, text, by: "the program" });
  });

export const revert = (handle: Handle, n: number, acknowledge: boolean): Promise<Reverted> =>
  on(handle, async (store, name) => {
    if (!Number.isSafeInteger(n) || n < 0) throw new Invalid(`${n} is no number of a step.`, { run: name });
    const done = (await operate(store, name, "revert", { n, acknowledge })) as unknown as {
      n: number;
      outside: Left[];
    };
    const view = await viewIn(store, name);
    // A run that lands as it goes takes the directory with it.
    if (landsLive(view) && (await hasLanded(store, await workspacePath(store, view.log), view)))
      await landRun(store, name, { partly: true });
    const outside = done.outside.map((each) => ({
      ...each,
      compensated: each.compensated || each.tier === "compensable",
    }));
    return { n: done.n, outside };
  });

export const merge = (
  handle: Handle,
  { into = "directory", take, yes = false }: { into?: "directory" | "parent"; take?: "ours" | "theirs"; yes?: boolean },
): Promise<Merged> =>
  on(handle, async (store, name) => {
    if (into === "parent") return mergeIntoParent(store, name, take);
    const landed = await landRun(store, name, { ...(take && { take }), ...(yes && { confirm: async () => true }) });
    if (landed.conflicts.length > 0)
      throw bothChanged(
        name,
        landed.conflicts.map(({ path }) => quotePath(path)),
      );
    return {
      status: landed.status === "nothing" ? "nothing" : "done",
      changes: landed.changes.map(({ path, kind }) => ({ path: quotePath(path), kind })),
      held: landed.held.map(({ path, why }) => ({ path: quotePath(path), why })),
    };
  });

async function mergeIntoParent(
  store: EmbeddedStore,
  name: string,
  take: "ours" | "theirs" | undefined,
): Promise<Merged> {
  const { parent } = await refOf(store, name);
  if (parent === null) throw new Invalid(`${name} is no fork: merge lands it in its directory.`, { run: name });
  const merged = (await operate(store, parent, "merge", { from: name, take: take ?? null })) as unknown as {
    status: "done" | "conflict" | "nothing";
    conflicts: Array<{ path: string }>;
  };
  if (merged.status === "conflict")
    throw bothChanged(
      name,
      merged.conflicts.map(({ path }) => path),
    );
  return { status: merged.status, changes: [], held: [] };
}

const bothChanged = (run: string, paths: string[]): Conflict =>
  new Conflict(`Both have changed ${paths.join(", ")}, so ${run} was not merged there.`, {
    run,
    hint: "merge({ take }) says whose counts.",
  });

export const discard = async (handle: Handle): Promise<void> => {
  await handle.cancel("discarded");
  await on(handle, async (store, name) => void (await discardRun(store, name, undoing(store))));
};

/** Stops a run that another process drives, and waits until it has ended. */
export const cancelElsewhere = (handle: Handle, reason: string): Promise<void> =>
  on(handle, async (store, name) => {
    const { log } = await refOf(store, name);
    await ask(socketPath(store, log), "cancel", { by: "the program", reason }).catch((error: unknown) => {
      if (!(error instanceof NoOwner)) throw error;
    });
    await handle.result.catch(() => {});
  });

/** Asks `decide` before the calls of a run that another process drives. Resolves when it is asked. */
export const gateElsewhere = (
  handle: Handle,
  decide: Decide,
  as: string | undefined,
  closed: AbortSignal,
): Promise<{ known: Awaited<Gate["attached"]>; ended: Promise<void> }> =>
  on(handle, async (store, name) => {
    const owner = await connect(socketPath(store, (await refOf(store, name)).log), closed);
    const { attached, ended } = askingGate(owner.request, decide, as);
    void ended.then(owner.close);
    return { known: await attached, ended };
  });
