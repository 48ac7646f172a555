/** How bad what an intent would destroy is, and why. */

/** From the least: nothing; what can be made again (built, temporary, the worker's own); a single file, or what cannot be told; work of the user's; what lies outside. */
export const SEVERITIES = ["nothing", "regenerable", "limited", "work", "outside"] as const;
export type Severity = (typeof SEVERITIES)[number];

export interface Verdict {
  severity: Severity;
  /** A sentence. What it names is quoted, and cut. */
  reason: string;
}

export const NOTHING: Verdict = { severity: "nothing", reason: "It destroys nothing." };

export const isWorse = (a: Severity, b: Severity): boolean => SEVERITIES.indexOf(a) > SEVERITIES.indexOf(b);

/** The first of the worst. */
export const worst = (verdicts: Iterable<Verdict>): Verdict => {
  let all = NOTHING;
  for (const each of verdicts) if (isWorse(each.severity, all.severity)) all = each;
  return all;
};
