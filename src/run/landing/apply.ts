/** One change of a landing: look, change in one go, look at what was displaced. Leaves the old entry in the staging directory for `settle`. */
import { codeOf, denied, gone } from "../../world/dirs.ts";
import type { Stat } from "./files.ts";
import { type Found, lookAt, modeOf, sameInode } from "./look.ts";
import { type Change, type Side, sameSide } from "./plan.ts";
import { isModeOnly } from "./staging.ts";
import { fill, linkIn, type Moved, moveAway, swap } from "./swap.ts";
import {
  closePlace,
  conflict,
  explain,
  isSystemError,
  LANDED,
  type Outcome,
  openPlace,
  type Place,
  refusal,
  sameStamps,
  slot,
  type Work,
} from "./work.ts";

/** How often a path is looked at anew because it changed between the look and the deed. */
const ATTEMPTS = 4;

/** Lands one change, or says why not. Throws only what the store throws, and what says that this process can do no more (no descriptors, no memory). */
export async function applyChange(work: Work, index: number): Promise<Outcome> {
  const change = work.changes[index]!;
  const path = change.path.toString("latin1");
  const refused = refusal(path);
  if (refused) return conflict("refused", refused);
  let place: Place;
  try {
    place = openPlace(work, path);
  } catch (error) {
    if (gone(error))
      return change.next === null
        ? LANDED
        : conflict("parent", "is in a directory that is gone, or is something else now");
    if (denied(error)) return conflict("failed", explain(error));
    throw error;
  }
  try {
    return await applyIn(work, index, place);
  } finally {
    closePlace(work, place);
  }
}

async function applyIn(work: Work, index: number, place: Place): Promise<Outcome> {
  const { files, objects, pace } = work;
  const change = work.changes[index]!;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const found = await lookAt(files, place.dir, place.name, objects.put, pace);
    const verdict = judge(change, found);
    if (verdict) return verdict;
    const seen = found.kind === "side" ? found.stat : null;
    const foreign = seen && foreignOwner(change, seen);
    if (foreign) return conflict("failed", foreign, change.expected);
    let moved: Moved | "again";
    try {
      const now = files.lstat(place.dir, place.name);
      if (now === null ? seen !== null : seen === null || !unchanged(now, seen)) continue;
      moved =
        change.next && change.next.type !== "d" && !isModeOnly(change.expected, change.next)
          ? withOwner(work, index, place, seen, () => replace(work, index, place, seen))
          : change.next?.type === "d" && change.expected?.type !== "d"
            ? becomeDir(work, index, place, seen)
            : alter(work, index, place, seen);
    } catch (error) {
      if (gone(error) || codeOf(error) === "EEXIST") continue;
      if (codeOf(error) === "ENOTEMPTY")
        return conflict("not empty", "is not empty: what is in it is not part of the landing", change.expected);
      if (!isSystemError(error) || ["EMFILE", "ENFILE", "ENOMEM"].includes(codeOf(error)!)) throw error;
      return conflict("failed", explain(error), change.expected);
    }
    if (moved === "done") return LANDED;
    if (moved === "stuck") work.stuck.add(index);
    if (moved === "stuck" || moved === "taken") {
      const there = await lookAt(files, place.dir, place.name, objects.put, pace);
      return judge({ ...change, expected: null }, there) ?? conflict("changed", "was changed meanwhile", sideOf(there));
    }
  }
  return conflict(
    "changed",
    "changes all the time",
    sideOf(await lookAt(files, place.dir, place.name, objects.put, pace)),
  );
}

/** A directory's stamps change with what is in it. */
const unchanged = (now: Stat, seen: Stat): boolean =>
  seen.isDirectory() ? sameInode(now, seen) && now.mode === seen.mode : sameStamps(now, seen);

const sideOf = (found: Found): Side | null => (found.kind === "side" ? found.side : null);

