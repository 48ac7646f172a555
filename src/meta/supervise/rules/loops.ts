/** The same call again and again, or the same few in turn. */
import { acted } from "../memory.ts";
import { inWords, type Rule } from "../rule.ts";
import type { CallView } from "../view.ts";

export interface Loops {
  /** So many same calls, one after the other, are a loop. Three to five are a retry. */
  identical: number;
  /** So many calls that go round among 2 to `longest` are one. */
  cycle: number;
  longest: number;
  /** So often it is told; then it is given a new conversation. */
  tells: number;
}

export const LOOPS: Loops = { identical: 10, cycle: 12, longest: 4, tells: 1 };

export const loops =
  ({ identical, cycle, longest, tells }: Loops = LOOPS): Rule =>
  (view, _all, memory) => {
    const period = periodOf(view.calls, identical, cycle, longest);
    if (period === null) return null;
    const base = { worker: view.name, cause: "loop" };
    const { name, target } = view.calls.at(-1)!;
    const reason = period === 1 ? "It makes the same call again and again." : `It goes round among ${period} calls.`;
    const { times } = acted(memory, view.name, base.cause);
    const guidance = `Your last calls repeat (${inWords(name, 20)} ${inWords(target, 40)}) and bring nothing new. Do not make them again. Say what they tell you, then take another way.`;
    return { ...base, reason, guidance, action: times < tells ? "inject" : "handoff" };
  };

/** After how many calls they come again; null for none. */
export function periodOf(calls: readonly CallView[], identical: number, cycle: number, longest: number): number | null {
  for (let period = 1; period <= longest; period++) {
    const wanted = period === 1 ? identical : Math.max(cycle, 2 * period);
    if (calls.length < wanted) continue;
    const tail = calls.slice(-wanted);
    // A cycle of several is one of different calls.
    if (period > 1 && tail.every(({ same }) => same === tail[0]!.same)) continue;
    if (tail.every(({ same }, at) => at < period || same === tail[at - period]!.same)) return period;
  }
  return null;
}
