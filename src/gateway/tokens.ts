/**
 * The tokens of an answer, from servers that tell them: what a trainer needs of a turn, so that nothing is tokenised a second time, and otherwise.
 * As vLLM names them: `prompt_token_ids` of the answer, `token_ids` and `logprobs` of a choice.
 */
import type { Json } from "../trace/ports.ts";
import { isMembers, type Members } from "./protocol.ts";

/** `json` object that the outcome of a model step names. */
export interface Tokens {
  type: "tokens";
  v: 1;
  /** Ids of what was asked, as the model read it; null where the server does not tell. */
  prompt: number[] | null;
  /** Ids of what was said. */
  output: number[] | null;
  /** Natural logarithms of how likely each token of that was, in the same order. */
  logprobs: number[] | null;
}

export interface TokensReader {
  /** An answer, or a piece of one, and its choice. */
  take(answer: Members, choice?: Members): void;
  found(): Tokens | undefined;
}

/** With this before an id, servers write a token as its id (vLLM's `return_tokens_as_token_ids`). */
const AS_ID = /^token_id:(\d+)$/;

export function tokensReader(): TokensReader {
  let prompt: number[] | null = null;
  let ids: number[] | null = null;
  let named: number[] | null = null;
  let logprobs: number[] | null = null;
  return {
    take: (answer, choice) => {
      prompt ??= numbers(answer.prompt_token_ids);
      if (!choice) return;
      ids = joined(ids, numbers(choice.token_ids));
      const content = isMembers(choice.logprobs) ? choice.logprobs.content : null;
      if (!Array.isArray(content)) return;
      const told = content.filter(isMembers);
      logprobs = joined(logprobs, numbers(told.map(({ logprob }) => logprob ?? null)));
      named = joined(named, numbers(told.map(({ token }) => Number(AS_ID.exec(String(token))?.[1] ?? Number.NaN))));
    },
    found: () => {
      let output = ids ?? named;
      // Told of some alone, they cannot be put beside each other.
      if (output && logprobs && output.length !== logprobs.length) output = logprobs = null;
      return prompt || output || logprobs ? { type: "tokens", v: 1, prompt, output, logprobs } : undefined;
    },
  };
}

/** Null for what is no list of numbers. */
const numbers = (value: Json | undefined): number[] | null =>
  Array.isArray(value) && value.every((each) => Number.isFinite(each)) ? (value as number[]) : null;

const joined = (before: number[] | null, more: number[] | null): number[] | null =>
  more ? [...(before ?? []), ...more] : before;
