/** All rules, the most urgent first. */
import type { Rule } from "../rule.ts";
import { BUDGET, budget } from "./budget.ts";
import { DESTRUCTIVE, destructive } from "./destructive.ts";
import { DRIFT, drift } from "./drift.ts";
import { ERRORS, errors } from "./errors.ts";
import { LOOPS, loops } from "./loops.ts";
import { OVERLAP, overlap } from "./overlap.ts";
import { WRONG_FILES, wrongFiles } from "./wrong-files.ts";

/** Parameters of each rule, by its name. */
export const PARAMETERS = {
  destructive: DESTRUCTIVE,
  wrongFiles: WRONG_FILES,
  overlap: OVERLAP,
  loops: LOOPS,
  errors: ERRORS,
  drift: DRIFT,
  budget: BUDGET,
};

export type Parameters = { [name in keyof typeof PARAMETERS]: (typeof PARAMETERS)[name] };

/** The rules with these parameters; a rule that is `null` is left out. */
export function rulesOf(parameters: { [name in keyof Parameters]?: Partial<Parameters[name]> | null } = {}): Rule[] {
  const of = <T extends keyof Parameters>(name: T, make: (given: Parameters[T]) => Rule): Rule[] => {
    const given = parameters[name];
    return given === null ? [] : [make({ ...PARAMETERS[name], ...given } as Parameters[T])];
  };
  return [
    ...of("destructive", destructive),
    ...of("wrongFiles", wrongFiles),
    ...of("overlap", overlap),
    ...of("loops", loops),
    ...of("errors", errors),
    ...of("drift", drift),
    ...of("budget", budget),
  ];
}
