/** Files and links of one directory: which of those that stand there are what is wanted, and the writing of the others. */
import * as fs from "node:fs";
import { sha256 } from "../trace/bytes.ts";
import { type Hash, MAX_OBJECT, type Objects } from "../trace/ports.ts";
import { isTime } from "./clock.ts";
import { readContent, takeFile } from "./content.ts";
import { arg, changeMode, codeOf, type Dir, denied, gone } from "./dirs.ts";
import { Missing, missing } from "./missing.ts";
import { inside } from "./paths.ts";
import { placeClone, placeFile, placeLink, setOwner, setTime } from "./place.ts";
import { located, type Target, wrong } from "./plan.ts";
import type { Place, Remover } from "./remove.ts";
import {
  type Changed,
  type DirRecord,
  idAt,
  isHit,
  msOf,
  placesIn,
  type Row,
  rowAt,
  type StatCache,
} from "./statcache.ts";

/** One restore. */
export interface Make extends Remover {
  objects: Objects;
  cache: StatCache;
  /** What is known of the source. */
  source: StatCache;
  /** False once it is known that files of the source cannot share blocks with ours. */
  shares: boolean;
  /** Rows written by this restore. */
  made: Buffer[];
  seen: Set<string>;
  /** As those of a capture. */
  unread: Set<string>;
  changed: Changed | undefined;
  /** Whether owners are restored. */
  owners: boolean;
  /** Each `.git` that was left alone, by its path in the tree. */
  spared: string[];
  written: (cloned: boolean, bytes: bigint) => void;
  /** Takes note of what the store lacks; throws it unless the restore is partial. */
  lacks: (error: Missing) => void;
  /** Takes note of a part of `vcs` that has no place. */
  unplaced: (path: Buffer) => void;
}

/** A directory that is being restored. */
export interface Here extends Place {
  /** Made just now, so with nothing in it. */
  fresh: boolean;
  /** Whether nothing in it or below can have changed since. */
  unchanged?: boolean;
  /** The same directory in the source. */
  from: Dir | null;
}

export interface Job {
  target: Target;
  /** Place among the directory's targets. */
  index: number;
  /** Something else stands there. */
  replace: boolean;
}

/** The row of an entry that has the wanted content, its mode and time set right; null if it must be written. `old` is its place in `before`. */
export async function keep(
  make: Make,
  { dir }: Here,
  target: Target,
  before: DirRecord | undefined,
  old: number,
): Promise<Row | null> {
  const { name, type, id, mode, ns, owner } = target;
  const path = arg(dir.at + name);
  const first = fs.lstatSync(path, { throwIfNoEntry: false });
  if (!first || (type === "l" ? !first.isSymbolicLink() : !first.isFile())) return null;
  if (before && old >= 0 && isHit(before.rows, old, first)) {
    const row = rowAt(before.rows, old);
    if (row.type !== type || row.id !== id) return null;
    const isOwn = owner === null || (row.uid === owner.uid && row.gid === owner.gid);
    if ((type === "l" || (row.mode & 0o7777) === mode) && (ns === null || row.ns === ns) && isOwn) return row;
  } else if ((await idOf(make, dir, target, first.size)) !== id) return null;
  const stat = fs.lstatSync(path, { bigint: true });
  const wrongMode = type !== "l" && (Number(stat.mode) & 0o7777) !== mode;
  const wrongTime = ns !== null && !isTime(stat.mtimeNs, ns);
  const wrongOwner = owner !== null && (Number(stat.uid) !== owner.uid || Number(stat.gid) !== owner.gid);
  if (!wrongMode && !wrongTime && !wrongOwner) return rowOf(stat, target);
  // Another name of the same file may lie outside, and would change with it.
  if (stat.nlink > 1n) return null;
  if (wrongOwner) setOwner(dir, name, owner);
  if (wrongMode || (wrongOwner && type !== "l")) changeMode(dir, name, mode);
  if (wrongTime) setTime(dir, name, ns);
  return rowOf(fs.lstatSync(path, { bigint: true }), target);
}

/** The id of what stands there, if it may be the one that is wanted. */
async function idOf(make: Make, dir: Dir, { name, type }: Target, size: number): Promise<Hash | null> {
  if (type === "l") {
    try {
      return sha256(fs.readlinkSync(arg(dir.at + name), "buffer"));
    } catch (error) {
      if (gone(error) || codeOf(error) === "EINVAL") return null;
      throw error;
    }
  }
  if (size > MAX_OBJECT !== (type === "F")) return null;
  const taken = await takeFile(dir, name, async (bytes) => sha256(bytes), make);
  if (typeof taken === "string") return null;
  return "id" in taken ? taken.id : sha256(taken.bytes);
}

/** Writes files and links; gives their rows, null for what the store lacks. */
export async function write(make: Make, here: Here, jobs: readonly Job[]): Promise<(Row | null)[]> {
  const rows: (Row | null)[] = [];
  for (const job of jobs)
    rows.push(
      await located(
        async () => (await clone(make, here, job)) ?? (await copy(make, here, job)),
        here.key,
        job.target.name,
      ),
    );
  // Together, so that a store that is far away is waited for once.
  const contents = await Promise.allSettled(
    jobs.map(({ target }, i) => (rows[i] || target.type === "F" ? null : fetch(make, here, target))),
  );
  for (const [i, job] of jobs.entries()) {
    if (rows[i]) continue;
    try {
      const content = contents[i]!;
      if (content.status === "rejected") throw content.reason;
      rows[i] = await located(() => writeOne(make, here, job, content.value), here.key, job.target.name);
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
      make.lacks(error);
    }
    if (make.due()) await make.rest();
  }
  return rows;
}

