/** The end of supervised work: one scope into which the workers are merged, one after the other, and the user's check in it. */
import { settleModels } from "../../agent/settle.ts";
import { bisect, probeAt, type Verdict } from "../../run/bisect.ts";
import { performCommand } from "../../run/command.ts";
import { withDriven } from "../../run/driven.ts";
import { operate } from "../../run/operate.ts";
import { putTask } from "../../run/start.ts";
import { forkScope } from "../../scope/fork.ts";
import { baseTree, mergeTaking } from "../../scope/merge.ts";
import { freeName } from "../../scope/registry.ts";
import { getBytes } from "../../scope/thread.ts";
import { readScope } from "../../scope/view.ts";
import { target } from "../../trace/bytes.ts";
import type { Hash } from "../../trace/ports.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import type { Conflict } from "../../world/merge.ts";
import { type Base, madeBy, markOf } from "./workers.ts";

/** Who an operation is done by, as it is written down beside it. */
export type By = { by: string; right?: string; why?: string };

export const checkArgv = (check: string): string[] => ["sh", "-c", check];

/** The scope in which all comes together: it begins where the workers began. Made once. Gives its name. */
export async function commonScope(
  store: EmbeddedStore,
  base: Base,
  supervisor: string,
  check: string | null,
): Promise<string> {
  const made = await madeBy(store, base, "merged");
  if (made) return made.name;
  const argv = check === null ? ["true"] : checkArgv(check);
  // Whoever resumes it has the check run anew.
  const task = await putTask(store, { worker: "command", text: check ?? `the work of ${supervisor}, merged`, argv });
  const name = await freeName(store, `${supervisor.replaceAll(".", "-").slice(0, 41)}-merged`);
  const [ref] = await forkScope(store, supervisor, 0, { name, meta: { task, ...markOf(base, "merged") } });
  return ref!.name;
}

export interface MergedIn {
  status: "done" | "nothing" | "conflict";
  /** The step of the merge; null where there was nothing to merge. */
  n: number | null;
  conflicts: Array<{ path: string; why: string }>;
}

/** Merges a worker into the common scope. Doing it again is doing it once. */
export async function mergeIn(store: EmbeddedStore, into: string, worker: string, by: By): Promise<MergedIn> {
  const merged = (await operate(
    store,
    into,
    "merge",
    { from: worker, take: null, ...by },
    { settle: settleModels },
  )) as unknown as MergedIn;
  const { status, conflicts } = merged;
  if (status !== "nothing") return { status, n: merged.n, conflicts };
  // What was merged before a crash is there.
  const { fold } = await readScope(store, into);
  const before = fold.sealed.findLast(
    ({ intent, witness, outcome }) => intent.kind === "merge" && witness.from === worker && outcome?.status === "done",
  );
  return { status: before ? "done" : "nothing", n: before?.n ?? null, conflicts: [] };
}

/** A command, and where it starts: relative to the workspace, or at its root. */
export interface Checking {
  check: string;
  at: string | null;
}

export interface Checked {
  code: number | null;
  /** The step of the check. */
  n: number;
  /** The end of what it printed. */
  tail: string;
}

/** Bytes of the end of what a check printed that are told. */
const TAIL = 3000;

/** Runs the check in the common scope, as a step. What it leaves in the files (reports, caches) is taken back, so that it neither lands nor reaches a worker. */
export async function checkIn(
  store: EmbeddedStore,
  into: string,
  { check, at }: Checking,
  signal: AbortSignal,
): Promise<Checked> {
  await takeBack(store, into);
  const done = await withDriven(store, into, { signal, settle: settleModels }, async (scope) => {
    const { n, code } = await performCommand(scope, checkArgv(check), signal, { at: at ?? undefined });
    signal.throwIfAborted();
    const { result } = scope.writer.fold.steps.get(n)!.outcome!;
    const output = result ? await getBytes(store, result) : Buffer.alloc(0);
    return { n, code, tail: endOf(output.toString()) };
  });
  await takeBack(store, into);
  return done;
}

/** Sets the common scope back to behind its last merge, where something has changed its files since. */
async function takeBack(store: EmbeddedStore, into: string): Promise<void> {
  const { fold } = await readScope(store, into);
  const last = fold.sealed.findLast(({ intent, outcome }) => intent.kind === "merge" && outcome?.status === "done");
  const { origin } = fold.header;
  const n = last?.n ?? origin!.n;
  const { state } = last?.sealed ?? origin!;
  if (fold.head().state!.roots.workspace === state.roots.workspace) return;
  await operate(store, into, "revert", { n, acknowledge: true }, { settle: settleModels });
}

const endOf = (text: string): string => (text.length > TAIL ? `…${text.slice(-TAIL).toWellFormed()}` : text);

/**
 * Which of these merges, oldest first, is the first behind which the check fails: looked for in forks of the common scope, by halves. Null where it
 * fails before the first one already, or where nothing can be said.
 */
export async function culpritOf(
  store: EmbeddedStore,
  into: string,
  merges: ReadonlyArray<{ worker: string; n: number }>,
  { check, at: place }: Checking,
  signal: AbortSignal,
): Promise<{ worker: string | null; probes: number }> {
  const states = [0, ...merges.map(({ n }) => n)];
  let probes = 0;
  const probe = async (at: number): Promise<Verdict> => {
    // That it fails behind the last one is why it is asked.
    if (at === states.length - 1) return "fails";
    probes++;
    const options = { argv: checkArgv(check), at: place ?? "", signal, settle: settleModels };
    return (await probeAt(store, into, states[at]!, options)).verdict;
  };
  const found = await bisect(states.length, probe);
  return { worker: found.how === "found" ? merges[found.first - 1]!.worker : null, probes };
}

/** Brings what is in the common scope into a worker; where both changed a place the common version counts. Doing it again is doing it once. */
export async function bringTo(store: EmbeddedStore, into: string, worker: string, by: By): Promise<void> {
  const { fold, log } = await readScope(store, into);
  const { id, state } = fold.head();
  const from = { id: id!, tree: target(state!.roots.workspace), name: into, log };
  await operate(store, worker, "sync", { ...from, take: "theirs", ...by }, { settle: settleModels });
}

/** Where a worker and the common scope have both changed a place: `ours` is the worker's. */
export async function conflictsWith(store: EmbeddedStore, into: string, worker: string): Promise<Conflict[]> {
  const [ours, theirs] = [(await readScope(store, worker)).fold.head(), (await readScope(store, into)).fold.head()];
  const { tree: base } = await baseTree(store, ours.id!, theirs.id!);
  const trees = [ours, theirs].map(({ state }) => target(state!.roots.workspace)) as [Hash, Hash];
  return (await mergeTaking(store, base, ...trees)).conflicts;
}
