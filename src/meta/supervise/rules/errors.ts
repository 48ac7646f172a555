/** Calls that fail one after the other, or with the same error over and over. */
import { acted } from "../memory.ts";
import { REST } from "../policy.ts";
import { inWords, type Rule } from "../rule.ts";

export interface Errors {
  /** So many failed calls in a row. */
  consecutive: number;
  /** So many with the error of the newest, among the newest `within`. */
  same: number;
  within: number;
  /** So often it is told; then it is left alone. */
  tells: number;
}

export const ERRORS: Errors = { consecutive: 10, same: 10, within: 20, tells: 2 };

export const errors =
  ({ consecutive, same, within, tells }: Errors = ERRORS): Rule =>
  (view, _all, memory) => {
    const cause = "errors";
    if (acted(memory, view.name, cause).times >= tells) return null;
    // The same trouble, about which it was just told.
    if (acted(memory, view.name, "loop").ago <= REST) return null;
    // The one that it has now: what it has left behind is over.
    const newest = view.calls.at(-1)?.error;
    const kind = newest === undefined ? "" : kindOf(newest);
    const alike = view.calls.slice(-within).filter(({ error }) => error !== undefined && kindOf(error) === kind);
    const repeats = kind !== "" && alike.length >= same;
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

/** An error without what differs from one run to the next: addresses and how long it took. Other numbers stay: other places are other errors. */
const kindOf = (error: string): string =>
  error
    .slice(0, 200)
    .replace(/0x[0-9a-f]+|\b\d+(?:\.\d+)?\s?m?s\b/gi, "#")
    .trim();
