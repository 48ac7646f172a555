/** Entries of which the stat cache does not know what they are: reads them and puts what they hold. */
import * as fs from "node:fs";
import type { Hash } from "../trace/ports.ts";
import { settled } from "./clock.ts";
import { takeFile } from "./content.ts";
import { arg, closeDir, codeOf, type Dir, denied, gone, namesIn, openDir } from "./dirs.ts";
import { ownerOf } from "./named.ts";
import { inside } from "./paths.ts";
import { msOf, placesIn, type Row, rowAt, serialAt } from "./statcache.ts";
import { isLocked, LOOK, READ, unlocked } from "./unlock.ts";
import { type Here, isMapped, lookAt, type Slot, skip, type Walk, type Why } from "./walk.ts";

/** Looks into one entry; null if there is nothing to keep. `old` is its row, whose stamps are others. */
export async function take(
  walk: Walk,
  here: Here,
  name: string,
  first: fs.Stats,
  old: Row | null,
): Promise<Slot | null> {
  let stat: ReturnType<typeof lookAt> = first;
  for (let attempt = 0; attempt < 4; attempt++) {
    if (attempt > 0) stat = lookAt(here.dir, name);
    if (!stat) return null;
    if (stat === "denied") return skip(walk, here, name, "unreadable");
    let slot: Slot | Why | "gone";
    if (stat.isFile()) slot = await takeRegular(walk, here, name, old);
    else if (stat.isDirectory()) slot = await takeDir(walk, here, name, stat, old);
    else if (stat.isSymbolicLink()) slot = takeLink(walk, here, name, old);
    else slot = stat.isSocket() ? "socket" : stat.isFIFO() ? "fifo" : "device";
    if (typeof slot === "object") return slot;
    if (slot !== "gone") return skip(walk, here, name, slot);
  }
  return skip(walk, here, name, "changing");
}

async function takeRegular(walk: Walk, here: Here, name: string, old: Row | null): Promise<Slot | Why | "gone"> {
  const read = () => takeFile(here.dir, name, walk.objects.put, walk);
  let taken = await read();
  if (taken === "denied" && walk.own)
    taken = await unlocked(here.dir, name, READ, async (mode) => {
      const file = await read();
      if (typeof file === "object") file.stat.mode = mode;
      return file;
    });
  if (taken === "denied") return "unreadable";
  if (taken === "large") return "too large";
  if (taken === "gone") return taken;
  if (!taken.steady) walk.unsteady.push(Buffer.from(inside(here.key, name), "latin1"));
  walk.stats.read++;
  walk.stats.bytes += Number(taken.stat.size);
  const believed = taken.steady && !isMapped(walk, here, name);
  const [type, id] = "id" in taken ? [taken.type, taken.id] : (["f", ""] as const);
  const slot = slotOf(walk, taken.stat, type, id, old, believed);
  if (!slot.settled) walk.young++;
  if ("id" in taken) return slot;
  putLater(walk, here, slot, taken.bytes);
  return slot;
}

function takeLink(walk: Walk, here: Here, name: string, old: Row | null): Slot | Why | "gone" {
  try {
    const path = arg(here.dir.at + name);
    const stat = fs.lstatSync(path, { bigint: true });
    const target = fs.readlinkSync(path, "buffer");
    const after = fs.lstatSync(path, { bigint: true });
    if (!stat.isSymbolicLink() || after.ino !== stat.ino || after.ctimeNs !== stat.ctimeNs) return "gone";
    walk.stats.read++;
    walk.stats.bytes += target.length;
    const slot = slotOf(walk, stat, "l", "", old, true);
    putLater(walk, here, slot, target);
    return slot;
  } catch (error) {
    // EINVAL: it is no link any more.
    if (gone(error) || codeOf(error) === "EINVAL") return "gone";
    if (denied(error)) return "unreadable";
    throw error;
  }
}

async function takeDir(
  walk: Walk,
  here: Here,
  name: string,
  first: fs.Stats,
  old: Row | null,
): Promise<Slot | Why | "gone"> {
  if (!walk.own || !isLocked(first.mode, LOOK)) return lookInto(walk, here, name, old);
  const slot = await unlocked(here.dir, name, LOOK, (mode) => lookInto(walk, here, name, old, mode));
  return slot === "denied" ? "unreadable" : slot;
}

/** @param mode the one that it has otherwise. */
async function lookInto(
  walk: Walk,
  here: Here,
  name: string,
  old: Row | null,
  mode?: bigint,
): Promise<Slot | Why | "gone"> {
  let dir: Dir | undefined;
  try {
    let names: string[];
    let stat: fs.BigIntStats;
    try {
      dir = openDir(here.dir, name);
      stat = fs.fstatSync(dir.fd, { bigint: true });
      if (mode !== undefined) stat.mode = mode;
      if (stat.dev !== walk.device) return "mounted";
      names = namesIn(dir);
    } catch (error) {
      if (gone(error)) return "gone";
      if (denied(error)) return "unreadable";
      throw error;
    }
    const below = await walk.descend({
      dir,
      key: inside(here.key, name),
      names,
      stat,
      same: old?.type === "d" && old.ino === Number(stat.ino),
      asBelow: here.asBelow && isBelowAs(walk, here, name, Number(stat.ino)),
      inGit: here.inGit || name === ".git",
      depth: here.depth + 1,
      puts: [],
      bytes: 0,
    });
    return { ...slotOf(walk, stat, "d", below.ids!.tree, null, true), size: below.serial, below };
  } finally {
    if (dir) closeDir(dir);
  }
}

/** Whether the ground knows a directory by its place and its number. */
function isBelowAs({ changed }: Walk, { key }: Here, name: string, ino: number): boolean {
  const above = changed!.above!.ground.get(key);
  const at = above ? (placesIn(above).get(name) ?? -1) : -1;
  return at >= 0 && serialAt(above!.rows, at) >= 0 && rowAt(above!.rows, at).ino === ino;
}

function slotOf(
  walk: Walk,
  stat: fs.BigIntStats,
  type: Slot["type"],
  id: Hash,
  old: Row | null,
  believed: boolean,
): Slot {
  const [mtimeMs, ctimeMs] = [msOf(stat.mtimeNs), msOf(stat.ctimeNs)];
  return {
    type,
    ino: Number(stat.ino),
    size: Number(stat.size),
    mtimeMs,
    ctimeMs,
    diskNs: stat.mtimeNs,
    // As long as a time is the one that was restored, as well as that could be done, it is the one that the state has.
    ns: old && old.type !== "d" && old.diskNs === stat.mtimeNs ? old.ns : stat.mtimeNs,
    mode: Number(stat.mode),
    settled: believed && settled(mtimeMs, ctimeMs, walk.limit),
    id,
    ...ownerOf(stat, walk.owners && type !== "d"),
  };
}

function putLater(walk: Walk, here: Here, slot: Slot, bytes: Buffer): void {
  const put = walk.objects.put(bytes).then((id) => {
    slot.id = id;
  });
  // Awaited with the others; a rejection before that must not end the process.
  put.catch(() => {});
  here.puts.push(put);
  here.bytes += bytes.length;
}

/** Waits for the puts of a directory. */
export async function settlePuts(here: Here): Promise<void> {
  await Promise.all(here.puts);
  here.puts = [];
  here.bytes = 0;
}
