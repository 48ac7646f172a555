/** Effects that a program declares: typed, with a tier, and for some with the way in which they are taken back. */
import type { Tier } from "../trace/frame.ts";
import { Invalid } from "./errors.ts";
import type { InputOf, OutputOf, Schema } from "./schema.ts";

/** What stands beside the input of an effect. */
export interface EffectContext {
  /**
   * The same for every attempt of this effect, its undo included, and for no other: an idempotency key. One that was taken back after a crash and is
   * to be performed after all has a new one.
   */
  readonly key: string;
  /** Aborts when the run is stopped. An effect that throws then has not acted, as far as it is not in doubt. */
  readonly signal: AbortSignal;
}

interface Common<I extends Schema, O extends Schema> {
  readonly input: I;
  readonly output: O;
  /** Acts. It may be called again with the same key after a crash, as the tier says. An error that it throws is the outcome, and reaches the body. */
  run(input: OutputOf<I>, context: EffectContext): InputOf<O> | Promise<InputOf<O>>;
}

/** What an undo is told: `output` is undefined where a crash came before the effect had one, so that it may or may not have acted. */
export interface Done<I extends Schema, O extends Schema> {
  readonly input: OutputOf<I>;
  readonly output: OutputOf<O> | undefined;
}

export type EffectSpec<I extends Schema, O extends Schema> = Common<I, O> &
  (
    | {
        readonly tier: "compensable";
        /** Takes the effect back. Runs once, newest effect first; after a crash again with the same key. Must do no harm where the effect did not act, and keep it from acting later. */
        undo(done: Done<I, O>, context: EffectContext): void | Promise<void>;
      }
    | { readonly tier: Exclude<Tier, "compensable">; readonly undo?: undefined }
  );

/** A declared effect. */
export interface DeclaredEffect<I extends Schema = Schema, O extends Schema = Schema> extends Common<I, O> {
  readonly tier: Tier;
  undo?(done: Done<I, O>, context: EffectContext): void | Promise<void>;
}

/** Effects by the names under which a body performs them. */
export interface Effects {
  readonly [name: string]: DeclaredEffect;
}

const TIERS: readonly string[] = ["reversible", "repeatable", "compensable", "irreversible"];

/**
 * Declares an effect. Its tier says what becomes of it after a crash and at a revert:
 * `reversible` and `repeatable` are performed again after a crash, and forgotten by a revert; `compensable` has an `undo`, which a crash in the
 * middle, a revert and a discard run once; `irreversible` is never repeated unasked, and a revert past it must acknowledge it. The latter two need
 * consent: a gate, or `grants: { allow: [name] }`. Throws `Invalid` for a definition that cannot hold.
 */
export function effect<I extends Schema, O extends Schema>(spec: EffectSpec<I, O>): DeclaredEffect<I, O> {
  if (!TIERS.includes(spec.tier)) throw new Invalid(`The tier of an effect is one of ${TIERS.join(", ")}.`);
  if ((spec.tier === "compensable") !== (spec.undo !== undefined))
    throw new Invalid("An effect has an `undo` exactly if its tier is compensable.");
  return spec as DeclaredEffect<I, O>;
}
