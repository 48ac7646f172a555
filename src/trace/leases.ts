/** Leases over refs: who holds a key is a value that is swapped, and a holder that does not live holds nothing. */
import { alive, sameOwner, thisOwner } from "./owner.ts";
import type { Leases, Owner, Refs } from "./ports.ts";

interface Held {
  epoch: number;
  owner: Owner | null;
}

/** @param me for tests: the process that asks. */
export function leasesOver(refs: Refs, me: () => Owner = thisOwner, lives: (owner: Owner) => boolean = alive): Leases {
  const read = async (key: string): Promise<{ held: Held; version: number }> => {
    const ref = await refs.get(key);
    return ref
      ? { held: JSON.parse(ref.value) as Held, version: ref.version }
      : { held: { epoch: 0, owner: null }, version: 0 };
  };
  return {
    acquire: async (key, floor = 0) => {
      for (;;) {
        const { held, version } = await read(key);
        if (held.owner && lives(held.owner)) return null;
        const next: Held = { epoch: Math.max(held.epoch, floor) + 1, owner: me() };
        if (await refs.cas(key, version, JSON.stringify(next))) return next.epoch;
      }
    },
    renew: async (key, epoch) => {
      const { held } = await read(key);
      return held.epoch === epoch && held.owner !== null && sameOwner(held.owner, me());
    },
    release: async (key, epoch) => {
      const { held, version } = await read(key);
      if (held.epoch === epoch && held.owner && sameOwner(held.owner, me()))
        await refs.cas(key, version, JSON.stringify({ epoch, owner: null }));
    },
    holder: async (key) => {
      const { held } = await read(key);
      return held.owner && lives(held.owner) ? held.owner : null;
    },
  };
}
