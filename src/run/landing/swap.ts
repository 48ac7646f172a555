/**
 * One entry in the place of another, with nothing lost whoever acts in between. An old entry is always moved away into the staging directory
 * and looked at there, a new one always linked in without replacing. Where the two can be exchanged in one call the name is never free.
 * All of it is synchronous: between the calls of one function nothing else of this process runs.
 */
import { codeOf } from "../../world/dirs.ts";
import type { Stat } from "./files.ts";
import { looksSame } from "./look.ts";
import { type Place, slot, type Work } from "./work.ts";

/**
 * - `done`;
 * - `other`: what was there is not what had been seen; it is back, and everything as before;
 * - `taken`: something of theirs is in the place: put there while it was free, or put back; what else there is lies in the slots;
 * - `stuck`: as `other`, but the system refused to link it back; it is in the slot `o` and its place is free.
 */
export type Moved = "done" | "other" | "taken" | "stuck";

/** Moves the entry at `place` to the slot `o` of a change, if it is what was seen. Throws what `rename` throws; nothing has changed then. */
export function moveAway(work: Work, index: number, place: Place, seen: Stat): Moved {
  const { files, stage } = work;
  const old = slot("o", index);
  if (files.lstat(stage, old)) throw new Error(`The landing moves away ${work.changes[index]!.path} a second time.`);
  files.rename(place.dir, place.name, stage, old);
  const moved = files.lstat(stage, old);
  if (moved && looksSame(moved, seen)) return "done";
  return moveBack(work, old, place);
}

/** Gives what is in a slot its place again, without replacing anything. */
export function moveBack(work: Work, from: string, place: Place): "other" | "taken" | "stuck" {
  const { files, stage } = work;
  const stat = files.lstat(stage, from);
  // Somebody took it out of the staging directory: it is theirs.
  if (!stat) return "other";
  try {
    if (stat.isDirectory()) {
      // A directory cannot be linked. The move replaces nothing but an empty directory.
      files.rename(stage, from, place.dir, place.name);
      return "other";
    }
    files.link(stage, from, place.dir, place.name);
  } catch (error) {
    return ["EEXIST", "ENOTEMPTY", "ENOTDIR", "EISDIR"].includes(codeOf(error) ?? "") ? "taken" : "stuck";
  }
  files.unlink(stage, from);
  return "other";
}

/** Links what is staged to a free place. Throws EEXIST if it is not free, and what else `link` throws. */
export function linkIn({ files, stage }: Work, index: number, place: Place): void {
  const staged = slot("n", index);
  files.link(stage, staged, place.dir, place.name);
  files.unlink(stage, staged);
}

/** Puts what is staged in the place of what was seen there. Throws what the system refuses; everything is as before then. */
export function swap(work: Work, index: number, place: Place, seen: Stat): Moved {
  const { files } = work;
  if (files.exchange) return exchanged(work, index, place, seen);
  const moved = moveAway(work, index, place, seen);
  if (moved !== "done") return moved;
  return fill(work, index, place, () => linkIn(work, index, place));
}

/** Does `put` to a place that was freed by `moveAway`; where the system refuses, the old entry goes back and the error is thrown. */
export function fill(work: Work, index: number, place: Place, put: () => void): Moved {
  try {
    put();
    return "done";
  } catch (error) {
    if (codeOf(error) === "EEXIST") return "taken";
    const back = moveBack(work, slot("o", index), place);
    if (back !== "other") return back;
    throw error;
  }
}

function exchanged(work: Work, index: number, place: Place, seen: Stat): Moved {
  const { files, stage } = work;
  const [staged, old] = [slot("n", index), slot("o", index)];
  files.exchange!(stage, staged, place.dir, place.name);
  const moved = files.lstat(stage, staged);
  if (moved) files.rename(stage, staged, stage, old);
  if (!moved || looksSame(moved, seen)) return "done";
  // Ours has been there for a moment: it may not be used again, since somebody may have written to it.
  exchangeBack(work, index, place);
  return "taken";
}

/** Exchanges the slot `o` with ours at `place`, which goes to `b`; false if what is there is not ours any more: then all stays as it is. */
function exchangeBack(work: Work, index: number, place: Place): boolean {
  const { files, stage, ours } = work;
  const old = slot("o", index);
  try {
    if (files.lstat(place.dir, place.name)?.ino !== ours[index]) return false;
    files.exchange!(stage, old, place.dir, place.name);
    if (files.lstat(stage, old)?.ino === ours[index]) {
      files.rename(stage, old, stage, slot("b", index));
      return true;
    }
    files.exchange!(stage, old, place.dir, place.name);
  } catch (error) {
    // What was there was removed.
    if (codeOf(error) !== "ENOENT") throw error;
  }
  return false;
}

/**
 * Puts the old entry of a change back in the place of ours, which goes to the slot `b`. False if what is there is not ours, or if the place
 * was taken meanwhile: then the user's stays, and the old entry in its slot.
 */
export function swapBack(work: Work, index: number, place: Place): boolean {
  const { files, stage, ours } = work;
  const [old, back] = [slot("o", index), slot("b", index)];
  if (files.exchange) return exchangeBack(work, index, place);
  if (files.lstat(stage, back)) return false;
  files.rename(place.dir, place.name, stage, back);
  if (files.lstat(stage, back)?.ino !== ours[index]) {
    if (moveBack(work, back, place) === "stuck") work.stuck.add(index);
    return false;
  }
  try {
    files.link(stage, old, place.dir, place.name);
  } catch (error) {
    if (codeOf(error) !== "EEXIST") moveBack(work, back, place);
    return false;
  }
  files.unlink(stage, old);
  return true;
}