async function writeOne(make: Make, here: Here, job: Job, bytes: Uint8Array | null): Promise<Row> {
  const { target, replace } = job;
  const { name, type, id, mode, ns, owner } = target;
  if (type === "l") {
    if (bytes!.length === 0 || bytes!.includes(0)) throw wrong(inside(here.key, name), "no link leads there");
    const stat = placeLink(here.dir, name, bytes!, { ns, owner }, replace);
    make.written(false, stat.size);
    return rowOf(stat, target);
  }
  const file = placeFile(here.dir, name, mode, replace);
  try {
    if (bytes) file.write(bytes);
    else {
      for await (const piece of readContent(make.objects, type, id)) {
        file.write(piece);
        if (make.due()) await make.rest();
      }
    }
    const stat = file.finish({ mode, ns, owner });
    make.written(false, stat.size);
    return rowOf(stat, target);
  } finally {
    file.close();
  }
}

const fetch = ({ objects }: Make, { key }: Here, { name, id }: Target): Promise<Uint8Array> =>
  located(async () => (await objects.get(id)) ?? missing(id, "content"), key, name);

/** Smaller files have nothing that is worth sharing. */
const WORTH = 4096;

/**
 * A store through a shared mapping leaves no stamp while its page waits to be written out, which takes up to 35 s. So a file that was written
 * to more lately (ms) may have other bytes than those that its stamps were seen with.
 */
const QUIET = 60_000;

/** Whether the source is known to have had a target's content at its path: its place in the record, or -1. */
function placeInSource(make: Make, here: Here, { name, type, id }: Target): number {
  const known = here.from && make.source.dirs.get(here.key);
  if (!known || type === "l") return -1;
  const at = placesIn(known).get(name) ?? -1;
  return at >= 0 && idAt(known.rows, at) === id ? at : -1;
}

/** The file of the source at the same path, copied; null if it has not the content that is wanted. That takes less than to read an object and inflate it. */
async function copy(make: Make, here: Here, job: Job): Promise<Row | null> {
  const { name, type, id } = job.target;
  const at = type === "f" ? placeInSource(make, here, job.target) : -1;
  const fd = at < 0 ? null : openSourceFile(here.from!, name);
  if (fd === null) return null;
  let bytes: Buffer;
  try {
    bytes = Buffer.allocUnsafe(rowAt(make.source.dirs.get(here.key)!.rows, at).size);
    let got = 0;
    for (let n = -1; n !== 0 && got < bytes.length; got += n) n = fs.readSync(fd, bytes, got, bytes.length - got, got);
    bytes = bytes.subarray(0, got);
  } catch (error) {
    if (denied(error) || codeOf(error) === "EISDIR") return null;
    throw error;
  } finally {
    fs.closeSync(fd);
  }
  return sha256(bytes) === id ? writeOne(make, here, job, bytes) : null;
}

function openSourceFile(from: Dir, name: string): number | null {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
  try {
    return fs.openSync(arg(from.at + name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (gone(error) || denied(error)) return null;
    throw error;
  }
}

/** The file of the source at the same path, sharing its blocks; null if it is not known to be the same, or cannot be shared. */
async function clone(make: Make, here: Here, job: Job): Promise<Row | null> {
  const { target, replace } = job;
  const { name, id, mode, ns, owner } = target;
  const at = make.shares ? placeInSource(make, here, target) : -1;
  if (at < 0) return null;
  const known = make.source.dirs.get(here.key)!;
  const row = rowAt(known.rows, at);
  if (row.size < WORTH) return null;
  const fd = openSourceFile(here.from!, name);
  if (fd === null) return null;
  try {
    const unchanged = (): boolean => isHit(known.rows, at, fs.fstatSync(fd));
    if (!unchanged()) return null;
    const stat = placeClone(here.dir, name, fd, unchanged, { mode, ns, owner }, replace);
    if (stat === "unable") make.shares = false;
    if (stat === "unable" || !stat) return null;
    // Cloning wrote such pages out, so what the clone has now is what it keeps.
    if (row.ctimeMs > Date.now() - QUIET && (await idOf(make, here.dir, target, row.size)) !== id) {
      job.replace = true;
      return null;
    }
    make.written(true, stat.size);
    return rowOf(stat, target);
  } finally {
    fs.closeSync(fd);
  }
}

/** The row of an entry of which it is known that it has what the target says. */
export function rowOf(stat: fs.BigIntStats, { type, id, ns, owner }: Target): Row {
  return {
    type,
    ino: Number(stat.ino),
    size: Number(stat.size),
    mtimeMs: msOf(stat.mtimeNs),
    ctimeMs: msOf(stat.ctimeNs),
    diskNs: stat.mtimeNs,
    ns: ns ?? stat.mtimeNs,
    mode: Number(stat.mode),
    settled: false,
    id,
    uid: owner?.uid ?? 0,
    gid: owner?.gid ?? 0,
  };
}
