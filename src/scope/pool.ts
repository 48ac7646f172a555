/**
 * Files of scopes at rest, for scopes that have none yet. To fill a large directory takes far longer than to change it from the files of one
 * run to those of another, and the files of a scope at rest are only a cache: the one they are taken from gets others when it goes on.
 */
import type { EmbeddedStore } from "../trace/store.ts";
import type { Driver } from "../world/driver.ts";
import { listScopes, type ScopeRef } from "./registry.ts";

/**
 * Gives a scope that has no files yet those of another of its workspace, where that spares much work; of several those of a discarded one, or of
 * the oldest, which is the least likely to be gone on with. The caller holds the lease of the scope, and restores it afterwards.
 */
export async function takeOver(store: EmbeddedStore, driver: Driver, ref: ScopeRef): Promise<void> {
  const kept = await driver.list();
  if (kept.some(({ id }) => id === ref.log)) return;
  const spare = new Set(kept.flatMap(({ id, spare }) => (spare ? [id] : [])));
  if (spare.size === 0) return;
  const others = (await listScopes(store, ref.workspace))
    .filter(({ log }) => spare.has(log))
    .sort((a, b) => Number(a.discarded === null) - Number(b.discarded === null) || a.created - b.created);
  for (const { log } of others) {
    const key = `log/${log}`;
    const epoch = await store.leases.acquire(key, (await store.logs.end(log)).epoch);
    if (epoch === null) continue;
    try {
      if (await driver.handOver("workspace", log, ref.log)) return;
    } finally {
      await store.leases.release(key, epoch);
    }
  }
}
