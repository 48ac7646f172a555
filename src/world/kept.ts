/** Which lines of a text were there before. */
import { cut, type Lines } from "./cut.ts";
import { edits } from "./edits.ts";

/** Of each line of `after`, in order, the number (from 0) of the same line in `before`; -1 where it is new. */
export function keptLines(before: Uint8Array, after: Uint8Array): Int32Array {
  const { lines, kinds } = cut([before, after]);
  const [old, now] = lines as [Lines, Lines];
  const kept = new Int32Array(now.ids.length).fill(-1);
  let from = 0;
  let to = 0;
  const same = (end: number): void => {
    while (to < end) kept[to++] = from++;
  };
  for (const edit of edits(old, now, kinds)) {
    same(edit.to);
    from += edit.removed;
    to += edit.added;
  }
  same(now.ids.length);
  return kept;
}
