/** Two workers change the same lines: who came first keeps them. */
import { acted } from "../memory.ts";
import { changedBy } from "../regions.ts";
import { inWords, type Rule } from "../rule.ts";
import { isAtWork, type Lines, type ModifiedView, type WorkerView } from "../view.ts";

export interface Overlap {
  /** So many lines between two changes are still none, as for a merge. */
  apart: number;
  /** So often it is done about one path. */
  most: number;
  /** Whether the later one goes on from the files of the earlier. */
  follow: boolean;
}

export const OVERLAP: Overlap = { apart: 1, most: 2, follow: false };

export const overlap =
  ({ apart, most, follow }: Overlap = OVERLAP): Rule =>
  (view, all, memory) => {
    const about = view.pending.flatMap((intent) => changedBy(intent, view.workspace));
    for (const other of all) {
      if (other.name === view.name || !(isAtWork(other) || other.state === "done")) continue;
      const theirs = new Map(other.modified.map((each) => [each.path, each]));
      const own = new Map(view.modified.map((each) => [each.path, each]));
      const met = [...own.values()].find(
        (mine) => meets(mine, theirs.get(mine.path), apart) && isLater(view, mine, other, theirs.get(mine.path)!),
      );
      // One that is about to be changed has no lines yet: only where the other has the whole file.
      const coming = about.find((path) => !own.has(path) && theirs.has(path) && theirs.get(path)!.lines === undefined);
      const path = met?.path ?? coming;
      if (path === undefined) continue;
      const cause = `overlap:${path}`;
      if (acted(memory, view.name, cause).times >= most) continue;
      return {
        worker: view.name,
        cause,
        action: "handoff",
        reason: `It changes ${inWords(path)} where ${inWords(other.name, 30)} was first.`,
        guidance: `Another worker, ${inWords(other.name, 30)}, has changed the same part of ${inWords(path)} before you. Take your change there back and solve your task without it; the rest of your work stays.`,
        ...(follow && { from: other.name }),
      };
    }
    return null;
  };

function meets(mine: ModifiedView, theirs: ModifiedView | undefined, apart: number): boolean {
  if (!theirs) return false;
  if (!mine.lines || !theirs.lines) return true;
  return mine.lines.some((a) => theirs.lines!.some((b) => touch(a, b, apart)));
}

const touch = (a: Lines, b: Lines, apart: number): boolean => a[0] <= b[1] + apart && b[0] <= a[1] + apart;

/** Names decide where both came at once, so that it is always one of them. */
const isLater = (view: WorkerView, mine: ModifiedView, other: WorkerView, theirs: ModifiedView): boolean =>
  mine.at > theirs.at || (mine.at === theirs.at && view.name > other.name);
