/**
 * Three-way merge of texts by lines. It answers as `git merge-file` does: clean or conflict, and the same bytes where clean.
 *
 * A line is bytes up to and with its LF, so CR LF, a missing LF at the end and text that is not UTF-8 go through unchanged.
 */
import { cut, type Lines } from "./cut.ts";
import { type Edit, edits } from "./edits.ts";

/** A part of a merged text: settled, or one that both sides changed in different ways. In order, the parts are the whole text. */
export type Hunk =
  | { readonly kind: "merged"; readonly bytes: Uint8Array }
  | {
      readonly kind: "conflict";
      readonly base: Uint8Array;
      readonly ours: Uint8Array;
      readonly theirs: Uint8Array;
      /** Number (from 0) of the first line in each text. */
      readonly line: { readonly base: number; readonly ours: number; readonly theirs: number };
    };

/** Two sides changed the same lines, or lines that touch. */
export interface ContentConflict {
  readonly clean: false;
  readonly why: "content";
  readonly hunks: readonly Hunk[];
}

export type LineMerge =
  /** `bytes` may be one of the arguments. */
  | { readonly clean: true; readonly bytes: Uint8Array }
  | ContentConflict
  /** One of the texts is binary; lines mean nothing there. */
  | { readonly clean: false; readonly why: "binary" };

/** Whether bytes are taken for binary: a NUL among the first 8000, as Git has it. */
export function isBinary(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 8000).includes(0);
}

/**
 * Merges what `ours` and `theirs` made of `base`. A change that one side alone made, or both alike, is taken; two different changes of the
 * same or touching lines are a conflict. Symmetric: with the sides exchanged it is clean with the same bytes, or a conflict in the same places.
 * Time is bounded: past about a second, what is not compared yet counts as changed as a whole (so at worst there are more conflicts).
 */
export function mergeLines(base: Uint8Array, ours: Uint8Array, theirs: Uint8Array): LineMerge {
  if (equal(ours, theirs) || equal(base, theirs)) return { clean: true, bytes: ours };
  if (equal(base, ours)) return { clean: true, bytes: theirs };
  if (isBinary(base) || isBinary(ours) || isBinary(theirs)) return { clean: false, why: "binary" };

  const { lines, kinds } = cut([base, ours, theirs]);
  const [b, o, t] = lines as [Lines, Lines, Lines];
  const hunks: Hunk[] = [];
  let settled: Uint8Array[] = [];
  const settle = (text: Lines, from: number, to: number) => {
    if (from < to) settled.push(text.bytes.subarray(text.starts[from]!, text.starts[to]!));
  };
  /** The lines before these are done. */
  const done = { base: 0, ours: 0, theirs: 0 };
  for (const group of grouped(edits(b, o, kinds), edits(b, t, kinds))) {
    // Lines between groups are the same in all three.
    settle(b, done.base, group.from);
    const at = {
      base: group.from,
      ours: done.ours + group.from - done.base,
      theirs: done.theirs + group.from - done.base,
    };
    const span = group.to - group.from;
    done.base = group.to;
    done.ours = at.ours + span + group.ours;
    done.theirs = at.theirs + span + group.theirs;
    if (group.by === "theirs") settle(t, at.theirs, done.theirs);
    else if (group.by === "ours" || sameLines(o, at.ours, done.ours, t, at.theirs, done.theirs))
      settle(o, at.ours, done.ours);
    else {
      if (settled.length > 0) hunks.push({ kind: "merged", bytes: Buffer.concat(settled) });
      settled = [];
      hunks.push({
        kind: "conflict",
        base: slice(b, at.base, done.base),
        ours: slice(o, at.ours, done.ours),
        theirs: slice(t, at.theirs, done.theirs),
        line: at,
      });
    }
  }
  settle(b, done.base, b.ids.length);
  const rest = Buffer.concat(settled);
  if (hunks.length === 0) return { clean: true, bytes: rest };
  if (rest.length > 0) hunks.push({ kind: "merged", bytes: rest });
  return { clean: false, why: "content", hunks };
}

/** Edits of base that overlap or touch: lines [from, to) of base, and how many lines longer they are on each side. */
interface Group {
  from: number;
  to: number;
  by: "ours" | "theirs" | "both";
  ours: number;
  theirs: number;
}

function* grouped(ours: readonly Edit[], theirs: readonly Edit[]): Iterable<Group> {
  let i = 0;
  let j = 0;
  while (i < ours.length || j < theirs.length) {
    const from = Math.min(ours[i]?.at ?? Infinity, theirs[j]?.at ?? Infinity);
    const i0 = i;
    const j0 = j;
    const group: Group = { from, to: from, by: "both", ours: 0, theirs: 0 };
    // Two edits of one side never touch, so whatever touches the group here overlaps an edit of the other side.
    for (let grew = true; grew; ) {
      grew = false;
      for (let e = ours[i]; e && e.at <= group.to; e = ours[++i], grew = true) {
        group.to = Math.max(group.to, e.at + e.removed);
        group.ours += e.added - e.removed;
      }
      for (let e = theirs[j]; e && e.at <= group.to; e = theirs[++j], grew = true) {
        group.to = Math.max(group.to, e.at + e.removed);
        group.theirs += e.added - e.removed;
      }
    }
    if (j === j0) group.by = "ours";
    else if (i === i0) group.by = "theirs";
    yield group;
  }
}

function sameLines(a: Lines, a0: number, a1: number, b: Lines, b0: number, b1: number): boolean {
  if (a1 - a0 !== b1 - b0) return false;
  for (let i = 0; i < a1 - a0; i++) if (a.ids[a0 + i] !== b.ids[b0 + i]) return false;
  return true;
}

function slice(text: Lines, from: number, to: number): Uint8Array {
  return text.bytes.subarray(text.starts[from]!, text.starts[to]!);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

export interface Labels {
  readonly base: string;
  readonly ours: string;
  readonly theirs: string;
}

/**
 * The text of a conflict with base, ours and theirs of each part between markers, as `git merge-file --diff3` writes it. Where a part lacks
 * an LF at its end the marker below it stands on a line of its own all the same. `size` is the length of a marker.
 */
export function conflictText(conflict: ContentConflict, labels: Labels, size = 7): Buffer {
  const out: Uint8Array[] = [];
  const eol = endOfLine(conflict.hunks);
  const mark = (char: string, label?: string) =>
    // A label comes from a file's name at times, which may hold a line break.
    out.push(Buffer.from(char.repeat(size) + (label ? ` ${label.replace(/[\r\n]/g, "?")}` : "") + eol));
  const part = (bytes: Uint8Array) => {
    out.push(bytes);
    if (bytes.length > 0 && bytes[bytes.length - 1] !== 10) out.push(Buffer.from(eol));
  };
  for (const hunk of conflict.hunks) {
    if (hunk.kind === "merged") {
      out.push(hunk.bytes);
      continue;
    }
    mark("<", labels.ours);
    part(hunk.ours);
    mark("|", labels.base);
    part(hunk.base);
    mark("=");
    part(hunk.theirs);
    mark(">", labels.theirs);
  }
  return Buffer.concat(out);
}

/** How the text ends its lines, by its first line that has an end. */
function endOfLine(hunks: readonly Hunk[]): "\n" | "\r\n" {
  for (const hunk of hunks) {
    for (const bytes of hunk.kind === "merged" ? [hunk.bytes] : [hunk.ours, hunk.theirs, hunk.base]) {
      const lf = bytes.indexOf(10);
      if (lf >= 0) return bytes[lf - 1] === 13 ? "\r\n" : "\n";
    }
  }
  return "\n";
}
