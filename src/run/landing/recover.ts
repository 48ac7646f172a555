/**
 * What a landing left when its process died. The staging directory says how far it had come: without `ready` it had touched nothing, and goes;
 * with it, every slot that is still there tells where its change stands. Each is finished, or taken back where the user has changed the path
 * since, and then the landing goes on to its end. Running it twice, or killing it too, is the same as running it once.
 */
import type { Link } from "../../trace/ports.ts";
import { gone } from "../../world/dirs.ts";
import { judge, makeDir } from "./apply.ts";
import type { Stat } from "./files.ts";
import { begin, carryOn, close, end, type Landing, type LandOptions, open, type Ports, resultOf } from "./land.ts";
import { lookAt, modeOf } from "./look.ts";
import { sameSide } from "./plan.ts";
import { readJournal } from "./record.ts";
import { settle } from "./settle.ts";
import { readReady, removeStaging, stageOne } from "./staging.ts";
import { linkIn, moveBack } from "./swap.ts";
import { closePlace, conflict, explain, LANDED, type Outcome, openPlace, type Place, slot, type Work } from "./work.ts";

export interface RecoverOptions extends LandOptions {
  /** All that `journal` was given, in order. */
  records: readonly Link[];
}

/**
 * Ends a landing whose process died. Null if it had not begun to touch anything: then nothing of it is left. Synced when it resolves; what it
 * throws, where the store fails, leaves all to the next call.
 */
export async function recoverLanding(options: RecoverOptions, ports: Partial<Ports> = {}): Promise<Landing | null> {
  const work = open(options, ports);
  const { files, root, staging, outcomes } = work;
  try {
    const { ready, settled } = await readJournal(options.objects, options.records, work.changes.length);
    if (settled) for (const [index, outcome] of settled.entries()) outcomes[index] = outcome;
    else for (const index of ready ?? []) outcomes[index] = { at: "held" };
    try {
      work.stage = files.openDir(root, staging);
    } catch (error) {
      if (!gone(error)) throw error;
      // Somebody removed it, or it had been removed at the end.
      if (settled) return resultOf(work);
      return ready ? await begin(work, options) : null;
    }
    if (settled) {
      await end(work, await settle(work, true), options);
      return resultOf(work);
    }
    const staged = await readReady(files, work.stage, work);
    if (!staged) {
      removeStaging(work, new Set());
      return null;
    }
    work.ours = staged.ours;
    for (const index of staged.held) outcomes[index] = { at: "held" };
    for (const [index, stats] of slotsOf(work)) {
      if (!outcomes[index]) outcomes[index] = await salvage(work, index, stats);
      if (work.pace.due()) await work.pace.rest();
    }
    return await carryOn(work, options);
  } finally {
    close(work);
  }
}

interface Slots {
  n: Stat | null;
  o: Stat | null;
  b: Stat | null;
}

/** Of each change that has slots or had one, what lies in them. */
function* slotsOf({ files, stage, changes, ours, outcomes }: Work): Generator<[number, Slots]> {
  const names = new Set(files.names(stage));
  const stat = (name: string) => (names.has(name) ? files.lstat(stage, name) : null);
  for (const index of changes.keys()) {
    if (outcomes[index]) continue;
    const slots = { n: stat(slot("n", index)), o: stat(slot("o", index)), b: stat(slot("b", index)) };
    if (slots.n || slots.o || slots.b || ours[index] !== null) yield [index, slots];
  }
  // Directories leave no slot when they are made.
  for (const [index, { expected, next }] of changes.entries())
    if (!outcomes[index] && expected === null && next?.type === "d") yield [index, { n: null, o: null, b: null }];
}

/** Brings one change to where it either has an outcome or is as if it had not been begun (undefined). */
async function salvage(work: Work, index: number, slots: Slots): Promise<Outcome | undefined> {
  let place: Place | null = null;
  try {
    place = openPlace(work, work.changes[index]!.path.toString("latin1"));
  } catch {
    // Its directory is gone, or may not be entered: what is in the slots goes into the store.
  }
  try {
    return await salvageAt(work, index, slots, place);
  } finally {
    if (place) closePlace(work, place);
  }
}

