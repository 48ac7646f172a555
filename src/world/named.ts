/** A walked directory as a record of the stat cache, and as objects. */
import type * as fs from "node:fs";
import type { Objects } from "../trace/ports.ts";
import { type MtimeEntry, type Owner, writeMtimes } from "./mtimes.ts";
import { type DirRecord, type Ids, namesOf, ROW, rowAt, serialAt, setRow } from "./statcache.ts";
import { type Entry, writeTree } from "./tree.ts";
import type { Here, Slot, Walk } from "./walk.ts";

/** Whose an entry is, where that is carried. */
export const ownerOf = (stat: fs.BigIntStats, owners: boolean): Owner =>
  owners ? { uid: Number(stat.uid), gid: Number(stat.gid) } : { uid: 0, gid: 0 };

/** What is known of the directory itself. */
export function unnamed(
  { owners }: Pick<Walk, "owners">,
  { stat }: Here,
  before: DirRecord | undefined,
): Pick<DirRecord, "mode" | "diskNs" | "ns" | "ids" | "uid" | "gid"> {
  const diskNs = stat.mtimeNs;
  const ns = before?.diskNs === diskNs ? before.ns : diskNs;
  return { mode: modeOf(stat), diskNs, ns, ids: null, ...ownerOf(stat, owners) };
}

/** The rows of the entries that are kept or have been taken. */
export function table(
  names: string[],
  before: DirRecord | undefined,
  kept: Int32Array,
  slots: (Slot | null)[],
): Pick<DirRecord, "names" | "rows"> {
  const there = names.flatMap((_, at) => (kept[at]! >= 0 || slots[at]?.id ? [at] : []));
  const rows = Buffer.alloc(there.length * ROW);
  for (const [row, at] of there.entries()) {
    const slot = slots[at];
    if (slot) setRow(rows, row, slot);
    else before!.rows.copy(rows, row * ROW, kept[at]! * ROW, (kept[at]! + 1) * ROW);
  }
  return { names: there.map((at) => names[at]).join("\0"), rows };
}

/** Stores what a directory is, but for its files, and gives its ids. */
export async function store(objects: Objects, here: Here, record: DirRecord, slots: (Slot | null)[]): Promise<Ids> {
  const below = new Map(slots.flatMap((slot, at) => (slot?.below ? [[here.names[at]!, slot.below.ids!]] : [])));
  const entries: Entry[] = [];
  const times: MtimeEntry[] = [];
  const vcsEntries: Entry[] = [];
  const vcsTimes: MtimeEntry[] = [];
  for (const [at, text] of namesOf(record).entries()) {
    const name = Buffer.from(text, "latin1");
    const { type, mode, ns, id, uid, gid } = rowAt(record.rows, at);
    const ids = below.get(text);
    if (!ids) {
      entries.push({ type, mode: type === "l" ? 0 : mode & 0o7777, name, id });
      times.push({ type: "f", name, ns, owner: { uid, gid } });
      continue;
    }
    const isGit = text === ".git" && !here.inGit;
    (isGit ? vcsEntries : entries).push({ type: "d", mode: 0, name, id: ids.tree });
    (isGit ? vcsTimes : times).push({ type: "d", name, id: ids.mtimes });
    if (!ids.vcs) continue;
    vcsEntries.push({ type: "d", mode: 0, name, id: ids.vcs });
    vcsTimes.push({ type: "d", name, id: ids.vcsMtimes! });
  }
  const { mode, ns: own, uid, gid } = record;
  const owner = { uid, gid };
  const git = vcsEntries.length > 0;
  return {
    tree: await writeTree(objects, { mode, entries }),
    mtimes: await writeMtimes(objects, { own, owner, entries: times }),
    vcs: git ? await writeTree(objects, { mode, entries: vcsEntries }) : null,
    vcsMtimes: git ? await writeMtimes(objects, { own, owner, entries: vcsTimes }) : null,
  };
}

/** Whether an entry is what its row says, as far as the state goes. */
export const sameInState = (rows: Buffer, index: number, slot: Slot | null): boolean => {
  if (!slot) return false;
  if (slot.below) return serialAt(rows, index) === slot.below.serial;
  const { type, mode, ns, id, uid, gid } = rowAt(rows, index);
  const same = type === slot.type && mode === slot.mode && ns === slot.ns && id === slot.id;
  return same && uid === slot.uid && gid === slot.gid;
};

const modeOf = (stat: fs.BigIntStats): number => Number(stat.mode) & 0o7777;
