// What can be said of counts: intervals of 95 %, and the exact test of McNemar.
const Z = 1.959964;

/** Wilson's interval of a share. */
export function wilson(k, n) {
  if (n === 0) return [0, 1];
  const p = k / n;
  const middle = (p + Z ** 2 / (2 * n)) / (1 + Z ** 2 / n);
  const half = (Z / (1 + Z ** 2 / n)) * Math.sqrt((p * (1 - p)) / n + Z ** 2 / (4 * n ** 2));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

/** Of pairs of which one arm passes and the other does not, `b` and `c` many: two-sided, exact. */
export function mcnemar(b, c) {
  const n = b + c;
  if (n === 0) return 1;
  let sum = 0;
  let term = -n * Math.LN2;
  for (let k = 0; k <= Math.min(b, c); k++) {
    sum += Math.exp(term);
    term += Math.log(n - k) - Math.log(k + 1);
  }
  return Math.min(1, 2 * sum);
}

/** Difference of two shares of the same pairs, by Agresti and Min: [difference, low, high]. */
export function difference(b, c, n) {
  const half = (Z * Math.sqrt(b + c + 1 - (b - c) ** 2 / (n + 2))) / (n + 2);
  const middle = (b - c) / (n + 2);
  return [(b - c) / n, Math.max(-1, middle - half), Math.min(1, middle + half)];
}

export const percent = (share) => `${(100 * share).toFixed(1)} %`;
export const interval = ([low, high]) => `${(100 * low).toFixed(1)}–${(100 * high).toFixed(1)}`;
export const pOf = (p) => (p < 1e-4 ? p.toExponential(0) : p.toFixed(4));
