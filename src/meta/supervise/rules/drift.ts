/** Much is done and nothing comes of it: no change for long, or changes that are taken back again and again. */
import { acted } from "../memory.ts";
import type { Rule } from "../rule.ts";
import type { CallView } from "../view.ts";

export interface Drift {
  /** So many calls without a change of a file. Reading much at the beginning is usual. */
  still: number;
  /** So many returns to files as they were before. */
  returns: number;
  /** So often it is told of either. */
  tells: number;
}

export const DRIFT: Drift = { still: 50, returns: 3, tells: 1 };

export const drift =
  ({ still, returns, tells }: Drift = DRIFT): Rule =>
  (view, _all, memory) => {
    const isNew = (cause: string): boolean => acted(memory, view.name, cause).times < tells;
    if (returnsIn(view.calls) >= returns && isNew("drift:returns"))
      return {
        worker: view.name,
        cause: "drift:returns",
        action: "inject",
        reason: "It makes changes and takes them back, again and again.",
        guidance:
          "You have made changes and taken them back several times. Write down what each attempt showed, decide on one way, and stay with it until its test tells you otherwise.",
      };
    if (view.still >= still && isNew("drift:still"))
      return {
        worker: view.name,
        cause: "drift:still",
        action: "inject",
        reason: `Its last ${view.still} calls have changed no file.`,
        guidance:
          "You have looked at much and changed nothing for long. If you know enough, make the change now; if your task needs none, say what you found and stop.",
      };
    return null;
  };

/** How often the files came back to what they had been, with something else between. */
export function returnsIn(calls: readonly CallView[]): number {
  const seen = new Set<string>();
  let last: string | undefined;
  let count = 0;
  for (const { tree } of calls) {
    if (tree === undefined || tree === last) continue;
    if (seen.has(tree)) count++;
    seen.add(tree);
    last = tree;
  }
  return count;
}
