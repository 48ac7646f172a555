/**
 * A landing as a step of main, written down before and after the user's directory is touched; and the end of those that a crash cut short.
 */

import { forgottenEntries } from "../scope/forgotten.ts";
import type { Take } from "../scope/merge.ts";
import { markUndone, type Operation, orphans, planOperation, updateOperation } from "../scope/operations.ts";
import { workspaceOf } from "../scope/registry.ts";
import { treeLink } from "../scope/scope.ts";
import { target } from "../trace/bytes.ts";
import type { Carry, Hash, Json, Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import type { Writer } from "../trace/writer.ts";
import type { Conflict } from "../world/merge.ts";
import { quotePath } from "../world/paths.ts";
import type { Expected } from "./expect.ts";
import { changedTree } from "./landing/come.ts";
import { hold } from "./landing/hold.ts";
import { type Landing, land } from "./landing/land.ts";
import { type Change, planLanding } from "./landing/plan.ts";
import { loadPlan, storePlan } from "./landing/record.ts";
import { recoverLanding } from "./landing/recover.ts";
import type { Work } from "./landing/work.ts";
import { type LookOptions, lookAtMain, type Main, withWriter } from "./main.ts";

export interface LandOptions {
  signal?: AbortSignal;
  onProgress?: (text: string) => void;
  dryRun?: boolean;
  take?: Take;
  /** Asked for each file that runs code later. Without it none of those lands. */
  confirm?: (path: string, why: string) => Promise<boolean>;
  /** Does nothing where every change would have to be asked for. */
  onlyIfFree?: boolean;
  /** Where the run must stand. */
  expect?: Expected | undefined;
  /** Who does it, and why: stands beside the step. */
  witness?: { [key: string]: Json };
  /** Where both changed a place the user's stays, and all else lands; without it nothing does. */
  partly?: boolean;
}

export interface Landed {
  status: "done" | "conflict" | "nothing";
  op: number | null;
  directory: string;
  changes: Array<{ path: Buffer; kind: "added" | "deleted" | "modified" }>;
  /** Paths that were left as the user has them. */
  conflicts: Array<{ path: Buffer; why: string }>;
  /** Paths that both changed, of which `take` chose the user's. */
  kept: Array<{ path: Buffer; why: string }>;
  /** Texts that both changed, and how `take: "both"` settled them. */
  resolved: Array<{ path: Buffer; how: string[] }>;
  /** Files that run code later, and were not allowed; and what can never land. */
  held: Array<{ path: Buffer; why: string; never?: "forgotten" | "refused" }>;
  /** Main's commits: as it was looked at, and behind the landing. */
  main: { before: Hash; after: Hash };
}

export const nothingLanded = (main: Main): Landed => ({
  status: "nothing",
  op: null,
  directory: main.workspace.path,
  changes: [],
  conflicts: [],
  kept: [],
  resolved: [],
  held: [],
  main: { before: main.head.id, after: main.head.id },
});

export interface Target {
  tree: Hash;
  from: string;
  /** The commit that lands, or that of the step that is taken back. */
  of: Hash;
  /** The object that lists what both changed, if anything. */
  conflict: Link | null;
  /** The operation that this takes back. */
  undoes: Operation | null;
}

const kindOf = (change: Change): "added" | "deleted" | "modified" =>
  change.expected === null ? "added" : change.next === null ? "deleted" : "modified";

/** Makes the user's directory, as it was looked at, into `to.tree`. */
export async function place(
  store: EmbeddedStore,
  main: Main,
  to: Target,
  conflicts: readonly Conflict[],
  options: LandOptions,
): Promise<Landed> {
  const directory = main.workspace.path;
  const plan = await planLanding(store.objects, main.tree, to.tree, (await forgottenEntries(store)) ?? undefined);
  const told = (changes: readonly Change[]): Landed["changes"] =>
    changes.map((change) => ({ path: change.path, kind: kindOf(change) }));
  const left = conflicts.map(({ path, why }) => ({ path, why: String(why) }));
  const refused = plan.refused.map(({ path, text, forgotten }) => ({
    path,
    why: text,
    never: forgotten ? ("forgotten" as const) : ("refused" as const),
  }));
  if (options.onlyIfFree && plan.changes.every(({ asks }) => asks !== null)) return nothingLanded(main);
  if (options.dryRun) {
    const outcomes: Work["outcomes"] = plan.changes.map(() => undefined);
    await hold({ changes: plan.changes, outcomes }, to.undoes ? async () => true : chosen(options));
    const held = plan.changes.filter((_, index) => outcomes[index]);
    const changes = told(plan.changes.filter((change) => !held.includes(change)));
    return {
      ...nothingLanded(main),
      status: left.length > 0 ? "conflict" : "done",
      changes,
      conflicts: left,
      held: [...held.map(waiting), ...refused],
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
      undoes: to.undoes?.op ?? null,
      details: { from: to.from },
    });
    const kind = to.undoes ? ("undo" as const) : ("landing" as const);
    const facts = { kind, tier: "reversible" as const, what, of: to.of, ...(to.conflict && { conflict: to.conflict }) };
    const n = await writer.intent(facts, {
      witness: {
        ...options.witness,
        op: operation.op,
        from: to.from,
        ...(to.undoes && { undoes: to.undoes.op }),
      },
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
    const acted = await settle(store, writer, main.carry, n, done, plan.refused.length);
    await tellOperation(store, operation, n, acted);
    const all = [...left, ...done.conflicts.map(({ path, text }) => ({ path, why: text }))];
    return {
      status: all.length > 0 ? "conflict" : "done",
      op: acted || to.undoes ? operation.op : null,
      directory,
      changes: told(done.landed),
      conflicts: all,
      kept: [],
      resolved: [],
      held: [...done.held.map(waiting), ...done.left.map(({ path }) => ({ path, why: "was not begun" })), ...refused],
      main: { before: main.head.id, after: writer.fold.head().id! },
    };
  });
}

const waiting = ({ path, asks }: Change): { path: Buffer; why: string } => ({
  path,
  why: asks ?? "stands in a directory that waits too",
});

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
  done: Landing,
  refused: number,
): Promise<boolean> {
  const step = writer.fold.steps.get(n)!;
  const whole = done.conflicts.length + done.held.length + done.left.length + refused === 0;
  const { kind, of, conflict } = step.intent;
  // A landing of nothing is none that could be taken back; an undo of nothing still takes its operation back.
  const acted = done.landed.length > 0 || (kind === "undo" && whole && !conflict);
  const before = target(writer.fold.head().state!.roots.workspace);
  // What a landed change displaced stands in main's tree of before; what conflicted stands nowhere else.
  const displaced = done.conflicts.length > 0 ? done.displaced.map(({ link }) => link) : [];
  await writer.outcome(
    n,
    {
      status: done.conflicts.length === 0 && !conflict ? "done" : "conflict",
      workspace: treeLink(await changedTree(store.objects, before, done.landed)),
      ...(conflict && { conflict: conflict as Link }),
      // Of what is not all there nothing counts as merged, so that the next merge finds the rest again.
      ...(kind === "landing" && whole && !conflict && { with: of as Hash }),
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
      const acted = await settle(store, writer, writer.fold.head().carry, step.n, done, 0);
      await tellOperation(store, operation, step.n, acted);
    });
  }
}
