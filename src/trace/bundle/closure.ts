/**
 * Which logs an exported run consists of, and how much of each. Its own scopes come whole. Of a log that one of these was forked from, or merged
 * something of, come the frames up to there. A commit of a log that is not to come along (that of the user's directory) comes as itself: an *edge*,
 * behind which nothing is known.
 */
import { decodeJson, isHash, linksIn, parseLink, sha256 } from "../bytes.ts";
import { frameHash } from "../chain.ts";
import { parseCommit } from "../edge.ts";
import type { Frame } from "../frame.ts";
import type { Hash, LogHeader } from "../ports.ts";
import { startFold } from "../seal.ts";
import type { EmbeddedStore } from "../store.ts";

/** A log of which the first frames come along. */
export interface Part {
  header: LogHeader;
  /** How many frames. */
  frames: number;
}

/** Frames of a log that stand together in the file. */
export interface Stretch {
  part: Part;
  /** Sequence number of the first, and the one behind the last. */
  from: number;
  to: number;
}

export interface Closure {
  /** Those that others were forked from before those. */
  logs: Part[];
  /** All frames, each behind what it needs of other logs: a reader who stops anywhere has what could have been. One stretch at least for each log, the first with its header. */
  stretches: Stretch[];
  /** Their bytes, in the order of their hashes. */
  edges: ReadonlyMap<Hash, Uint8Array>;
}

/**
 * @param whole logs that come along whole, as they are now
 * @param travels whether a log may come along in part
 */
export async function closureOf(
  store: EmbeddedStore,
  whole: readonly string[],
  travels: (header: LogHeader) => boolean,
): Promise<Closure> {
  const parts = new Map<string, Part>();
  const edges = new Map<Hash, Uint8Array>();
  const made: Made = new Map();
  const needs = new Map<string, Need[]>();
  const wanted = new Set<Hash>();
  const queue: Array<{ log: string; frames: number }> = [];
  for (const log of whole) queue.push({ log, frames: (await store.logs.end(log)).seq });

  /** Takes in so many frames of a log, and notes what they need of others. */
  const take = async (log: string, frames: number): Promise<void> => {
    const known = parts.get(log);
    if (known && known.frames >= frames) return;
    const header = await store.logs.header(log);
    if (!header) throw new Error(`The log ${log} is not in this store: run \`shepherd fsck\`.`);
    parts.set(log, { header, frames });
    if (header.origin) queue.push({ log: header.origin.log, frames: header.origin.seq + 1 });
    const needed: Need[] = [...nodesIn(header)].map((id) => ({ seq: 0, id }));
    const own = new Set<Hash>();
    for await (const { frame, follows } of followed(store, header, frames)) {
      for (const id of needsOf(frame)) if (!own.has(id)) needed.push({ seq: frame.seq, id });
      for (const id of follows.keys()) {
        own.add(id);
        const makers = made.get(id) ?? [];
        if (makers.length === 0) made.set(id, makers);
        if (makers.every((maker) => maker.log !== log)) makers.push({ log, frames: frame.seq + 1 });
      }
    }
    needs.set(log, needed);
    for (const { id } of needed) wanted.add(id);
  };
  for (;;) {
    for (let next = queue.shift(); next; next = queue.shift()) await take(next.log, next.frames);
    for (const id of wanted) if (made.has(id) || edges.has(id)) wanted.delete(id);
    if (wanted.size === 0) break;
    const makers = await makersOf(store, wanted);
    for (const id of [...wanted]) {
      const maker = makers.get(id);
      if (maker && travels(maker.header)) {
        queue.push({ log: maker.header.id, frames: maker.frames });
        continue;
      }
      const bytes = maker?.bytes ?? (await store.objects.get(id));
      if (!bytes || !parseCommit(bytes))
        throw new Error(`What ${id} stands for follows from no log in this store: run \`shepherd fsck\`.`);
      edges.set(id, bytes);
      for (const node of nodesIn(decodeJson(bytes))) wanted.add(node);
    }
  }
  const logs = inOrder(parts);
  const sorted = new Map([...edges].sort(([a], [b]) => (a < b ? -1 : 1)));
  return { logs, stretches: stretchesOf(logs, made, needs), edges: sorted };
}

/** What follows from the logs that come along, commits and nodes of conversations: of which logs, and of how many of their frames. */
type Made = Map<Hash, Array<{ log: string; frames: number }>>;

/** What a frame needs of another log. */
interface Need {
  seq: number;
  id: Hash;
}

