/** Landing: what of a run is to come into main, and what of that is to be taken back. */

import { editsLeftBehind, undoneIn } from "../scope/history.ts";
import { baseTree, mergeTaking, putConflicts, type Take, woven } from "../scope/merge.ts";
import type { Operation } from "../scope/operations.ts";
import { mainLog, workspaceOf, workspacePath } from "../scope/registry.ts";
import type { Undone } from "../scope/undo.ts";
import { before, readLog, readScope, type View } from "../scope/view.ts";
import { target } from "../trace/bytes.ts";
import { isReadOnly } from "../trace/disk.ts";
import type { Hash, State } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import type { Conflict, Resolved } from "../world/merge.ts";
import { checkExpected } from "./expect.ts";
import { keepEdits } from "./landing/keep.ts";
import { type LookOptions, withWriter } from "./main.ts";
import { peekAtMain } from "./peek.ts";
import { freshMain, type Landed, type LandOptions, nothingLanded, place } from "./placing.ts";

/** Merges a run into the directory that it was started from. */
export async function landRun(store: EmbeddedStore, name: string, options: LandOptions = {}): Promise<Landed> {
  const view = await readScope(store, name);
  if (view.ref) checkExpected({ ref: view.ref, fold: view.fold }, options.expect);
  const directory = await workspacePath(store, view.log);
  const head = view.fold.head();
  if (!head.id || !head.state) throw new Error(`${name} has not started yet, so there is nothing to land.`);
  const main = await freshMain(store, directory, options);
  const nothing = nothingLanded(main);
  const merged = await mergeIntoMain(store, main, { id: head.id, state: head.state }, options.take);
  if (!merged) return nothing;
  const { tree, conflicts } = merged;
  const kept = merged.kept.map(({ path, why }) => ({ path, why }));
  const resolved = merged.resolved.map(({ path, how }) => ({ path, how }));
  // It would count as merged, with nothing that an undo could take back: the run's side could not be reached any more.
  if (kept.length > 0 && tree === main.tree) return { ...nothing, kept };
  // What main names as merged must not be lost before that.
  await store.logs.sync(view.log);
  const refused = conflicts.length > 0 && !options.partly;
  const disputed = refused ? conflicts : [...conflicts, ...merged.resolved];
  const conflict = disputed.length > 0 ? await putConflicts(store, disputed) : null;
  if (refused) {
    const told = conflicts.map(({ path, why }) => ({ path, why }));
    if (options.dryRun) return { ...nothing, status: "conflict", conflicts: told };
    await withWriter(store, main.log, async (writer) => {
      const n = await writer.intent(
        { kind: "landing", tier: "reversible", of: head.id! },
        { witness: { ...options.witness, from: name } },
      );
      await writer.outcome(n, { status: "conflict", conflict: conflict! }, { witness: { at: Date.now() } });
      await writer.sync();
    });
    return { ...nothing, status: "conflict", conflicts: told };
  }
  const to = { tree, from: name, of: head.id, conflict, undoes: null };
  return { ...(await place(store, main, to, conflicts, options)), kept, resolved };
}

/** The files of main with what a run changed: the user's where both changed a place, unless `take` decides. Null if main has all of it. */
async function mergeIntoMain(
  store: EmbeddedStore,
  main: { head: { id: Hash }; tree: Hash },
  head: { id: Hash; state: State },
  take?: Take,
): Promise<{ tree: Hash; conflicts: Conflict[]; kept: Conflict[]; resolved: Resolved[] } | null> {
  const { tree: base, bases } = await baseTree(store, main.head.id, head.id);
  if (bases.includes(head.id)) return null;
  const merged = await mergeTaking(store, base, main.tree, target(head.state.roots.workspace), take);
  if (take === "theirs") return { ...merged, kept: [], resolved: [] };
  const kept = await keepEdits(store.objects, await editsLeftBehind(store, head.id), main.tree, merged.tree);
  if (take === "ours") {
    const left = [...merged.conflicts, ...merged.resolved, ...kept.conflicts];
    return { tree: kept.tree, conflicts: [], kept: left, resolved: [] };
  }
  const both = woven(merged.resolved).filter(({ path }) => !kept.conflicts.some((each) => each.path.equals(path)));
  return { tree: kept.tree, conflicts: [...merged.conflicts, ...kept.conflicts], kept: [], resolved: both };
}

export interface Preview {
  from: Hash;
  to: Hash;
  conflicts: Landed["conflicts"];
  /** Where both are to be read. */
  store: EmbeddedStore;
}

/**
 * What landing a run would make of the user's directory, where both changed a place with the user's side: both as trees. The look is written down
 * where the store takes that.
 */
export async function previewLanding(
  written: EmbeddedStore,
  name: string,
  options: LookOptions = {},
): Promise<Preview> {
  const view = await readScope(written, name);
  const directory = await workspacePath(written, view.log);
  const main = await freshMain(written, directory, options).catch((error: unknown) => {
    if (!isReadOnly(error)) throw error;
    return peekAtMain(written, directory, error, options);
  });
  const store = "store" in main ? main.store : written;
  const same: Preview = { from: main.tree, to: main.tree, conflicts: [], store };
  const head = view.fold.head();
  if (!head.id || !head.state) return same;
  const merged = await mergeIntoMain(store, main, { id: head.id, state: head.state });
  if (!merged) return same;
  return { ...same, to: merged.tree, conflicts: merged.conflicts.map(({ path, why }) => ({ path, why })) };
}

/** Whether something of a run stands in the directory that it was started from: it has landed, and that was not taken back. */
export async function hasLanded(store: EmbeddedStore, directory: string, { ref, fold: run }: View): Promise<boolean> {
  const { fold } = await readLog(store, await mainLog(store, workspaceOf(directory)));
  const undone = undoneIn(fold.sealed);
  // A name may have been another run's before.
  const commits = new Set<unknown>([run.header.origin?.commit, ...run.sealed.map(({ sealed }) => sealed!.id)]);
  return fold.sealed.some(
    ({ intent, witness, outcomeWitness, sealed }) =>
      intent.kind === "landing" &&
      witness.from === ref?.name &&
      commits.has(intent.of) &&
      outcomeWitness.acted === true &&
      !undone.has(sealed!.id),
  );
}

/** Takes a landing back, path by path, where the user has not changed it since. */
export async function undoLanding(
  store: EmbeddedStore,
  workspace: { path: string; id: string },
  operation: Operation,
  options: LandOptions = {},
): Promise<Undone> {
  const main = await freshMain(store, workspace.path, options);
  const view = await readLog(store, main.log);
  const step = operation.n === null ? undefined : view.fold.steps.get(operation.n);
  const was = step && before(view.fold, step);
  if (!step?.sealed || !was?.state) throw new Error(`Operation ${operation.op} left nothing that could be taken back.`);
  const { tree, conflicts } = await mergeTaking(
    store,
    target(step.sealed.state.roots.workspace),
    main.tree,
    target(was.state.roots.workspace),
  );
  // What the user changed since stays; everything else goes back.
  const conflict = conflicts.length > 0 ? await putConflicts(store, conflicts) : null;
  const from = String(operation.details.from ?? "");
  const to = { tree, from, of: step.sealed.id, conflict, undoes: operation };
  const landed = await place(store, main, to, conflicts, options);
  return {
    op: landed.op ?? 0,
    n: null,
    status: landed.conflicts.length === 0 ? "done" : "conflict",
    conflicts: landed.conflicts,
    threads: [],
  };
}
