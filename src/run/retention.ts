/** What retention takes: operations and discarded scopes after their time, and work directories that are only caches. */
import { readdirSync, rmSync, statSync } from "node:fs";
import { listScopes } from "../scope/registry.ts";
import type { EmbeddedStore } from "../trace/store.ts";

/** Operations can be undone, and discarded scopes brought back, for so long: 30 days, in ms. */
export const RETENTION = 30 * 24 * 3600 * 1000;
/** A work directory that was not used for so long goes; the next use makes it anew. In ms. */
const IDLE = 24 * 3600 * 1000;

export interface Expired {
  operations: number;
  scopes: string[];
  /** Logs whose work directories were removed. */
  work: string[];
}

/** Lets go what is older than retention. What is let go is only collected by the next `gc`. */
export async function expire(
  store: EmbeddedStore,
  options: { retention?: number; allWork?: boolean; dryRun?: boolean } = {},
): Promise<Expired> {
  const { retention = RETENTION, dryRun = false } = options;
  const now = Date.now();
  const expired: Expired = { operations: 0, scopes: [], work: [] };
  for (const ref of await store.refs.list("op/")) {
    const { at, state } = JSON.parse(ref.value) as { at: number; state: string };
    if (state === "planned" || now - at < retention) continue;
    if (dryRun || (await store.refs.cas(ref.name, ref.version, null))) expired.operations++;
  }
  for (const scope of await listScopes(store)) {
    if (
      scope.discarded === null ||
      now - scope.discarded < retention ||
      (await store.leases.holder(`log/${scope.log}`))
    )
      continue;
    if (dryRun || (await store.refs.cas(`scope/${scope.name}`, scope.version, null))) expired.scopes.push(scope.name);
  }
  const scopes = new Map((await listScopes(store)).map((scope) => [scope.log, scope]));
  const base = store.cache("work");
  for (const log of readdirSync(base)) {
    if (await store.leases.holder(`log/${log}`)) continue;
    const scope = scopes.get(log);
    const idle = now - statSync(`${base}/${log}`).mtimeMs > IDLE;
    if (scope && scope.discarded === null && !idle && !options.allWork) continue;
    if (!dryRun) rmSync(`${base}/${log}`, { recursive: true, force: true });
    expired.work.push(log);
  }
  return expired;
}
