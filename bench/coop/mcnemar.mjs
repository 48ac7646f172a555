// Whether one arm is better than another on the same pairs.

/** Two-sided exact test of McNemar: how likely so uneven a split of `gained + lost` is if either is as likely as the other. */
export function mcnemar(gained, lost) {
  const n = gained + lost;
  let term = 0.5 ** n;
  let tail = 0;
  for (let k = 0; k <= Math.min(gained, lost); k++) {
    tail += term;
    term *= (n - k) / (k + 1);
  }
  return Math.min(1, 2 * tail);
}
