/** Whether a scope starts where the one that it was forked from was. */
import { canonical } from "./bytes.ts";
import type { Origin } from "./ports.ts";
import type { Fold } from "./seal.ts";

/** What is wrong with `origin`, behind "was forked from step N"; null if `parent` has just that. */
export function originTrouble({ n, seq, top, commit, state, carry }: Origin, parent: Fold): string | null {
  const sealed = parent.steps.get(n)?.sealed;
  if (!sealed) return "which has no commit";
  if (sealed.id !== commit) return `and says that its commit is ${commit}, which is ${sealed.id}`;
  if (canonical(sealed.state) !== canonical(state)) return "and does not start from its state";
  if (sealed.seq !== seq) return `and says that frame ${seq} sealed it, which was frame ${sealed.seq}`;
  if (top < sealed.top) return `and numbers its steps from ${top + 1} on, which are taken up to ${sealed.top}`;
  return canonical(sealed.carry) === canonical(carry) ? null : "and does not carry what its frame carries";
}
