/** What of a state was destroyed on request. */
import { listForgotten } from "../trace/forget.ts";
import type { Hash } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { findLacking } from "../world/lacking.ts";
import { isForgotten } from "./files.ts";

/** Paths of `tree` that a restore leaves out. Looks only where something was ever forgotten. */
export async function forgottenIn(store: EmbeddedStore, tree: Hash): Promise<Buffer[]> {
  const ids = new Set((await listForgotten(store)).flatMap((forgetting) => forgetting.ids));
  if (ids.size === 0) return [];
  // The same bytes may have come again since.
  return findLacking(store.objects, tree, async (id) => ids.has(id) && (await isForgotten(store, id)));
}