async function salvageAt(work: Work, index: number, slots: Slots, place: Place | null): Promise<Outcome | undefined> {
  const { files, stage, ours, changes } = work;
  const { next } = changes[index]!;
  const [n, o, b] = [slot("n", index), slot("o", index), slot("b", index)];
  const there = place && files.lstat(place.dir, place.name);
  const is = (a: Stat | null | undefined, other: Stat | null) =>
    a != null && other !== null && a.ino === other.ino && a.dev === other.dev;

  if (slots.b) {
    // Cut off while the old one was being put back; the user's, where there is such, goes first.
    if (is(there, slots.o)) files.unlink(stage, o);
    else if (is(there, slots.b)) files.unlink(stage, b);
    else if (place && !there && moveBack(work, slots.o && slots.b.ino === ours[index] ? o : b, place) === "stuck")
      work.stuck.add(index);
    return changed(work, place);
  }
  if (slots.n && slots.n.ino !== ours[index] && !(await holdsNext(work, index))) {
    // An exchange brought the old one here.
    if (!slots.o) {
      files.rename(stage, n, stage, o);
      return there?.ino === ours[index] ? LANDED : changed(work, place);
    }
    files.unlink(stage, n);
    slots.n = null;
  }
  if (slots.o) {
    if (slots.o.ino === ours[index]) {
      // An exchange was being taken back.
      files.rename(stage, o, stage, b);
      return changed(work, place);
    }
    if (is(there, slots.o)) {
      files.unlink(stage, o);
      return undefined;
    }
    if (next === null) return LANDED;
    if (there && is(there, slots.n)) {
      files.unlink(stage, n);
      return LANDED;
    }
    if (next.type !== "d" && !slots.n) return LANDED;
    if (!there)
      return place
        ? intoGap(work, index, place)
        : conflict("parent", "is in a directory that is gone, or is something else now");
    if (next.type === "d" && there.isDirectory()) return finishDir(work, index, place!, there) ?? LANDED;
    const found = await lookAt(files, place!.dir, place!.name, work.objects.put, work.pace);
    return judge({ ...changes[index]!, expected: null }, found) ?? changed(work, place);
  }
  if (next?.type === "d") return there?.isDirectory() ? finishDir(work, index, place!, there) : undefined;
  if (!slots.n) return ours[index] === null ? undefined : LANDED;
  if (is(there, slots.n)) {
    files.unlink(stage, n);
    return LANDED;
  }
  if (!(await holdsNext(work, index))) await restage(work, index);
  // The directory that it takes the place of was removed, by us as far as can be told.
  if (place && !there && changes[index]!.expected?.type === "d") return linkNow(work, index, place);
  return undefined;
}

async function changed({ files, objects, pace }: Work, place: Place | null): Promise<Outcome> {
  const found = place && (await lookAt(files, place.dir, place.name, objects.put, pace));
  return conflict("changed", "was changed", found?.kind === "side" ? found.side : null);
}

function linkNow(work: Work, index: number, place: Place): Outcome | undefined {
  try {
    linkIn(work, index, place);
    return LANDED;
  } catch {
    return undefined;
  }
}

/** Whether what is staged is what is to come. What it is otherwise is put into the store. */
async function holdsNext({ files, stage, objects, pace, changes }: Work, index: number): Promise<boolean> {
  const found = await lookAt(files, stage, slot("n", index), objects.put, pace);
  return found.kind === "side" && sameSide(found.side, changes[index]!.next);
}

async function restage(work: Work, index: number): Promise<void> {
  work.files.unlink(work.stage, slot("n", index));
  await (await stageOne(work, index, work.changes[index]!.next!))();
}

/** The old one is away and the new one not there yet: what is to come now comes, unless the old one is not what was expected. */
async function intoGap(work: Work, index: number, place: Place): Promise<Outcome | undefined> {
  const { files, stage, objects, pace, changes, stuck } = work;
  const { expected, next } = changes[index]!;
  const old = await lookAt(files, stage, slot("o", index), objects.put, pace);
  if (old.kind !== "side" || !sameSide(old.side, expected)) {
    const back = moveBack(work, slot("o", index), place);
    if (back === "stuck") stuck.add(index);
    return back === "other" ? undefined : changed(work, place);
  }
  if (next!.type !== "d" && !(await holdsNext(work, index))) await restage(work, index);
  try {
    if (next!.type === "d") makeDir(work, index, place);
    else linkIn(work, index, place);
    return LANDED;
  } catch (error) {
    const back = moveBack(work, slot("o", index), place);
    if (back === "other") return undefined;
    if (back === "stuck") stuck.add(index);
    return conflict("failed", explain(error));
  }
}

/** A directory that was made but not given its mode yet. */
function finishDir(work: Work, index: number, place: Place, there: Stat): Outcome | undefined {
  if (modeOf(there) !== 0o700) return undefined;
  const done = work.files.chmod(place.dir, place.name, work.changes[index]!.next!.mode, there);
  return done ? LANDED : undefined;
}
