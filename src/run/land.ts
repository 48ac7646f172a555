/** Landing: a run's files merged into main, written down as a step of main before and after the user's directory is touched. */

import { baseTree, mergeTaking, putConflicts, type Take } from "../scope/merge.ts";
import { type Operation, orphans, planOperation, updateOperation } from "../scope/operations.ts";
import { workspaceOf, workspacePath } from "../scope/registry.ts";
import { treeLink } from "../scope/scope.ts";
import type { Undone } from "../scope/undo.ts";
import { before, readLog, readScope } from "../scope/view.ts";
import { encodeJson, link, target } from "../trace/bytes.ts";
import type { Hash, Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { land, recoverLanding } from "./landing/land.ts";
import { type Change, decodePlan, encodePlan, planLanding } from "./landing/plan.ts";
import { captureMain, carryOf, lookAtMain, type Main, withWriter } from "./main.ts";

export interface LandOptions {
  signal?: AbortSignal;
  onProgress?: (text: string) => void;
  dryRun?: boolean;
  take?: Take;
  /** Asked for each file that runs code later. Without it none of those lands. */
  confirm?: (path: string, why: string) => Promise<boolean>;
}

export interface Landed {
  status: "done" | "conflict" | "nothing";
  op: number | null;
  directory: string;
  changes: Array<{ path: Buffer; kind: "added" | "deleted" | "modified" }>;
  /** Paths that were left as the user has them. */
  conflicts: Array<{ path: Buffer; why: string }>;
  /** Files that run code later, and were not allowed. */
  held: Array<{ path: Buffer; why: string }>;
}

/** Merges a run into the directory that it was started from. */
export async function landRun(
  store: EmbeddedStore,
  _cwd: string,
  name: string,
  options: LandOptions = {},
): Promise<Landed> {
  const view = await readScope(store, name);
  const directory = await workspacePath(store, view.log);
  const head = view.fold.head();
  if (!head.id || !head.state) throw new Error(`${name} has not started yet, so there is nothing to land.`);
  await recoverLandings(store, directory);
  const main = await lookAtMain(store, directory, options);
  const { tree: base, bases } = await baseTree(store, main.head.id, head.id);
  const nothing: Landed = { status: "nothing", op: null, directory, changes: [], conflicts: [], held: [] };
  if (bases.includes(head.id)) return nothing;
  const { tree, conflicts } = await mergeTaking(
    store,
    base,
    main.tree,
    target(head.state.roots.workspace),
    options.take,
  );
  if (conflicts.length > 0) {
    const told = conflicts.map(({ path, why }) => ({ path, why }));
    if (options.dryRun) return { ...nothing, status: "conflict", conflicts: told };
    const conflict = await putConflicts(store, conflicts);
    await withWriter(store, main.log, async (writer) => {
      const n = await writer.intent({ kind: "landing", tier: "reversible", of: head.id! }, { witness: { from: name } });
      await writer.outcome(n, { status: "conflict", conflict }, { witness: { at: Date.now() } });
      await writer.sync();
    });
    return { ...nothing, status: "conflict", conflicts: told };
  }
  return place(store, main, { tree, from: name, head: head.id, undoes: null }, options);
}

interface Target {
  tree: Hash;
  from: string;
  /** The commit that main has merged when all of it has landed. */
  head: Hash | null;
  /** The operation that this takes back. */
  undoes: Operation | null;
}

const kindOf = (change: Change): "added" | "deleted" | "modified" =>
  change.expected === null ? "added" : change.next === null ? "deleted" : "modified";

/** Makes the user's directory, as it was looked at, into `to.tree`. */
async function place(store: EmbeddedStore, main: Main, to: Target, options: LandOptions): Promise<Landed> {
  const directory = main.workspace.path;
  const all = await planLanding(store.objects, main.tree, to.tree);
  const held: Landed["held"] = all.refused.map(({ path, text }) => ({ path, why: text }));
  const changes: Change[] = [];
  for (const change of all.changes) {
    const allowed =
      change.asks === null ||
      options.dryRun ||
      to.undoes !== null ||
      (await options.confirm?.(change.path.toString(), change.asks));
    if (allowed) changes.push(change);
    else held.push({ path: change.path, why: change.asks! });
  }
  const told = changes.map((change) => ({ path: change.path, kind: kindOf(change) }));
  const result = (part: Partial<Landed>): Landed => ({
    status: "done",
    op: null,
    directory,
    changes: told,
    conflicts: [],
    held,
    ...part,
  });
  if (options.dryRun) return result({});
  return withWriter(store, main.log, async (writer) => {
    const plan = link("json", await store.objects.put(encodeJson(encodePlan(changes))));
    await store.objects.sync();
    const operation = await planOperation(store, {
      kind: to.undoes ? "undo" : "landing",
      workspace: main.workspace.id,
      scope: "main",
      log: main.log,
      plan,
      undoes: to.undoes?.op ?? null,
      details: { from: to.from, directory },
    });
    const kind = to.undoes ? ("undo" as const) : ("landing" as const);
    const n = await writer.intent(
      { kind, tier: "reversible", what: plan, ...(to.head && { of: to.head }) },
      { witness: { op: operation.op, from: to.from } },
    );
    await writer.sync();
    const done = await land({
      dir: directory,
      id: String(operation.op),
      changes,
      objects: store.objects,
      sync: () => store.objects.sync(),
      ...(options.signal && { signal: options.signal }),
    });
    const whole = done.conflicts.length === 0 && held.length === 0;
    const after = whole ? null : await captureMain(store, main.workspace, {});
    const displaced: Link[] = done.displaced.map(({ link: of }) => of);
    await writer.outcome(
      n,
      {
        status: done.conflicts.length === 0 ? "done" : "conflict",
        workspace: treeLink(after ? after.tree : to.tree),
        ...(whole && to.head && { with: to.head }),
      },
      { carry: after ? carryOf(after) : main.carry, witness: { at: Date.now(), displaced } },
    );
    await writer.sync();
    await updateOperation(store, operation, { state: "done", n });
    return result({
      op: operation.op,
      status: done.conflicts.length > 0 ? "conflict" : "done",
      conflicts: done.conflicts.map(({ path, why }) => ({ path, why })),
    });
  });
}

/** Takes a landing back, path by path, where the user has not changed it since. */
export async function undoLanding(
  store: EmbeddedStore,
  workspace: { path: string; id: string },
  operation: Operation,
  options: LandOptions = {},
): Promise<Undone> {
  await recoverLandings(store, workspace.path);
  const main = await lookAtMain(store, workspace.path, options);
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
  const landed = await place(
    store,
    main,
    { tree, from: String(operation.details.from ?? ""), head: null, undoes: operation },
    options,
  );
  const all = [...conflicts.map(({ path, why }) => ({ path, why: String(why) })), ...landed.conflicts];
  if (all.length === 0) await updateOperation(store, operation, { state: "undone" });
  return { op: landed.op ?? 0, n: null, status: all.length === 0 ? "done" : "conflict", conflicts: all, threads: [] };
}

/** Finishes or takes back landings that a crash cut short. */
export async function recoverLandings(store: EmbeddedStore, directory: string): Promise<void> {
  const workspace = workspaceOf(directory);
  for (const operation of await orphans(store, workspace.id)) {
    if (operation.scope !== "main" || !operation.plan) continue;
    await withWriter(store, operation.log, async (writer) => {
      const bytes = await store.objects.get(target(operation.plan!));
      if (!bytes) return;
      const changes = decodePlan(JSON.parse(Buffer.from(bytes).toString()));
      const done = await recoverLanding({
        dir: workspace.path,
        id: String(operation.op),
        changes,
        objects: store.objects,
        sync: () => store.objects.sync(),
      });
      const step = writer.fold.pending().find((each) => each.witness.op === operation.op);
      if (step) {
        const after = await captureMain(store, workspace, {});
        const displaced: Link[] = done.displaced.map(({ link: of }) => of);
        await writer.outcome(
          step.n,
          {
            status: done.finished ? "done" : "aborted",
            workspace: treeLink(after.tree),
            ...(done.finished && typeof step.intent.of === "string" && { with: step.intent.of }),
          },
          { carry: carryOf(after), witness: { at: Date.now(), displaced } },
        );
        await writer.sync();
      }
      await updateOperation(store, operation, { state: done.finished ? "done" : "void", n: step?.n ?? null });
    });
  }
}
