/** What the stat cache knows, and is told, of a directory that is being restored. */
import type { Here, Make } from "./fill.ts";
import type { FileState } from "./materialise.ts";
import type { Want } from "./plan.ts";
import { type DirRecord, type Ids, ROW, type Row, sameIds, setRow } from "./statcache.ts";

/** Whether a directory with these ids is what is wanted. */
export const isWanted = (ids: Ids, want: Want, inGit: boolean): boolean =>
  ids.tree === want.tree &&
  (want.mtimes === null || ids.mtimes === want.mtimes) &&
  (inGit ||
    want.vcs === undefined ||
    (ids.vcs === want.vcs && (want.vcsMtimes === null || ids.vcsMtimes === want.vcsMtimes)));

/** Whether what is known of a directory is all of a state, to the last byte. */
export const isState = (
  ids: Ids | null | undefined,
  { tree, mtimes = null, vcs, vcsMtimes = null }: FileState,
): boolean => ids != null && mtimes !== null && vcs !== undefined && sameIds(ids, { tree, mtimes, vcs, vcsMtimes });

/** What a directory below one that is as wanted is to be: what it is known to be, as far as anything is wanted. */
export const wantBelow = (want: Want, ids: Ids, isGit: boolean): Want => ({
  tree: ids.tree,
  mtimes: (isGit ? want.vcsMtimes : want.mtimes) === null ? null : ids.mtimes,
  vcs: want.vcs === undefined ? undefined : ids.vcs,
  vcsMtimes: want.vcsMtimes === null ? null : ids.vcsMtimes,
});

/** The ids of a directory that is as wanted; null as long as one of them is unknown. */
export function idsOf({ tree, mtimes, vcs, vcsMtimes }: Want, inGit: boolean): Ids | null {
  if (!mtimes) return null;
  if (inGit || vcs === null) return { tree, mtimes, vcs: null, vcsMtimes: null };
  return vcs && vcsMtimes ? { tree, mtimes, vcs, vcsMtimes } : null;
}

/** Enters what is known of a directory now into the cache. */
export function note(
  make: Make,
  here: Here,
  before: DirRecord | undefined,
  known: Omit<DirRecord, "serial">,
): DirRecord {
  const { cache, made, seen } = make;
  const same = before?.ids && known.ids && sameIds(before.ids, known.ids);
  const record: DirRecord = { ...known, serial: same ? before.serial : cache.nextSerial++ };
  cache.dirs.set(here.key, record);
  seen.add(here.key);
  made.push(record.rows);
  return record;
}

export function rowsOf(rows: readonly (Row | null)[]): Buffer {
  const there = rows.filter((row) => row !== null);
  const table = Buffer.alloc(there.length * ROW);
  for (const [at, row] of there.entries()) setRow(table, at, row);
  return table;
}
