/** The commit graph, and what a merge, a sync, an undo or their resolution would come to. */
import { operations, traceOf, unsealed } from "./query.ts";
import { empty } from "./seal.ts";
import type { Commit, Conflict, Intent, Links, Name, State, System, Threads, Turns, Workspace } from "./types.ts";
import { changed, edited, pick, same, threeWay } from "./value.ts";

/** All commits that the logs give. Siblings with the same content share them. */
export function commits(sys: System): Map<string, Commit> {
  const all = new Map<string, Commit>();
  for (const name of Object.keys(sys.scopes)) for (const s of traceOf(sys, name).sealed) all.set(s.id, s.commit);
  return all;
}

type Commits = ReadonlyMap<string, Commit>;

/** A commit and all that it came from; of merges in `undone` only what they were put on. */
export function ancestors(all: Commits, id: string, undone: ReadonlySet<string> = new Set()): Set<string> {
  const seen = new Set([id]);
  for (const at of seen) for (const parent of parentsOf(all, at, undone)) seen.add(parent);
  return seen;
}
const parentsOf = (all: Commits, id: string, undone: ReadonlySet<string>): readonly string[] =>
  all.get(id)?.parents.slice(0, undone.has(id) ? 1 : 2) ?? [];

/** Merges that were taken back in the history of these commits: what they merged is not there any more, and can be merged again. */
export function takenBack(all: Commits, ...heads: readonly string[]): Set<string> {
  const by = new Map<unknown, string[]>();
  for (const id of new Set(heads.flatMap((head) => [...ancestors(all, head)]))) {
    const c = all.get(id);
    const acted =
      c?.outcome.status === "done" || !same(c?.state.workspace, all.get(c?.parents[0] as string)?.state.workspace);
    if (c?.kind === "undo" && acted) by.set(c.intent.what, [...(by.get(c.intent.what) ?? []), id]);
  }
  const is = (id: unknown): boolean => by.get(id)?.some((undo) => !is(undo)) ?? false;
  return new Set([...by.keys()].filter(is) as string[]);
}

/** The common commits of which no other common commit comes. */
export function nearest(all: Commits, a: string, b: string): string[] {
  const undone = takenBack(all, a, b);
  const ofB = ancestors(all, b, undone);
  const common = [...ancestors(all, a, undone)].filter((id) => ofB.has(id));
  return common.filter((id) => !common.some((other) => other !== id && ancestors(all, other, undone).has(id))).sort();
}
/** Whether a head has all of another. */
export const hasMerged = (all: Commits, head: string | null, other: string): boolean =>
  head !== null && nearest(all, head, other).includes(other);

/** A content that stands for a conflict inside a base: it equals neither side, so any two sides that differ conflict again. */
const torn = -1;

/** "base = nearest common commit; where several are nearest, their merge by the same rule." */
export function baseOf(all: Commits, a: string, b: string): Workspace {
  const [first, ...rest] = nearest(all, a, b);
  const workspaceOf = (id: string | undefined) => (id === undefined ? undefined : all.get(id)?.state.workspace) ?? {};
  return rest.reduce((w, id) => {
    const { workspace, conflict } = threeWay(baseOf(all, first as string, id), w, workspaceOf(id));
    return edited(
      workspace,
      Object.keys(conflict).map((p) => [p, torn]),
    );
  }, workspaceOf(first));
}

/**
 * Paths of the user's own edits (steps `external` of main) that a commit came from and has nothing of any more, since a revert went back behind
 * them: of a revert what counts is where it went, of the undo of one also what stood before it.
 */
export function leftBehind(all: Commits, head: string): Set<string> {
  const undone = takenBack(all, head);
  const before = (id: string): string | undefined => all.get(id)?.parents[0];
  const held = new Set([head]);
  for (const id of held) {
    const { kind, intent, parents } = all.get(id) ?? { parents: [] };
    const of = intent?.what as string;
    for (const next of kind === "revert" ? [of] : parents) held.add(next);
    if (kind === "undo" && all.get(of)?.kind === "revert" && !undone.has(id)) held.add(before(of) as string);
  }
  const left = [...ancestors(all, head)].filter((id) => !held.has(id) && all.get(id)?.kind === "external");
  const files = (id: string | undefined): Workspace =>
    (id === undefined ? undefined : all.get(id)?.state.workspace) ?? {};
  return new Set(left.flatMap((id) => changed(files(before(id)), files(id))));
}

