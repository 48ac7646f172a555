/** Emptying a pack: what is kept of it is put elsewhere, then it goes. */
import * as fs from "node:fs";
import { pieces } from "./examine.ts";
import type { Marking } from "./mark.ts";
import type { Pack } from "./pack.ts";
import type { Hash } from "./ports.ts";
import { breather } from "./reach.ts";
import { RECORD_HEAD } from "./record.ts";
import { createSegment } from "./segment.ts";
import type { EmbeddedStore } from "./store.ts";
import { tombstone } from "./tombstone.ts";

/** A pack that has grown beyond this gets no more copies. */
const FULL = 128 << 20;
/** So many bytes are written at once. */
const BATCH = 1 << 20;
/** What a killed process left half made is swept away after this time, in ms. */
const STALE = 3_600_000;

/**
 * Puts all that is kept of a pack into packs that are not condemned, synced, tombstones too. Gives the bytes that were copied; null if something that
 * is kept is damaged, and so may have its only trace in this pack.
 */
export async function salvage(
  store: EmbeddedStore,
  number: number,
  condemned: ReadonlySet<number>,
  marking: Marking,
  signal?: AbortSignal,
): Promise<number | null> {
  store.objects.refresh();
  const pack = store.objects.packs().find((each) => each.number === number);
  if (!pack) return 0;
  if ([...marking.troubles.values()].some(({ what }) => what !== "malformed") && isBroken(store, pack)) return null;

  const rest = breather(signal);
  const others = (): Pack[] => store.objects.packs().filter((each) => !condemned.has(each.number));
  let there = others();
  const used = new Set<Pack>();
  // Records as they are, compressed already; together, since each write has its price.
  let batch = new Map<Hash, Buffer>();
  let size = 0;
  let copied = 0;
  const flush = async (): Promise<void> => {
    if (batch.size === 0) return;
    let to = newest(there);
    if (!to || to.segment.size() > FULL) {
      await makePack(store);
      there = others();
      to = newest(there)!;
    }
    to.segment.append([...batch.values()], -1);
    to.refresh();
    used.add(to);
    copied += size;
    batch = new Map();
    size = 0;
  };
  for (const [id, place] of pack.entries()) {
    await rest();
    if (!marking.reach.seen.hasId(id) || batch.has(id)) continue;
    const bytes = pack.read(place, id);
    const elsewhere = there.find((other) => isIntact(other, id, bytes === "forgotten"));
    if (elsewhere) {
      used.add(elsewhere);
      continue;
    }
    if (!bytes) return null;
    const payload = bytes === "forgotten" ? tombstone(id) : pack.segment.payload(place.offset, place.length);
    batch.set(id, payload);
    size += RECORD_HEAD + payload.length;
    if (size > BATCH) await flush();
  }
  await flush();
  // Also what another process put there and did not sync yet.
  for (const each of used) await each.segment.sync();
  return copied;
}

/**
 * Makes the pack that all append to from now on, once they have seen it, with records of these payloads. False if another process made one under its
 * number. Synced at return.
 */
export async function makePack(store: EmbeddedStore, payloads: readonly Uint8Array[] = []): Promise<boolean> {
  store.objects.refresh();
  const number = (newest(store.objects.packs())?.number ?? 0) + 1;
  const made = await createSegment(store.disk, packPath(store, number), "pack", payloads);
  store.objects.refresh();
  return made;
}

export function removePack(store: EmbeddedStore, number: number, which: "objects" | "derived" = "objects"): void {
  const path = packPath(store, number, which);
  store.disk.remove(path.replace(/\.pack$/, ".idx"));
  store.disk.remove(path);
  store[which].refresh();
}

/** Removes what killed processes left: files half made, indexes of packs that are gone. */
export function sweep({ disk, directory }: EmbeddedStore): void {
  for (const folder of ["objects", "logs", "writers", "cache/derived", ""]) {
    const names = disk.list(`${directory}/${folder}`);
    for (const name of names) {
      const path = `${directory}/${folder}/${name}`;
      if (/^\d{6}\.idx$/.test(name) && !names.includes(name.replace(".idx", ".pack"))) disk.remove(path);
      if (/\.\d+\.\d+\.tmp$/.test(name) && age(path) > STALE) disk.remove(path);
    }
  }
}

const packPath = ({ directory }: EmbeddedStore, number: number, which: "objects" | "derived" = "objects"): string =>
  `${directory}/${which === "objects" ? "objects" : "cache/derived"}/${String(number).padStart(6, "0")}.pack`;

const newest = (packs: readonly Pack[]): Pack | undefined =>
  packs.reduce<Pack | undefined>((best, pack) => (best && best.number > pack.number ? best : pack), undefined);

/** Whether `pack` holds the object, or its tombstone where there is nothing else to keep. */
function isIntact(pack: Pack, id: Hash, forgotten: boolean): boolean {
  const place = pack.find(id);
  const bytes = place && pack.read(place, id);
  return bytes === "forgotten" ? forgotten : bytes !== null;
}

function isBroken(store: EmbeddedStore, pack: Pack): boolean {
  const file = store.disk.open(pack.segment.path);
  if (!file) return false;
  try {
    for (const piece of pieces(file, pack.segment.start))
      if (piece.what === "damage" && piece.shape === "broken") return true;
    return false;
  } finally {
    file.close();
  }
}

function age(path: string): number {
  try {
    return Date.now() - fs.statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}
