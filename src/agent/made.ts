/** Scopes that an effect has made, found again by its key when that is attempted once more. */
import { listScopes } from "../scope/registry.ts";
import type { EmbeddedStore } from "../trace/store.ts";

/** The name of the fork of `parent` that was made under a key; null if there is none. */
export async function madeBefore(store: EmbeddedStore, parent: string, key: string): Promise<string | null> {
  for (const { name, log } of await listScopes(store)) {
    if (!name.startsWith(`${parent}.`)) continue;
    const { made, call } = (await store.logs.header(log))?.meta ?? {};
    if (made === key || (call as { key?: string } | undefined)?.key === key) return name;
  }
  return null;
}
