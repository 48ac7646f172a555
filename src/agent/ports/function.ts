/** A function in the place of a model: for tests, and for policies that are trained. */
import type { Block } from "../../scope/thread.ts";
import type { About, ModelPort, ModelRequest, Stop } from "../model.ts";

/** What a function answers: words alone, or blocks of text and calls, with what else it knows of its answer. */
export type Answer = string | ({ content: readonly AnswerBlock[]; stop?: Stop } & About);

/** Of a call that has no id, one follows from its place. */
export type AnswerBlock =
  | { type: "text"; text: string }
  | { type: "call"; name: string; input?: unknown; id?: string }
  | Extract<Block, { type: "native" }>;

/** Asked once for each request; what it throws is an attempt that failed (a `ModelError` says whether another one can help). */
export type ModelFunction = (request: ModelRequest, signal: AbortSignal) => Answer | Promise<Answer>;

export function functionPort(answer: ModelFunction, { name = "function" }: { name?: string } = {}): ModelPort {
  return {
    name,
    call: async function* (request, signal) {
      const said = await answer(request, signal);
      const {
        content,
        stop,
        usage = {},
        ...about
      } = typeof said === "string" ? { content: [{ type: "text" as const, text: said }] } : said;
      let calls = 0;
      for (const block of content) {
        if (block.type !== "call") yield { type: "block", block };
        else {
          const { id = `call_${request.messages.length}_${++calls}`, name: called, input = {} } = block;
          yield { type: "block", block: { type: "call", id, name: called, input } };
        }
      }
      const asks = content.some(({ type }) => type === "call");
      yield { type: "end", stop: stop ?? (asks ? "calls" : "end"), usage, ...about };
    },
  };
}
