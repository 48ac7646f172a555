/** Models for tests: what they answer is written down before. */
import { setTimeout as sleep } from "node:timers/promises";
import { assistantTurns, ModelError, type ModelPort, type ModelRequest } from "../agent/model.ts";
import { functionPort, type ModelAnswer } from "../agent/ports/function.ts";
import type { Json } from "../trace/ports.ts";

/** One answer: a text, or a text and calls; or a function that makes one of the request, for answers that follow from what a tool gave. */
export type Turn =
  | string
  | {
      readonly say?: string;
      readonly call?: ReadonlyArray<{ readonly tool: string; readonly input: Json }>;
      /** Before the answer, in ms. */
      readonly delay?: number;
    }
  | ((request: ModelRequest) => ModelAnswer | Promise<ModelAnswer>);

/** A model that gives its answers in their order. */
export interface Scripted extends ModelPort {
  /** What it was asked, in order, attempts that were asked again included. */
  readonly requests: readonly ModelRequest[];
}

/**
 * A model that gives these answers, one each time it is asked. Which one follows from the number of answers in the conversation, so a fork, a revert
 * and a run that was killed are answered as the first time. Asked for more than there are it fails, and so does the run.
 */
export function scripted(...turns: readonly Turn[]): Scripted {
  const requests: ModelRequest[] = [];
  const port = functionPort(async (request, signal) => {
    requests.push(request);
    const index = assistantTurns(request.messages);
    const turn = turns[index];
    if (turn === undefined)
      throw new ModelError(
        `The test has no answer ${index + 1}: it has ${turns.length}. The conversation ends with ${lastOf(request)}.`,
        false,
      );
    if (typeof turn === "function") return turn(request);
    if (typeof turn === "string") return turn;
    if (turn.delay) await sleep(turn.delay, undefined, { signal });
    return { text: turn.say ?? "", calls: turn.call ?? [] };
  }, "scripted");
  return Object.assign(port, { requests });
}

const lastOf = ({ messages }: ModelRequest): string => {
  const text = JSON.stringify(messages.at(-1)?.content ?? null);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
};
