/** What retention takes: operations and discarded scopes after their time, and work directories that are only caches. */
import { driverOf } from "../scope/driver.ts";
import { listScopes } from "../scope/registry.ts";
import { outputOf } from "../scope/services.ts";
import { taggedLogs } from "../scope/tags.ts";
import { dropImported } from "../trace/bundle/imported.ts";
import type { EmbeddedStore } from "../trace/store.ts";

/** Operations can be undone, and discarded scopes brought back, for so long: 30 days, in ms. */
const RETENTION = 30 * 24 * 3600 * 1000;
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
  const operations = await store.refs.list("op/");
  for (const [at, ref] of operations.entries()) {
    const operation = JSON.parse(ref.value) as { at: number; state: string; workspace: string };
    if (operation.state === "planned" || now - operation.at < retention) continue;
    // The newest of a workspace stays as one that can no more be undone, since the next goes on from its number: steps are told by it.
    const newest = !operations[at + 1]?.name.startsWith(`op/${operation.workspace}/`);
    if (newest && operation.state === "void") continue;
    const left = newest ? JSON.stringify({ ...operation, state: "void" }) : null;
    if (dryRun || (await store.refs.cas(ref.name, ref.version, left))) expired.operations++;
  }
  const tagged = await taggedLogs(store);
  for (const scope of await listScopes(store)) {
    if (
      scope.discarded === null ||
      tagged.has(scope.log) ||
      now - scope.discarded < retention ||
      (await store.leases.holder(`log/${scope.log}`))
    )
      continue;
    if (dryRun || (await store.refs.cas(`scope/${scope.name}`, scope.version, null))) expired.scopes.push(scope.name);
  }
  if (!dryRun) await dropImported(store, now);
  const scopes = new Map((await listScopes(store)).map((scope) => [scope.log, scope]));
  // Where the check passed in what is gone: else that would be kept for it.
  for (const ref of dryRun ? [] : await store.refs.list("green/"))
    if (!scopes.has(ref.name.slice("green/".length))) await store.refs.cas(ref.name, ref.version, null);
  const driver = driverOf(store);
  for (const { id, used } of await driver.list()) {
    const key = `log/${id}`;
    if (await store.leases.holder(key)) continue;
    const scope = scopes.get(id);
    const idle = now - used > IDLE;
    if (scope && scope.discarded === null && !idle && !options.allWork) continue;
    if (!dryRun) {
      // Who drives it must not begin in between.
      const floor = scope ? (await store.logs.end(id)).epoch : 0;
      const epoch = await store.leases.acquire(key, floor);
      if (epoch === null) continue;
      await driver.dispose(id).finally(() => store.leases.release(key, epoch));
    }
    expired.work.push(id);
  }
  for (const log of dryRun ? [] : store.disk.list(store.cache("services")))
    if (!scopes.has(log)) store.disk.remove(outputOf(store, log));
  if (!dryRun) await driver.tidy(options.allWork ? 0 : IDLE);
  return expired;
}
