/** Replay: all commits of a log computed anew from its frames and objects. A fold: no model is asked, no tool runs. */
import { linksIn, parseLink } from "../trace/bytes.ts";
import { unflip } from "../trace/flip.ts";
import { Forgotten } from "../trace/objects.ts";
import type { Hash, Link } from "../trace/ports.ts";
import { readAhead } from "../trace/readahead.ts";
import { type Damage, RECORD_HEAD } from "../trace/record.ts";
import { type Head, type Step, startFold } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { pace } from "../world/pace.ts";
import { followers } from "./followers.ts";

export interface Replay {
  steps: number;
  commits: number;
  objects: number;
  /** What does not hold: one sentence each. */
  wrong: string[];
  /** Commits in the order of sealing. */
  sealed: readonly Step[];
  head: Head;
}

/** Recomputes every commit of a log, and reads every object that its frames name, checking each against its hash. */
export async function replayLog(
  store: EmbeddedStore,
  log: string,
  options: { signal?: AbortSignal } = {},
): Promise<Replay> {
  const header = await store.logs.header(log);
  if (!header) throw new Error(`There is no log ${log} in this store.`);
  const wrong: string[] = [];
  const seen = new Set<Link>();
  const fold = startFold(header);
  const objects = readAhead(store.objects);
  const derived = readAhead(store.derived);

  const { due, rest } = pace({ signal: options.signal });
  const check = async (first: Link, of: string): Promise<void> => {
    const stack = [first];
    for (let at = stack.pop(); at; at = stack.pop()) {
      if (due()) await rest();
      if (seen.has(at)) continue;
      seen.add(at);
      const { kind, id } = parseLink(at)!;
      // Conversations follow from the frames: they are computed here, not read.
      if (kind === "items") continue;
      try {
        const bytes = await objects.get(id);
        if (!bytes) wrong.push(`${of} names the object ${id.slice(0, 12)}, which is missing or damaged.`);
        else if (kind !== "blob") stack.push(...followers[kind](bytes));
      } catch (error) {
        if (!(error instanceof Forgotten))
          wrong.push(`${of} names the object ${id.slice(0, 12)}: ${(error as Error).message}`);
      }
    }
  };

  const damage: Damage[] = [];
  let strays = 0;
  const told = { damaged: (each: Damage) => damage.push(each), stray: () => strays++ };
  for await (const { frame, hash } of store.logs.readFrom(log, null, told)) {
    if (due()) await rest();
    for (const step of fold.push(frame, hash)) {
      const { id } = step.sealed!;
      // The cache may lack it; what it holds verifies itself by its hash.
      if (isKept(store, id) && !(await derived.get(id).catch(() => null)))
        wrong.push(`The cached commit of step ${step.n} is damaged.`);
    }
    for (const link of linksIn([frame.facts, frame.carry ?? null])) await check(link, `Frame ${frame.seq}`);
  }
  for (const each of damage) wrong.push(`Bytes ${each.offset} to ${each.end} of the log form no frame.`);
  if (strays > 0 && damage.length > 0) wrong.push(`${strays} frames behind the damage do not count.`);
  const { sealed } = fold;
  const flipped = flippedIn(store);
  for (const { n, sealed: commit } of sealed)
    if (flipped.has(commit!.id))
      wrong.push(`The cached commit of step ${n} is damaged, and not used; delete the store's folder \`cache\`.`);
  return { steps: fold.steps.size, commits: sealed.length, objects: seen.size, wrong, sealed, head: fold.head() };
}

/** Cached objects of which one bit flipped: they are not found any more. What was torn while it was written is none. */
function flippedIn(store: EmbeddedStore): Set<Hash> {
  const ids = new Set<Hash>();
  for (const { segment } of store.derived.packs()) {
    const look = ({ offset, end }: Damage): void => {
      const flip = unflip(segment.payload(offset - RECORD_HEAD, end - offset));
      if (flip) ids.add(flip.record.toString("hex", RECORD_HEAD, RECORD_HEAD + 32));
    };
    for (const _ of segment.scan(0, look));
  }
  return ids;
}

/** Whether the cache holds a commit, as far as this process has looked. */
const isKept = (store: EmbeddedStore, id: Hash): boolean =>
  store.derived.packs().some((pack) => pack.find(id) !== null);
