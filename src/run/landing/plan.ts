/**
 * What a landing is to change: the difference of two trees, path by path, in an order in which it can be done. A directory comes before what
 * is added to it and after what is removed from it, and is made writable first where its mode says it is not. A function of the two trees alone.
 */
import type { Hash, Link, Objects } from "../../trace/ports.ts";
import { type Entry, readTree, type Tree } from "../../world/tree.ts";
import { runsCodeLater } from "./code-later.ts";

/** What stands at a path. Two sides are the same thing exactly if all three are equal. */
export interface Side {
  /** A file, a file of chunks, a link, a directory. */
  type: Entry["type"];
  /** The 07777 bits of a file or directory; 0 for a link. */
  mode: number;
  /** The content of a file, the target of a link; null for a directory, whose entries are changes of their own. */
  id: Hash | null;
}

export interface Change {
  /** Relative to the workspace's root, with `/` between names; empty for the root itself. */
  path: Buffer;
  /** What is there now; null for nothing. */
  expected: Side | null;
  /** What is to be there. */
  next: Side | null;
  /** Why somebody must allow it first: it is a file that runs code later. */
  asks: string | null;
}

export interface Refused {
  path: Buffer;
  text: string;
  /** Whether its bytes were destroyed on request. */
  forgotten?: boolean;
}

export interface Plan {
  changes: Change[];
  /** What the trees differ in and no landing writes. */
  refused: Refused[];
}

/** How the hidden directory begins in which a landing stages files. Names at a workspace's root that start so are no part of its state. */
export const STAGING_PREFIX = ".shepherd-landing-";

/**
 * The changes that make tree `to` of tree `from`. What is to come and was forgotten, as `lacks` tells, is refused. Throws `Missing` or
 * `Forgotten` where the store lacks a tree.
 */
export async function planLanding(
  objects: Objects,
  from: Hash,
  to: Hash,
  lacks: (entry: Entry) => Promise<boolean> = async () => false,
): Promise<Plan> {
  const refused: Refused[] = [];
  const changes = await inDirectory({ objects, refused, lacks }, "", from, to);
  for (const change of changes) change.asks = await runsCodeLater(objects, change);
  return { changes, refused };
}

/** The changes that take others back, in an order in which it can be done. */
export const invert = (changes: readonly Change[]): Change[] =>
  changes.map(({ path, expected, next, asks }) => ({ path, expected: next, next: expected, asks })).reverse();

export const sameSide = (a: Side | null, b: Side | null): boolean =>
  a === b || (a !== null && b !== null && a.type === b.type && a.mode === b.mode && a.id === b.id);

/** How a frame names what a side holds; null for a directory and for nothing. */
export const linkOf = (side: Side | null): Link | null =>
  side?.id ? `${side.type === "F" ? "chunks" : "blob"}:${side.id}` : null;

interface Walk {
  objects: Objects;
  refused: Refused[];
  lacks: (entry: Entry) => Promise<boolean>;
}

async function inDirectory(walk: Walk, path: string, from: Hash | null, to: Hash | null): Promise<Change[]> {
  const a = from === null ? null : await readTree(walk.objects, from);
  const b = to === null ? null : await readTree(walk.objects, to);
  const removed: Change[] = [];
  const other: Change[] = [];
  for (const [name, ea, eb] of pairs(a, b)) {
    if (ea && eb && ea.type === eb.type && ea.mode === eb.mode && ea.id === eb.id) continue;
    const below = path === "" ? name : `${path}/${name}`;
    const why = untouchable(name, path === "");
    if (why) {
      walk.refused.push({ path: Buffer.from(below, "latin1"), text: why });
      continue;
    }
    if (eb && !(ea && ea.type === eb.type && ea.id === eb.id) && (await walk.lacks(eb))) {
      walk.refused.push({ path: Buffer.from(below, "latin1"), text: "its bytes were forgotten", forgotten: true });
      continue;
    }
    const isDir = ea?.type === "d" || eb?.type === "d";
    if (!isDir) {
      (eb ? other : removed).push(changeOf(below, sideOf(ea), sideOf(eb)));
      continue;
    }
    const list = await inDirectory(walk, below, ea?.type === "d" ? ea.id : null, eb?.type === "d" ? eb.id : null);
    // A file takes the place of the directory in its last change, a directory that of a file in its first.
    if (eb && eb.type !== "d") list.at(-1)!.next = sideOf(eb);
    if (ea && ea.type !== "d") list[0]!.expected = sideOf(ea);
    for (const change of list) (eb ? other : removed).push(change);
  }
  // Removing first: where a file system tells no case apart, the new name of a file may be its old one.
  return around(path, a, b, removed.concat(other));
}

/** The changes of the directory itself, before and after those in it. */
function around(path: string, a: Tree | null, b: Tree | null, inside: Change[]): Change[] {
  const first = a && dirSide(a.mode);
  const last = b && dirSide(b.mode);
  if (inside.length === 0) return sameSide(first, last) ? [] : [changeOf(path, first, last)];
  const middle =
    [first, last].find((side) => side && (side.mode & 0o300) === 0o300) ?? dirSide((last ?? first)!.mode | 0o700);
  if (!sameSide(first, middle)) inside = [changeOf(path, first, middle), ...inside];
  if (!sameSide(middle, last)) inside = [...inside, changeOf(path, middle, last)];
  return inside;
}

const changeOf = (path: string, expected: Side | null, next: Side | null): Change => ({
  path: Buffer.from(path, "latin1"),
  expected,
  next,
  asks: null,
});

const dirSide = (mode: number): Side => ({ type: "d", mode, id: null });

const sideOf = (entry: Entry | null): Side | null => entry && { type: entry.type, mode: entry.mode, id: entry.id };

/** Why no landing touches an entry of this name, whatever a tree says; null if it may. */
export function untouchable(name: string, atRoot: boolean): string | null {
  // Also as file systems write it that tell no case apart, or leave characters out (HFS+), or have short names (FAT, NTFS).
  const plain = Buffer.from(name, "latin1")
    .toString("utf8")
    .replace(/[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g, "")
    .replace(/[. ]+$/, "")
    .toLowerCase();
  if (plain === ".git" || plain === "git~1") return "a landing never writes .git";
  if (atRoot && name.startsWith(STAGING_PREFIX)) return "the name is kept for landings";
  return null;
}

function* pairs(a: Tree | null, b: Tree | null): Generator<[string, Entry | null, Entry | null]> {
  const left = a?.entries ?? [];
  const right = b?.entries ?? [];
  for (let i = 0, j = 0; i < left.length || j < right.length; ) {
    const order = i === left.length ? 1 : j === right.length ? -1 : Buffer.compare(left[i]!.name, right[j]!.name);
    const ea = order <= 0 ? left[i++]! : null;
    const eb = order >= 0 ? right[j++]! : null;
    yield [(ea ?? eb)!.name.toString("latin1"), ea, eb];
  }
}
