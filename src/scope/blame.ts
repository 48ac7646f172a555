/** Blame: of each line of a file the step that wrote it, through forks, merges, reverts, undos, landings and syncs. */
import { target } from "../trace/bytes.ts";
import { Forgotten } from "../trace/objects.ts";
import type { Hash } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { readContent } from "../world/content.ts";
import { diffTrees } from "../world/diff.ts";
import { keptLines } from "../world/kept.ts";
import { isBinary } from "../world/lines.ts";
import { lookup } from "../world/lookup.ts";
import { Missing } from "../world/missing.ts";
import { pace } from "../world/pace.ts";
import type { Entry } from "../world/tree.ts";
import { type Commits, commitsFrom, type SealedStep } from "./commits.ts";
import type { View } from "./view.ts";

/** Lines that one step wrote. */
export interface Blamed {
  /** Numbers, from 0: the first, and the one behind the last. */
  from: number;
  to: number;
  step: SealedStep;
  /** Where the file stood in that step. */
  path: Buffer;
}

export interface Blame {
  /** The file. A binary one, and a link, is one line. */
  bytes: Buffer;
  whole: boolean;
  /** In order; together they are the file. */
  ranges: Blamed[];
}

export interface BlameOptions {
  /** Only lines from this number (from 0) to before that one. */
  lines?: { from: number; to: number } | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Who wrote the lines of the file at `path` of a sealed step of `view`. A line belongs to the step in which it came into being: a revert, an undo and a merge
 * hand on what they bring back or take in. A file that a step moved is followed to where it was before. Null where there is no file.
 * What was forgotten cannot be compared: what stands on it counts as written by the step behind it. Throws `Forgotten` if the file itself is.
 */
export async function blameFile(
  store: EmbeddedStore,
  view: View,
  at: SealedStep,
  path: Buffer,
  options: BlameOptions = {},
): Promise<Blame | null> {
  const files = filesIn(store);
  const tree = treeOf(at);
  const entry = await files.entry(tree, path);
  if (!entry || entry.type === "d") return null;
  const bytes = await files.content(entry);
  const whole = entry.type === "l" || isBinary(bytes);
  const count = whole ? 1 : keptLines(bytes, bytes).length;
  const { from = 0, to = count } = options.lines ?? {};
  const lines = new Map<number, number>();
  for (let line = Math.max(0, from); line < Math.min(to, count); line++) lines.set(line, line);

  const commits = commitsFrom(store, view);
  const owners = new Map<number, { step: SealedStep; path: Buffer }>();
  const waiting = suspects();
  waiting.add({ step: at, path, lines });
  const { due, rest } = pace({ signal: options.signal });
  for (let next = waiting.take(); next; next = waiting.take()) {
    if (due()) await rest();
    const { step } = next;
    const left = await handOn(files, commits, next, whole, waiting.add);
    for (const line of left.values()) owners.set(line, { step, path: next.path });
  }

  const ranges: Blamed[] = [];
  for (const line of [...owners.keys()].sort((a, b) => a - b)) {
    const owner = owners.get(line)!;
    const last = ranges.at(-1);
    if (last?.to === line && last.step.sealed.id === owner.step.sealed.id && last.path.equals(owner.path)) last.to++;
    else ranges.push({ from: line, to: line + 1, ...owner });
  }
  return { bytes, whole, ranges };
}

const treeOf = ({ sealed }: SealedStep): Hash => target(sealed.state.roots.workspace);

/** Lines of a file in a step, that may be its own: numbers there, and in the file that was asked for. */
interface Suspect {
  step: SealedStep;
  path: Buffer;
  lines: Map<number, number>;
}

interface Suspects {
  add(suspect: Suspect): void;
  take(): Suspect | undefined;
}

/** Newest first, so that what comes to a step on several ways is looked at together. */
function suspects(): Suspects {
  const waiting = new Map<string, Suspect>();
  const clock = ({ step: { step } }: Suspect): number => {
    const { at } = step.outcomeWitness;
    return typeof at === "number" ? at : step.at;
  };
  return {
    add: (suspect) => {
      if (suspect.lines.size === 0) return;
      const key = `${suspect.step.sealed.id}/${suspect.path.toString("latin1")}`;
      const known = waiting.get(key);
      if (!known) waiting.set(key, suspect);
      // Two lines of the file can come from one, where two sides brought the same.
      else if ([...suspect.lines.keys()].some((line) => known.lines.has(line)))
        waiting.set(`${key}/${waiting.size}`, suspect);
      else for (const [line, of] of suspect.lines) known.lines.set(line, of);
    },
    take: () => {
      let newest: [string, Suspect] | undefined;
      for (const each of waiting) if (!newest || clock(each[1]) > clock(newest[1])) newest = each;
      if (newest) waiting.delete(newest[0]);
      return newest?.[1];
    },
  };
}

/** Hands the lines on to the states that the step came from; gives those that are in none of them. */
async function handOn(
  files: Files,
  commits: Commits,
  { step, path, lines }: Suspect,
  whole: boolean,
  pass: Suspects["add"],
): Promise<Map<number, number>> {
  const tree = treeOf(step);
  const sources = await sourcesOf(commits, step);
  const unchanged = sources.find((source) => treeOf(source) === tree);
  if (unchanged) {
    pass({ step: unchanged, path, lines });
    return new Map();
  }
  const entry = (await files.entry(tree, path))!;
  const before: Array<{ step: SealedStep; path: Buffer; entry: Entry }> = [];
  for (const source of sources) {
    const found = await files.entry(treeOf(source), path);
    if (found && found.type !== "d") before.push({ step: source, path, entry: found });
  }
  if (before.length === 0)
    for (const source of sources) {
      const moved = await movedFrom(files, treeOf(source), tree, entry, whole);
      if (moved) before.push({ step: source, ...moved });
    }
  const same = before.find((each) => isSame(each.entry, entry));
  if (same) {
    pass({ step: same.step, path: same.path, lines });
    return new Map();
  }
  let left = lines;
  for (const each of whole ? [] : before) {
    const kept = await files.kept(each.entry, entry);
    if (!kept) continue;
    const theirs = new Map<number, number>();
    const ours = new Map<number, number>();
    for (const [line, of] of left) {
      const was = kept[line]!;
      if (was >= 0) theirs.set(was, of);
      else ours.set(line, of);
    }
    pass({ step: each.step, path: each.path, lines: theirs });
    left = ours;
  }
  return left;
}

/** The steps whose states a step's state was made from, the first of them first. What an imported run found before it began is its first step's. */
async function sourcesOf(commits: Commits, { step, sealed }: SealedStep): Promise<SealedStep[]> {
  const { kind, to, of } = step.intent;
  const done = step.outcome?.status === "done";
  const ids: Hash[] = [...sealed.parents];
  if (kind === "revert" && done && typeof to === "string") ids.splice(0, ids.length, to);
  else if (kind === "handoff" && ids.length > 1) ids.shift();
  else if (kind === "undo" && typeof of === "string") {
    // It brings back what stood before what it takes back.
    const [before] = (await commits.get(of))?.sealed.parents ?? [];
    if (before) ids.push(before);
  }
  // One that landed in part names nothing as merged.
  if (kind === "landing" && ids.length < 2 && typeof of === "string") ids.push(of);
  const sources: SealedStep[] = [];
  for (const id of ids) {
    const source = await commits.get(id);
    if (source) sources.push(source);
  }
  return sources;
}

const isSame = (a: Entry, b: Entry): boolean => a.id === b.id && (a.type === "l") === (b.type === "l");

/** So many files that went are compared with one that came. */
const MOST_MOVED = 100;

/** The file that a step moved: one that went, with the same content, or the one most like it that has half of its lines. */
async function movedFrom(
  files: Files,
  before: Hash,
  after: Hash,
  entry: Entry,
  whole: boolean,
): Promise<{ path: Buffer; entry: Entry } | null> {
  const gone: Array<{ path: Buffer; entry: Entry }> = [];
  for await (const change of diffTrees(files.store.objects, before, after)) {
    if (change.kind !== "deleted" || !change.before || change.before.type === "d") continue;
    const found = { path: change.path, entry: change.before };
    if (isSame(found.entry, entry)) return found;
    if (!whole && found.entry.type !== "l" && gone.length < MOST_MOVED) gone.push(found);
  }
  let nearest: { path: Buffer; entry: Entry } | null = null;
  let most = 0;
  for (const each of gone) {
    const kept = await files.kept(each.entry, entry);
    const same = kept?.filter((line) => line >= 0).length ?? 0;
    if (same > most && same * 2 >= kept!.length) [nearest, most] = [each, same];
  }
  return nearest;
}

interface Files {
  store: EmbeddedStore;
  entry(tree: Hash, path: Buffer): Promise<Entry | null>;
  content(entry: Entry): Promise<Buffer>;
  /** See `keptLines`; null where the older text is gone, or is none. */
  kept(before: Entry, after: Entry): Promise<Int32Array | null>;
}

/** So many contents are held: a step is compared with the one before it, and that with the one before. */
const HELD = 4;

function filesIn(store: EmbeddedStore): Files {
  // Directories that did not change have the same id: each is looked into once.
  const below = new Map<string, Promise<Entry | null>>();
  const contents = new Map<Hash, Promise<Buffer>>();
  const entry: Files["entry"] = (tree, path) => {
    const slash = path.indexOf(0x2f);
    const key = `${tree}/${path.toString("latin1")}`;
    let found = below.get(key);
    if (!found) {
      found =
        slash < 0
          ? lookup(store.objects, tree, path)
          : lookup(store.objects, tree, path.subarray(0, slash)).then((directory) =>
              directory?.type === "d" ? entry(directory.id, path.subarray(slash + 1)) : null,
            );
      below.set(key, found);
    }
    return found;
  };
  const content: Files["content"] = ({ type, id }) => {
    const held = contents.get(id) ?? read(store, type, id);
    contents.delete(id);
    contents.set(id, held);
    const oldest = contents.keys().next().value;
    if (contents.size > HELD && oldest !== undefined) contents.delete(oldest);
    return held;
  };
  return {
    store,
    entry,
    content,
    kept: async (before, after) => {
      try {
        const was = await content(before);
        return before.type === "l" || isBinary(was) ? null : keptLines(was, await content(after));
      } catch (error) {
        if (error instanceof Forgotten || error instanceof Missing) return null;
        throw error;
      }
    },
  };
}

async function read(store: EmbeddedStore, type: Entry["type"], id: Hash): Promise<Buffer> {
  if (type === "l") return Buffer.from((await store.objects.get(id)) ?? []);
  const parts: Uint8Array[] = [];
  for await (const part of readContent(store.objects, type, id)) parts.push(part);
  return Buffer.concat(parts);
}
