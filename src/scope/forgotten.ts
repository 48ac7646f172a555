/** What of a state was destroyed on request. */
import { listForgotten } from "../trace/forget.ts";
import type { Hash } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { findLacking, lacks } from "../world/lacking.ts";
import type { Entry } from "../world/tree.ts";
import { isForgotten } from "./files.ts";

/** Tells of an entry whether it was forgotten; null where nothing ever was. */
export async function forgottenEntries(store: EmbeddedStore): Promise<((entry: Entry) => Promise<boolean>) | null> {
  const gone = await goneIn(store);
  return gone && ((entry) => lacks(store.objects, entry, gone));
}

/** Tells of an object whether it was forgotten, and has not come again since; null where nothing ever was. */
async function goneIn(store: EmbeddedStore): Promise<((id: Hash) => Promise<boolean>) | null> {
  const ids = new Set((await listForgotten(store)).flatMap((forgetting) => forgetting.ids));
  return ids.size === 0 ? null : async (id) => ids.has(id) && (await isForgotten(store, id));
}

/** Paths of `tree` that a restore leaves out. Looks only where something was ever forgotten. */
export async function forgottenIn(store: EmbeddedStore, tree: Hash): Promise<Buffer[]> {
  const gone = await goneIn(store);
  return gone ? findLacking(store.objects, tree, gone) : [];
}
