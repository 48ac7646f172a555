/**
 * The model port: how the loop asks a model, whoever serves it. A port streams an answer as blocks, each given when it has ended, and
 * closes with one `end`. It keeps nothing between calls: all it may know stands in the request.
 */
import type { Block, Item } from "../scope/thread.ts";

/** A tool as the model is told about it. */
export interface ToolSpec {
  name: string;
  description: string;
  /** JSON Schema of the input: plain JSON. */
  input: object;
}

/**
 * The canonical request: what is asked, in no provider's format. Its RFC 8785 bytes are what "the same request" means. Nothing in it may
 * come from a clock, a process or a step's number.
 */
export interface ModelRequest {
  model: string;
  system: string;
  tools: readonly ToolSpec[];
  messages: readonly Item[];
}

/** Counts of tokens by kind (`input`, `output`, `cached`, …): whole numbers. */
export interface Usage {
  [kind: string]: number;
}

/** Why an answer ended: by itself, to have calls performed, at a limit of length, or because the model refuses. */
export type Stop = "end" | "calls" | "length" | "refused";

export type ModelEvent =
  /** Text of a block that still grows: shown, never recorded. */
  | { type: "delta"; text: string }
  | { type: "block"; block: Block }
  /** The last event. `cost` is in US dollars. */
  | { type: "end"; stop: Stop; usage: Usage; cost?: number };

export interface ModelPort {
  /** Stands in every request. */
  readonly name: string;
  /**
   * Asks once. Errors end the iteration: a `ModelError` says whether another attempt can help, any other error is taken for one that
   * may. Ends soon after `signal` aborts.
   */
  call(request: ModelRequest, signal: AbortSignal): AsyncIterable<ModelEvent>;
}

/** Thrown where a model cannot answer. */
export class ModelError extends Error {
  constructor(
    message: string,
    /** Whether the same request may succeed later. */
    readonly retryable: boolean,
    /** How long the model asks to be left alone, in ms. */
    readonly retryAfterMs?: number,
  ) {
    super(message);
  }
}

/** Number of assistant turns in a conversation: messages of the assistant that follow each other are one turn. */
export function assistantTurns(messages: readonly Item[]): number {
  let turns = 0;
  for (const [at, item] of messages.entries())
    if (item.role === "assistant" && messages[at - 1]?.role !== "assistant") turns++;
  return turns;
}
