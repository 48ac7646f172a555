/** What decides, as the driver needs it. */
import type { Asked, Judged } from "./gates.ts";
import type { Memory } from "./memory.ts";
import type { Taken } from "./plan.ts";
import type { About } from "./reading.ts";
import type { Spent } from "./standing.ts";
import type { WorkerView } from "./view.ts";

export interface Said {
  decisions: Array<Omit<Taken, "seq">>;
  /** Why what was said besides is no decision. */
  refused: string[];
  /** Bytes that a model was shown. */
  shown: number;
  spent: Spent;
}

export interface Mind {
  /** Told of a worker before anything is asked about it. */
  enter(worker: string, about: About): void;
  /** Judges a call before it acts, at once; absent where it stands before none. */
  judge: ((asked: Asked) => Judged) | null;
  /** Asked once a look, about all of them. */
  decide(views: readonly WorkerView[], memory: Memory, signal: AbortSignal): Promise<Said>;
  /** How long it is waited for more behind the first news, in ms. */
  settle(every: number): number;
}
