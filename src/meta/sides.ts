/** Whose version counts where both sides changed a place. */
import { Invalid } from "../agent/errors.ts";

export const TAKE = {
  type: "string",
  description:
    "Where both changed a place: `ours` (of where it goes) or `theirs` (of where it comes from). Without it nothing is done then.",
} as const;

export function sideOf(word: string | undefined): "ours" | "theirs" | undefined {
  if (word === undefined || word === "ours" || word === "theirs") return word;
  throw new Invalid(`take is ours or theirs, and not ${JSON.stringify(word)}.`);
}
