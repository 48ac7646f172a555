/**
 * The end of a landing: what was moved away is looked at once more, since whoever had it open before could still write to it, and only then
 * unlinked. What is not as expected goes back to its place if that is free or holds what we put there, and into the store in any case.
 */
import { gone } from "../../world/dirs.ts";
import type { Stat } from "./files.ts";
import { type Found, lookAt } from "./look.ts";
import { linkOf, sameSide } from "./plan.ts";
import { isModeOnly, stageOne } from "./staging.ts";
import { linkIn, moveBack, swapBack } from "./swap.ts";
import {
  closePlace,
  conflict,
  type Outcome,
  openPlace,
  type Place,
  parseSlot,
  sameStamps,
  slot,
  type Why,
  type Work,
} from "./work.ts";

/** What is left in the staging directory when all is settled: what may be unlinked as it is, and what has to stay. */
export interface Rest {
  drop: Map<string, Stat>;
  stay: Set<string>;
}

/**
 * Looks at everything in the staging directory, and puts back what has to go back, unless all that was done before (`again`). Its contents are
 * in the store, written, when it resolves.
 */
export async function settle(work: Work, again = false): Promise<Rest> {
  const rest: Rest = { drop: new Map(), stay: new Set() };
  // What stayed may be free to go now.
  if (again) for (const outcome of work.outcomes) if (outcome?.at === "conflict") outcome.stays = [];
  for (const kind of ["o", "b"] as const) {
    const slots = slotsOf(work, kind);
    const open = await openSlots(
      work,
      slots.map(({ name }) => name),
    );
    for (const { name, change } of slots) {
      await settleSlot(work, rest, { kind, change, name, writer: open.get(name), again });
      if (work.pace.due()) await work.pace.rest();
    }
  }
  return rest;
}

function slotsOf({ files, stage, changes }: Work, kind: "o" | "b"): { name: string; change: number }[] {
  return namesIn(files, stage)
    .map((name) => ({ name, slot: parseSlot(name) }))
    .flatMap(({ name, slot }) =>
      slot?.kind === kind && slot.change < changes.length ? [{ name, change: slot.change }] : [],
    )
    .sort((a, b) => a.change - b.change);
}

function namesIn(files: Work["files"], stage: Work["stage"]): string[] {
  try {
    return files.names(stage);
  } catch (error) {
    if (gone(error)) return [];
    throw error;
  }
}