/** What is to be said of a change where this is found at its path; null if it can be made. */
export function judge({ expected, next }: Change, found: Found): Outcome | null {
  if (found.kind === "odd") return conflict("changed", found.text);
  if (found.kind === "nothing") {
    if (next === null) return LANDED;
    if (expected === null) return null;
    return conflict("deleted", "was deleted");
  }
  if (sameSide(found.side, next)) return LANDED;
  if (sameSide(found.side, expected)) return null;
  if (expected === null) return conflict("exists", "is there already, and is not the same", found.side);
  return conflict("changed", "was changed", found.side);
}

/** Files and links only: replaced in one go, or linked in where there is nothing. */
function replace(work: Work, index: number, place: Place, seen: Stat | null): Moved | "again" {
  const { files } = work;
  if (!seen) {
    linkIn(work, index, place);
    return "done";
  }
  if (!seen.isDirectory()) return again(swap(work, index, place, seen));
  files.rmdir(place.dir, place.name);
  try {
    linkIn(work, index, place);
    return "done";
  } catch (error) {
    if (codeOf(error) === "EEXIST") return "again";
    files.mkdir(place.dir, place.name, 0o700);
    files.chmod(place.dir, place.name, modeOf(seen), files.lstat(place.dir, place.name)!);
    throw error;
  }
}

/** Makes a directory; nobody else may enter it before it has its owner and mode. */
export function makeDir({ files, changes }: Work, index: number, { dir, name }: Place): void {
  files.mkdir(dir, name, 0o700);
  if (root()) {
    const above = files.lstat(dir, ".")!;
    files.chown(dir, name, Number(above.uid), Number(above.gid));
  }
  const made = files.lstat(dir, name);
  if (made?.isDirectory()) files.chmod(dir, name, changes[index]!.next!.mode, made);
}

function becomeDir(work: Work, index: number, place: Place, seen: Stat | null): Moved | "again" {
  const make = () => makeDir(work, index, place);
  if (seen) {
    const moved = moveAway(work, index, place, seen);
    return again(moved === "done" ? fill(work, index, place, make) : moved);
  }
  make();
  return "done";
}

/** Removes what was seen, or changes its mode. */
function alter(work: Work, index: number, place: Place, seen: Stat | null): Moved | "again" {
  const { files } = work;
  const { next } = work.changes[index]!;
  if (next) return files.chmod(place.dir, place.name, next.mode, seen!) ? "done" : "again";
  if (seen!.isDirectory()) files.rmdir(place.dir, place.name);
  else return again(moveAway(work, index, place, seen!));
  return "done";
}

const again = (moved: Moved): Moved | "again" => (moved === "other" ? "again" : moved);

const root = (): boolean => process.geteuid?.() === 0;

/** Only root can give a file back to another user, so nobody else takes it from them. */
function foreignOwner({ expected, next }: Change, seen: Stat): string | null {
  if (root() || expected === null || expected.type === "d" || isModeOnly(expected, next)) return null;
  return Number(seen.uid) === process.geteuid?.() ? null : "belongs to another user: land as that user, or as root";
}

/** Gives what is staged the owner it is to have: that of the entry it replaces, or of the directory it comes to. */
function withOwner<T>(work: Work, index: number, place: Place, seen: Stat | null, then: () => T): T {
  const { files, stage } = work;
  const staged = slot("n", index);
  const old = seen && !seen.isDirectory() ? seen : null;
  const from = old ?? files.lstat(place.dir, ".")!;
  const now = files.lstat(stage, staged);
  if (!now) throw Object.assign(new Error("what was staged for it was removed"), { syscall: "link" });
  const wantsGroup = old !== null || root() || (from.mode & 0o2000n) !== 0n;
  const uid = root() ? from.uid : now.uid;
  const gid = wantsGroup ? from.gid : now.gid;
  if (uid !== now.uid || gid !== now.gid) {
    try {
      files.chown(stage, staged, Number(uid), Number(gid));
    } catch (error) {
      if (old || root() || codeOf(error) !== "EPERM") throw error;
      // A new file of somebody who is not in the group of its directory.
      return then();
    }
    // Changing the owner takes away the bits that lend it.
    const { mode, type } = work.changes[index]!.next!;
    if (type !== "l" && (mode & 0o6000) !== 0) files.chmod(stage, staged, mode, files.lstat(stage, staged)!);
  }
  return then();
}
