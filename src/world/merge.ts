/**
 * Three-way merge of trees. A change that one side alone made since the base is taken, or both alike; whatever both changed in different
 * ways is merged one level deeper (a directory by its entries, a text by its lines, a mode by itself) or becomes a conflict, a value.
 *
 * Where more than one answer is right:
 * - One side removed a directory and the other added to it: what was added stays, in the directory it needs; what the first side removed and
 *   the second changed is a conflict, file by file. As Git does. A directory that nothing is left in goes.
 * - Directories are entries: an empty one is kept, removed and merged like a file, and its own mode is merged too.
 * - A file on one side and a directory on the other is one conflict for the whole name; nothing below it is merged.
 */
import { Forgotten } from "../trace/objects.ts";
import { type Hash, MAX_OBJECT, type Objects } from "../trace/ports.ts";
import { decodeChunks, encodeChunks, readContent } from "./content.ts";
import { type ContentConflict, mergeLines } from "./lines.ts";
import { missing } from "./missing.ts";
import { type How, resolveText } from "./resolve.ts";
import { type Entry, readTree, type Tree, writeTree } from "./tree.ts";

/** A path that both sides changed in different ways. The merged tree has *ours* there. */
export interface Conflict {
  /** From the root of the tree, with `/` between names; empty for the root itself. */
  path: Buffer;
  /** What each has there; null where it has nothing. */
  base: Entry | null;
  ours: Entry | null;
  theirs: Entry | null;
  why: Why;
}

/**
 * - `content`: two files or links that changed differently (also texts of more than 8 MiB, and contents that were forgotten);
 * - `binary`: the same, where one of the contents is not text;
 * - `mode`: the contents merge, the modes do not;
 * - `modify/delete`: one side removed what the other changed; `add/add`: both made something new, and not the same;
 * - `type`: both are there, as different sorts of thing, or both replaced something of another sort;
 * - `directory/file`: one side has a directory and the other none.
 *
 * Where each of the three is a directory or absent, the conflict (`mode`, `modify/delete`) is about the directory's own mode alone: its
 * entries were merged, and their conflicts stand beside it. Where something in it stays, so does the directory, though ours be absent.
 */
export type Why = "content" | "modify/delete" | "add/add" | "type" | "mode" | "directory/file" | "binary";

export interface TreeMerge {
  tree: Hash;
  /** By the bytes of their paths, so a directory before what is in it. At most one for a path. */
  conflicts: Conflict[];
}

/** Larger texts are not merged by lines. */
const MAX_MERGED = 8 << 20;

/**
 * Merges what `ours` and `theirs` made of the tree `base` (null: they have nothing in common, so all is added). With conflicts, `tree` has ours
 * at each of their paths and all that does merge elsewhere: whoever calls decides whether it may be used. Exchanging the sides gives the same
 * tree (without conflicts) and the same conflicts with the sides exchanged. Reads only directories and contents that both sides changed;
 * the result is written, not synced. Throws `Missing` where the store lacks something that is needed.
 */
export async function mergeTrees(objects: Objects, base: Hash | null, ours: Hash, theirs: Hash): Promise<TreeMerge> {
  const conflicts: Conflict[] = [];
  const tree = await mergeRoots(
    {
      objects,
      knowsBase: true,
      settle: (conflict) => {
        conflicts.push(conflict);
        return conflict.ours;
      },
      settleMode: (conflict, mode) => {
        conflicts.push(conflict);
        return mode;
      },
    },
    base,
    ours,
    theirs,
  );
  return { tree, conflicts: conflicts.sort((a, b) => Buffer.compare(a.path, b.path)) };
}

/**
 * As `mergeTrees`, with every conflict resolved for one side: in a text for each place that both changed, else for the path. `resolved` counts
 * the conflicts that there were.
 */
export async function resolveTrees(
  objects: Objects,
  base: Hash | null,
  ours: Hash,
  theirs: Hash,
  side: "ours" | "theirs",
): Promise<{ tree: Hash; resolved: number }> {
  let resolved = 0;
  const merger: Merger = {
    objects,
    knowsBase: true,
    settle: async (conflict, text) => {
      resolved++;
      if (!text || !conflict.ours) return conflict.ours;
      const bytes = text.conflict.hunks.map((hunk) => (hunk.kind === "merged" ? hunk.bytes : hunk.ours));
      return { ...conflict.ours, ...(await writeContent(objects, Buffer.concat(bytes))), mode: text.mode };
    },
    settleMode: (_conflict, mode) => {
      resolved++;
      return mode;
    },
  };
  // Merging is symmetric, so taking theirs is taking ours with the sides exchanged.
  const [first, second] = side === "ours" ? [ours, theirs] : [theirs, ours];
  return { tree: await mergeRoots(merger, base, first, second), resolved };
}

