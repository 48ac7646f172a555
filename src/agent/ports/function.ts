/** A function in the place of a model: for tests, and for policies of one's own. */
import type { Block } from "../../scope/thread.ts";
import type { Json } from "../../trace/ports.ts";
import {
  type About,
  assistantTurns,
  ModelError,
  type ModelEvent,
  type ModelPort,
  type ModelRequest,
} from "../model.ts";

/** What a function answers: a text, or a text and calls of tools, with what else is known of it (`usage`, `cost`, `tokens`). */
export type ModelAnswer =
  | string
  | ({
      readonly text?: string;
      readonly calls?: ReadonlyArray<{ readonly tool: string; readonly input: Json }>;
    } & Pick<About, "usage" | "cost" | "tokens">);

/** A model as a function. It is given the whole request each time. */
export type ModelFunction = (request: ModelRequest, signal: AbortSignal) => ModelAnswer | Promise<ModelAnswer>;

/** A function as a port. What it throws is an answer that cannot be had: it is not asked again, but for a `ModelError` that says so. */
export function functionPort(ask: ModelFunction, name = "function"): ModelPort {
  return {
    name,
    call: async function* (request, signal): AsyncGenerator<ModelEvent> {
      let given: ModelAnswer;
      try {
        given = await ask(request, signal);
      } catch (error) {
        if (signal.aborted || error instanceof ModelError) throw error;
        throw new ModelError(`The model failed: ${error instanceof Error ? error.message : String(error)}`, false);
      }
      const { text = "", calls = [], usage = {}, ...about } = typeof given === "string" ? { text: given } : given;
      const turn = assistantTurns(request.messages) + 1;
      const blocks: Block[] = text === "" ? [] : [{ type: "text", text }];
      for (const [k, { tool, input }] of calls.entries())
        blocks.push({ type: "call", id: `call_${turn}_${k + 1}`, name: tool, input });
      for (const block of blocks) yield { type: "block", block };
      yield { type: "end", stop: calls.length > 0 ? "calls" : "end", usage, ...about };
    },
  };
}
