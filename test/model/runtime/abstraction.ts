/** The runtime as the model would have it, compared with the model after every command. The first difference is told. */

import { ownedSince } from "../../../src/scope/owned.ts";
import { findScope } from "../../../src/scope/registry.ts";
import { target } from "../../../src/trace/bytes.ts";
import type { Hash } from "../../../src/trace/ports.ts";
import { type Fold, type Step as RealStep, tierOf as realTier } from "../../../src/trace/seal.ts";
import { readFold } from "../../../src/trace/writer.ts";
import { logOfMain, operationsIn, type Real, viewOf } from "../adapter.ts";
import { effects, isCompensated, owner } from "../effects.ts";
import { attempt, isDiscarded, isUndone, operations, pending, traceOf, unsealed } from "../query.ts";
import { type Sealed, stepAt, type Trace } from "../seal.ts";
import type { Action, Kind, Name, System, Workspace } from "../types.ts";
import { canonical, same } from "../value.ts";
import { directoryOf, threadsDiffer, treeOf } from "./contents.ts";
import { isGone } from "./gone.ts";

/** What was compared so far: which commit stands for which, and how far each log was read. */
export interface Matched {
  readonly real: Map<string, Hash>;
  readonly model: Map<Hash, string>;
  readonly sealed: Map<Name, number>;
  readonly trees: Map<Hash, Workspace>;
}
export const nothingMatched = (): Matched => ({
  real: new Map(),
  model: new Map(),
  sealed: new Map(),
  trees: new Map(),
});

type Difference = string | undefined;
const differ = (what: string, model: unknown, real: unknown): Difference =>
  same(model, real) ? undefined : `${what}: the model has ${canonical(model)}, the runtime ${canonical(real)}`;

/** @param served whether everybody has the lock who may have it */
export async function compare(real: Real, sys: System, matched: Matched, served: boolean): Promise<Difference> {
  for (const name of Object.keys(sys.scopes)) {
    if (isGone(sys, name)) continue;
    const told = await compareScope(real, sys, name, matched, served);
    if (told) return `${name}: ${told}`;
  }
  return (
    differ("the user's directory", sys.user, directoryOf(real.user)) ??
    differ("what reached the outside", deedsOf(sys), real.deeds)
  );
}

/** Calls that acted, and compensations, in their order. Requests to a model are not told. */
const deedsOf = (sys: System): string[] =>
  sys.world.filter((a) => a.does === "compensate" || !isRequest(sys, a)).map((a) => `${a.does} ${a.scope}:${a.n}`);
const requests = new WeakMap<Action, boolean>();
function isRequest(sys: System, action: Action): boolean {
  const { scope, n } = action;
  const is =
    requests.get(action) ??
    (sys.scopes[scope] !== undefined && stepAt(traceOf(sys, scope), n)?.intent.facts.kind === "model");
  requests.set(action, is);
  return is;
}

async function foldOf(real: Real, sys: System, name: Name): Promise<Fold> {
  const driven = sys.scopes[name]?.live ? real.driven.get(name) : undefined;
  if (driven) return driven.live.writer.fold;
  if (name !== "main") return (await viewOf(real, name)).fold;
  return (await readFold(real.store, await logOfMain(real))).fold;
}

async function compareScope(
  real: Real,
  sys: System,
  name: Name,
  matched: Matched,
  served: boolean,
): Promise<Difference> {
  const t = traceOf(sys, name);
  const fold = await foldOf(real, sys, name);
  return (
    (await compareSealed(real, name, t, fold, matched)) ??
    differ(
      "steps without a commit",
      unsealed(t).map((s) => `${s.n} ${s.intent.facts.kind} ${s.outcome?.facts.status ?? "pending"}`),
      fold.pending().map((s) => `${s.n} ${s.intent.kind} ${s.outcome?.status ?? "pending"}`),
    ) ??
    differ("the next number", t.first + t.steps.length, fold.next()) ??
    differ(
      "attempts",
      pending(t).map((s) => `${s.n}: ${attempt(s)}`),
      fold
        .pending()
        .filter((s) => !s.outcome)
        .map((s) => `${s.n}: ${s.attempts}`),
    ) ??
    compareLive(real, sys, name, served) ??
    (await compareOperations(real, sys, name, t)) ??
    (await compareEffects(real, sys, name, fold)) ??
    (name === "main"
      ? undefined
      : differ("discarded", isDiscarded(t), (await findScope(real.store, name))?.discarded != null))
  );
}

// ---- commits ------------------------------------------------------------------------------------------------------------

/** A resolution is told by the kind of what it resolves, where the runtime lands or syncs again with one side taken. */
const kinds = (kind: Kind): Kind => (["landing", "sync", "merge"].includes(kind) ? "resolve" : kind);

