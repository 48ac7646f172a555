/** Landing: a run's files merged into main, written down as a step of main before and after the user's directory is touched. */

import { baseTree, mergeTaking, putConflicts, type Take } from "../scope/merge.ts";
import { markUndone, type Operation, orphans, planOperation, updateOperation } from "../scope/operations.ts";
import { workspaceOf, workspacePath } from "../scope/registry.ts";
import { treeLink } from "../scope/scope.ts";
import type { Undone } from "../scope/undo.ts";
import { before, readLog, readScope } from "../scope/view.ts";
import { target } from "../trace/bytes.ts";
import type { Carry, Hash, Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import type { Writer } from "../trace/writer.ts";
import { quotePath } from "../world/paths.ts";
import { changedTree } from "./landing/come.ts";
import { type Landing, land } from "./landing/land.ts";
import { type Change, planLanding } from "./landing/plan.ts";
import { loadPlan, storePlan } from "./landing/record.ts";
import { recoverLanding } from "./landing/recover.ts";
import { type LookOptions, lookAtMain, type Main, withWriter } from "./main.ts";

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
  const main = await freshMain(store, directory, options);
  const { tree: base, bases } = await baseTree(store, main.head.id, head.id);
  const nothing: Landed = { status: "nothing", op: null, directory, changes: [], conflicts: [], held: [] };
  if (bases.includes(head.id)) return nothing;
  // What main names as merged must not be lost before that.
  await store.logs.sync(view.log);
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

/** What landing a run would make of the user's directory, where both changed a place with the user's side: both as trees. */
export async function previewLanding(
  store: EmbeddedStore,
  name: string,
  options: LookOptions = {},
): Promise<{ from: Hash; to: Hash; conflicts: Landed["conflicts"] }> {
  const view = await readScope(store, name);
  const main = await freshMain(store, await workspacePath(store, view.log), options);
  const head = view.fold.head();
  if (!head.id || !head.state) return { from: main.tree, to: main.tree, conflicts: [] };
  const { tree: base, bases } = await baseTree(store, main.head.id, head.id);
  if (bases.includes(head.id)) return { from: main.tree, to: main.tree, conflicts: [] };
  const merged = await mergeTaking(store, base, main.tree, target(head.state.roots.workspace));
  return { from: main.tree, to: merged.tree, conflicts: merged.conflicts.map(({ path, why }) => ({ path, why })) };
}

interface Target {
  tree: Hash;
  from: string;
  /** The commit that main has merged when all of it has landed. */
  head: Hash | null;
  /** The operation that this takes back, the commit of its step, and the object that lists what changed since, if anything did. */
  undoes: { operation: Operation; commit: Hash; conflict: Link | null } | null;
}

const kindOf = (change: Change): "added" | "deleted" | "modified" =>
  change.expected === null ? "added" : change.next === null ? "deleted" : "modified";

/** Makes the user's directory, as it was looked at, into `to.tree`. */
async function place(store: EmbeddedStore, main: Main, to: Target, options: LandOptions): Promise<Landed> {
  const directory = main.workspace.path;
  const plan = await planLanding(store.objects, main.tree, to.tree);
  const told = (changes: readonly Change[]): Landed["changes"] =>
    changes.map((change) => ({ path: change.path, kind: kindOf(change) }));
  if (options.dryRun) {
    const asking = plan.changes.filter(({ asks }) => asks !== null);
    const allowed = to.undoes ? asking : await chosen(options)(asking);
    const held = asking.filter((change) => !allowed.includes(change));
    const changes = told(plan.changes.filter((change) => !held.includes(change)));
    return {
      status: "done",
      op: null,
      directory,
      changes,
      conflicts: [],
      held: held.map(({ path, asks }) => ({ path, why: asks! })),
    };
  }
  return withWriter(store, main.log, async (writer) => {
    const what = await storePlan(store.objects, plan.changes);
    await store.objects.sync();
    const operation = await planOperation(store, {
      kind: to.undoes ? "undo" : "landing",
      workspace: main.workspace.id,
      scope: "main",
      log: main.log,
      plan: what,
      undoes: to.undoes?.operation.op ?? null,
      details: { from: to.from },
    });
    const kind = to.undoes ? ("undo" as const) : ("landing" as const);
    const of = to.undoes?.commit ?? to.head;
    const conflict = to.undoes?.conflict;
    const facts = { kind, tier: "reversible" as const, what, ...(of && { of }), ...(conflict && { conflict }) };
    const n = await writer.intent(facts, {
      witness: { op: operation.op, from: to.from, ...(to.undoes && { undoes: to.undoes.operation.op }) },
    });
    await writer.sync();
    const done = await land({
      dir: directory,
      id: String(operation.op),
      changes: plan.changes,
      objects: store.objects,
      sync: () => store.objects.sync(),
      journal: journalOf(writer, n),
      confirm: to.undoes ? async () => true : chosen(options),
      onProgress: (at, total) => options.onProgress?.(`landing: ${at} of ${total}`),
      ...(options.signal && { signal: options.signal }),
    });
    const acted = await settle(store, writer, main.carry, n, to.head, done, plan.refused.length);
    await tellOperation(store, operation, n, acted);
    return {
      status: done.conflicts.length > 0 ? "conflict" : "done",
      op: operation.op,
      directory,
      changes: told(done.landed),
      conflicts: done.conflicts.map(({ path, text }) => ({ path, why: text })),
      held: [
        ...done.held.map(({ path, asks }) => ({ path, why: asks ?? "stands in a directory that waits too" })),
        ...done.left.map(({ path }) => ({ path, why: "was not begun" })),
        ...plan.refused.map(({ path, text }) => ({ path, why: text })),
      ],
    };
  });
}

const chosen =
  ({ confirm }: LandOptions) =>
  async (asking: readonly Change[]): Promise<readonly Change[]> => {
    const allowed: Change[] = [];
    for (const change of asking) if (await confirm?.(quotePath(change.path), change.asks!)) allowed.push(change);
    return allowed;
  };

/** The journal of a landing: parts of its step, so that whoever recovers it has them. */
const journalOf =
  (writer: Writer, n: number) =>
  async (record: Link): Promise<void> => {
    await writer.part(n, { part: "journal", what: record });
    await writer.sync();
  };

/**
 * Writes down what a landing has come to. Main's tree is that of before with what was landed: what the user saved meanwhile is found by the
 * next look, so that taking the landing back does not take that back. Whether there is anything to take back.
 */
async function settle(
  store: EmbeddedStore,
  writer: Writer,
  carry: Carry,
  n: number,
  head: Hash | null,
  done: Landing,
  refused: number,
): Promise<boolean> {
  const step = writer.fold.steps.get(n)!;
  const whole = done.conflicts.length + done.held.length + done.left.length + refused === 0;
  const conflict = step.intent.conflict as Link | undefined;
  const acted = done.landed.length > 0 || (whole && !conflict);
  const before = target(writer.fold.head().state!.roots.workspace);
  // What a landed change displaced stands in main's tree of before; what conflicted stands nowhere else.
  const displaced = done.conflicts.length > 0 ? done.displaced.map(({ link }) => link) : [];
  await writer.outcome(
    n,
    {
      status: done.conflicts.length === 0 && !conflict ? "done" : "conflict",
      workspace: treeLink(await changedTree(store.objects, before, done.landed)),
      ...(conflict && { conflict }),
      ...(whole && head && { with: head }),
    },
    { carry, witness: { at: Date.now(), displaced, acted } },
  );
  await writer.sync();
  return acted;
}

/** Writes down how an operation on main stands, once its step has its outcome, and that what it takes back is taken back. */
async function tellOperation(store: EmbeddedStore, operation: Operation, n: number | null, acted: boolean) {
  if (acted && operation.undoes !== null) await markUndone(store, operation.workspace, operation.undoes);
  await updateOperation(store, operation, { state: acted ? "done" : "void", n });
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
  const landed = await place(
    store,
    main,
    {
      tree,
      from: String(operation.details.from ?? ""),
      head: null,
      undoes: {
        operation,
        commit: step.sealed.id,
        conflict: conflicts.length > 0 ? await putConflicts(store, conflicts) : null,
      },
    },
    options,
  );
  const all = [...conflicts.map(({ path, why }) => ({ path, why: String(why) })), ...landed.conflicts];
  return { op: landed.op ?? 0, n: null, status: all.length === 0 ? "done" : "conflict", conflicts: all, threads: [] };
}

/** Looks at main, once landings that a crash cut short are ended. */
export async function freshMain(store: EmbeddedStore, directory: string, options: LookOptions = {}): Promise<Main> {
  await recoverLandings(store, directory);
  return lookAtMain(store, directory, options);
}

/** Ends landings that a crash cut short. */
export async function recoverLandings(store: EmbeddedStore, directory: string): Promise<void> {
  const workspace = workspaceOf(directory);
  for (const operation of await orphans(store, workspace.id)) {
    if (operation.scope !== "main" || !operation.plan) continue;
    await withWriter(store, operation.log, async (writer) => {
      const step = writer.fold.pending().find((each) => each.witness.op === operation.op);
      if (!step) {
        // Nothing was touched before the step's intent was synced.
        const settled = [...writer.fold.steps.values()].find((each) => each.witness.op === operation.op);
        await tellOperation(store, operation, settled?.n ?? null, settled?.outcomeWitness.acted === true);
        return;
      }
      const changes = await loadPlan(store.objects, operation.plan!);
      const records: Link[] = [];
      for await (const frame of store.logs.read(operation.log, step.intentSeq))
        if (frame.n === step.n && frame.phase === "part" && frame.facts.part === "journal")
          records.push(frame.facts.what as Link);
      const done = await recoverLanding({
        dir: workspace.path,
        id: String(operation.op),
        changes,
        objects: store.objects,
        sync: () => store.objects.sync(),
        journal: journalOf(writer, step.n),
        records,
      });
      if (!done) {
        await writer.outcome(step.n, { status: "aborted" }, { witness: { at: Date.now() } });
        await writer.sync();
        await tellOperation(store, operation, step.n, false);
        return;
      }
      const head = step.intent.kind === "landing" && typeof step.intent.of === "string" ? step.intent.of : null;
      const acted = await settle(store, writer, writer.fold.head().carry, step.n, head, done, 0);
      await tellOperation(store, operation, step.n, acted);
    });
  }
}
