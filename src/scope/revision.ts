/** How people name steps: `6`, `fix@6`, `fix@` (its head), `@-` (the one before the head), `e8f1a2c` (a commit). */
import type { EmbeddedStore } from "../trace/store.ts";
import { listScopes, type ScopeRef } from "./registry.ts";
import type { Found } from "./view.ts";
import { findCommit, readScope, sealedStep, type View } from "./view.ts";

/** Thrown for a name of a step that names none, or several. */
export class RevisionError extends Error {}

export interface Revision extends Found {
  view: View;
  sealed: NonNullable<Found["step"]["sealed"]>;
}

/** Whether a word can name a step without a scope in front of it. */
export const isStepNumber = (word: string): boolean => /^\d{1,9}$/.test(word);

/** The newest run that was started from a workspace; null if there is none. */
export async function newestRun(store: EmbeddedStore, workspace: string): Promise<ScopeRef | null> {
  const runs = (await listScopes(store, workspace)).filter(
    (scope) => scope.parent === null && scope.discarded === null,
  );
  return runs.sort((a, b) => a.created - b.created || a.version - b.version).at(-1) ?? null;
}

/** Finds the step that `text` names; `run` is the scope that it means where it names none. */
export async function resolveRevision(store: EmbeddedStore, text: string, run: string | null): Promise<Revision> {
  const at = text.indexOf("@");
  const named = at > 0 ? text.slice(0, at) : null;
  const rest = at >= 0 ? text.slice(at + 1) : text;
  const scope = (): string => {
    const name = named ?? run;
    if (!name)
      throw new RevisionError(
        `${JSON.stringify(text)} names a step, and no run was started from this directory: write RUN@${rest}.`,
      );
    return name;
  };
  if (isStepNumber(rest)) {
    const view = await readScope(store, scope());
    return { view, ...(await sealedStep(store, view, Number(rest))) };
  }
  if (at >= 0 && /^-*$/.test(rest)) {
    const view = await readScope(store, scope());
    const own = view.fold.sealed.at(-1 - rest.length);
    const n = own ? own.n : rest.length === 0 ? view.fold.head().n : -1;
    if (n < 0) throw new RevisionError(`${scope()} has not that many steps of its own.`);
    return { view, ...(await sealedStep(store, view, n)) };
  }
  if (/^[0-9a-f]{4,64}$/.test(rest)) return byCommit(store, rest, named ?? run);
  if (at < 0) {
    const scopes = await listScopes(store);
    if (scopes.some(({ name }) => name === text)) return resolveRevision(store, `${text}@`, run);
  }
  throw new RevisionError(
    `${JSON.stringify(text)} names no step: write a number (6), RUN@6, RUN@ for its newest, or a commit id.`,
  );
}

async function byCommit(store: EmbeddedStore, prefix: string, prefer: string | null): Promise<Revision> {
  const hits = await findCommit(store, prefix);
  const ids = new Set(hits.map(({ id }) => id));
  if (ids.size === 0) throw new RevisionError(`No commit starts with ${prefix}.`);
  if (ids.size > 1) throw new RevisionError(`${ids.size} commits start with ${prefix}: write more of it.`);
  // An id that several steps share means the newest in the run.
  const inRun = hits.filter(({ ref }) => ref.name === prefer);
  const { ref, step } = (inRun.length > 0 ? inRun : hits).at(-1)!;
  const view = await readScope(store, ref.name);
  return { view, log: view.log, step: view.fold.steps.get(step.n)!, sealed: view.fold.steps.get(step.n)!.sealed! };
}
