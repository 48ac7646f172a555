/** A rule looks at one worker among all, and says what is to be done about it, if anything. Rules are functions of what they are given alone. */
import type { Decision } from "./decision.ts";
import type { Memory } from "./memory.ts";
import type { WorkerView } from "./view.ts";

/** A decision, and the trouble that it is for: one and the same trouble has one name. */
export type Judged = Decision & { cause: string };

export type Rule = (view: WorkerView, all: readonly WorkerView[], memory: Memory) => Judged | null;

/** A text of others in a reason or guidance: quoted, in one word and short, so that it is neither an instruction nor beyond the limits of words. */
export const inWords = (text: string, most = 60): string => {
  const plain = text.replace(/[\p{C}\p{Z}\s"`]+/gu, "_");
  return `"${plain.length > most ? `${plain.slice(0, most).toWellFormed()}…` : plain}"`;
};
