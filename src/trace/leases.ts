/** Leases over refs: who holds a key is a value that is swapped, and a holder that does not live holds nothing. */
import { decodeJson } from "./bytes.ts";
import { alive, isOwner, sameOwner, thisOwner } from "./owner.ts";
import type { Leases, Owner, Refs } from "./ports.ts";

interface Held {
  epoch: number;
  owner: Owner | null;
}

/** @param me for tests: the process that asks. */
export function leasesOver(refs: Refs, me: () => Owner = thisOwner, lives: (owner: Owner) => boolean = alive): Leases {
  const read = async (key: string): Promise<{ held: Held; version: number }> => {
    const ref = await refs.get(key);
    return { held: ref ? parse(key, ref.value) : { epoch: 0, owner: null }, version: ref?.version ?? 0 };
  };
  const isMine = ({ epoch, owner }: Held, under: number): boolean =>
    epoch === under && owner !== null && sameOwner(owner, me());
  return {
    acquire: async (key, floor = 0) => {
      for (;;) {
        const { held, version } = await read(key);
        if (held.owner && lives(held.owner)) return null;
        const next: Held = { epoch: Math.max(held.epoch, floor) + 1, owner: me() };
        if (await refs.cas(key, version, JSON.stringify(next))) return next.epoch;
      }
    },
    renew: async (key, epoch) => isMine((await read(key)).held, epoch),
    release: async (key, epoch) => {
      const { held, version } = await read(key);
      if (isMine(held, epoch)) await refs.cas(key, version, JSON.stringify({ epoch, owner: null }));
    },
    holder: async (key) => {
      const { held } = await read(key);
      return held.owner && lives(held.owner) ? held.owner : null;
    },
  };
}

function parse(key: string, value: string): Held {
  try {
    const held = decodeJson(Buffer.from(value)) as unknown as Held;
    if (Number.isSafeInteger(held.epoch) && (held.owner === null || isOwner(held.owner))) return held;
  } catch {
    // As below.
  }
  throw new Error(`Who holds ${key} cannot be read: run \`shepherd fsck\`.`);
}
