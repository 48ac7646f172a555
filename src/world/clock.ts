/**
 * What modification times can tell.
 *
 * Git's racy rule. A file's stamps prove that it was not written since we read it only if they were older than the reading by more than
 * the clock that makes them can tell apart: a second write in the same tick leaves them as they are.
 */
import * as fs from "node:fs";
import { arg, type Dir, openNameless } from "./dirs.ts";

/** Stamps come from the kernel's tick: 10 ms at most, twice that for good measure. */
export const TICK = 20;
/** File systems whose stamps have whole seconds (FAT: two). */
const COARSE = 2000;
/** How far a file server's clock may be off where we cannot ask it. */
const SKEW = 60_000;
/** NFS, SMB, CIFS, SMB2, FUSE, 9P, Ceph, AFS, Coda, GFS2, OCFS2: stamps may be another machine's. */
const REMOTE = new Set([
  0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x65735546, 0x01021997, 0x00c36400, 0x5346414f, 0x73757245, 0x01161970,
  0x7461636f,
]);

/**
 * A function that answers: stamps older than this (milliseconds since 1970) were made before now, and no later write makes them again.
 * It asks the file system that `dir` is on for its clock, by a file that never gets a name; where that cannot be done it is this
 * machine's clock, with a margin.
 */
export function horizon(dir: Dir): () => number {
  let ask = asking;
  // Asked no earlier than need be: a file made and closed is a good part of a capture in which little has changed.
  return () => {
    try {
      return ask(dir);
    } catch {
      // It stays so: the margin must not come and go.
      ask = guessing(dir);
      return ask(dir);
    }
  };
}

function asking(dir: Dir): number {
  const fd = openNameless(dir);
  try {
    return fs.fstatSync(fd).ctimeMs - TICK;
  } finally {
    fs.closeSync(fd);
  }
}

function guessing(dir: Dir): () => number {
  let margin = COARSE;
  try {
    if (REMOTE.has(fs.statfsSync(arg(dir.at)).type >>> 0)) margin = SKEW;
  } catch {
    margin = SKEW;
  }
  return () => Date.now() - margin;
}

/** Whether an entry with these stamps, read after the clock said `horizon`, cannot have been written since without showing it. */
export const settled = (mtimeMs: number, ctimeMs: number, horizon: number): boolean =>
  older(ctimeMs, horizon) && older(mtimeMs, horizon);

const older = (stamp: number, horizon: number): boolean => stamp < (stamp % 1000 === 0 ? horizon - COARSE : horizon);

/** Node sets times to the microsecond; a file whose time was restored so well has the time that it is to have. */
export const isTime = (actual: bigint, wanted: bigint): boolean =>
  actual === wanted || actual === (wanted / 1000n) * 1000n;
