/** Content-addressed objects in packs that all processes of a store append to. */
import { sha256 } from "./bytes.ts";
import type { Disk } from "./disk.ts";
import { openPack, type Pack, type Place } from "./pack.ts";
import { type Hash, MAX_OBJECT, type Objects } from "./ports.ts";
import { createSegment } from "./segment.ts";

/** Thrown where the bytes of an object were destroyed by `forget`. */
export class Forgotten extends Error {
  constructor(readonly id: Hash) {
    super(`The object ${id.slice(0, 12)} was forgotten on request; its bytes are gone for good.`);
  }
}

/** A pack that has grown beyond this gets no more objects. */
const FULL = 128 << 20;

export interface PackedObjects extends Objects {
  /** Synced when it resolves: everything put before the call. */
  sync(): Promise<void>;
  /** Objects in these packs may be collected: `has` denies them, so that who needs one puts it again. */
  condemn(packs: ReadonlySet<number>): void;
  packs(): Pack[];
  /** Looks for packs and objects that other processes made. */
  refresh(): void;
  locate(id: Hash): { pack: Pack; place: Place } | null;
  close(): Promise<void>;
}

export async function openObjects(disk: Disk, directory: string): Promise<PackedObjects> {
  disk.mkdir(directory);
  const packs = new Map<number, Pack>();
  const dirty = new Set<Pack>();
  // How far this process knows a pack to be synced. What another process only wrote must be synced before a frame of ours that names it.
  const synced = new Map<Pack, number>();
  let condemned: ReadonlySet<number> = new Set();
  let newest: Pack | null = null;
  let syncing: Promise<void> = Promise.resolve();

  const refresh = (): void => {
    const there = new Set<number>();
    for (const name of disk.list(directory)) {
      const match = /^(\d{6})\.pack$/.exec(name);
      if (!match) continue;
      const number = Number(match[1]);
      there.add(number);
      if (packs.has(number)) continue;
      const pack = openPack(disk, `${directory}/${name}`, number);
      if (pack) packs.set(number, pack);
    }
    for (const [number, pack] of packs) {
      if (there.has(number)) pack.refresh();
      else {
        packs.delete(number);
        dirty.delete(pack);
        pack.segment.close();
      }
    }
    newest = null;
    for (const pack of packs.values()) if (!newest || pack.number > newest.number) newest = pack;
  };

  const locate = (id: Hash, offered: boolean): { pack: Pack; place: Place } | null => {
    for (const pack of packs.values()) {
      if (offered && condemned.has(pack.number)) continue;
      const place = pack.find(id);
      // What was forgotten can come back by new work, so a tombstone is nothing that could be named.
      if (place && !(offered && pack.forgotten(place))) return { pack, place };
    }
    return null;
  };
  const named = ({ pack, place }: { pack: Pack; place: Place }): void => {
    if (place.offset >= (synced.get(pack) ?? 0)) dirty.add(pack);
  };
  /** As `locate`; looks at what others wrote before it says no. */
  const search = (id: Hash): { pack: Pack; place: Place } | null => {
    const found = locate(id, false);
    if (found) return found;
    refresh();
    return locate(id, false);
  };
  const read = (id: Hash): Uint8Array | null => {
    let forgotten = false;
    for (let again = 0; again < 2; again++) {
      // The same object can lie in two packs, one of them damaged or forgotten.
      for (const pack of packs.values()) {
        const place = pack.find(id);
        const bytes = place && pack.read(place, id);
        if (bytes === "forgotten") forgotten = true;
        else if (bytes) return bytes;
      }
      if (!again) refresh();
    }
    if (forgotten) throw new Forgotten(id);
    return null;
  };
  const writable = async (): Promise<Pack> => {
    while (!newest || newest.segment.size() > FULL || condemned.has(newest.number)) {
      if (newest) await newest.saveIndex();
      const number: number = (newest?.number ?? 0) + 1;
      await createSegment(disk, `${directory}/${String(number).padStart(6, "0")}.pack`, "pack");
      refresh();
    }
    return newest;
  };

  refresh();
  return {
    put: async (bytes) => {
      if (bytes.length > MAX_OBJECT)
        throw new Error(`An object of ${bytes.length} bytes is over the limit of ${MAX_OBJECT}.`);
      const id = sha256(bytes);
      const there = locate(id, true);
      if (there) {
        named(there);
        return id;
      }
      const pack = newest && newest.segment.size() <= FULL && !condemned.has(newest.number) ? newest : await writable();
      dirty.add(pack);
      pack.append(id, bytes);
      return id;
    },
    get: async (id) => read(id),
    has: async (ids) =>
      ids.map((id) => {
        const there = locate(id, true) ?? (search(id) && locate(id, true));
        if (there) named(there);
        return there !== null;
      }),
    sync: () => {
      // One after the other: a later call must not return while an earlier one still syncs what both need.
      syncing = syncing
        .catch(() => {})
        .then(async () => {
          for (const pack of [...dirty]) {
            const size = pack.segment.size();
            dirty.delete(pack);
            try {
              await pack.segment.sync();
            } catch (error) {
              dirty.add(pack);
              throw error;
            }
            synced.set(pack, size);
          }
        });
      return syncing;
    },
    condemn: (numbers) => {
      condemned = numbers;
    },
    packs: () => [...packs.values()],
    refresh,
    locate: search,
    close: async () => {
      for (const pack of packs.values()) pack.segment.close();
      packs.clear();
    },
  };
}
