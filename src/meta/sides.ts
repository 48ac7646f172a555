/** Whose version counts where both sides changed a place. */
import { Invalid } from "../agent/errors.ts";
import type { Take } from "../scope/merge.ts";

export const TAKE = {
  type: "string",
  description:
    "Where both changed a place: `ours` (of where it goes) or `theirs` (of where it comes from), or `both`, where the two go together. Without it nothing is done then.",
} as const;

export function sideOf(word: string | undefined): Take | undefined {
  if (word === undefined || word === "ours" || word === "theirs" || word === "both") return word;
  throw new Invalid(`take is ours, theirs or both, and not ${JSON.stringify(word)}.`);
}
