/** How people name steps: `6`, `fix@6`, `fix@` (its head), `@-` (the one before the head), `e8f1a2c` (a commit). */
import { importOf } from "../trace/bundle/imported.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { listScopes, type ScopeRef } from "./registry.ts";
import type { Found } from "./view.ts";
import { allSteps, findCommit, readScope, sealedStep, type View } from "./view.ts";

/** Thrown for a name of a step that names none, or several. */
export class RevisionError extends Error {}

export interface Revision extends Found {
  view: View;
  sealed: NonNullable<Found["step"]["sealed"]>;
  /** Found by an id that these steps have too, as `RUN@N`. */
  shares?: string[];
}

/** Whether a word can name a step without a scope in front of it. */
export const isStepNumber = (word: string): boolean => /^\d{1,9}$/.test(word);

/** The newest run that was started from a workspace, not one that was imported; null if there is none. */
export async function newestRun(store: EmbeddedStore, workspace: string): Promise<ScopeRef | null> {
  const runs = (await listScopes(store, workspace)).filter(
    (scope) => scope.parent === null && scope.discarded === null,
  );
  for (const run of runs.sort((a, b) => b.created - a.created || b.version - a.version))
    if (!(await importOf(store, run.log))) return run;
  return null;
}

/**
 * Finds the step that `text` names; `run` is the scope that it means where it names none.
 * @param guessed whether nobody named `run`: then a commit id may be that of another run.
 */
export async function resolveRevision(
  store: EmbeddedStore,
  text: string,
  run: string | null,
  guessed = false,
): Promise<Revision> {
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
    if (n < 0)
      throw new RevisionError(
        `@${rest} goes back ${rest.length} of the steps of ${scope()} itself, and it has ${view.fold.sealed.length}: \`shepherd log ${scope()}\` numbers all.`,
      );
    return { view, ...(await sealedStep(store, view, n)) };
  }
  if (/^[0-9a-f]{4,64}$/.test(rest))
    return byCommit(store, rest, named ?? run, named !== null || (run !== null && !guessed));
  if (at < 0) {
    const scopes = await listScopes(store);
    if (scopes.some(({ name }) => name === text)) return resolveRevision(store, `${text}@`, run);
  }
  throw new RevisionError(
    `${JSON.stringify(text)} names no step${at < 0 && (guessed || !run) ? " and no run" : ""}: write a number (6), RUN@6, RUN@ for its newest, or a commit id.`,
  );
}

async function byCommit(store: EmbeddedStore, prefix: string, name: string | null, strict: boolean): Promise<Revision> {
  const view = name ? await readScope(store, name) : null;
  const hits: Found[] = view
    ? (await allSteps(store, view)).filter(({ step }) => step.sealed?.id.startsWith(prefix))
    : [];
  const elsewhere = (await findCommit(store, prefix)).filter(({ step }) =>
    hits.every((hit) => hit.step.frame !== step.frame),
  );
  const ids = new Set([...hits, ...(strict ? [] : elsewhere)].map(({ step }) => step.sealed!.id));
  if (ids.size === 0)
    throw new RevisionError(
      `No commit${strict ? ` of ${name}` : ""} starts with ${prefix}: \`shepherd log${strict ? ` ${name}` : ""}\` shows them.`,
    );
  if (ids.size > 1) throw new RevisionError(`${ids.size} commits start with ${prefix}: write more of it.`);
  const [id] = ids;
  const others = elsewhere.filter(({ step }) => step.sealed!.id === id);
  const also = (steps: Found[], at: string): string[] => steps.map(({ step }) => `${at}@${step.n}`);
  // An id that several steps share means the newest in the run.
  const own = hits.at(-1);
  if (own && view)
    return {
      view,
      ...own,
      sealed: own.step.sealed!,
      shares: [...also(hits.slice(0, -1), name!), ...others.flatMap((other) => also([other], other.ref.name))],
    };
  const { ref, log, step } = others.at(-1)!;
  return {
    view: await readScope(store, ref.name),
    log,
    step,
    sealed: step.sealed!,
    shares: others.slice(0, -1).flatMap((other) => also([other], other.ref.name)),
  };
}
