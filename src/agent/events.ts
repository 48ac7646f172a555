/** What a run tells whoever watches it live. None of it is needed to know what happened: that stands in the trace. */
import type { Block, Call } from "../scope/thread.ts";

export type AgentEvent =
  /** A request goes out as step `n`. */
  | { type: "model"; n: number }
  /** Another attempt of a model step, and why the one before failed. */
  | { type: "attempt"; n: number; attempt: number; why: string }
  | { type: "delta"; n: number; text: string }
  /** A block of the answer has ended; a call's intent is written by then. */
  | { type: "block"; n: number; block: Block }
  /** A call has its step. */
  | { type: "call"; n: number; call: Call }
  /** A call has its result. */
  | { type: "result"; n: number; call: Call; status: string; text: string };

export type Emit = (event: AgentEvent) => void;

/** A listener whose errors are warnings: who watches does not disturb. */
export function listener(onEvent: ((event: AgentEvent) => void) | undefined): Emit {
  return (event) => {
    try {
      onEvent?.(event);
    } catch (error) {
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  };
}
