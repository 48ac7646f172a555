/** Scopes that are thrown away from the first: whoever is killed leaves nothing that could be taken for a run. */
import { driverOf } from "../scope/driver.ts";
import { type ForkOptions, forkScope } from "../scope/fork.ts";
import { findScope, freeName, NameError, type ScopeRef, setDiscarded } from "../scope/registry.ts";
import type { EmbeddedStore } from "../trace/store.ts";

/** A fork of a run at step `n` that counts as discarded. No operation: nothing of the user's is in it, so there is nothing to take back. */
export async function scratchOf(
  store: EmbeddedStore,
  run: string,
  n: number,
  { suffix, grants }: { suffix: string; grants: NonNullable<ForkOptions["grants"]> },
): Promise<ScopeRef> {
  for (;;) {
    const name = await freeName(store, `${run.replaceAll(".", "-").slice(0, 36)}-${suffix}`);
    try {
      const [scope] = await forkScope(store, run, n, { name, grants });
      await setDiscarded(store, scope!, Date.now());
      return scope!;
    } catch (error) {
      // Somebody else makes one in the same moment.
      if (!(error instanceof NameError) || !(await findScope(store, name))) throw error;
    }
  }
}

/** Removes a scratch scope, its files and its log. Nobody drives it any more. */
export async function removeScratch(store: EmbeddedStore, { name, log }: ScopeRef): Promise<void> {
  const key = `log/${log}`;
  const epoch = await store.leases.acquire(key, (await store.logs.end(log)).epoch);
  if (epoch === null) return;
  try {
    await driverOf(store).dispose(log);
    const ref = await findScope(store, name);
    if (ref?.log === log && (await store.refs.cas(`scope/${name}`, ref.version, null))) store.logs.remove(log);
  } finally {
    await store.leases.release(key, epoch);
  }
}
