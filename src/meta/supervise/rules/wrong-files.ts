/** Changes where the worker is not meant to work. */

import { isGenerated } from "../destroys/target.ts";
import { acted } from "../memory.ts";
import { changedBy, liesIn, limitsIn } from "../regions.ts";
import { inWords, type Rule } from "../rule.ts";

export interface WrongFiles {
  /** Whether what its task says counts where no region is declared. It is only a hint: then it is told, and nothing refused. */
  fromTask: boolean;
  /** What every worker may change whose region is not declared. */
  shared: readonly string[];
  /** So often it is told about one path. */
  tells: number;
}

export const WRONG_FILES: WrongFiles = {
  fromTask: true,
  shared: [
    "**/*test*/**",
    "**/*.test.*",
    "**/*_test.*",
    "**/test_*",
    "**/*spec*/**",
    "**/*.spec.*",
    "docs/**",
    "CHANGELOG*",
    "README*",
    "**/*.lock",
    "**/package*.json",
    "go.sum",
    "go.mod",
    ".gitignore",
  ],
  tells: 2,
};

export const wrongFiles =
  ({ fromTask, shared, tells }: WrongFiles = WRONG_FILES): Rule =>
  (view, _all, memory) => {
    const declared = view.regions !== undefined && view.regions.length > 0;
    const limits = !declared && fromTask ? limitsIn(view.task) : { only: [], never: [] };
    const regions = declared ? view.regions! : limits.only;
    if (regions.length + limits.never.length === 0) return null;
    const may = (path: string): boolean => {
      if (path.split("/").some(isGenerated)) return true;
      if (liesIn(path, limits.never)) return false;
      // Who declares a region means it: what is shared by habit is so only where nothing is declared.
      return regions.length === 0 || liesIn(path, regions) || (!declared && liesIn(path, shared));
    };
    const base = { worker: view.name };
    const where = inWords(regions.slice(0, 3).join(","), 80);
    if (declared)
      for (const intent of view.pending) {
        const path = changedBy(intent, view.workspace).find((each) => !may(each));
        if (path === undefined) continue;
        return {
          ...base,
          cause: `wrong-files:${intent.n}`,
          action: "deny",
          n: intent.n,
          reason: `It is about to change ${inWords(path)}, which is not where it is meant to work.`,
          guidance: `Leave ${inWords(path)} as it is: you are meant to work in ${where} only.`,
        };
      }
    for (const { path } of view.modified) {
      if (may(path)) continue;
      const cause = `wrong-files:${path}`;
      if (acted(memory, view.name, cause).times >= tells) continue;
      return {
        ...base,
        cause,
        action: "inject",
        reason: `It has changed ${inWords(path)}, which is not where it is meant to work.`,
        guidance: declared
          ? `You have changed ${inWords(path)}. Set it back to what it was: you are meant to work in ${where} only.`
          : `You have changed ${inWords(path)}, which your task leaves out. If it does not need that after all, set it back.`,
      };
    }
    return null;
  };
