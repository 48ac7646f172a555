/** What the store says of a scope, read again only where its files have changed. */
import { loadFold } from "../../../src/scope/index.ts";
import { listOperations, type Operation } from "../../../src/scope/operations.ts";
import { findScope, type ScopeRef, workspaceOf } from "../../../src/scope/registry.ts";
import { readLog, readScope, type View } from "../../../src/scope/view.ts";
import type { Fold } from "../../../src/trace/seal.ts";
import type { Name, System } from "../types.ts";
import type { Real } from "./real.ts";

export interface Read {
  readonly ref: ScopeRef | null;
  readonly log: string;
  readonly fold: Fold;
}
/** What was read, and how long the log was. */
export type Readings = Map<Name, Read & { readonly size: number }>;

export const sizeOf = async (real: Real, log: string): Promise<number> => (await real.store.logs.end(log)).offset;

/** As its owner has it; for who has none, as the log gives it. */
export async function readingOf(real: Real, sys: System, name: Name, readings: Readings): Promise<Read> {
  const driven = sys.scopes[name]?.live ? real.driven.get(name) : undefined;
  const ref = name === "main" ? null : await findScope(real.store, name);
  if (name !== "main" && !ref) throw new Error(`There is no scope ${name}.`);
  const log = ref?.log ?? (await logOfMain(real));
  if (driven) return { ref, log, fold: driven.live.writer.fold };
  const known = readings.get(name);
  const size = await sizeOf(real, log);
  if (known && known.log === log && known.size === size) return { ...known, ref };
  const read = { ref, log, fold: await loadFold(real.store, log), size };
  readings.set(name, read);
  return read;
}

/** Operations of a scope that took place and have not expired, oldest first. */
export async function operationsIn(real: Real, name: Name): Promise<Operation[]> {
  const { id } = workspaceOf(real.user);
  return (await listOperations(real.store, id)).filter(
    ({ scope, state }) => scope === name && (state === "done" || state === "undone"),
  );
}

/** Reads what a scope was or is, whoever drives it. */
export async function viewOf(real: Real, name: Name): Promise<View> {
  if (name !== "main") return readScope(real.store, name);
  return readLog(real.store, await logOfMain(real));
}

export async function logOfMain(real: Real): Promise<string> {
  const ref = await real.store.refs.get(`main/${workspaceOf(real.user).id}`);
  return (JSON.parse(ref!.value) as { log: string }).log;
}
