/** Sealed steps side by side, in their order: what each holds, and that equal commits have equal ids on both sides. */
import { target } from "../../../src/trace/bytes.ts";
import type { Hash } from "../../../src/trace/ports.ts";
import { type Fold, type Step, tierOf } from "../../../src/trace/seal.ts";
import type { Sealed, Trace } from "../seal.ts";
import type { Kind, Name, Workspace } from "../types.ts";
import { canonical } from "../value.ts";
import { threadsDiffer, treeOf } from "./contents.ts";
import { type Difference, differ } from "./difference.ts";
import type { Real } from "./real.ts";

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

const said = (step: { n: number } | undefined, kind: () => Kind): string =>
  step ? `step ${step.n} (${kind()})` : "none";

export async function compareCommits(
  real: Real,
  name: Name,
  t: Trace,
  { sealed }: Fold,
  matched: Matched,
): Promise<Difference> {
  for (let at = matched.sealed.get(name) ?? 0; at < Math.max(t.sealed.length, sealed.length); at++) {
    const [m, r] = [t.sealed[at], sealed[at]];
    if (!m || !r)
      return `commit ${at}: the model has ${said(m, () => m!.commit.kind)}, the runtime ${said(r, () => r!.intent.kind)}`;
    const told = await compareCommit(real, m, r, matched);
    if (told) return `commit ${at} (step ${m.n}, ${m.commit.kind}): ${told}`;
    matched.sealed.set(name, at + 1);
  }
  return undefined;
}

/** A resolution is told by the kind of what it resolves, where the runtime lands or syncs again with one side taken. */
const asResolution = (kind: Kind): Kind => (["landing", "sync", "merge"].includes(kind) ? "resolve" : kind);

async function compareCommit(real: Real, m: Sealed, r: Step, matched: Matched): Promise<Difference> {
  const { commit } = m;
  const sealed = r.sealed!;
  const tree = target(sealed.state.roots.workspace);
  const files = matched.trees.get(tree) ?? (await treeOf(real.store, tree));
  matched.trees.set(tree, files);
  const thread = threadsDiffer(commit.state.threads, sealed.state.threads);
  return (
    differ("number", m.n, r.n) ??
    differ("kind", commit.kind, commit.kind === "resolve" ? asResolution(r.intent.kind) : r.intent.kind) ??
    differ("tier", commit.tier, tierOf(r)) ??
    differ("status", commit.outcome.status, r.outcome!.status) ??
    differ(
      "parents",
      commit.parents.map((p) => matched.real.get(p) ?? p),
      sealed.parents,
    ) ??
    differ("files", commit.state.workspace, files) ??
    (thread === undefined
      ? undefined
      : `the conversation ${thread} differs: the model has ${canonical(commit.state.threads[thread])}`) ??
    match(matched, m.id, sealed.id)
  );
}

/** Equal commits of the model have equal ids in the runtime, and the other way round. */
function match(matched: Matched, model: string, real: Hash): Difference {
  const [there, back] = [matched.real.get(model), matched.model.get(real)];
  if (there !== undefined && there !== real) return "a commit that the model has already is another one in the runtime";
  if (back !== undefined && back !== model) return "a commit that the runtime has already is another one in the model";
  matched.real.set(model, real);
  matched.model.set(real, model);
  return undefined;
}
