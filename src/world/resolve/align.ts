/** Which elements of two sequences correspond, where more counts than whether they are equal. */

/** More pairs than these are not compared: nothing corresponds then. */
const MOST = 1_500_000;

/**
 * The best correspondence of `n` elements with `m` others, in order: for each of the first its partner, or -1. `score` is what a pair is worth, 0 if it
 * may not be one; `bonus` is what it is worth more where the two before it are a pair as well, so that few long stretches win over many short ones.
 * The choice between equally good ones depends on nothing but the scores.
 */
export function align(n: number, m: number, score: (i: number, j: number) => number, bonus: number): Int32Array {
  const partner = new Int32Array(n).fill(-1);
  if (n === 0 || m === 0 || n * m > MOST) return partner;
  const width = m + 1;
  /** Of the first i and the first j: the best at all, and the best in which the last two are a pair. */
  const best = new Float64Array((n + 1) * width);
  const paired = new Float64Array((n + 1) * width).fill(-1);
  for (let i = 1; i <= n; i++) {
    for (let j = 1; j <= m; j++) {
      const at = i * width + j;
      const before = at - width - 1;
      const worth = score(i - 1, j - 1);
      if (worth > 0) paired[at] = worth + Math.max(best[before]!, paired[before]! >= 0 ? paired[before]! + bonus : 0);
      best[at] = Math.max(best[at - width]!, best[at - 1]!, paired[at]!);
    }
  }
  let i = n;
  let j = m;
  let run = false;
  while (i > 0 && j > 0) {
    const at = i * width + j;
    if (run || (paired[at]! >= 0 && paired[at]! >= best[at]!)) {
      const before = at - width - 1;
      partner[--i] = --j;
      run = paired[before]! >= 0 && paired[before]! + bonus >= best[before]!;
    } else if (best[at - width]! >= best[at]!) i--;
    else j--;
  }
  return partner;
}

/** The longest chain of pairs that rise on both sides; `pairs` rise on the first. */
export function rising(pairs: ReadonlyArray<readonly [number, number]>): Array<readonly [number, number]> {
  /** For each length the pair that ends the chain with the least second number, and for each pair the one before it. */
  const ends: number[] = [];
  const before = new Int32Array(pairs.length).fill(-1);
  for (const [k, [, j]] of pairs.entries()) {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pairs[ends[middle]!]![1] < j) low = middle + 1;
      else high = middle;
    }
    if (low > 0) before[k] = ends[low - 1]!;
    ends[low] = k;
  }
  const chain: Array<readonly [number, number]> = [];
  for (let k = ends.at(-1) ?? -1; k >= 0; k = before[k]!) chain.push(pairs[k]!);
  return chain.reverse();
}
