/** A conversation as it grows: each look reads only what was appended since the last. */

import { getItem, type Item, itemsOf } from "../scope/thread.ts";
import { decodeJson, target } from "../trace/bytes.ts";
import type { Link, Session } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";

export interface Conversation {
  /** The items of a session, oldest first. The list is not changed by later looks. */
  read(session: Session | undefined): Promise<readonly Item[]>;
}

export function followConversation(store: EmbeddedStore): Conversation {
  let head: Link | null = null;
  let known: readonly Item[] = [];

  const read = async (session: Session | undefined): Promise<readonly Item[]> => {
    const wanted = session?.items ?? null;
    const fresh: Link[] = [];
    let at = wanted;
    while (at && at !== head) {
      const bytes = await store.derived.get(target(at));
      // The cache of what follows from the logs was deleted: reading it all computes it anew.
      if (!bytes) return itemsOf(store, session);
      const node = decodeJson(bytes) as unknown as { before: Link | null; item: Link };
      fresh.push(node.item);
      at = node.before;
    }
    const before = at === head ? known : [];
    return [...before, ...(await Promise.all(fresh.reverse().map((each) => getItem(store, each))))];
  };

  return {
    read: async (session) => {
      known = await read(session);
      head = session?.items ?? null;
      return known;
    },
  };
}
