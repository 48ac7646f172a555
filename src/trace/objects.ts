/** Content-addressed objects in packs that all processes of a store append to. */
import { sha256 } from "./bytes.ts";
import type { Disk } from "./disk.ts";
import { BESIDE, openPack, type Pack, type Place, packed, packedBeside } from "./pack.ts";
import { type Hash, MAX_OBJECT, type Objects } from "./ports.ts";
import { RECORD_HEAD } from "./record.ts";
import { createSegment, NewerFormat } from "./segment.ts";

/** Thrown where the bytes of an object were destroyed by `forget`. */
export class Forgotten extends Error {
  constructor(readonly id: Hash) {
    super(`The object ${id.slice(0, 12)} was forgotten on request; its bytes are gone for good.`);
  }
}

/** A pack that has grown beyond this gets no more objects. */
const FULL = 128 << 20;

export interface PackedObjects extends Objects {
  /**
   * Synced when it resolves: everything that anybody put before the call; or, where these are all that matter, at least the objects with
   * these ids and what was put before each of them. Those that are known to be synced cost no look at the disk.
   */
  sync(ids?: Iterable<Hash>): Promise<void>;
  /** Objects in these packs may be collected: `has` denies them, so that who needs one puts it again. */
  condemn(packs: ReadonlySet<number>): void;
  packs(): Pack[];
  /** Looks for packs and objects that other processes made. */
  refresh(): void;
  locate(id: Hash): { pack: Pack; place: Place } | null;
  close(): Promise<void>;
}

/** @param full for tests: the size beyond which a pack gets no more objects. */
export async function openObjects(disk: Disk, directory: string, full = FULL): Promise<PackedObjects> {
  disk.mkdir(directory);
  const packs = new Map<number, Pack>();
  // The pack that an object was found in last comes first.
  let order: Pack[] = [];
  // How far this process knows a pack to be synced.
  const synced = new Map<Pack, number>();
  // How far it was, with everything in all packs that was put before.
  const complete = new Map<Pack, number>();
  // Objects whose bytes turned out to be damaged: who has them may put them again.
  const damaged = new Set<Hash>();
  let condemned: ReadonlySet<number> = new Set();
  let newest: Pack | null = null;
  let highest = 0;
  let syncing: Promise<void> = Promise.resolve();

  const open = (name: string, number: number): void => {
    try {
      const pack = openPack(disk, `${directory}/${name}`, number);
      if (pack) packs.set(number, pack);
    } catch (error) {
      // What lies in a pack with a damaged heading is missing until it is mended; all else goes on.
      if (error instanceof NewerFormat) throw error;
    }
  };
  const refresh = (): void => {
    const there = new Set<number>();
    for (const name of disk.list(directory)) {
      const match = /^(\d{6})\.pack$/.exec(name);
      if (!match) continue;
      const number = Number(match[1]);
      there.add(number);
      highest = Math.max(highest, number);
      if (!packs.has(number)) open(name, number);
    }
    for (const [number, pack] of packs) {
      if (there.has(number)) pack.refresh();
      else {
        packs.delete(number);
        synced.delete(pack);
        complete.delete(pack);
        pack.segment.close();
      }
    }
    order = [...packs.values()].sort((a, b) => b.number - a.number);
    newest = order[0] ?? null;
  };

  const locate = (id: Hash, offered: boolean): { pack: Pack; place: Place } | null => {
    if (offered && damaged.has(id)) return null;
    for (const [at, pack] of order.entries()) {
      if (offered && condemned.has(pack.number)) continue;
      const place = pack.find(id);
      // What was forgotten can come back by new work, so a tombstone is nothing that could be named.
      if (!place || (offered && pack.forgotten(place))) continue;
      front(at);
      return { pack, place };
    }
    return null;
  };
  const front = (at: number): void => {
    if (at > 0) order.unshift(order.splice(at, 1)[0]!);
  };
  const read = (id: Hash): Uint8Array | null => {
    let forgotten = false;
    for (let again = 0; again < 2; again++) {
      // The same object can lie in two packs, one of them damaged or forgotten.
      for (const [at, pack] of order.entries()) {
        const place = pack.find(id);
        if (!place) continue;
        const bytes = pack.read(place, id);
        if (bytes === "forgotten") forgotten = true;
        else if (!bytes) damaged.add(id);
        else {
          front(at);
          return bytes;
        }
      }
      if (!again) refresh();
    }
    if (forgotten) throw new Forgotten(id);
    return null;
  };
  const known = (ids: Iterable<Hash>): boolean => {
    for (const id of ids) {
      const found = damaged.has(id) ? null : locate(id, false);
      if (!found || found.place.offset + RECORD_HEAD + found.place.length > (complete.get(found.pack) ?? 0))
        return false;
    }
    return true;
  };
  const takes = (pack: Pack): boolean => pack.segment.size() <= full && !condemned.has(pack.number);
  const writable = async (): Promise<Pack> => {
    while (!newest || !takes(newest)) {
      await newest?.saveIndex().catch(passOver);
      await createSegment(disk, `${directory}/${String(highest + 1).padStart(6, "0")}.pack`, "pack");
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
      if (locate(id, true)) return id;
      const payload = bytes.length < BESIDE ? packed(id, bytes) : await packedBeside(id, bytes);
      // Somebody else may have put it meanwhile.
      if (bytes.length >= BESIDE && locate(id, true)) return id;
      const pack = newest && takes(newest) ? newest : await writable();
      pack.append(payload);
      damaged.delete(id);
      return id;
    },
    get: async (id) => read(id),
    has: async (ids) => {
      let fresh = false;
      return ids.map((id) => {
        if (locate(id, true)) return true;
        if (fresh) return false;
        // What others wrote meanwhile.
        refresh();
        fresh = true;
        return locate(id, true) !== null;
      });
    },
    sync: (ids) => {
      if (ids && known(ids)) return Promise.resolve();
      // One after the other: a later call must not return while an earlier one still syncs what both need.
      syncing = syncing
        .catch(() => {})
        .then(async () => {
          // What is put from here on need not be among what is synced, though what names it may be.
          const before = [...packs.values()].map((pack) => [pack, pack.segment.size()] as const);
          // A frame can name what another process put, and only wrote.
          refresh();
          for (const pack of packs.values()) {
            const size = pack.segment.size();
            if (size <= (synced.get(pack) ?? pack.covered())) continue;
            await pack.segment.sync();
            synced.set(pack, size);
            await pack.saveIndex().catch(passOver);
          }
          for (const [pack, size] of before) if (packs.get(pack.number) === pack) complete.set(pack, size);
        });
      return syncing;
    },
    condemn: (numbers) => {
      condemned = numbers;
    },
    packs: () => [...packs.values()],
    refresh,
    locate: (id) => {
      const found = locate(id, false);
      if (found) return found;
      refresh();
      return locate(id, false);
    },
    close: async () => {
      await syncing.catch(() => {});
      for (const pack of packs.values()) {
        await pack.saveIndex().catch(passOver);
        pack.segment.close();
      }
      packs.clear();
      order = [];
    },
  };
}

/** Without its index on disk a pack is only slower to open, and a disk that takes nothing tells so at the next write. */
const passOver = (): void => {};
