/** Calls that fail one after the other, or with the same error over and over. */
import { acted } from "../memory.ts";
import { inWords, type Rule } from "../rule.ts";

export interface Errors {
  /** So many failed calls in a row. */
  consecutive: number;
  /** So many with one and the same error, among the newest `within`. */
  same: number;
  within: number;
  /** So often it is told; then it is left alone. */
  tells: number;
}

export const ERRORS: Errors = { consecutive: 7, same: 7, within: 14, tells: 2 };

export const errors =
  ({ consecutive, same, within, tells }: Errors = ERRORS): Rule =>
  (view, _all, memory) => {
    const cause = "errors";
    if (acted(memory, view.name, cause).times >= tells) return null;
    const counts = new Map<string, number>();
    for (const { error } of view.calls.slice(-within))
      if (error !== undefined) counts.set(kindOf(error), (counts.get(kindOf(error)) ?? 0) + 1);
    const [kind = "", times = 0] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? [];
    const repeats = times >= same;
    if (view.errors < consecutive && !repeats) return null;
    const what = kind === "" ? "" : ` (${inWords(kind, 60)})`;
    return {
      worker: view.name,
      cause,
      action: "inject",
      reason: repeats ? "The same error comes over and over." : "Its calls fail one after the other.",
      guidance: `Your calls keep failing${what}. Stop trying variants. Look for the cause first: read the whole error and the file it names, and make one change that follows from it.`,
    };
  };

/** An error without what differs from one time to the next. */
const kindOf = (error: string): string =>
  error
    .slice(0, 200)
    .replace(/0x[0-9a-f]+|\d+/gi, "#")
    .trim();
