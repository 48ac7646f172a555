/** What a supervisor knows of a worker, made from its log: each step is looked at once, when it is sealed. */
import { stepOf } from "../../agent/watching.ts";
import { type RunState, waitingIn } from "../../run/lifecycle.ts";
import { mainOf } from "../../run/pattern.ts";
import type { Task } from "../../run/start.ts";
import { textsOf } from "../../scope/changes.ts";
import { getCommit } from "../../scope/history.ts";
import { encodeJson, sha256, target } from "../../trace/bytes.ts";
import type { Kind } from "../../trace/frame.ts";
import type { Hash, Json } from "../../trace/ports.ts";
import type { Step } from "../../trace/seal.ts";
import { serial } from "../../trace/serial.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { type Change, diffTrees } from "../../world/diff.ts";
import { hunks } from "../../world/hunks.ts";
import { quotePath } from "../../world/paths.ts";
import { type Standing, spentBy } from "./standing.ts";
import type { Tail } from "./tails.ts";
import { CALLS, type CallView, type Lines, type ModifiedView, type PendingView, type WorkerView } from "./view.ts";

export interface About {
  task: Task;
  /** Where it is meant to work. */
  paths: readonly string[];
  /** Path of the user's directory. */
  workspace: string;
}

export interface Reader {
  /** The worker as its log is read now. */
  view(standing: Pick<Standing, "state">): Promise<WorkerView>;
}

/** Steps that bring the files of another run. */
const BRINGS: ReadonlySet<Kind> = new Set<Kind>(["sync", "merge", "resolve", "handoff"]);
/** Of what a call said that failed, so many characters are kept. */
const MOST_ERROR = 300;
/** So many paths that differ are told, and of so many of them which lines. */
const MOST_PATHS = 500;
const MOST_LINED = 100;

export function readerOf(store: EmbeddedStore, tail: Tail, { task, paths, workspace }: About): Reader {
  const began = startOf(tail);
  let at = 0;
  let errors = 0;
  let still = 0;
  let tree: Hash | null = began.tree;
  let base = began.tree;
  let last: { action: string; at: number } | null = null;
  const calls: CallView[] = [];
  const first = new Map<string, number>();
  let modified: { of: Hash | null; paths: ModifiedView[] } = { of: base, paths: [] };
  const lined = new Map<string, readonly Lines[] | null>();

  const read = async (step: Step): Promise<void> => {
    const { intent, outcome, sealed, outcomeWitness } = step;
    const now = target(sealed!.state.roots.workspace);
    // What it began with is what its first step stands on.
    if (base === null) {
      base = now;
      tree = now;
    }
    const changed = now !== tree;
    // What was brought from elsewhere is no work of this one: it goes on from there.
    const brought = BRINGS.has(intent.kind) && outcome?.with !== undefined && typeof intent.of === "string";
    if (brought) {
      base = target((await getCommit(store, intent.of as Hash)).state.roots.workspace);
      modified = { of: null, paths: [] };
    } else if (changed) {
      const when = typeof outcomeWitness.at === "number" ? outcomeWitness.at : step.at;
      for await (const { path } of diffTrees(store.objects, tree, now)) {
        const name = quotePath(path);
        if (!first.has(name)) first.set(name, when);
      }
    }
    tree = now;
    // What was tried before says nothing of who begins anew.
    if ((intent.kind === "handoff" || intent.kind === "revert") && outcome?.status === "done") {
      errors = 0;
      still = 0;
      calls.length = 0;
    }
    if (intent.kind !== "tool" && intent.kind !== "command") return;
    if (outcome?.status === "not-run") return;
    const shown = await stepOf(store, step).catch(() => null);
    const { name, input } = shown && "name" in shown ? shown : { name: intent.kind, input: null };
    const failed = outcome?.status === "failed" || outcome?.status === "denied";
    errors = failed ? errors + 1 : outcome?.status === "done" ? 0 : errors;
    still = changed ? 0 : still + 1;
    const text = shown && "text" in shown ? shown.text : "";
    const said = (text || shown?.error || "").slice(0, MOST_ERROR).toWellFormed();
    const what = mainOf(input as Json)?.text ?? "";
    calls.push({
      n: step.n,
      name,
      status: outcome?.status ?? "intent",
      target: what,
      ...(failed && { error: said }),
      same: digest(name, input as Json),
      ...(outcome?.workspace !== undefined && { tree: now }),
    });
    if (calls.length > CALLS) calls.shift();
    last = { action: what === "" ? name : `${name} ${what}`, at: step.at };
  };

  const inTurn = serial();
  return {
    view: ({ state }) => inTurn(() => viewOf(state)),
  };

  async function viewOf(state: RunState): Promise<WorkerView> {
    const { fold } = tail;
    for (; at < fold.sealed.length; at++) await read(fold.sealed[at]!);
    if (modified.of !== tree) modified = { of: tree, paths: await modifiedBetween(store, base, tree, first, lined) };
    const { calls: asked, tokens, usd } = spentBy(fold.steps.values());
    return {
      name: tail.name,
      task: task.text,
      state,
      agent: task.plugin?.name ?? task.worker,
      workspace,
      steps: Math.max(0, fold.next() - 1),
      errors,
      still,
      modified: modified.paths,
      ...(paths.length > 0 && { regions: paths }),
      last: last && { action: last.action, ageMs: Math.max(0, Date.now() - last.at) },
      calls: [...calls],
      pending: await pendingOf(store, tail),
      spent: { tokens, usd, calls: asked, ms: began.at === null ? 0 : Math.max(0, Date.now() - began.at) },
      budget: {},
    };
  }
}