/** A landing takes no edit of the user's away: where it would, main keeps what it has, and the path is in conflict. */
function keepEdits(
  merged: ReturnType<typeof threeWay>,
  ours: Workspace,
  edits: ReadonlySet<string>,
): ReturnType<typeof threeWay> {
  const kept = changed(ours, merged.workspace).filter((p) => edits.has(p));
  const sides = kept.map((p) => [p, { base: null, ours: ours[p] ?? null, theirs: merged.workspace[p] ?? null }]);
  return {
    workspace: edited(
      merged.workspace,
      kept.map((p) => [p, ours[p]]),
    ),
    conflict: { ...merged.conflict, ...Object.fromEntries(sides) },
  };
}

/** What a step would set: its state, where its threads come from, and what is in conflict. */
export interface Proposal {
  readonly state: State;
  readonly turns: Turns;
  readonly conflict: Conflict;
  readonly adopted: boolean;
}

/** The same rule thread by thread; a thread that changed on both sides is a conflict and stays. */
function threeWayThreads(
  base: Threads,
  ours: Threads,
  theirs: Threads,
): { threads: Threads; conflict: Conflict; back: string[] } {
  const threads: { [name: string]: Threads[string] } = {};
  const conflict: { [what: string]: Conflict[string] } = {};
  const back: string[] = [];
  for (const name of new Set([base, ours, theirs].flatMap(Object.keys))) {
    const picked = pick(base[name], ours[name], theirs[name]);
    const value = picked ? picked.value : ours[name];
    if (value) threads[name] = value;
    if (picked && value !== ours[name]) back.push(name);
    if (!picked) conflict[`thread ${name}`] = { base: base[name], ours: ours[name], theirs: theirs[name] };
  }
  return { threads, conflict, back };
}

/** With `choices`, what they say for the paths in conflict; a thread in conflict then stays as it is. */
function choose(workspace: Workspace, conflict: Conflict, choices: { [path: string]: number | null } | undefined) {
  if (!choices) return { workspace, conflict };
  const chosen = Object.entries(choices).filter(([p]) => p in conflict);
  const left = Object.entries(conflict).filter(([what]) => !(what in choices) && !what.startsWith("thread "));
  return { workspace: edited(workspace, chosen), conflict: Object.fromEntries(left) };
}

/** The inverse of an operation: from its state after to that before, three-way on the present state. "What changed since is a conflict." */
function inverse(sys: System, name: Name, target: number): Omit<Proposal, "adopted"> {
  const t = traceOf(sys, name);
  const n = operations(t)[target]?.n;
  const at = t.sealed.findIndex((s) => s.n === n);
  const after = t.sealed[at]?.commit.state ?? empty;
  const prior = t.sealed[at - 1];
  const past = prior?.commit.state ?? t.header.origin?.state ?? empty;
  const turnsThen = prior?.turns ?? t.header.origin?.turns ?? {};
  const files = threeWay(after.workspace, t.state.workspace, past.workspace);
  const talk = threeWayThreads(after.threads, t.state.threads, past.threads);
  const turns = { ...t.turns };
  for (const thread of talk.back) if (turnsThen[thread] !== undefined) turns[thread] = turnsThen[thread];
  return {
    state: { workspace: files.workspace, threads: talk.threads },
    turns,
    conflict: { ...files.conflict, ...talk.conflict },
  };
}

/** What the step with these facts would set on the present head of scope `name`. */
export function propose(sys: System, name: Name, n: number, facts: Intent, links: Links): Proposal {
  const t = traceOf(sys, name);
  const choices = (facts.what as { choices?: { [path: string]: number | null } } | undefined)?.choices;
  if (facts.with === undefined) {
    const back = inverse(sys, name, links.target ?? -1);
    const { workspace, conflict } = choose(back.state.workspace, back.conflict, choices);
    return { ...back, state: { ...back.state, workspace }, conflict, adopted: false };
  }
  const all = commits(sys);
  const theirs = all.get(facts.with)?.state ?? empty;
  const base = t.head === null ? {} : baseOf(all, t.head, facts.with);
  const plain = threeWay(base, t.state.workspace, theirs.workspace);
  const merged = name === "main" ? keepEdits(plain, t.state.workspace, leftBehind(all, facts.with)) : plain;
  const { workspace, conflict } = choose(merged.workspace, merged.conflict, choices);
  // "A parent that has not moved adopts the child's threads." What it has pending counts as moved; a sync brings files only; main has no threads.
  const idle = unsealed(t).every((s) => s.n === n);
  const adopted = facts.kind === "merge" && idle && t.head !== null && same(nearest(all, t.head, facts.with), [t.head]);
  if (!adopted) return { state: { workspace, threads: t.state.threads }, turns: t.turns, conflict, adopted };
  const turns = Object.fromEntries(Object.keys(theirs.threads).map((thread) => [thread, n]));
  return { state: { workspace, threads: theirs.threads }, turns, conflict, adopted };
}
