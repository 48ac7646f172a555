/**
 * The model port: how the loop asks a model, whoever serves it. A port streams an answer as blocks, each given when it has ended, and
 * closes with one `end`. It keeps nothing between calls: all it may know stands in the request.
 */
import type { Block, Item } from "../scope/thread.ts";
import type { Json } from "../trace/ports.ts";

/** A tool as the model is told about it. */
export interface ToolSpec {
  name: string;
  description: string;
  /** JSON Schema of the input: plain JSON. */
  input: object;
}

/** What else a provider is asked, by its own names, and in which of its protocols (`api`). */
export interface Params {
  api: string;
  [name: string]: Json;
}

/**
 * The canonical request: what is asked, in no provider's format. Its RFC 8785 bytes are what "the same request" means, and a provider's follow from
 * them. Nothing in it may come from a clock, a process or a step's number.
 */
export interface ModelRequest {
  model: string;
  system: string;
  tools: readonly ToolSpec[];
  messages: readonly Item[];
  params?: Params;
}

/** Counts of tokens by kind (`input`, `output`, `cacheRead`, …): whole numbers. */
export interface Usage {
  [kind: string]: number;
}

/** Why an answer ended: by itself, to have calls performed, at a limit of length, because the model refuses, or for another reason. */
export type Stop = "end" | "calls" | "length" | "refused" | "pause" | "other";

/** What is known of an answer besides what it says. */
export interface About {
  usage?: Usage;
  /** In US dollars. */
  cost?: number;
  /** As it came. */
  raw?: Uint8Array;
  /** Ids of its tokens and how likely each was, where a server tells them (`gateway/tokens.ts`). */
  tokens?: Json;
  /** Until it began, and how long its request was kept back; in ms. */
  first?: number;
  waited?: number;
}

export type ModelEvent =
  /** Text of a block that still grows: shown, never recorded. */
  | { type: "delta"; text: string }
  | { type: "block"; block: Block }
  /** The last event. */
  | ({ type: "end"; stop: Stop; usage: Usage } & About);

export interface ModelPort {
  /** Stands in every request. */
  readonly name: string;
  /** Stands in every request, too. */
  readonly params?: Params;
  /** So many tokens a conversation may have; not known without. */
  readonly context?: number | undefined;
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
    /** Of an answer that broke off. */
    readonly about: About = {},
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
