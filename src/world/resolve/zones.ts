/** A base sequence and what two sides made of it, side by side. */

/** What one side made of a sequence. */
export interface Side<E> {
  /** For each element of the base what it became; null where it is gone. */
  readonly kept: ReadonlyArray<E | null>;
  /** What was put before each element of the base, and behind the last. In place of elements that are gone it stands before the first of them. */
  readonly put: ReadonlyArray<readonly E[]>;
}

/**
 * - `gap`: what each put between two elements that are still there;
 * - `one`: an element that both still have, perhaps changed;
 * - `block`: elements of which a side removed some, with all that each has for them.
 */
export type Zone<E> =
  | { readonly kind: "gap"; readonly at: number; readonly a: readonly E[]; readonly b: readonly E[] }
  | { readonly kind: "one"; readonly at: number; readonly a: E; readonly b: E }
  | Block<E>;

export interface Block<E> {
  readonly kind: "block";
  readonly from: number;
  readonly to: number;
  readonly a: readonly E[];
  readonly b: readonly E[];
}

/** @param partner for each element of the base its place in `now`, or -1. */
export function sideOf<E>(partner: Int32Array, now: readonly E[]): Side<E> {
  const n = partner.length;
  const kept: Array<E | null> = new Array(n).fill(null);
  const put: Array<readonly E[]> = new Array(n + 1).fill([]);
  let at = 0;
  for (let i = 0; i <= n; i++) {
    const first = i;
    while (i < n && partner[i]! < 0) i++;
    const to = i < n ? partner[i]! : now.length;
    put[first] = now.slice(at, to);
    if (i < n) kept[i] = now[to]!;
    at = to + 1;
  }
  return { kept, put };
}

/**
 * The zones of a base of `n` elements, in order: all of each side stands in one of them. `light` elements (blank lines) hold nothing together: what
 * is put beside one that is gone is put into a gap.
 */
export function* zones<E>(n: number, a: Side<E>, b: Side<E>, light: (at: number) => boolean): Iterable<Zone<E>> {
  const ends = blocks(n, a, b, light);
  for (let at = 0; at <= n; ) {
    const to = ends.get(at);
    if (to === undefined) {
      yield { kind: "gap", at, a: a.put[at]!, b: b.put[at]! };
      if (at < n) {
        const [k, l] = [a.kept[at]!, b.kept[at]!];
        if (k !== null && l !== null) yield { kind: "one", at, a: k, b: l };
        else yield { kind: "block", from: at, to: at + 1, a: k === null ? [] : [k], b: l === null ? [] : [l] };
      }
      at++;
      continue;
    }
    const replaces = (side: Side<E>) => side.kept[at] === null;
    // What a side that keeps the first element has put before it stands before the block.
    const before = (side: Side<E>) => (replaces(side) ? [] : side.put[at]!);
    yield { kind: "gap", at, a: before(a), b: before(b) };
    const all = (side: Side<E>) => {
      const here: E[] = [];
      for (let i = at; i < to; i++) {
        if (i > at || replaces(side)) here.push(...side.put[i]!);
        if (side.kept[i] !== null) here.push(side.kept[i]!);
      }
      return here;
    };
    yield { kind: "block", from: at, to, a: all(a), b: all(b) };
    at = to;
  }
}

/** Where blocks start, and where each ends. */
function blocks<E>(n: number, a: Side<E>, b: Side<E>, light: (at: number) => boolean): Map<number, number> {
  const spans: Array<[number, number]> = [];
  for (const { kept, put } of [a, b]) {
    for (let i = 0; i < n; i++) {
      if (kept[i] !== null) continue;
      let [from, to] = [i, i];
      while (to < n && kept[to] === null) to++;
      i = to;
      if (put[from]!.length === 0) {
        while (from < to && light(from)) from++;
        while (from < to && light(to - 1)) to--;
      }
      if (from < to) spans.push([from, to]);
    }
  }
  const ends = new Map<number, number>();
  let open: [number, number] | null = null;
  for (const [from, to] of spans.sort((p, q) => p[0] - q[0] || p[1] - q[1])) {
    if (open && from < open[1]) open[1] = Math.max(open[1], to);
    else open = [from, to];
    ends.set(open[0], open[1]);
  }
  return ends;
}
