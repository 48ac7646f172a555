/**
 * Which lines differ between two versions of a text: Myers' shortest edit script in linear space, with the choices that Git makes
 * where a text has several shortest scripts (and, on large changes, good ones instead of shortest ones).
 *
 * A three-way merge depends on those choices: which of three equal braces counts as the inserted one decides whether two hunks touch.
 * The `diff` package makes others and cannot be told otherwise. A merge on top of it was not `git merge-file`'s in 6 to 8 of 100 repetitive
 * texts (in 1 to 3 after its hunks were slid to where Git has them), and its work on large changes has no bound but a clock.
 */
import type { Lines } from "./cut.ts";

/** `removed` lines of the old text from line `at` on became `added` lines of the new one from line `to` on. */
export interface Edit {
  readonly at: number;
  readonly removed: number;
  readonly to: number;
  readonly added: number;
}

/** Ends a comparison that would take too long: what is not compared yet counts as changed, which is coarse and never wrong. */
interface Budget {
  left: number;
}

/** Steps for one comparison, half a second to a second of them. Counted, not timed, so that every machine finds the same script. */
const STEPS = 50_000_000;

/**
 * The edits that turn `old` into `now`, in order; at least one common line lies between two of them. Both texts must have been cut together.
 * Past `steps` what is not compared yet counts as changed: the edits are right all the same, but may be much longer than the shortest ones.
 */
export function edits(old: Lines, now: Lines, kinds: number, steps = STEPS): Edit[] {
  const a = old.ids;
  const b = now.ids;
  const gone = new Uint8Array(a.length);
  const come = new Uint8Array(b.length);
  const budget = { left: steps };
  mark(a, b, gone, come, kinds, budget);
  slide(a, gone, come, budget);
  slide(b, come, gone, budget);

  const out: Edit[] = [];
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    if (!gone[i] && !come[j]) {
      i++;
      j++;
      continue;
    }
    const at = i;
    const to = j;
    while (gone[i]) i++;
    while (come[j]) j++;
    out.push({ at, removed: i - at, to, added: j - to });
  }
  return out;
}

