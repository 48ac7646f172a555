/** What the processes of a scope may use, as its grants say it. */

/**
 * Bytes of memory that all of them have together, how many there are at once, threads too, the ms that one command takes, and the bytes by which
 * the files of the scope grow while one process drives it; what is not said has no limit.
 */
export type Limits = { memory?: number; processes?: number; time?: number; disk?: number };

export const LIMITS = ["memory", "processes", "time", "disk"] as const;

/** The lower one of each. */
export function lowerLimits(a: Limits = {}, b: Limits = {}): Limits {
  const lower: Limits = {};
  for (const name of LIMITS) {
    const most = Math.min(a[name] ?? Number.POSITIVE_INFINITY, b[name] ?? Number.POSITIVE_INFINITY);
    if (most !== Number.POSITIVE_INFINITY) lower[name] = most;
  }
  return lower;
}