/** A conflict in a text, and how it was settled. */
export interface Resolved extends Conflict {
  how: How[];
}

/**
 * As `mergeTrees`, with what `resolveText` makes of each text that conflicts. What it makes nothing of is left: those conflicts are told, and
 * `tree` has ours there. Symmetric as `mergeTrees` is.
 */
export async function weaveTrees(
  objects: Objects,
  base: Hash | null,
  ours: Hash,
  theirs: Hash,
): Promise<TreeMerge & { resolved: Resolved[] }> {
  const conflicts: Conflict[] = [];
  const resolved: Resolved[] = [];
  const leave = <T>(conflict: Conflict, here: T): T => {
    conflicts.push(conflict);
    return here;
  };
  const merger: Merger = {
    objects,
    knowsBase: true,
    settle: async (conflict, text) => {
      const woven = text && (await resolveText(conflict.path.toString("latin1"), ...text.contents));
      if (!woven) return leave(conflict, conflict.ours);
      resolved.push({ ...conflict, how: woven.how });
      return { ...conflict.ours!, ...(await writeContent(objects, Buffer.from(woven.bytes))), mode: text.mode };
    },
    settleMode: leave,
  };
  const tree = await mergeRoots(merger, base, ours, theirs);
  const byPath = (a: Conflict, b: Conflict) => Buffer.compare(a.path, b.path);
  return { tree, conflicts: conflicts.sort(byPath), resolved: resolved.sort(byPath) };
}

/**
 * One tree to merge against where several commits are the nearest common ones: their merge, by the same rule. `ancestor` is a tree that all of
 * them come from; null (not known) is right too, and makes every difference between them a dispute. Null if there are no bases.
 *
 * Where the bases conflict, the result holds a *dispute*: something that neither side of the later merge can have, since it names the ids of
 * what the bases have there. So both sides count as having changed it, and either they agree or it is a conflict: no side's version is ever
 * taken for "unchanged" on account of a base that the other side never agreed to. In a text each disputed stretch is one such line; else
 * it is a link with such a target in place of the entry; a directory's own mode becomes 07000, which no owner could enter.
 * (Git puts the text with conflict markers into its virtual base. Lines of one base in there can pass for the agreed ones.)
 */
export async function mergeBase(
  objects: Objects,
  bases: readonly Hash[],
  ancestor: Hash | null = null,
): Promise<Hash | null> {
  const [first, ...rest] = bases;
  if (first === undefined) return null;
  let merged = first;
  for (const next of rest) {
    merged = await mergeRoots(
      {
        objects,
        knowsBase: ancestor !== null,
        settle: (c, text) => dispute(objects, c, text),
        settleMode: () => 0o7000,
      },
      ancestor,
      merged,
      next,
    );
  }
  return merged;
}

async function dispute(objects: Objects, { ours, theirs }: Conflict, text?: DisputedText): Promise<Entry> {
  const version = (entry: Entry | null) => (entry ? `${entry.type} ${entry.mode.toString(8)} ${entry.id}` : "nothing");
  // Sorted, so that the order of the bases does not show.
  const note = `shepherd: the bases of this merge have ${[version(ours), version(theirs)].sort().join(" and ")}`;
  const { name } = (ours ?? theirs)!;
  if (!text) return { type: "l", mode: 0, name, id: await objects.put(Buffer.from(note)) };
  const stretches = text.conflict.hunks.map((hunk) => (hunk.kind === "merged" ? hunk.bytes : Buffer.from(`${note}\n`)));
  return { ...(await writeContent(objects, Buffer.concat(stretches))), mode: text.mode, name };
}

/** The lines of a text that conflict, in a file whose mode does not. */
interface DisputedText {
  conflict: ContentConflict;
  mode: number;
  /** Base, ours, theirs. */
  contents: [Buffer, Buffer, Buffer];
}

