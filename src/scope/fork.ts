/** Forks: new scopes that share a prefix. A fork is a ref to a commit and a note; it touches neither the parent's steps nor its files. */

import { importOf } from "../trace/bundle/imported.ts";
import type { Json, Link, Origin } from "../trace/ports.ts";
import { type Fold, type Head, isContainer, type Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { openWriter } from "../trace/writer.ts";
import {
  attenuate,
  createScope,
  findScope,
  type Grants,
  grantsOf,
  NameError,
  type ScopeRef,
  workspacePath,
} from "./registry.ts";
import type { LiveScope } from "./scope.ts";
import { findStep, headAt, howFinished, readLog, readScope, StepError, sealedStep, type View } from "./view.ts";

export interface ForkOptions {
  /** How many; named `PARENT.1`, `PARENT.2`, … */
  count?: number;
  /** Before step `n` instead of after it: the call is open, the request not yet made. */
  atIntent?: boolean;
  name?: string;
  grants?: Partial<Grants>;
  /** Its services, as `putServices` wrote them; without it those of the parent. */
  services?: Link | undefined;
  /** What is written in the heads of their logs; of the parent they have its task. */
  meta?: { [key: string]: Json };
  /** Writes what each begins with. Who is killed meanwhile leaves no fork that lacks it. */
  begin?: (scope: Beginning) => Promise<void>;
  /** Writes the note into the parent's log; the owner's way if there is one. */
  note?: (facts: { note: "forked"; scope: string; n: number }) => Promise<void>;
}

/** A new scope that has no name yet. */
export type Beginning = Pick<LiveScope, "store" | "writer" | "head">;

/** Where a fork at step `n` starts. Throws `StepError` if that is not sealed yet. */
async function forkPoint(
  store: EmbeddedStore,
  view: View,
  n: number,
  atIntent: boolean,
): Promise<{ log: string; head: Head; seq: number }> {
  if (!atIntent) {
    const { log, step, sealed } = await sealedStep(store, view, n);
    return { log, head: headAt(step), seq: sealed.seq };
  }
  const found = await findStep(store, view, n);
  if (!found) throw new StepError(`${view.ref?.name ?? "main"} has no step ${n}.`);
  const { fold } = found.log === view.log ? view : await readLog(store, found.log);
  const waits = unsealedBefore(fold, found.step);
  if (waits)
    throw new StepError(
      `The intent of step ${n} waits for step ${waits.n}, which is not finished: ${await howFinished(store, view)}.`,
    );
  const start = lastBefore(fold, found.step);
  if (start) return { log: found.log, head: headAt(start), seq: start.sealed!.seq };
  // Then the step before stands in another log.
  const { origin } = fold.header;
  if (!origin) throw new StepError(`Nothing is before step ${n}: fork at a later one.`);
  const { n: last, commit: id, state, carry, top, seq } = origin;
  return { log: origin.log, head: { n: last, id, state, carry, top }, seq };
}

/** The newest step that was there at the intent of `step`: what other conversations have done since, and what is inside a container, is not. */
const lastBefore = ({ sealed }: Fold, step: Step): Step | undefined =>
  sealed.slice(0, step.sealed?.order).findLast(({ n }) => n < step.n);

/** A step before `step` that has no commit yet. Messages that are still coming and containers hold back nobody but their own calls. */
function unsealedBefore(fold: Fold, step: Step): Step | undefined {
  if (step.sealed) return undefined;
  const holds = ({ n, intent, outcome }: Step): boolean =>
    n < step.n && !isContainer(intent) && (intent.kind !== "model" || outcome !== null || n === step.links.turn);
  return fold.pending().find(holds);
}

/** Makes `count` scopes that start at step `n` of `parent`. Synced at return. */
export async function forkScope(
  store: EmbeddedStore,
  parent: string,
  n: number,
  options: ForkOptions = {},
): Promise<ScopeRef[]> {
  const view = await readScope(store, parent);
  const point = await forkPoint(store, view, n, options.atIntent ?? false);
  const origin: Origin = {
    log: point.log,
    n: point.head.n,
    seq: point.seq,
    commit: point.head.id!,
    state: point.head.state!,
    top: point.head.top,
    carry: point.head.carry,
  };
  // What the new scopes start from must not be lost before they are.
  await store.logs.sync(point.log);
  const grants = attenuate(await grantsOf(store, view.log), options.grants ?? {});
  // Its log is kept as long as this one: it answers for what it merges from it.
  const imported = await importOf(store, view.log);
  const services = options.services ?? (imported ? undefined : view.fold.header.meta.services);
  const { task, thread } = view.fold.header.meta;
  const meta = {
    parent: view.log,
    ...(services !== undefined && { services }),
    // One that began as a fork has a task of its own, and not that of step 0.
    ...(view.fold.header.origin && task !== undefined && { task }),
    ...(thread !== undefined && { thread }),
    ...options.meta,
  };
  const workspace = { path: await workspacePath(store, view.log), id: view.ref!.workspace };
  const { begin: write } = options;
  const spec = { workspace, parent, origin, grants, meta, ...(write && { begin: beginning(store, write) }) };
  const made: ScopeRef[] = [];
  for (let k = 0; k < (options.count ?? 1); k++) {
    const ref = await createNumbered(store, parent, options.name, spec);
    // Nobody writes into what came out of a file.
    if (!imported) await options.note?.({ note: "forked", scope: ref.name, n });
    made.push(ref);
  }
  return made;
}

const beginning =
  (store: EmbeddedStore, write: NonNullable<ForkOptions["begin"]>) =>
  async (log: string): Promise<void> => {
    const epoch = await store.leases.acquire(`log/${log}`, (await store.logs.end(log)).epoch);
    if (epoch === null) throw new Error(`The log ${log} was just made, and another process writes it.`);
    try {
      const writer = await openWriter(store, log, epoch);
      await write({ store, writer, head: () => writer.fold.head() });
      await writer.sync();
    } finally {
      await store.leases.release(`log/${log}`, epoch);
    }
  };

async function createNumbered(
  store: EmbeddedStore,
  parent: string,
  name: string | undefined,
  spec: Omit<Parameters<typeof createScope>[1], "name">,
): Promise<ScopeRef> {
  if (name) return createScope(store, { ...spec, name });
  for (;;) {
    const taken = new Set((await store.refs.list(`scope/${parent}.`)).map((ref) => ref.name));
    let k = 1;
    while (taken.has(`scope/${parent}.${k}`)) k++;
    try {
      return await createScope(store, { ...spec, name: `${parent}.${k}` });
    } catch (error) {
      // Somebody else forked in the same moment.
      if (!(error instanceof NameError) || !(await findScope(store, `${parent}.${k}`))) throw error;
    }
  }
}