/** Marks the lines of `a` that are gone and those of `b` that have come; the others correspond in order. */
function mark(a: Uint32Array, b: Uint32Array, gone: Uint8Array, come: Uint8Array, kinds: number, budget: Budget): void {
  const shorter = Math.min(a.length, b.length);
  let head = 0;
  while (head < shorter && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < shorter - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const keptA = worth(a, head, a.length - tail, occurrences(b, kinds), gone);
  const keptB = worth(b, head, b.length - tail, occurrences(a, kinds), come);
  script(
    keptA.map((i) => a[i]!),
    keptB.map((i) => b[i]!),
    (i) => {
      gone[keptA[i]!] = 1;
    },
    (i) => {
      come[keptB[i]!] = 1;
    },
    budget,
  );
}

function occurrences(ids: Uint32Array, kinds: number): Uint32Array {
  const counts = new Uint32Array(kinds);
  for (let i = 0; i < ids.length; i++) counts[ids[i]!]!++;
  return counts;
}

/**
 * The lines in [from, to) that are worth comparing. A line that the other text lacks can only be a change; one that is very frequent
 * there (a blank line, a brace) and stands among lines that are lacking would only tie the script down, so it is taken for changed too.
 */
function worth(ids: Uint32Array, from: number, to: number, there: Uint32Array, changed: Uint8Array): Uint32Array {
  const often = Math.min(root(ids.length), 1024);
  const lacking = 0;
  const frequent = 2;
  const rank = new Uint8Array(ids.length);
  for (let i = from; i < to; i++) {
    const n = there[ids[i]!]!;
    rank[i] = n === 0 ? lacking : n >= often ? frequent : 1;
  }
  /** How many lines of both sorts lie next to line `i` in one direction, up to the first line of the third sort or 100 lines away. */
  const beside = (i: number, step: -1 | 1): { lacking: number; frequent: number } => {
    const seen = { lacking: 0, frequent: 0 };
    const end = step < 0 ? Math.max(from, i - 100) - 1 : Math.min(to - 1, i + 100) + 1;
    for (let at = i + step; at !== end && rank[at] !== 1; at += step)
      rank[at] === lacking ? seen.lacking++ : seen.frequent++;
    return seen;
  };
  const worthIt = (i: number): boolean => {
    const above = beside(i, -1);
    if (above.lacking === 0) return true;
    const below = beside(i, 1);
    if (below.lacking === 0) return true;
    return above.lacking + below.lacking <= 3 * (above.frequent + below.frequent + 2);
  };
  const kept = new Uint32Array(to - from);
  let n = 0;
  let lastLacking = -1;
  for (let i = from; i < to; i++) {
    if (rank[i] === lacking) lastLacking = i;
    // The last line that lacks says at once, for most, that there is none above; without it, texts of frequent lines alone cost 100 looks a line.
    if (rank[i] === 1 || (rank[i] === frequent && (lastLacking < i - 100 || worthIt(i)))) kept[n++] = i;
    else changed[i] = 1;
  }
  return kept.subarray(0, n);
}

/** A power of two near the square root of `n`. */
function root(n: number): number {
  let r = 1;
  for (; n > 0; n >>= 2) r <<= 1;
  return r;
}

/** A snake of more than this many common lines is a sign of a good path. */
const SNAKE = 20;
/** From this many edits in one box on, a good path is taken for the shortest one. */
const ENOUGH = 256;

/**
 * Myers' divide and conquer: a box is cut in two at the middle of a shortest path through it, until one of its sides is empty.
 * Diagonal d = i - j; `ahead[d]` is the furthest i reached from the upper left corner, `back[d]` the least from the lower right one.
 */
function script(
  a: Uint32Array,
  b: Uint32Array,
  gone: (i: number) => void,
  come: (j: number) => void,
  budget: Budget,
): void {
  const zero = b.length + 1;
  const ahead = new Int32Array(a.length + b.length + 3);
  const back = new Int32Array(a.length + b.length + 3);
  const most = Math.max(ENOUGH, root(a.length + b.length + 3));
  let cutA = 0;
  let cutB = 0;
  /** Which of the two parts still has to be searched for its shortest path: bit 1 the upper, bit 2 the lower. */
  let exact = 0;

  /** Finds where to cut the box: sets `cutA`, `cutB`, `exact`. False if the budget is used up. */
  const middle = (a0: number, a1: number, b0: number, b1: number, shortest: boolean): boolean => {
    const least = a0 - b1;
    const greatest = a1 - b0;
    const start = a0 - b0;
    const end = a1 - b1;
    const odd = ((start - end) & 1) !== 0;
    let f0 = start;
    let f1 = start;
    let k0 = end;
    let k1 = end;
    ahead[zero + start] = a0;
    back[zero + end] = a1;
    for (let cost = 1; ; cost++) {
      let good = false;
      if (f0 > least) ahead[zero + --f0 - 1] = -1;
      else f0++;
      if (f1 < greatest) ahead[zero + ++f1 + 1] = -1;
      else f1--;
      for (let d = f1; d >= f0; d -= 2) {
        const right = ahead[zero + d - 1]!;
        const down = ahead[zero + d + 1]!;
        const from = right >= down ? right + 1 : down;
        let i = from;
        let j = i - d;
        while (i < a1 && j < b1 && a[i] === b[j]) {
          i++;
          j++;
        }
        budget.left -= i - from + 1;
        if (i - from > SNAKE) good = true;
        ahead[zero + d] = i;
        if (odd && k0 <= d && d <= k1 && back[zero + d]! <= i) {
          cutA = i;
          cutB = j;
          exact = 3;
          return true;
        }
      }
      if (k0 > least) back[zero + --k0 - 1] = 0x7fffffff;
      else k0++;
      if (k1 < greatest) back[zero + ++k1 + 1] = 0x7fffffff;
      else k1--;
      for (let d = k1; d >= k0; d -= 2) {
        const up = back[zero + d - 1]!;
        const left = back[zero + d + 1]!;
        const from = up < left ? up : left - 1;
        let i = from;
        let j = i - d;
        while (i > a0 && j > b0 && a[i - 1] === b[j - 1]) {
          i--;
          j--;
        }
        budget.left -= from - i + 1;
        if (from - i > SNAKE) good = true;
        back[zero + d] = i;
        if (!odd && f0 <= d && d <= f1 && i <= ahead[zero + d]!) {
          cutA = i;
          cutB = j;
          exact = 3;
          return true;
        }
      }
      if (budget.left < 0) return false;
      if (shortest) continue;
      if (good && cost > ENOUGH) {
        // A path that has come far for its cost, off the corner and after a long snake, is good enough.
        let best = 4 * cost;
        exact = 0;
        for (let d = f1; d >= f0; d -= 2) {
          const i = ahead[zero + d]!;
          const j = i - d;
          const score = i - a0 + (j - b0) - Math.abs(d - start);
          if (score <= best || i < a0 + SNAKE || i >= a1 || j < b0 + SNAKE || j >= b1) continue;
          let run = 1;
          while (run <= SNAKE && a[i - run] === b[j - run]) run++;
          if (run <= SNAKE) continue;
          best = score;
          cutA = i;
          cutB = j;
          exact = 1;
        }
        if (exact) return true;
        for (let d = k1; d >= k0; d -= 2) {
          const i = back[zero + d]!;
          const j = i - d;
          const score = a1 - i + (b1 - j) - Math.abs(d - end);
          if (score <= best || i <= a0 || i > a1 - SNAKE || j <= b0 || j > b1 - SNAKE) continue;
          let run = 0;
          while (run < SNAKE && a[i + run] === b[j + run]) run++;
          if (run < SNAKE) continue;
          best = score;
          cutA = i;
          cutB = j;
          exact = 2;
        }
        if (exact) return true;
      }
      if (cost >= most) {
        // No path is in sight: the one that has come furthest, from either corner.
        let far = -1;
        let farA = -1;
        for (let d = f1; d >= f0; d -= 2) {
          const i = Math.min(ahead[zero + d]!, a1, b1 + d);
          if (i + i - d > far) {
            far = i + i - d;
            farA = i;
          }
        }
        let near = 0x7fffffff;
        let nearA = 0;
        for (let d = k1; d >= k0; d -= 2) {
          const i = Math.max(back[zero + d]!, a0, b0 + d);
          if (i + i - d < near) {
            near = i + i - d;
            nearA = i;
          }
        }
        const forward = a1 + b1 - near < far - (a0 + b0);
        cutA = forward ? farA : nearA;
        cutB = forward ? far - farA : near - nearA;
        exact = forward ? 1 : 2;
        return true;
      }
    }
  };

  // A stack of boxes, not recursion: on large changes the boxes nest thousands deep.
  const boxes: number[] = [0, a.length, 0, b.length, 0];
  while (boxes.length > 0) {
    const shortest = boxes.pop() === 1;
    let b1 = boxes.pop()!;
    let b0 = boxes.pop()!;
    let a1 = boxes.pop()!;
    let a0 = boxes.pop()!;
    while (a0 < a1 && b0 < b1 && a[a0] === b[b0]) {
      a0++;
      b0++;
    }
    while (a0 < a1 && b0 < b1 && a[a1 - 1] === b[b1 - 1]) {
      a1--;
      b1--;
    }
    if (a0 === a1 || b0 === b1 || !middle(a0, a1, b0, b1, shortest)) {
      for (let i = a0; i < a1; i++) gone(i);
      for (let j = b0; j < b1; j++) come(j);
      continue;
    }
    boxes.push(cutA, a1, cutB, b1, exact & 2 ? 1 : 0);
    boxes.push(a0, cutA, b0, cutB, exact & 1);
  }
}

/**
 * Moves each group of changed lines as far down as it goes without changing the result, or up to the last place where it meets a change
 * of the other text; groups that touch on the way become one. So equal changes made by two people come to stand at equal places.
 */
function slide(ids: Uint32Array, changed: Uint8Array, other: Uint8Array, budget: Budget): void {
  // [start, end) is a maximal group of changed lines, perhaps empty; [otherStart, otherEnd) the one that corresponds in the other text.
  let start = 0;
  let end = 0;
  while (changed[end]) end++;
  let otherStart = 0;
  let otherEnd = 0;
  while (other[otherEnd]) otherEnd++;
  const otherNext = () => {
    otherStart = ++otherEnd;
    while (other[otherEnd]) otherEnd++;
  };
  const otherPrevious = () => {
    otherEnd = --otherStart;
    while (otherStart > 0 && other[otherStart - 1]) otherStart--;
  };
  const up = (): boolean => {
    if (start === 0 || ids[start - 1] !== ids[end - 1]) return false;
    changed[--start] = 1;
    changed[--end] = 0;
    while (start > 0 && changed[start - 1]) start--;
    otherPrevious();
    budget.left--;
    return true;
  };
  const down = (): boolean => {
    if (end >= ids.length || ids[start] !== ids[end]) return false;
    changed[start++] = 0;
    changed[end++] = 1;
    while (changed[end]) end++;
    otherNext();
    budget.left--;
    return true;
  };

  for (;;) {
    if (end > start && budget.left > 0) {
      let meets: boolean;
      let top: number;
      let size: number;
      do {
        size = end - start;
        while (up());
        top = end;
        meets = otherEnd > otherStart;
        while (down()) if (otherEnd > otherStart) meets = true;
      } while (size !== end - start);
      if (end !== top && meets) while (otherStart === otherEnd) up();
    }
    if (end >= ids.length) return;
    start = ++end;
    while (changed[end]) end++;
    otherNext();
  }
}