/** The logs one after the other, each interrupted where it needs more of another one. */
function stretchesOf(logs: readonly Part[], made: Made, needs: ReadonlyMap<string, Need[]>): Stretch[] {
  const stretches: Stretch[] = [];
  const parts = new Map(logs.map((part) => [part.header.id, part]));
  const done = new Map<string, number>();
  const met = new Map<string, number>();
  const open = new Set<string>();
  const has = ({ log, frames }: { log: string; frames: number }): boolean => (done.get(log) ?? -1) >= frames;

  /** Writes so many frames of a log; false if they need what stands behind a place at which it is interrupted, as only another log with the same steps does. */
  const go = (of: { log: string; frames: number }): boolean => {
    if (has(of)) return true;
    if (open.has(of.log)) return false;
    const part = parts.get(of.log)!;
    const { origin } = part.header;
    open.add(of.log);
    try {
      if (origin && !go({ log: origin.log, frames: origin.seq + 1 })) return false;
      let from = done.get(of.log) ?? 0;
      const write = (to: number): void => {
        stretches.push({ part, from, to });
        done.set(of.log, to);
        from = to;
      };
      const needed = needs.get(of.log)!;
      for (let at = met.get(of.log) ?? 0; at < needed.length && needed[at]!.seq < Math.max(of.frames, 1); at++) {
        const { seq, id } = needed[at]!;
        met.set(of.log, at);
        const makers = made.get(id) ?? [];
        if (makers.length === 0 || makers.some(has)) continue;
        if (seq > from) write(seq);
        if (!makers.some(go)) return false;
      }
      write(of.frames);
      return true;
    } finally {
      open.delete(of.log);
    }
  };
  for (const { header, frames } of logs)
    if (!go({ log: header.id, frames }))
      throw new Error(`The log ${header.id} needs what only follows from itself: run \`shepherd fsck\`.`);
  return stretches;
}

interface Followed {
  frame: Frame;
  /** Commits and nodes of conversations that follow from it and those before it, and from no fewer. */
  follows: ReadonlyMap<Hash, Uint8Array>;
}

/** The first frames of a log, and what follows from each. */
async function* followed(store: EmbeddedStore, header: LogHeader, frames: number): AsyncGenerator<Followed> {
  let follows = new Map<Hash, Uint8Array>();
  const fold = startFold(header, (bytes) => follows.set(sha256(bytes), bytes));
  if (frames === 0) return;
  for await (const frame of store.logs.read(header.id)) {
    follows = new Map();
    fold.push(frame, frameHash(frame));
    yield { frame, follows };
    if (frame.seq + 1 === frames) return;
  }
}

/** Nodes of conversations that a value names. */
export function* nodesIn(value: unknown): Generator<Hash> {
  for (const link of linksIn(value)) {
    const { kind, id } = parseLink(link)!;
    if (kind === "items") yield id;
  }
}

/** What a frame names by its hash alone and that follows from some log: merged heads, where its scope begins, nodes of conversations. */
export function* needsOf(frame: Frame): Generator<Hash> {
  if (frame.phase === "outcome")
    for (const parent of [frame.facts.base, frame.facts.with]) if (isHash(parent)) yield parent;
  yield* nodesIn(frame);
}

interface Maker {
  header: LogHeader;
  /** So many frames of the log are needed for it. */
  frames: number;
  bytes: Uint8Array;
}

/** The logs from which `wanted` follow. */
async function makersOf(store: EmbeddedStore, wanted: ReadonlySet<Hash>): Promise<Map<Hash, Maker>> {
  const found = new Map<Hash, Maker>();
  for (const log of await store.logs.list()) {
    if (found.size === wanted.size) break;
    const header = await store.logs.header(log);
    if (!header) continue;
    for await (const { frame, follows } of followed(store, header, Number.POSITIVE_INFINITY))
      for (const [id, bytes] of follows)
        if (wanted.has(id) && !found.has(id)) found.set(id, { header, frames: frame.seq + 1, bytes });
  }
  return found;
}

/** By their age, and each behind the one that it was forked from: the same wherever they lie. */
function inOrder(parts: ReadonlyMap<string, Part>): Part[] {
  const age = ({ header }: Part): number => (typeof header.meta.created === "number" ? header.meta.created : 0);
  const sorted = [...parts.values()].sort((a, b) => age(a) - age(b) || (a.header.id < b.header.id ? -1 : 1));
  const done = new Set<Part>();
  const enter = (part: Part): void => {
    if (done.has(part)) return;
    const before = part.header.origin && parts.get(part.header.origin.log);
    if (before) enter(before);
    done.add(part);
  };
  for (const part of sorted) enter(part);
  return [...done];
}
