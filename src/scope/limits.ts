/** What the processes of a scope may use, as its grants say it. */

/** Bytes that all of them have together, how many there are at once, threads too, and the ms that one command takes; what is not said has no limit. */
export type Limits = { memory?: number; processes?: number; time?: number };

export const LIMITS = ["memory", "processes", "time"] as const;

/** The lower one of each. */
export function lowerLimits(a: Limits = {}, b: Limits = {}): Limits {
  const lower: Limits = {};
  for (const name of LIMITS) {
    const most = Math.min(a[name] ?? Number.POSITIVE_INFINITY, b[name] ?? Number.POSITIVE_INFINITY);
    if (most !== Number.POSITIVE_INFINITY) lower[name] = most;
  }
  return lower;
}