interface Merger {
  objects: Objects;
  /** Whether the base says what the sides started from. If not, whatever differs conflicts. */
  knowsBase: boolean;
  /** What stands in the merged tree for a conflict; `text` where it lies in some lines of a file alone. */
  settle(conflict: Conflict, text?: DisputedText): Entry | null | Promise<Entry | null>;
  /** The mode of a directory whose sides have different ones; `mode` is ours. */
  settleMode(conflict: Conflict, mode: number): number;
}

interface Three<T> {
  base: T;
  ours: T;
  theirs: T;
}

/** The path of an entry, from the innermost name outwards: most are never written out. */
type Path = { name: Buffer; within: Path } | null;

async function mergeRoots(merger: Merger, base: Hash | null, ours: Hash, theirs: Hash): Promise<Hash> {
  const root = (id: Hash): Entry => ({ type: "d", mode: 0, name: Buffer.alloc(0), id });
  const sides = { base: base === null ? null : root(base), ours: root(ours), theirs: root(theirs) };
  // A root that is there on both sides stays, so the merge of the two is never null.
  return (await mergeEntry(merger, null, sides))!.id;
}

/** Decides without reading anything; undefined where that needs a look inside. */
function decide({ knowsBase }: Merger, { base, ours, theirs }: Three<Entry | null>): Entry | null | undefined {
  if (same(ours, theirs)) return ours;
  if (!knowsBase) return undefined;
  if (same(base, ours)) return theirs;
  if (same(base, theirs)) return ours;
  return undefined;
}

async function mergeEntry(merger: Merger, path: Path, sides: Three<Entry | null>): Promise<Entry | null> {
  const decided = decide(merger, sides);
  if (decided !== undefined) return decided;
  const { base, ours, theirs } = sides;
  if (ours && theirs) {
    if (isFile(ours) && isFile(theirs)) return mergeFiles(merger, path, { base, ours, theirs });
    if (ours.type === "d" && theirs.type === "d" && (!base || base.type === "d"))
      return mergeDirectories(merger, path, sides);
  } else if (base?.type === "d" && (ours ?? theirs)!.type === "d") return mergeDirectories(merger, path, sides);
  return merger.settle({ path: written(path), ...sides, why: whyNot(sides) });
}

function whyNot({ base, ours, theirs }: Three<Entry | null>): Why {
  if (!ours || !theirs) return "modify/delete";
  if ((ours.type === "d") !== (theirs.type === "d")) return "directory/file";
  if (ours.type !== "l" || theirs.type !== "l" || (base && base.type !== "l")) return "type";
  return base ? "content" : "add/add";
}

/** Merges directories by their entries. Base and at most one side may lack it; never all of them, and never both sides. */
async function mergeDirectories(merger: Merger, path: Path, sides: Three<Entry | null>): Promise<Entry | null> {
  const read = (entry: Entry | null) => (entry ? readTree(merger.objects, entry.id) : null);
  const [base, ours, theirs] = await Promise.all([read(sides.base), read(sides.ours), read(sides.theirs)]);
  const entries: Entry[] = [];
  for (const three of paired(base, ours, theirs)) {
    let merged = decide(merger, three);
    if (merged === undefined) {
      const { name } = (three.ours ?? three.theirs)!;
      merged = await mergeEntry(merger, { name, within: path }, three);
    }
    if (merged) entries.push(merged);
  }

  let mode: number;
  if (ours && theirs) {
    mode =
      mergeModes(base?.mode, ours.mode, theirs.mode) ??
      merger.settleMode({ path: written(path), ...sides, why: "mode" }, ours.mode);
  } else {
    mode = (ours ?? theirs)!.mode;
    const disputed = mode !== base!.mode;
    const kept = disputed ? await merger.settle({ path: written(path), ...sides, why: "modify/delete" }) : null;
    if (kept && kept.type !== "d") return kept;
    if (!kept && entries.length === 0) return null;
  }
  const side = (tree: Tree | null) => tree !== null && tree.mode === mode && sameEntries(tree.entries, entries);
  if (side(ours)) return sides.ours;
  if (side(theirs)) return sides.theirs;
  const { name } = (sides.ours ?? sides.theirs)!;
  return { type: "d", mode: 0, name, id: await writeTree(merger.objects, { mode, entries }) };
}