async function compareSealed(real: Real, name: Name, t: Trace, fold: Fold, matched: Matched): Promise<Difference> {
  for (let at = matched.sealed.get(name) ?? 0; at < Math.max(t.sealed.length, fold.sealed.length); at++) {
    const [m, r] = [t.sealed[at], fold.sealed[at]];
    if (!m || !r)
      return `commit ${at}: the model has ${m ? `step ${m.n} (${m.commit.kind})` : "none"}, the runtime ${r ? `step ${r.n} (${r.intent.kind})` : "none"}`;
    const told = await compareCommit(real, m, r, matched);
    if (told) return `commit ${at} (step ${m.n}, ${m.commit.kind}): ${told}`;
    matched.sealed.set(name, at + 1);
  }
  return undefined;
}

async function compareCommit(real: Real, m: Sealed, r: RealStep, matched: Matched): Promise<Difference> {
  const { commit } = m;
  const sealed = r.sealed!;
  const kind = commit.kind === "resolve" ? kinds(r.intent.kind) : r.intent.kind;
  const tree = target(sealed.state.roots.workspace);
  const files = matched.trees.get(tree) ?? (await treeOf(real.store, tree));
  matched.trees.set(tree, files);
  const threads = threadsDiffer(commit.state.threads, sealed.state.threads);
  return (
    differ("number", m.n, r.n) ??
    differ("kind", commit.kind, kind) ??
    differ("tier", commit.tier, realTier(r)) ??
    differ("status", commit.outcome.status, r.outcome!.status) ??
    differ(
      "parents",
      commit.parents.map((p) => matched.real.get(p) ?? p),
      sealed.parents,
    ) ??
    differ("files", commit.state.workspace, files) ??
    (threads === undefined
      ? undefined
      : `the conversation ${threads} differs: the model has ${canonical(commit.state.threads[threads])}`) ??
    match(matched, m.id, sealed.id)
  );
}

/** Equal commits of the model have equal ids in the runtime, and the other way round. */
function match(matched: Matched, model: string, real: Hash): Difference {
  const [there, back] = [matched.real.get(model), matched.model.get(real)];
  if (there !== undefined && there !== real) return `a commit that the model has already is another one in the runtime`;
  if (back !== undefined && back !== model) return `a commit that the runtime has already is another one in the model`;
  matched.real.set(model, real);
  matched.model.set(real, model);
  return undefined;
}

// ---- what is not in commits ----------------------------------------------------------------------------------------------

function compareLive(real: Real, sys: System, name: Name, served: boolean): Difference {
  const live = sys.scopes[name]?.live;
  const driven = real.driven.get(name);
  if (name === "main" || !live) return undefined;
  if (!driven) return "nobody drives it";
  const runs = [...driven.calls.all.values()].filter((call) => {
    const step = driven.live.writer.fold.steps.get(call.n);
    return call.runs() && step?.intent.kind === "tool" && step.intent.container !== true;
  });
  const sorted = (numbers: Iterable<number>) => [...numbers].sort((a, b) => a - b);
  return (
    differ("files now", live.workspace, driven.files.now()) ??
    (served ? differ("who has the lock", sorted(live.holders), sorted(runs.map(({ n }) => n))) : undefined) ??
    differ("in doubt", sorted(live.asked), sorted(driven.asked))
  );
}

async function compareOperations(real: Real, sys: System, name: Name, t: Trace): Promise<Difference> {
  const ops = operations(t);
  const model = ops
    .map((op, i) => ({ op, i }))
    .filter(({ op }) => op.time >= sys.horizon)
    .map(({ op, i }) => `${op.kind} ${op.n ?? "-"}${isUndone(ops, i) ? " undone" : ""}`);
  const there = (await operationsIn(real, name)).map((op) => {
    const asked = ops.find(({ n }) => n !== null && n === op.n)?.kind === "resolve" ? "resolve" : op.kind;
    return `${asked} ${op.n ?? "-"}${op.state === "undone" ? " undone" : ""}`;
  });
  return differ("operations", model, there);
}

/** Effects that a scope owns, its own and those that it adopted, and whether they were taken back. */
async function compareEffects(real: Real, sys: System, name: Name, fold: Fold): Promise<Difference> {
  if (name === "main") return undefined;
  const owned = effects(sys)
    .filter((e) => owner(sys, e).scope === name)
    .map((e) => `${e.scope}:${e.n} ${e.tier}${isCompensated(sys, e) ? " taken back" : ""}`);
  const view = { ...(await viewOf(real, name)), fold };
  const there: string[] = [];
  for (const { log, step, compensated } of await ownedSince(real.store, view, -1)) {
    const from = String((await real.store.logs.header(log))?.meta.name);
    if (step.outcome) there.push(`${from}:${step.n} ${realTier(step)}${compensated ? " taken back" : ""}`);
  }
  return differ("effects that it owns", owned.sort(), there.sort());
}

/** What the logs alone give is what the owners have. */
export async function rebuilt(real: Real, sys: System): Promise<Difference> {
  for (const name of Object.keys(sys.scopes)) {
    if (isGone(sys, name)) continue;
    const { log } = await viewOf(real, name);
    const { fold } = await readFold(real.store, log);
    const ids = (f: Fold) => f.sealed.map(({ sealed }) => sealed!.id);
    const told = differ(`${name}: commits from the log`, ids(await foldOf(real, sys, name)), ids(fold));
    if (told) return told;
  }
  return undefined;
}
