/** Forgetting, also in what was made from the store: the files of runs at rest, the rows of logs, and what services wrote. */
import { listScopes } from "../scope/registry.ts";
import { type ForgetOptions, type ForgetReport, forget } from "../trace/forget.ts";
import type { Hash } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { expire } from "./retention.ts";

export interface Forgot extends ForgetReport {
  /** Runs that are driven now: their files may have the bytes still, and bring them back. */
  driven: string[];
}

/** As `forget` of the trace. */
export async function forgetAll(store: EmbeddedStore, ids: readonly Hash[], options: ForgetOptions): Promise<Forgot> {
  const report = await forget(store, ids, options);
  for (const kind of ["rows", "services"]) store.disk.remove(store.cache(kind));
  await expire(store, { allWork: true });
  const driven: string[] = [];
  for (const { name, log } of await listScopes(store)) if (await store.leases.holder(`log/${log}`)) driven.push(name);
  return { ...report, driven };
}
