/** Who decides: given what is seen of all workers and what was done before, what is done now. */
import type { Refused } from "./answer.ts";
import type { Decision, Granted } from "./decision.ts";
import type { Memory } from "./memory.ts";
import type { WorkerView } from "./view.ts";

export interface Look {
  views: readonly WorkerView[];
  granted: Granted;
  memory: Memory;
}

export interface Decided {
  /** One a worker at most; each passed `checkDecision`. */
  decisions: (Decision & { cause: string })[];
  /** What it said that is no decision. */
  refused: Refused[];
  /** What asking cost. */
  usage?: { [kind: string]: number };
  usd?: number;
}

export interface Policy {
  readonly name: string;
  /** Decides; does not throw but what `signal` says. A failure is no decision, and stands in `refused`. */
  decide(look: Look, signal: AbortSignal): Promise<Decided>;
}

/** So many looks nothing is done again about one worker for one cause. */
export const REST = 2;
