/** What an open store is asked for. */
import { stateOf } from "../run/lifecycle.ts";
import { taskOf } from "../run/start.ts";
import { findWorkspace } from "../run/workspace.ts";
import { listScopes, workspacePath } from "../scope/registry.ts";
import { readLog, sealedStep } from "../scope/view.ts";
import { target } from "../trace/bytes.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { readContent } from "../world/content.ts";
import { lookup } from "../world/lookup.ts";
import type { Effects } from "./effect.ts";
import { publicError } from "./errors.ts";
import type { RunInfo } from "./open.ts";
import type { ObserveOptions, Step } from "./run.ts";
import { headIn, observeIn, refOf, stepsIn, viewIn } from "./watching.ts";

export async function runsIn(store: EmbeddedStore, directory: string | undefined): Promise<RunInfo[]> {
  const workspace = directory === undefined ? undefined : (await findWorkspace(store, directory)).id;
  const scopes = (await listScopes(store, workspace)).sort((a, b) => a.created - b.created);
  return Promise.all(
    scopes.map(async (ref) => ({
      name: ref.name,
      state: (await stateOf(store, await readLog(store, ref.log, ref))).state,
      agent: (await taskOf(store, ref.name).catch(() => null))?.agent?.name ?? null,
      parent: ref.parent,
      directory: await workspacePath(store, ref.log),
      created: ref.created,
    })),
  );
}

export const steps = async (store: EmbeddedStore, run: string): Promise<Step[]> =>
  stepsIn(store, await viewIn(store, run));

export const head = async (store: EmbeddedStore, run: string) => headIn(await viewIn(store, run));

export async function* observed(
  store: EmbeddedStore,
  run: string,
  options: ObserveOptions<Effects>,
): AsyncGenerator<Step> {
  yield* observeIn(store, await refOf(store, run), options);
}

export async function file(
  store: EmbeddedStore,
  run: string,
  path: string,
  at: number | undefined,
): Promise<Uint8Array | null> {
  const view = await viewIn(store, run);
  const state = at === undefined ? view.fold.head().state : await stateAt(store, view, at);
  const entry = state && (await lookup(store.objects, target(state.roots.workspace), Buffer.from(path)));
  if (!entry || entry.type === "d") return null;
  const parts: Uint8Array[] = [];
  for await (const part of readContent(store.objects, entry.type, entry.id)) parts.push(part);
  return Buffer.concat(parts);
}

const stateAt = async (store: EmbeddedStore, view: Parameters<typeof sealedStep>[1], at: number) => {
  try {
    return (await sealedStep(store, view, at)).sealed.state;
  } catch (error) {
    throw publicError(error, view.ref?.name ?? null);
  }
};
