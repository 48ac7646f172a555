/** What the runtime comes to, said in the words of the model. */
import { StepError } from "../../../src/scope/view.ts";
import type { Accepted, Does, Done, Name, Of, Refusal, Reply, System } from "../types.ts";
import type { Driven, Real } from "./real.ts";

/** Thrown where the runtime does something that no reply stands for. */
export class Unlike extends Error {}

/** What the command is to come to: systems and reply of the model. */
export interface Wish {
  readonly before: System;
  readonly after: System;
  readonly reply: Reply;
}

export type Handler<C> = (real: Real, command: C, wish: Wish) => Promise<Reply | undefined>;
export type Handlers = { readonly [K in Does]?: Handler<Of<K>> };

export const refused = (reason: Refusal): Reply => ({ refused: reason });
export const done = (what: Done, more: Partial<Accepted> = {}): Reply => ({ ok: what, ...more });

export function must<T>(value: T | undefined | null | false, what: string): T {
  if (value === undefined || value === null || value === false) throw new Unlike(what);
  return value;
}
export const drivenOf = (real: Real, name: Name): Driven => must(real.driven.get(name), `nobody drives ${name}`);

/** Why a step could not be taken. */
export const stepError = (error: unknown): Reply => {
  if (!(error instanceof StepError)) throw error;
  return refused(/is not finished|waits for/.test(error.message) ? "unsealed" : "no-step");
};
