/** Doing what was decided, by the operations that there are for everybody. */
import { settleModels } from "../../agent/settle.ts";
import { ask } from "../../run/connect.ts";
import { operate, type Params } from "../../run/operate.ts";
import { socketPath } from "../../run/socket.ts";
import { findScope } from "../../scope/registry.ts";
import { readScope } from "../../scope/view.ts";
import type { Kind } from "../../trace/frame.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import type { Taken } from "./plan.ts";

/** Does a decision, once, whoever was killed meanwhile. Gives why it was refused; null where it was done. */
export async function act(
  store: EmbeddedStore,
  { decision, seq }: Taken,
  { key, by }: { key: string; by: string },
): Promise<string | null> {
  const { worker, action, reason } = decision;
  const said = { by, right: action, why: reason };
  const change = (operation: string, params: Params = {}) =>
    operate(store, worker, operation, { ...params, ...said }, { settle: settleModels });
  const tell = (text: string | undefined) =>
    text === undefined ? null : change("inject", { id: key.slice(0, 32), text });
  const ownerDoes = async (method: string) => {
    const { log } = (await findScope(store, worker))!;
    await ask(socketPath(store, log), method, said);
  };
  /** What was done before a crash stands in the log, behind what was read when it was decided. */
  const done = async (kind: Kind): Promise<boolean> => {
    const { fold } = await readScope(store, worker);
    return [...fold.steps.values()].some(
      (step) =>
        step.intent.kind === kind && step.intentSeq >= seq && step.witness.by === by && step.outcome?.status === "done",
    );
  };
  try {
    if (action === "inject") await tell(decision.guidance);
    else if (action === "pause" || action === "resume") await ownerDoes(action);
    else if (action === "handoff") {
      const { guidance, from } = decision;
      if (!(await done("handoff"))) await change("handoff", { guidance, ...(from !== undefined && { from }) });
    } else if (action === "revert" || action === "discard") {
      const n = action === "revert" ? decision.n : await firstOf(store, worker);
      if (!(await done("revert"))) await change("revert", { n });
      await tell(decision.guidance);
    } else return "There is nothing that waits for that any more.";
    return null;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return (error as Error).message;
  }
}

/** The step behind which a run has its files as it began with them. */
async function firstOf(store: EmbeddedStore, worker: string): Promise<number> {
  return (await readScope(store, worker)).fold.header.origin?.n ?? 0;
}

/** What an operation, or whoever drives the run, says no with; all else says that the store or the host is unfit. */
const REFUSALS: ReadonlySet<string> = new Set([
  "OwnerError",
  "NoOwner",
  "Refused",
  "Unacknowledged",
  "Moved",
  "InDoubt",
  "NameError",
  "StepError",
  "Busy",
  "Error",
]);

const isRefusal = (error: unknown): boolean =>
  error instanceof Error && REFUSALS.has(error.constructor.name) && (error as NodeJS.ErrnoException).code === undefined;
