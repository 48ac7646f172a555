/** Which changes wait, because they run code later and nobody allowed them, and which wait with them. */
import type { LandOptions } from "./land.ts";
import type { Change } from "./plan.ts";
import type { Work } from "./work.ts";

/** Asks, and gives the changes that may not land the outcome `held`. */
export async function hold(work: Pick<Work, "changes" | "outcomes">, confirm: LandOptions["confirm"]): Promise<void> {
  const { changes, outcomes } = work;
  const asking = changes.filter(({ asks }) => asks !== null);
  if (asking.length === 0) return;
  const answer = confirm ? await confirm(asking) : false;
  if (answer === true) return;
  const allowed = new Set(answer === false ? [] : answer);
  const held = new Set<Change>(asking.filter((change) => !allowed.has(change)));
  const also = dependent(changes, held);
  for (const [index, change] of changes.entries())
    if (held.has(change) || also.has(change)) outcomes[index] = { at: "held" };
}

/** A directory that only what is held would be in is not made; one that something held stays in is not removed; and what is below the one or the other. */
function dependent(changes: readonly Change[], held: ReadonlySet<Change>): Set<Change> {
  const also = new Set<Change>();
  if (held.size === 0) return also;
  const tally = new Map<string, { held: number; all: number }>();
  const blocked = new Set<string>();
  for (const change of changes) {
    if (isDir(change)) continue;
    const path = change.path.toString("latin1");
    if (held.has(change) && change.next?.type === "d") blocked.add(path);
    for (const above of ancestors(path)) {
      const count = tally.get(above) ?? { held: 0, all: 0 };
      tally.set(above, count);
      if (held.has(change)) count.held++;
      count.all++;
    }
  }
  for (const change of changes) {
    const path = change.path.toString("latin1");
    const below = tally.get(path);
    const makes = change.next?.type === "d" && change.expected?.type !== "d";
    const removes = change.expected?.type === "d" && change.next?.type !== "d";
    if (below && ((makes && below.held > 0 && below.held === below.all) || (removes && below.held > 0))) {
      also.add(change);
      if (makes) blocked.add(path);
    }
  }
  for (const change of changes) {
    const path = change.path.toString("latin1");
    if (blocked.has(path) || ancestors(path).some((above) => blocked.has(above))) also.add(change);
  }
  return also;
}

const isDir = ({ expected, next }: Change): boolean =>
  (expected ?? next)!.type === "d" && (next ?? expected)!.type === "d";

const ancestors = (path: string): string[] => {
  const found: string[] = [];
  for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) found.push(path.slice(0, at));
  return found;
};
