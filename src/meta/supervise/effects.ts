/** What the effects of the supervisor have in common. */
import { type DeclaredEffect, effect } from "../../agent/effect.ts";
import type { Schema } from "../../agent/schema.ts";

/** A value that is checked where it is made. */
export const plain = <T>(): Schema<T> => ({
  "~standard": { version: 1, vendor: "shepherd", validate: (value) => ({ value: value as T }) },
});

export type Again<I, O> = DeclaredEffect<Schema<I>, Schema<O>>;

/** An effect that may be done again after a crash: it finds what it has done. */
export const again = <I, O>(run: Again<I, O>["run"]): Again<I, O> =>
  effect({ tier: "repeatable", input: plain<I>(), output: plain<O>(), run }) as Again<I, O>;
