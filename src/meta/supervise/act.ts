/** Doing what was decided, by the operations that there are for everybody. */
import { ShepherdError } from "../../agent/errors.ts";
import type { Input } from "../../agent/tools/tool.ts";
import { readScope } from "../../scope/view.ts";
import type { Kind } from "../../trace/frame.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { type Actor, OPERATIONS } from "../operation.ts";
import type { Decision } from "./decision.ts";
import type { Taken } from "./plan.ts";

interface Doing {
  /** The supervisor's run. */
  who: string;
  /** The same for each attempt. */
  key: string;
  signal: AbortSignal;
  /** Whether it holds a run. */
  holds(run: string): boolean;
}

interface Step {
  operation: "inject" | "handoff" | "revert" | "pause" | "resume";
  input: Input;
  /** Where nobody drives the worker it need not be. */
  atWork?: boolean;
}

/** Does a decision, once, whoever was killed meanwhile. Gives why it was refused; null where it was done. */
export async function act(store: EmbeddedStore, { decision, seq }: Taken, doing: Doing): Promise<string | null> {
  const { worker, reason } = decision;
  const { who, key, signal, holds } = doing;
  try {
    const steps = await stepsOf(store, decision);
    if (!steps) return "Nothing waits for that any more.";
    for (const { operation, input, atWork } of steps) {
      if (atWork && !(await isDriven(store, worker))) continue;
      if (await done(store, worker, operation, { who, seq })) continue;
      const { right, act } = OPERATIONS[operation]!;
      const by: Actor = { who, right, why: reason };
      await act({ store, name: worker }, input, by, {
        signal,
        key,
        may: async (run) => holds(run),
      });
    }
    return null;
  } catch (error) {
    // What an operation says no with is an outcome; that a store or a host is unfit is none.
    if (!(error instanceof ShepherdError) || signal.aborted) throw error;
    return error.message;
  }
}

async function stepsOf(store: EmbeddedStore, decision: Decision): Promise<Step[] | null> {
  const { worker, action } = decision;
  const told = "guidance" in decision ? decision.guidance : undefined;
  const tells: Step[] = told === undefined ? [] : [{ operation: "inject", input: { text: told } }];
  if (action === "inject") return tells;
  if (action === "pause" || action === "resume") return [{ operation: action, input: {} }];
  if (action === "revert") {
    const back: Step = { operation: "revert", input: { n: decision.n } };
    if (told === undefined) return [back];
    // Held back meanwhile, so that it does not go on without hearing why.
    const held = (operation: "pause" | "resume"): Step => ({ operation, input: {}, atWork: true });
    return [held("pause"), back, ...tells, held("resume")];
  }
  if (action === "handoff") {
    const { from } = decision;
    return [{ operation: "handoff", input: { guidance: told!, ...(from !== undefined && { from }) } }];
  }
  if (action === "discard") {
    const at = (await readScope(store, worker)).fold.header.origin?.n ?? 0;
    return [{ operation: "handoff", input: { guidance: told ?? "", from: worker, at } }];
  }
  return null;
}

async function isDriven(store: EmbeddedStore, worker: string): Promise<boolean> {
  return (await store.leases.holder(`log/${(await readScope(store, worker)).log}`)) !== null;
}

/** Whether what makes a step was done before a crash: it stands in the log, behind what was read when it was decided. */
async function done(
  store: EmbeddedStore,
  worker: string,
  operation: string,
  { who, seq }: { who: string; seq: number },
): Promise<boolean> {
  const kind: Kind | null = operation === "handoff" || operation === "revert" ? operation : null;
  if (kind === null) return false;
  const { fold } = await readScope(store, worker);
  return [...fold.steps.values()].some(
    (step) =>
      step.intent.kind === kind && step.intentSeq >= seq && step.witness.by === who && step.outcome?.status === "done",
  );
}