/** The entries of three directories, name by name, in order. */
function* paired(base: Tree | null, ours: Tree | null, theirs: Tree | null): Iterable<Three<Entry | null>> {
  const b = base?.entries ?? [];
  const o = ours?.entries ?? [];
  const t = theirs?.entries ?? [];
  for (let i = 0, j = 0, k = 0; i < b.length || j < o.length || k < t.length; ) {
    const first = least(least(b[i], o[j]), t[k])!;
    const here = (entry: Entry | undefined) => (entry?.name.equals(first.name) ? entry : null);
    const three = { base: here(b[i]), ours: here(o[j]), theirs: here(t[k]) };
    if (three.base) i++;
    if (three.ours) j++;
    if (three.theirs) k++;
    yield three;
  }
}

function least(a: Entry | undefined, b: Entry | undefined): Entry | undefined {
  return !b || (a && Buffer.compare(a.name, b.name) <= 0) ? a : b;
}

type Files = { base: Entry | null; ours: Entry; theirs: Entry };

async function mergeFiles(merger: Merger, path: Path, sides: Files): Promise<Entry | null> {
  const { ours, theirs } = sides;
  const base = sides.base && isFile(sides.base) ? sides.base : null;
  const mode = mergeModes(base?.mode, ours.mode, theirs.mode);
  const conflict = (why: Why, text?: DisputedText) => merger.settle({ path: written(path), ...sides, why }, text);
  let content: Content;
  if (sameContent(ours, theirs)) content = ours;
  else if (!base) return conflict("add/add");
  else if (sameContent(base, ours)) content = theirs;
  else if (sameContent(base, theirs)) content = ours;
  else {
    const contents = await readAll(merger.objects, [base, ours, theirs]);
    if (!contents) return conflict("content");
    const merged = mergeLines(...contents);
    if (!merged.clean && merged.why === "binary") return conflict("binary");
    if (!merged.clean) return conflict("content", mode === null ? undefined : { conflict: merged, mode, contents });
    content = await writeContent(merger.objects, merged.bytes);
  }
  if (mode === null) return conflict("mode");
  return { type: content.type, mode, name: ours.name, id: content.id };
}

type Content = Pick<Entry, "type" | "id">;

/** The contents of three files; null if one is too large to merge, or was forgotten. */
async function readAll(objects: Objects, files: [Entry, Entry, Entry]): Promise<[Buffer, Buffer, Buffer] | null> {
  try {
    const sizes = await Promise.all(files.map((file) => largeSize(objects, file)));
    if (sizes.some((size) => size > MAX_MERGED)) return null;
    const [base, ours, theirs] = files;
    return [await readWhole(objects, base), await readWhole(objects, ours), await readWhole(objects, theirs)];
  } catch (error) {
    if (error instanceof Forgotten) return null;
    throw error;
  }
}

/** The size of a file in chunks; 0 for one that is small anyway. */
async function largeSize(objects: Objects, { type, id }: Content): Promise<number> {
  return type === "F" ? decodeChunks((await objects.get(id)) ?? missing(id, "content")).size : 0;
}

async function readWhole(objects: Objects, { type, id }: Content): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of readContent(objects, type, id)) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function writeContent(objects: Objects, bytes: Uint8Array): Promise<Content> {
  if (bytes.length <= MAX_OBJECT) return { type: "f", id: await objects.put(bytes) };
  const chunks: Hash[] = [];
  for (let at = 0; at < bytes.length; at += MAX_OBJECT)
    chunks.push(await objects.put(bytes.subarray(at, at + MAX_OBJECT)));
  return { type: "F", id: await objects.put(encodeChunks(bytes.length, chunks)) };
}

/** Null: both sides changed it, differently. */
function mergeModes(base: number | undefined, ours: number, theirs: number): number | null {
  if (ours === theirs || base === theirs) return ours;
  return base === ours ? theirs : null;
}

const isFile = ({ type }: Entry): boolean => type === "f" || type === "F";

const sameContent = (a: Content, b: Content): boolean => a.id === b.id && a.type === b.type;

function same(a: Entry | null, b: Entry | null): boolean {
  return a === null || b === null ? a === b : sameContent(a, b) && a.mode === b.mode;
}

function sameEntries(a: readonly Entry[], b: readonly Entry[]): boolean {
  return a.length === b.length && a.every((entry, i) => same(entry, b[i]!) && entry.name.equals(b[i]!.name));
}

function written(path: Path): Buffer {
  const names: Buffer[] = [];
  for (let at = path; at; at = at.within) names.push(at.name, SLASH);
  return Buffer.concat(names.slice(0, -1).reverse());
}
const SLASH = Buffer.from("/");
