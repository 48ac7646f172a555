/** Model ports by name, and those that a program brings. */
import type { Block } from "../scope/thread.ts";
import type { Json } from "../trace/ports.ts";
import { Invalid } from "./errors.ts";
import { assistantTurns, ModelError, type ModelEvent, type ModelPort, type ModelRequest, type Usage } from "./model.ts";
import type { Model } from "./run.ts";
import { scriptPort } from "./script.ts";

/** The port that a name such as `script:FILE` stands for. Throws a `ModelError` for a name that is none, or a script that is broken. */
export function openModel(name: string): ModelPort {
  const file = /^script:(.+)$/s.exec(name)?.[1];
  if (file !== undefined) return scriptPort(file);
  throw new ModelError(`There is no model ${JSON.stringify(name)}: use script:FILE.`, false);
}

/** What a function answers: a text, or a text and calls of tools. */
export type ModelAnswer =
  | string
  | {
      readonly text?: string;
      readonly calls?: ReadonlyArray<{ readonly tool: string; readonly input: Json }>;
      readonly usage?: Usage;
      /** US dollars. */
      readonly cost?: number;
    };

/** A model as a function: for tests, and for policies of one's own. It is given the whole request each time. */
export type ModelFunction = (request: ModelRequest, signal: AbortSignal) => ModelAnswer | Promise<ModelAnswer>;

/** A function as a port. What it throws is an answer that cannot be had: it is not asked again. */
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
      const { text = "", calls = [], usage = {}, cost } = typeof given === "string" ? { text: given } : given;
      const turn = assistantTurns(request.messages) + 1;
      const blocks: Block[] = text === "" ? [] : [{ type: "text", text }];
      for (const [k, { tool, input }] of calls.entries())
        blocks.push({ type: "call", id: `call_${turn}_${k + 1}`, name: tool, input });
      for (const block of blocks) yield { type: "block", block };
      yield { type: "end", stop: calls.length > 0 ? "calls" : "end", usage, ...(cost !== undefined && { cost }) };
    },
  };
}

/** The port of a model as a program names it. Throws `Invalid` where there is none. */
export function modelOf(model: Model | undefined, agent: string): ModelPort {
  if (model === undefined)
    throw new Invalid(`${agent} has no model: name one in its definition, or where it is started.`);
  if (typeof model === "string") return openModel(model);
  return typeof model === "function" ? functionPort(model) : model;
}