/** Which slots somebody has open for writing, after waiting a while for them to close. */
async function openSlots(work: Work, names: readonly string[]): Promise<Map<string, string>> {
  const { files, stage, writers, patience } = work;
  const until = performance.now() + patience;
  for (let wait = 2; ; wait = Math.min(wait * 2, 50)) {
    const there = names.flatMap((name) => {
      const stat = files.lstat(stage, name);
      return stat?.isFile() ? [{ name, dev: stat.dev, ino: stat.ino }] : [];
    });
    const open = await writers(there);
    if (open.size === 0 || performance.now() >= until) return open;
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

interface Slot {
  kind: "o" | "b";
  change: number;
  name: string;
  /** Who has it open for writing. */
  writer: string | undefined;
  again: boolean;
}

async function settleSlot(work: Work, rest: Rest, { kind, change, name, writer, again }: Slot): Promise<void> {
  const { files, stage, objects, pace, changes, outcomes } = work;
  const found = await lookAt(files, stage, name, objects.put, pace);
  if (found.kind === "nothing") return;
  const link = found.kind === "side" ? linkOf(found.side) : null;
  const { expected, next } = changes[change]!;
  const before = outcomes[change];
  const known =
    (found.kind === "side" && sameSide(found.side, kind === "o" ? expected : next)) ||
    (again && before?.at === "conflict" && link !== null && before.kept.includes(link));
  const stuck = kind === "o" && !again && work.stuck.has(change);
  if (found.kind === "side" && known && !writer && !stuck) {
    rest.drop.set(name, found.stat);
    return;
  }
  const [why, text]: [Why, string] = writer
    ? ["in use", `is open for writing in ${writer}`]
    : before?.at === "landed"
      ? ["late", "was written to while it was replaced"]
      : ["changed", "was changed"];
  const outcome = disputed(work, change, why, text);
  if (kind === "o" && !again && (await putBack(work, change, name, found))) {
    outcome.theirs = found.kind === "side" ? found.side : null;
    return;
  }
  if (link && !known) outcome.kept.push(link);
  if (found.kind === "side" && link && !writer && !stuck) rest.drop.set(name, found.stat);
  else stay(work, rest, outcome, name);
}

/** What cannot be kept in the store (a directory), or has nowhere else to be, or is still written to. */
function stay({ staging }: Work, rest: Rest, outcome: { stays: Buffer[] }, name: string): void {
  rest.drop.delete(name);
  rest.stay.add(name);
  const path = Buffer.from(`${staging}/${name}`, "latin1");
  if (!outcome.stays.some((each) => each.equals(path))) outcome.stays.push(path);
}

/** The conflict that a change has come to, whatever it was before. */
function disputed(work: Work, index: number, why: Why, text: string): Extract<Outcome, { at: "conflict" }> {
  const before = work.outcomes[index];
  if (before?.at === "conflict") return before;
  const outcome = conflict(why, text) as Extract<Outcome, { at: "conflict" }>;
  work.outcomes[index] = outcome;
  return outcome;
}

/** Gives an old entry its place again, if that is free because of us or holds what we put there. False if it stays in its slot. */
async function putBack(work: Work, index: number, name: string, old: Found): Promise<boolean> {
  const { files, stage, objects, pace, ours, changes, stuck } = work;
  const { path, expected, next } = changes[index]!;
  let place: Place;
  try {
    place = openPlace(work, path.toString("latin1"));
  } catch {
    return false;
  }
  try {
    const there = await lookAt(files, place.dir, place.name, objects.put, pace);
    if (there.kind === "nothing") {
      if (next !== null && !stuck.has(index)) return false;
      if (moveBack(work, name, place) === "other") return true;
      // It cannot be linked, but a copy of it can. Only its owner is another.
      if (!stuck.has(index) || old.kind !== "side" || old.side.type === "d") return false;
      if (files.lstat(stage, slot("n", index))) files.unlink(stage, slot("n", index));
      await (await stageOne(work, index, old.side))();
      linkIn(work, index, place);
      files.unlink(stage, name);
      return true;
    }
    if (there.kind !== "side" || next === null || next.type === "d" || isModeOnly(expected, next)) return false;
    if (there.stat.ino !== ours[index] || !sameSide(there.side, next)) return false;
    return swapBack(work, index, place);
  } catch {
    // The system refused: it stays in its slot, and goes into the store.
    return false;
  } finally {
    closePlace(work, place);
  }
}

/**
 * Unlinks what was settled, but for what somebody wrote to even now: that is put into the store, and its change becomes a conflict. True if
 * there was such, and the result has to be told anew.
 */
export async function drop(work: Work, rest: Rest): Promise<boolean> {
  const { files, stage, objects, pace } = work;
  let late = false;
  for (const [name, seen] of rest.drop) {
    const stat = files.lstat(stage, name);
    if (!stat || sameStamps(stat, seen)) continue;
    const found = await lookAt(files, stage, name, objects.put, pace);
    if (found.kind === "nothing") continue;
    late = true;
    const outcome = disputed(work, parseSlot(name)!.change, "late", "was written to while it was replaced");
    const link = found.kind === "side" ? linkOf(found.side) : null;
    if (link && !outcome.kept.includes(link)) outcome.kept.push(link);
    if (found.kind === "side" && link) rest.drop.set(name, found.stat);
    else stay(work, rest, outcome, name);
  }
  return late;
}
