/** The difference of two texts as hunks with context, as `diff -u` shows it. */
import { cut, type Lines } from "./cut.ts";
import { type Edit, edits } from "./edits.ts";

export interface Hunk {
  /** First line on each side, from 1, and how many. */
  oldStart: number;
  oldLines: number;
  newStart: number;
  newLines: number;
  /** ` `, `-` or `+` and the bytes of the line, its end included if it has one. */
  lines: Array<{ sign: " " | "-" | "+"; bytes: Buffer }>;
}

/** How many lines each side has that the other has not. */
export function countLines(before: Uint8Array, after: Uint8Array): { added: number; removed: number } {
  let added = 0;
  let removed = 0;
  for (const edit of editsOf(before, after).list) {
    added += edit.added;
    removed += edit.removed;
  }
  return { added, removed };
}

function editsOf(before: Uint8Array, after: Uint8Array): { old: Lines; now: Lines; list: Edit[] } {
  const { lines, kinds } = cut([before, after]);
  const [old, now] = lines as [Lines, Lines];
  // Shown, not merged: a coarser answer on huge changes will do.
  return { old, now, list: edits(old, now, kinds, 5_000_000) };
}

const lineAt = (of: Lines, at: number): Buffer => Buffer.from(of.bytes.subarray(of.starts[at]!, of.starts[at + 1]!));

/** @param context lines shown around each change. */
export function hunks(before: Uint8Array, after: Uint8Array, context = 3): Hunk[] {
  const { old, now, list } = editsOf(before, after);
  const made: Hunk[] = [];
  for (let first = 0; first < list.length; ) {
    let last = first;
    while (last + 1 < list.length && list[last + 1]!.at - (list[last]!.at + list[last]!.removed) <= 2 * context) last++;
    made.push(hunkOf(old, now, list.slice(first, last + 1), context));
    first = last + 1;
  }
  return made;
}

function hunkOf(old: Lines, now: Lines, group: readonly Edit[], context: number): Hunk {
  const head = group[0]!;
  const tail = group.at(-1)!;
  const start = Math.max(0, head.at - context);
  const end = Math.min(old.ids.length, tail.at + tail.removed + context);
  const lines: Hunk["lines"] = [];
  let at = start;
  for (const edit of group) {
    for (; at < edit.at; at++) lines.push({ sign: " ", bytes: lineAt(old, at) });
    for (let k = 0; k < edit.removed; k++, at++) lines.push({ sign: "-", bytes: lineAt(old, at) });
    for (let k = 0; k < edit.added; k++) lines.push({ sign: "+", bytes: lineAt(now, edit.to + k) });
  }
  for (; at < end; at++) lines.push({ sign: " ", bytes: lineAt(old, at) });
  const newLines = lines.filter(({ sign }) => sign !== "-").length;
  const newStart = head.to - (head.at - start);
  // An empty side is named by the line before it.
  return {
    oldStart: end > start ? start + 1 : start,
    oldLines: end - start,
    newStart: newLines > 0 ? newStart + 1 : newStart,
    newLines,
    lines,
  };
}