/** The tree with which a run begins, where that stands in the head of its log, and when it began. */
function startOf({ fold }: Tail): { tree: Hash | null; at: number | null } {
  const { origin, meta } = fold.header;
  const at = typeof meta.created === "number" ? meta.created : null;
  return { tree: origin ? target(origin.state.roots.workspace) : null, at };
}

const digest = (name: string, input: Json): string => sha256(encodeJson([name, input])).slice(0, 16);

/** Calls that wait for somebody. */
async function pendingOf(store: EmbeddedStore, { fold }: Tail): Promise<PendingView[]> {
  const note = fold.notes.get("waiting");
  const steps = note && note.epoch === fold.notes.get("run")?.epoch ? (waitingIn(note)?.steps ?? []) : [];
  const pending: PendingView[] = [];
  for (const n of steps) {
    const step = fold.steps.get(n);
    if (!step || step.outcome) continue;
    const shown = await stepOf(store, step);
    if ("name" in shown) pending.push({ n, tool: shown.name, input: shown.input as Json });
  }
  return pending;
}

async function modifiedBetween(
  store: EmbeddedStore,
  base: Hash | null,
  tree: Hash | null,
  first: ReadonlyMap<string, number>,
  lined: Map<string, readonly Lines[] | null>,
): Promise<ModifiedView[]> {
  const found: ModifiedView[] = [];
  for await (const change of diffTrees(store.objects, base, tree)) {
    if (!isFile(change)) continue;
    if (found.length >= MOST_PATHS) break;
    const path = quotePath(change.path);
    const lines = found.length < MOST_LINED ? await linesOf(store, change, lined) : null;
    found.push({
      path,
      change: change.kind === "added" ? "added" : change.kind === "deleted" ? "deleted" : "changed",
      at: first.get(path) ?? 0,
      ...(lines && { lines }),
    });
  }
  return found;
}

const isFile = ({ before, after }: Change): boolean =>
  (before !== undefined && before.type !== "d") || (after !== undefined && after.type !== "d");

/** Lines of the file as it was that a change touches; those around it where it only adds some. Null for what is no text. */
async function linesOf(
  store: EmbeddedStore,
  change: Change,
  known: Map<string, readonly Lines[] | null>,
): Promise<readonly Lines[] | null> {
  if (!change.before || !change.after) return null;
  const key = `${change.before.id} ${change.after.id}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  const texts = await textsOf(store, change);
  const lines = texts
    ? hunks(texts.before, texts.after, 0).map(
        ({ oldStart, oldLines }): Lines =>
          oldLines > 0 ? [oldStart, oldStart + oldLines - 1] : [Math.max(1, oldStart), oldStart + 1],
      )
    : null;
  known.set(key, lines);
  return lines;
}
